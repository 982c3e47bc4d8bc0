"""One field of a valid parameter file is changed: it is read as it was, or as the documented change
that Papermill hands to the notebook, or refused in one sentence that names file and key."""

import datetime
import math
from dataclasses import asdict, fields

import fuzz_cases
import pytest
import ruamel.yaml
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from papermill import iorw

from distill_nb import params
from distill_nb.params import read_files
from distill_nb.traces import params as trace_params

RUN = params.read_files("pocket_math.yaml")
SET = params.read_files("traces_generator_math.yaml")
DOORS = {"run": (RUN, params), "set": (SET, trace_params)}

# As a person writes them; each is more than one thing to some reader.
WRITTEN = [
    "010", "0o10", "0x1F", "0b11", "1_000", "1e3", "1.0e3", "1e-5", "2.0e-5", "2.0e5", ".5", "5.",
    "+3", "-0", "1:30", "12:30:45", "2024-01-05", "2024_01_05", "2024-01-05T10:00:00", "yes",
    "no", "on", "off", "y", "True", "TRUE", "true", "~", "null", "Null", "", "''", "' '", ".inf",
    "-.inf", ".nan", ".NaN", "=", "<<", "!!str 10", "!!int '7'", "!!float 3",
    "!!python/name:os.system", "!!binary aGk=", "!!set {a}", "!mine 3", "&a 3", "*a", "[a",
    "{a: 1", "[1, 2]", "[none]", "{}", "[]", "{a: b}", "{1: 2}", "[[a]]", "'a", "\"\\ud83d\"",
    "\"a\\nb\"", "|\n  a\n  b", "- a", "a: b", "@x", "`x`", "%x", "#", "a # b", "a#b", "none",
    "None", "auto", "1e400", "9999999999999999999999", "3.0", "3.5", "٣", "１", "−3", "1,000",
    "1 000", "0.1e1", "0e0", "\u2028", "\x85",
]  # fmt: skip


@st.composite
def changed_files(draw):
    """(which door, key, text of a file in which that key's value is written otherwise)."""
    door = draw(st.sampled_from(sorted(DOORS)))
    values = DOORS[door][0]
    key = draw(st.sampled_from(sorted(values)))
    plain = fuzz_cases.values.map(
        lambda v: yaml.safe_dump(v, default_flow_style=True, width=10**6).removesuffix("...\n")
    )
    near = st.sampled_from(sorted(map(str, values.values())))
    written = draw(st.one_of(st.sampled_from(WRITTEN), plain, near, st.text(max_size=8)))
    return door, key, file_with(values, key, written.rstrip("\n"))


def file_with(values, key, written):
    """A parameter file, one key a line, in which `key` has the value that is written."""
    lines = {
        k: f"{k}: " + yaml.safe_dump(v, default_flow_style=True, width=10**6).split("\n...")[0]
        for k, v in values.items()
    }
    lines[key] = f"{key}: {written}"
    return "".join(line.rstrip("\n") + "\n" for line in lines.values())


def read_both(file, door, text):
    """(what the file gives, why it is refused) by our reader, and by Papermill's and a notebook."""
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    module = DOORS[door][1]

    def ours():
        return module.validate(read_files(file), source="changed.yaml")

    def theirs():
        return module.from_notebook(dict(iorw.read_yaml_file(str(file))))

    return fuzz_cases.outcome(ours, "changed.yaml"), theirs


def same(a, b):
    """Whether two sets of parameters are equal, NaN included."""
    return repr(a) == repr(b)


@fuzz_cases.search(150)
@given(changed_files())
@example(("run", "seed", file_with(RUN, "seed", "010")))
@example(("run", "run_name", file_with(RUN, "run_name", "2024_01_05")))
@example(("run", "run_name", file_with(RUN, "run_name", "2024-01-05")))
@example(("run", "learning_rate", file_with(RUN, "learning_rate", "1e-3")))
@example(("set", "n_examples", file_with(SET, "n_examples", "1_000")))
def test_a_value_is_read_alike_by_all_or_refused(tmp_path_factory, changed):
    door, key, text = changed
    file = tmp_path_factory.mktemp("p") / "changed.yaml"
    (found, said), theirs = read_both(file, door, text)
    if said:
        assert key in said or "line" in said, said
        return
    # what we take, Papermill's notebook takes, and as the same, as does a reader of YAML 1.2
    assert same(found, theirs()), text
    by_ruamel = ruamel.yaml.YAML(typ="safe", pure=True).load(text)
    dates = {k for k, v in by_ruamel.items() if isinstance(v, datetime.date)}
    ours = read_files(file)
    assert all(isinstance(ours[k], str) for k in dates)  # the core schema has no dates
    assert same(ours, by_ruamel | {k: ours[k] for k in dates}), text
    before = asdict(DOORS[door][1].validate(DOORS[door][0]))
    other = {k for k, v in asdict(found).items() if repr(v) != repr(before[k])}
    assert other <= {key}, f"{other} changed, though only {key} was written otherwise"
    value = getattr(found, key)
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("door", sorted(DOORS))
@fuzz_cases.search(60)
@given(data=st.data())
def test_a_key_that_is_none_is_refused(door, data):
    values, module = DOORS[door]
    known = {f.name for f in fields(type(module.validate(values)))}
    key = data.draw(st.sampled_from(sorted(values)))
    at = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from(["", "_", key[at] * 2, key[at].upper(), "x"]))
    other = key[:at] + letter + key[at + 1 :]
    changed = {(other if k == key else k): v for k, v in values.items()}
    names = [key] if other in known else [other]
    if other == key:
        return
    _, said = fuzz_cases.outcome(lambda: module.validate(changed, "changed.yaml"), "changed.yaml")
    assert any(name in said for name in names), said

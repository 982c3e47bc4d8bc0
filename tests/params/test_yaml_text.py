"""Parameter files are read by YAML 1.2; what Papermill's YAML 1.1 takes otherwise is refused."""

import math
import re
from dataclasses import fields

import pytest
import yaml
from papermill import iorw

from distill_nb.params import Params, names, reading, yaml_text
from distill_nb.runtime import paths

SAME = {  # written → the value by both rules
    "8": 8, "+5": 5, "-0": 0, "0": 0, "0x1F": 31, "2.0e-5": 2e-5, "1.5e+3": 1500.0, ".5": 0.5,
    "1.": 1.0, ".inf": math.inf, "true": True, "FALSE": False, "~": None, "": None, "null": None,
    "none": "none", "n": "n", "y": "y", "2024-01-05": "2024-01-05",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00", "0.1e": "0.1e", "é": "é",
    "'010'": "010", '"on"': "on", "!!str 010": "010", "!!str 'x'": "x", "|\n  1e5\n": "1e5\n",
    "&a [1, x]": [1, "x"], "{a: b}": {"a": "b"}, "5 # five": 5, "١٢": "١٢",
}  # fmt: skip
OTHER = {  # written → by YAML 1.1, by YAML 1.2
    "010": (8, 10), "-010": (-8, -10), "0o10": ("0o10", 8), "08": ("08", 8), "0b11": (3, "0b11"),
    "-0x1F": (-31, "-0x1F"), "1_000": (1000, "1_000"), "2024_01_05": (20240105, "2024_01_05"),
    "1:30": (90, "1:30"), "1:30.5": (90.5, "1:30.5"), "on": (True, "on"), "Off": (False, "Off"),
    "yes": (True, "yes"), "NO": (False, "NO"), "1e5": ("1e5", 1e5), "2e-5": ("2e-5", 2e-5),
    "1.5e3": ("1.5e3", 1500.0), "-.5": ("-.5", -0.5), "1.0_0": (1.0, "1.0_0"),
    "1e999": ("1e999", math.inf),
}  # fmt: skip


def refused(text, key=""):
    """The sentence for a text."""
    with pytest.raises(ValueError) as caught:
        yaml_text.read(text, "my.yaml", key)
    said = str(caught.value)
    assert said.startswith("my.yaml") and said.endswith(".") and "\n" not in said
    return said


def by_papermill(text):
    return yaml.load(text, Loader=iorw.NoDatesSafeLoader)


@pytest.mark.parametrize("written", SAME)
def test_what_both_rules_take_alike_is_read(written):
    text = f"a: {written}"
    found = yaml_text.read(text, "my.yaml")["a"]
    assert (type(found), found) == (type(SAME[written]), SAME[written])
    assert by_papermill(text)["a"] == found


@pytest.mark.parametrize("written", OTHER)
def test_what_they_take_differently_is_refused_with_what_to_write(written):
    old, new = OTHER[written]
    assert repr(by_papermill(f"a: {written}")["a"]) == repr(old)
    said = refused(f"b: 1\na: {written}\n")
    found = re.fullmatch(
        r"my\.yaml, line 2: a is (\S+), which is (\S+) by YAML 1\.1, as Papermill reads it, and "
        r"(\S+) by YAML 1\.2: write (\S+) or (\S+), as it is meant(?:, or (\S+) for a text)?\.",
        said,
    )
    assert found[1] == written
    for word, value in zip(found.groups()[1:5], (old, new) * 2, strict=True):
        assert repr(yaml_text.read(f"a: {word}", "x")) == repr({"a": value}), word
        assert repr(by_papermill(f"a: {word}")) == repr({"a": value}), word
    assert (found[6] is None) == (str in (type(old), type(new)))
    assert found[6] is None or by_papermill(found[6]) == written
    # and wherever it stands
    assert "my.yaml: a is" in refused(f"a: [1, {written}]")
    assert "my.yaml: a: b is" in refused("{a: {b: " + written + "}}")
    assert "my.yaml: seed is" in refused(written, key="seed")


@pytest.mark.parametrize("text, said", [
    ("b: 1\na: 1\nb: 2\n", "my.yaml, line 3: b stands there in line 1 already: keep one of"),
    ("{a: {b: 1, b: 2}}", "my.yaml: b stands there twice: keep one of the two."),
    ("a: 1\n---\nb: 2\n", "my.yaml, line 2: a second document begins here (---): keep one."),
    ("a:\n\tb: 1\n", "my.yaml, line 2: a tab stands where YAML wants spaces: write spaces."),
    ("a: 1\t", "my.yaml: a tab stands where YAML wants spaces: write spaces."),
    ("a: &m {b: 1}\nc:\n  <<: *m\n", "3: << merges keys in YAML 1.1 alone: write the keys out"),
    ("a: &x [*x]", "my.yaml: a contains itself: write its value out."),
    ("1: 2", "my.yaml: 1 is no text, as a key must be: quote it."),
    ("yes: 2", "my.yaml: yes is no text, as a key must be: quote it."),
    ("0x_: 2", "my.yaml: 0x_ is no text, as a key must be: quote it."),
    ("? [a]\n: 2", "my.yaml, line 1: this is no text, as a key must be: quote it."),
    ("a: !!int 010", "my.yaml: a has the tag !!int, and none is read: write the value without it."),
    ("a: ! 010", "my.yaml: a has the tag !, and none"),
    ("a: !!str [b]", "my.yaml: a has the tag !!str, and none"),
    ("a: !!python/name:os.open x", "a has the tag !!python/name:os.open, and none"),
    ("a: [!mine b]", "my.yaml: here is the tag !mine, and none"),
    ("a: =", "my.yaml: a is =, which Papermill cannot read: write it in quotes, or correct it."),
    ("a: 0x_", "my.yaml: a is 0x_, which Papermill cannot read"),
    ("a: " + "9" * 5000, "999…, which Papermill cannot read"),
    ("a: [1\n", "my.yaml: this is not YAML (expected ',' or ']', but got '<stream end>'): correct"),
    ("a: 1\nb: c: d\n", "my.yaml, line 2: this is not YAML (mapping values are not allowed here)"),
    ("a: 1\nb: *c\n", "my.yaml, line 2: this is not YAML (found undefined alias 'c'): correct it."),
    ("a: 1\nb: \0", "my.yaml: line 2 has the character U+0000, which YAML does not allow: take"),
    ("a: \udc80", "my.yaml: line 1 has the character U+DC80, which YAML does not allow"),
    ("a: 1\nb: c\u2028d", "2: the character U+2028 ends a line in YAML 1.1 alone: take it out"),
    ("%YAML 2.0\n---\na: 1", "my.yaml, line 1: this is not YAML (found incompatible YAML document"),
    ("[" * 3000, "my.yaml: this is nested too deeply: write flat keys."),
])  # fmt: skip
def test_what_is_no_flat_yaml_is_refused_in_one_sentence(text, said):
    assert said in refused(text)


def test_on_and_off_are_words_for_the_keys_that_have_them_as_choices():
    choices = {f.name: f.metadata["choices"] or () for f in fields(Params)}
    assert tuple(k for k, words in choices.items() if "on" in words) == names.ON_OFF_KEYS
    assert yaml_text.read("recompute: on", "x") == {"recompute": "on"}
    assert yaml_text.read("off", "x", "recompute") == "off"
    assert "recompute is On, which is true by" in refused("recompute: On")
    assert "seed is on, which is true by" in refused("seed: on")


@pytest.mark.parametrize(
    "value", [*OTHER, *SAME, "=", "<<", "a\nb", "a\u2028b", "…", "a: b", "- a"]
)
def test_what_is_written_is_read_back_by_both(value):
    for flow in (True, False) if "\u2028" not in str(value) else (True,):
        for values in ({"a": value}, {"a": [value, 1]}, {value: {"b": 1e-05, "c": True}}):
            text = yaml_text.dump(values, flow)
            assert yaml_text.read(text, "x") == values == by_papermill(text)


@pytest.mark.parametrize("data, said", [
    (b"", "a.yaml: this file is empty: write one `key: value` a line."),
    (b"# nothing\n", "a.yaml: this file is empty"),
    (b"- a\n", "a.yaml: this is a list and no mapping: write one `key: value` a line."),
    (b"3\n", "a.yaml: this is one value and no mapping: write"),
    (b"a: 1\nb: \xff\n", "a.yaml: line 2 is not UTF-8: save the file as UTF-8."),
    ("a: 1\n".encode("utf-16"), "a.yaml: line 1 is not UTF-8: save the file as UTF-8."),
])  # fmt: skip
def test_a_file_that_is_no_mapping_in_utf_8_is_refused(data, said, tmp_path):
    (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(ValueError) as caught:
        reading.read_file(tmp_path / "a.yaml", "a.yaml")
    assert str(caught.value).startswith(said)


def test_a_byte_order_mark_is_passed_over_as_papermill_does(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes("\ufeffa: é\n".encode())
    assert reading.read_file(file, "a.yaml") == {"a": "é"} == iorw.read_yaml_file(str(file))


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", forbidden)
    with pytest.raises(ValueError, match=r"a\.yaml: this cannot be read \(Permission denied\)"):
        reading.read_file(tmp_path / "a.yaml", "a.yaml")


def test_all_files_of_the_repository_are_read_alike_by_both():
    files = [*paths.PARAMS_DIR.rglob("*.yaml"), *(paths.ROOT / "profiles").rglob("*.yaml")]
    assert len(files) >= 30
    for file in files:
        assert reading.read_file(file, file.name) == iorw.read_yaml_file(str(file)), file

"""The checks behind `params.validate`: of one value, then of values that contradict each other.
Each gives the rest of a sentence that begins with the file's and the key's name."""

from __future__ import annotations

import datetime
import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, field, fields
from typing import Any

from distill_nb.params import own_benchmarks
from distill_nb.params.names import GENERATOR, POCKET_STUDENT, TEACHER, is_set
from distill_nb.runtime import paths

# (a key and those that it contradicts, the rest of the sentence)
Problems = Iterator[tuple[tuple[str, ...], str]]
LIMITS = {
    "low": ("at least", operator.ge),
    "high": ("at most", operator.le),
    "above": ("more than", operator.gt),
    "below": ("less than", operator.lt),
}


def _yaml_number(text: str) -> str:
    """A number that YAML 1.1 takes for text, with the point and the signed exponent it needs."""
    match = re.fullmatch(r"([+-]?\d+)(?:\.(\d*))?[eE]([+-]?)(\d+)", text.strip())
    if not match:
        return text.strip()
    whole, decimals, sign, exponent = match.groups()
    return f"{whole}.{decimals or '0'}e{sign or '+'}{exponent}"


def _number(value: Any, kind: str) -> int | float:
    if isinstance(value, bool):
        raise TypeError(f"is {value!r}, a truth value: write a number")
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            raise TypeError(f"is the text {value!r}: write a number") from None
        scientific = "e" in value.lower()
        why = "YAML 1.1 needs the point and a signed exponent" if scientific else "without quotes"
        raise TypeError(
            f"is the text {value!r} and not a number: write {_yaml_number(value)} ({why})"
        )
    if kind == "int" and not isinstance(value, int):
        raise TypeError(f"is {value!r}: write a whole number without a decimal point")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"is {value!r}: write a finite number")
    return float(value) if kind == "float" else value


def _word(value: Any, choices: tuple[str, ...] | None) -> Any:
    """The value, or on or off where these are choices, which YAML 1.1 takes for true and false."""
    if isinstance(value, bool) and choices and {"on", "off"} <= set(choices):
        return "on" if value else "off"
    return value


def _no_text(value: Any) -> str:
    """What a value is that should be a text, and the remedy."""
    if value is None:
        return "is None: write the word none"
    kinds = ((bool, "a truth value"), ((int, float), "a number"), (datetime.date, "a date"))
    for types, name in kinds:
        if isinstance(value, types):
            remedy = "write it in quotes, or with papermill as -r NAME TEXT"
            return f"is {value}, {name} and no text: {remedy}"
    return f"is {value!r}: write a text that is not empty"


def check_type(kind: str, value: Any) -> Any:
    """A copy of the value, as a float for `float`; kind: int, float, bool, str, list[str] or
    dict[str, str]. Raises TypeError for another type."""
    if kind in ("int", "float"):
        return _number(value, kind)
    if kind == "bool" and not isinstance(value, bool):
        raise TypeError(
            f"is {value!r}: write true or false in a file, and -p NAME True with papermill, which "
            "takes true for text"
        )
    if kind == "str" and (not isinstance(value, str) or not value.strip()):
        raise TypeError(_no_text(value))
    if kind == "list[str]":
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            raise TypeError(
                f"is {value!r}: write a list of names, as in [one, two] (for papermill: "
                "-y '{NAME: [one, two]}')"
            )
        if len(set(value)) < len(value) or not value:
            raise TypeError(f"is {list(value)!r}: name at least one, and each only once")
        return list(value)
    if kind == "dict[str, str]":
        if not isinstance(value, dict) or not all(
            isinstance(v, str) for pair in value.items() for v in pair
        ):
            raise TypeError(
                f"is {value!r}: write {{}} or names and files, as in {{math500: math500.jsonl}}"
            )
        return dict(value)
    return value


def check_range(limits: Mapping[str, Any], value: Any) -> None:
    """Raises TypeError for a value (or member, or key of a mapping) outside its limits."""
    if limits["choices"]:
        for member in value if isinstance(value, (list, dict)) else [value]:
            of_file = limits["or_file"] and str(member).endswith(limits["or_file"])
            if member not in limits["choices"] and not of_file:
                what = "" if member == value else f", where {member!r} is unknown"
                choices = ", ".join(limits["choices"])
                choices += f", or the path of a {limits['or_file']} file" * bool(limits["or_file"])
                raise TypeError(f"is {value!r}{what}: choose from {choices}")
    for limit, (words, holds) in LIMITS.items():
        if limits[limit] is not None and not holds(value, limits[limit]):
            raise TypeError(f"is {value!r}: write a number that is {words} {limits[limit]}")


def contradictions(v: dict[str, Any]) -> Problems:
    """The parameters of a run that are well formed but cannot stand together."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", v["run_name"], re.ASCII):
        why = ", which cannot name a folder: use letters, digits, - . _ only, a letter first"
        yield ("run_name",), why
    if re.search(r"_seed\d+$", v["run_name"]):
        why = ", which is the name of a replicate's folder: leave _seed<k> out and set seed"
        yield ("run_name", "seed"), why
    if not re.fullmatch(TEACHER, v["teacher"]):
        yield (
            ("teacher",),
            ", which cannot be part of a set's name: use small letters, digits and - only, as in "
            "deepseek-r1",
        )
    student = v["student"]
    hub_id = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", student, re.ASCII)
    if not hub_id and student != POCKET_STUDENT and not paths.resolve(student).is_dir():
        why = f", which does not exist: write a hub id org/name, a folder or {POCKET_STUDENT}"
        yield ("student",), why
    if v["scale"] == "full" and v["student_size"] != "full":
        why = " but scale is 'full': set scale to tiny, so that no folder mixes sizes"
        yield ("student_size", "scale"), why
    if (v["teacher"] == "none") != (v["domain"] == "none"):
        why = f" but teacher is {v['teacher']!r}: set both to none for a baseline, or neither"
        yield ("domain", "teacher"), why
    yield from _dataset_contradictions(v)
    if v["batch_size"] % v["micro_batch_size"]:
        why = f", which does not divide batch_size {v['batch_size']}: choose a divisor"
        yield ("micro_batch_size", "batch_size"), why
    elif v["batch_size"] % (v["micro_batch_size"] * v["train_processes"]):
        yield (
            ("train_processes", "micro_batch_size", "batch_size"),
            f", and with micro_batch_size {v['micro_batch_size']} they do not share batch_size "
            f"{v['batch_size']} evenly: choose numbers whose product divides it",
        )
    if v["sharding"] == "full":
        yield from _sharding_contradictions(v)
    if v["max_steps"] % v["save_every"]:
        why = f", which does not divide max_steps {v['max_steps']}: choose a divisor"
        yield ("save_every", "max_steps"), why
    if v["warmup_steps"] > v["max_steps"]:
        why = f", more than max_steps {v['max_steps']}: write a smaller number"
        yield ("warmup_steps", "max_steps"), why
    if v["adapter"] != "none" and (v["teacher"] == "none" or v["max_steps"] == 0):
        yield (
            ("adapter", "teacher", "domain", "max_steps"),
            " but this is a baseline: name the adapter's teacher and domain, and its step as "
            "max_steps",
        )
    if v["max_num_batched_tokens"] < v["max_num_seqs"]:
        yield (
            ("max_num_batched_tokens", "max_num_seqs"),
            f", less than max_num_seqs {v['max_num_seqs']}, and each answer takes one in a step: "
            "write a larger number",
        )
    yield from own_benchmarks.problems(v)
    if v["n_samples"] > 1 and v["temperature"] == 0:
        why = " but temperature is 0 and greedy samples are equal: write 1, or raise it"
        yield ("n_samples", "temperature"), why


def _sharding_contradictions(v: dict[str, Any]) -> Problems:
    if v["train_processes"] == 1:
        why = " but train_processes is 1: set it to the number of GPUs, or sharding to none"
        yield ("sharding", "train_processes"), why
    if v["backend"] == "unsloth":
        yield (
            ("sharding", "backend"),
            " but backend is 'unsloth': set backend to hf, or sharding to none",
        )
    if v["load_in_4bit"]:
        why = " but load_in_4bit is true: set it to false, or sharding to none"
        yield ("sharding", "load_in_4bit"), why


def _dataset_contradictions(v: dict[str, Any]) -> Problems:
    dataset = v["dataset"]
    if dataset not in ("pocket", "none") and not is_set(dataset):
        if not dataset.endswith((".jsonl", ".parquet")):
            yield (
                ("dataset",),
                ", which is unknown: write <teacher>_<domain>, as in r1_math, for a set of "
                "traces.ipynb, pocket, none, or a .jsonl or .parquet file",
            )
        elif not paths.resolve(dataset).is_file():
            why = ", which does not exist: give its path from the repository's root, or absolute"
            yield ("dataset",), why
    elif dataset not in ("pocket", "none") and dataset != f"{v['teacher']}_{v['domain']}":
        why = f" but teacher and domain are {v['teacher']} and {v['domain']}: make them agree"
        yield ("dataset", "teacher", "domain"), why
    known = (GENERATOR, "r1", "sonnet", "none")
    if dataset == "pocket" and v["scale"] != "tiny" and v["teacher"] not in known:
        yield (
            ("dataset", "teacher"),
            f" but teacher is {v['teacher']!r}: set it to {GENERATOR}, or name a file",
        )
    if dataset == "none" and v["max_steps"] > 0:
        why = f" but max_steps is {v['max_steps']}: name a dataset, or set max_steps to 0"
        yield ("dataset", "max_steps"), why
    if dataset != "none" and v["n_examples"] == 0:
        why = " but there is a dataset: write at least 1, or set dataset to none"
        yield ("n_examples", "dataset"), why


def key(
    help_text: str,
    *,
    default: Any = MISSING,
    choices: tuple[str, ...] | None = None,
    or_file: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field with help and limits: low and high are allowed, above and below are not.
    or_file: the end of paths that may stand beside the choices."""
    limits = dict(choices=choices, or_file=or_file, low=low, high=high, above=above, below=below)
    return field(default=default, metadata={"help": help_text, **limits})


def checked(
    values: Mapping[str, Any],
    source: str,
    kind: type,
    contradicts: Callable[[dict[str, Any]], Problems],
    given: Collection[str] | None = None,
) -> dict[str, Any]:
    """A complete mapping, checked against the fields of `kind` and by `contradicts`. given: the
    keys that a notebook has, None for all. The others have the pocket run's values and mean nothing
    to it, so nothing that it has can contradict them."""
    known = {f.name: f for f in fields(kind)}
    for name, value in values.items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            remedy = f"write {close[0]} if that is meant" if close else "take it out"
            raise ValueError(f"{source}: {name} = {value!r} is no parameter: {remedy}.")
    for name, f in known.items():
        if name not in values:
            raise ValueError(f"{source}: {name} is missing: set it ({f.metadata['help']}).")
    clean = {}
    for name, f in known.items():
        try:
            value = _word(values[name], f.metadata["choices"])
            if f.metadata["or_file"]:
                value = own_benchmarks.from_here(value, f.metadata["or_file"])
            clean[name] = check_type(str(f.type), value)
            check_range(f.metadata, clean[name])
        except TypeError as error:
            raise ValueError(f"{source}: {name} {error}.") from None
    for names, problem in contradicts(clean):
        if given is not None and not set(names) <= set(given):
            continue
        raise ValueError(f"{source}: {names[0]} is {clean[names[0]]!r}{problem}.")
    return clean

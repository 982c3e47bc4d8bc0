"""Any two checkpoints, of one run or of two, on the problems that both answered: as a run of their
own whose step 0 is the first and whose step 1 the second, so that what compares a checkpoint with
its base student (paired.py, change_parts.py, diagnosis.py, flips.py) compares these two."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from distill_nb.analysis import results
from distill_nb.analysis.names import name_of
from distill_nb.runtime import paths, provenance

KEYS = ["benchmark", "task_id", "sample"]
PACKAGES = ("torch", "transformers", "peft", "vllm", "unsloth", "math-verify", "evalplus")
NOT_SETTINGS = {
    "run_name", "overwrite", "regrade", "track", "other_parameters", "select_on", "scale",
}  # fmt: skip


class Place(NamedTuple):
    """A checkpoint of a run; step None is its last one with answers."""

    run_dir: Path
    step: int | None = None

    @property
    def name(self) -> str:
        at = {None: "last step", 0: "base"}.get(self.step, f"step {self.step}")
        return f"{self.run_dir.name}, {at}"


class Pairing(NamedTuple):
    """Two checkpoints beside each other."""

    first: Place
    second: Place
    records: pd.DataFrame  # of both, with steps 0 and 1 of one folder
    left_out: list[str]  # what only one of both has, in sentences


def place(text: str) -> tuple[Path, int | None]:
    """`RUN`, `RUN@20` or `RUN@base` → the run's folder and the step; a run is a folder, or a name
    below runs/. Raises ValueError where there is no such run, or two scales have it."""
    name, _, at = text.partition("@")
    if at not in ("", "base") and not at.isdigit():
        raise ValueError(f"{text}: after @ comes a step or base, as in {name}@20.")
    step = 0 if at == "base" else int(at) if at else None
    found = [Path(name)] if (Path(name) / "eval").is_dir() else []
    found = found or [f.parent for f in paths.runs().glob(f"*/{name}/eval") if name]
    if not found and (paths.resolve(name) / "eval").is_dir():
        found = [paths.resolve(name)]
    if not found:
        raise ValueError(
            f"{text}: there is no run {name} with answers below {paths.movable(paths.runs())}: "
            "give its folder or its name."
        )
    if len(found) > 1:
        folders = " and ".join(sorted(paths.movable(f) for f in found))
        raise ValueError(f"{text}: {folders} have this name: give the folder.")
    return found[0].absolute(), step


def pair(one: str, two: str) -> Pairing:
    """The checkpoints that two texts name (`place`), beside each other.

    Raises ValueError where one has no answers, where they are the same, or where they have no
    problem in common."""
    return beside(Place(*place(one)), Place(*place(two)), one, two)


def beside(first: Place, second: Place, one: str = "", two: str = "") -> Pairing:
    """As `pair`, of places; one, two: what errors call them, by default their names."""
    one, two = one or first.name, two or second.name
    (first, a), (second, b) = (_answers(*side) for side in ((first, one), (second, two)))
    if first == second:
        raise ValueError(f"{one} and {two} are the same checkpoint: name two.")
    left_out = []
    for missing, here in ((second, set(a["benchmark"]) - set(b["benchmark"])),
                          (first, set(b["benchmark"]) - set(a["benchmark"]))):  # fmt: skip
        if here:
            names = ", ".join(sorted(map(name_of, here)))
            left_out.append(f"{missing.name} has no answers to {names}.")
    both = a[KEYS].merge(b[KEYS])
    if both.empty:
        raise ValueError(f"{one} and {two} have no answers to the same problems.")
    for name in sorted(set(both["benchmark"])):
        asked = {len(own[own["benchmark"] == name]) for own in (a, b)}
        shared = int((both["benchmark"] == name).sum())
        if asked != {shared}:
            sizes = " and ".join(str(len(own[own["benchmark"] == name])) for own in (a, b))
            left_out.append(f"{name_of(name)}: {sizes} answers, {shared} of both are compared.")
    a, b = (own.merge(both).sort_values(KEYS, ignore_index=True) for own in (a, b))
    other = _other_problems(a, b)
    if other.any():
        left_out.append(f"{int(other.sum())} answers are to problems that differ under one name.")
        a, b = a[~other], b[~other]
    folder = f"{first.name} → {second.name}"
    steps = [own.assign(folder=folder, step=step) for step, own in enumerate((a, b))]
    columns = [column for column in a if column in b]
    joined = pd.concat([own[columns] for own in steps], ignore_index=True)
    return Pairing(first, second, joined.drop(columns="asked", errors="ignore"), left_out)


def _answers(checkpoint: Place, text: str) -> tuple[Place, pd.DataFrame]:
    """The checkpoint, its step filled in, and its answers."""
    run_dir, step = checkpoint
    own = results.load_records(run_dir.parent, [run_dir.name])
    steps = sorted(set(own["step"])) if len(own) else []
    if not steps or (step is not None and step not in steps):
        there = ", ".join(map(str, steps)) or "none"
        raise ValueError(f"{text}: there are no answers at that step, only at {there}.")
    chosen = Place(run_dir, steps[-1] if step is None else step)
    return chosen, own[own["step"] == chosen.step]


def _other_problems(a: pd.DataFrame, b: pd.DataFrame) -> pd.Series:
    """Which rows are to other problems, where imported records say so (evaluation/foreign.py)."""
    if "problem" not in a or "problem" not in b:
        return pd.Series(False, a.index)
    known = a["problem"].notna() & b["problem"].notna()
    return known & (a["problem"] != b["problem"])


def differences(first: Place, second: Place) -> pd.DataFrame:
    """What else the two differ in, by their provenance: columns what, first, second; one row a
    parameter, a data set's rows, a version, the device, the grader."""
    said = [_said(checkpoint) for checkpoint in (first, second)]
    keys = [key for key in dict.fromkeys([*said[0], *said[1]])]
    rows = [(key, *(_word(one.get(key)) for one in said)) for key in keys]
    return pd.DataFrame([r for r in rows if r[1] != r[2]], columns=["what", "first", "second"])


def _said(checkpoint: Place) -> dict[str, Any]:
    """What the provenance of a run says, in flat keys."""
    said: dict[str, Any] = {"step": checkpoint.step}
    for stage in ("train", "eval", "import"):
        record = provenance.if_readable(checkpoint.run_dir / f"provenance_{stage}.json")
        if not record:
            continue
        given = record.get("parameters", {})
        said |= {k: v for k, v in given.items() if k not in NOT_SETTINGS and k not in said}
        if stage == "train":
            said["rows of the data"] = record.get("data_sha256")
        if stage == "import":
            said |= {key: record["run"].get(key) for key in ("student", "teacher", "domain")}
        device = record.get("device") or {}
        said[f"device of {stage}"] = device.get("name")
        versions = record.get("packages") or record.get("versions") or {}
        said |= {f"{name} of {stage}": versions.get(name) for name in PACKAGES if name in versions}
        said |= {key: record[key] for key in ("grader", "engine") if key in record}
    return {key: value for key, value in said.items() if value is not None}


def _word(value: Any) -> str:
    if value is None:
        return "not recorded"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:12] if len(text) == 64 and text.isalnum() else text

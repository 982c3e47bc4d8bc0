"""Whether the results in one table were made alike: by the same code, data, settings and versions,
as far as their provenance says.

A table may mix results that were not, for a comment that changed in a module changes no number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from distill_nb.runtime import paths, provenance

DONE = {"train": "trained", "eval": "evaluated"}
SETTINGS = {  # of an evaluation → what stands for one that earlier versions did not record
    "engine": None, "engine_version": None, "dtype": None, "max_new_tokens": None,
    "stop_on_loop": False, "temperature": None, "top_p": None, "seed": None,
}  # fmt: skip
# What a data set's rows follow from.
DATA = ("dataset", "teacher", "domain", "n_examples", "n_heldout", "seed", "overlong")

Records = dict[str, dict]  # run folder → provenance


def summary(scale_dir: Path) -> str:
    """`differences` as one text, which says so where there are none; empty where there are no
    runs."""
    if not any(Path(scale_dir).glob("*/provenance_*.json")):
        return ""
    if found := differences(scale_dir):
        return "\n".join(["Not all of these results were made alike:", *(f"- {s}" for s in found)])
    return (
        "As far as is recorded, all of these results were made by the same code, versions and "
        "settings of evaluation, on the same data of each name."
    )


def differences(scale_dir: Path) -> list[str]:
    """One sentence for everything that results of runs/<scale> differ in and that could make their
    numbers differ; none where nothing does. A run that earlier code made is named too, and so is
    one whose provenance is damaged."""
    records: dict[str, Records] = {stage: {} for stage in DONE}
    found = []
    for stage, of_stage in records.items():
        for file in sorted(Path(scale_dir).glob(f"*/provenance_{stage}.json")):
            try:
                of_stage[file.parent.name] = provenance.read(file, "make it again")
            except ValueError as error:
                found.append(str(error))
    for stage, done in DONE.items():
        found += _code(records[stage], done)
        found += _split(records[stage], _versions, f"{done} with other versions of")
        found += _sessions(records[stage], done)
        for alike in _grouped(records[stage], lambda r: r["parameters"].get("student")).values():
            found += _split(alike, _student, f"{done} with another")
    evaluated = records["eval"]
    found += _bases(evaluated)
    found += _data(records["train"])
    found += _benchmarks(evaluated)
    found += _split(evaluated, _settings, "evaluated with other values of")
    grader = "graded by another version of"
    return found + _split(evaluated, lambda r: {"the grader": r.get("grader")}, grader)


def _versions(record: dict) -> dict:
    return (record.get("packages") or {}) | {"Python": record.get("python")}


def _settings(record: dict) -> dict:
    return {key: record.get("settings", {}).get(key, value) for key, value in SETTINGS.items()}


def _student(record: dict) -> dict:
    """Its files and its chat template."""
    settings = record.get("settings", {})
    return {key: record.get(key) or settings.get(key) for key in ("student_version", "template")}


def _code_of(record: dict) -> dict:
    """File → hash of its content, or where only that is recorded the one hash over all files."""
    return record.get("code") or {"code": record.get("code_sha256")}


def _differing(a: dict, b: dict) -> list[str]:
    """The keys in which two mappings differ."""
    return sorted(k for k in {*a, *b} if a.get(k) != b.get(k))


def _split(records: Records, value: Callable[[dict], dict], words: str) -> list[str]:
    """A sentence for each group of runs whose value is not that of most, with the keys in which it
    differs."""
    groups: list[tuple[dict, list[str]]] = []
    for folder, record in records.items():
        mine = value(record)
        group = next((folders for other, folders in groups if other == mine), None)
        if group is None:
            groups.append((mine, [folder]))
        else:
            group.append(folder)
    groups.sort(key=lambda group: -len(group[1]))
    found = []
    for other, folders in groups[1:]:
        differing = ", ".join(_differing(groups[0][0], other))
        found.append(f"{_were(folders)} {words} {differing} than {', '.join(groups[0][1])}.")
    return found


def _were(folders: list[str]) -> str:
    return f"{', '.join(folders)} {'was' if len(folders) == 1 else 'were'}"


def _grouped(records: Records, key: Callable[[dict], object]) -> dict[object, Records]:
    """The records by what they have in common."""
    groups: defaultdict[object, Records] = defaultdict(dict)
    for folder, record in records.items():
        groups[key(record)][folder] = record
    return groups


def _earlier(record: dict) -> str:
    """How a record shows that earlier code made it: it names modules that are not there any more,
    or it has one hash over all files. Empty where the code may be that of now."""
    if code := record.get("code"):
        modules = [paths.ROOT / name for name in code if name.startswith("distill_nb/")]
        there = all(module.is_file() for module in modules)
        return "" if there else "its modules had other names"
    return "only one hash over all of it is recorded" if record.get("code_sha256") else ""


def _code(records: Records, done: str) -> list[str]:
    """Runs whose results depend on modules, or a notebook, of another content. Code of which other
    things are recorded cannot be compared file by file, but is not the same."""
    found = []
    for earlier, alike in _grouped(records, _earlier).items():
        if earlier:
            found.append(f"{_were(list(alike))} {done} by earlier code: {earlier}.")
        found += _split(alike, _code_of, f"{done} by another version of")
    return found


def _changed(sessions: list[dict], record: dict) -> set[str]:
    """What a record and the sessions before it differ in, of what both say: modules, versions of
    packages, the device."""
    changed = set()
    for session in sessions:
        versions = ["code", "packages"]
        codes = [made for made in (session, record) if made.get("code") or made.get("code_sha256")]
        if len({_earlier(made) for made in codes}) > 1:  # cannot be compared file by file
            versions.remove("code")
            changed.add("the code")
        for key in versions:
            if session.get(key) and record.get(key):
                changed.update(_differing(session[key], record[key]))
        if session.get("device") and session["device"] != record.get("device", session["device"]):
            changed.add("the device")
    return changed


def _sessions(records: Records, done: str) -> list[str]:
    """Runs that were made in several sessions, not all by the same code, versions and device."""
    found = []
    for folder, record in records.items():
        if changed := _changed(record.get("sessions", []), record):
            found.append(
                f"{folder} was {done} in several sessions, and between them "
                f"{', '.join(sorted(changed))} changed."
            )
    return found


def _bases(evaluated: Records) -> list[str]:
    """Runs whose base student's answers, which runs share, were made by other code or versions of
    packages."""
    found = []
    for folder, record in evaluated.items():
        sessions = [session for made in record.get("base", {}).values() for session in made]
        # a baseline's notebook is the same one
        changed = {s for s in _changed(sessions, record) if not s.endswith(".ipynb")}
        if changed:
            found.append(
                f"The base student's answers in {folder} were made by another version of "
                f"{', '.join(sorted(changed))} than those of its checkpoints."
            )
    return found


def _data(trained: Records) -> list[str]:
    """Runs on one data set, of the same size, teacher and seed, whose rows are not the same."""
    found = []
    sets = _grouped(trained, lambda r: tuple(r["parameters"].get(k) for k in DATA))
    for alike in sets.values():
        name = next(iter(alike.values()))["parameters"].get("dataset")
        words = f"trained on other data called {name}, by its"
        found += _split(alike, lambda r: {"rows": r.get("data_sha256")}, words)
    return found


def _benchmarks(evaluated: Records) -> list[str]:
    """Runs whose tasks of one benchmark are not the same."""
    of_benchmark: defaultdict[str, Records] = defaultdict(dict)
    for folder, record in evaluated.items():
        for name, sha256 in record.get("settings", {}).get("tasks_sha256", {}).items():
            of_benchmark[name][folder] = {name: sha256}
    found = []
    for _, tasks in sorted(of_benchmark.items()):
        found += _split(tasks, dict, "evaluated on other tasks of")
    return found

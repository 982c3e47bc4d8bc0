"""What the results that one table shows do not share: code, data, settings, versions. From their
provenance alone.

A table may mix them, for a comment in a module that changed changes nothing; but it says so.
"""

from __future__ import annotations

from pathlib import Path

from distill_nb.runtime import provenance

SETTINGS = ("engine", "engine_version", "dtype", "max_new_tokens", "temperature", "top_p", "seed")


def sentences(scale_dir: Path) -> list[str]:
    """One sentence for everything that results of runs/<scale> differ in and that could make their
    numbers differ; none where nothing does. A run whose provenance is damaged is named too."""
    records, found = {"train": {}, "eval": {}}, []
    for stage, of_stage in records.items():
        for file in sorted(Path(scale_dir).glob(f"*/provenance_{stage}.json")):
            try:
                of_stage[file.parent.name] = provenance.read(file, "make it again")
            except ValueError as error:
                found.append(str(error))
    for stage, of_stage in records.items():
        done = {"train": "trained", "eval": "evaluated"}[stage]
        found += _code(of_stage, done)
        found += _split(
            of_stage,
            lambda r: (r.get("packages") or {}) | {"Python": r.get("python")},
            f"{done} with other versions of",
            _names,
        )
        found += _several(of_stage, done)
        found += _students(of_stage, done)
    found += _bases(records["eval"])
    found += _data(records["train"])
    found += _benchmarks(records["eval"])
    found += _split(
        records["eval"],
        lambda r: {k: r.get("settings", {}).get(k) for k in SETTINGS},
        "evaluated with other values of",
        _names,
    )
    found += _split(
        records["eval"],
        lambda r: {"the grader": r.get("grader")},
        "graded by another version of",
        _names,
    )
    return found


def sentence(scale_dir: Path) -> str:
    """`sentences` as one text, which says so where there is nothing to say; empty where there are
    no runs."""
    if not any(Path(scale_dir).glob("*/provenance_*.json")):
        return ""
    found = sentences(scale_dir)
    return (
        "\n".join(["Not all of these results were made alike:", *(f"- {s}" for s in found)])
        if found
        else (
            "As far as is recorded, all of these results were made by the same code, versions and "
            "settings of evaluation, on "
            "the same data of each name."
        )
    )


def _names(a: dict, b: dict) -> list[str]:
    """The keys in which two mappings differ."""
    return sorted(k for k in {*a, *b} if a.get(k) != b.get(k))


def _groups(records: dict[str, dict], value) -> list[tuple[dict, list[str]]]:
    """[(value, folders of the runs that have it)], the one of most runs first."""
    found = []
    for folder, record in records.items():
        mine = value(record)
        group = next((folders for other, folders in found if other == mine), None)
        if group is None:
            found.append((mine, [folder]))
        else:
            group.append(folder)
    return sorted(found, key=lambda group: -len(group[1]))


def _split(records: dict[str, dict], value, words: str, names) -> list[str]:
    """A sentence for each group of runs that is not like most."""
    groups = _groups(records, value)
    return [
        f"{', '.join(folders)} {'was' if len(folders) == 1 else 'were'} {words} "
        f"{', '.join(names(groups[0][0], other))} "
        f"than {', '.join(groups[0][1])}."
        for other, folders in groups[1:]
    ]


def _code(records: dict[str, dict], done: str) -> list[str]:
    """Runs whose results depend on modules, or a notebook, of another content."""
    return _split(
        records,
        lambda r: r.get("code") or {"code": r.get("code_sha256")},
        f"{done} by another version of",
        _names,
    )


def _students(records: dict[str, dict], done: str) -> list[str]:
    """Runs of one student whose files, or whose chat template, are not the same."""
    found, alike = [], {}
    for folder, record in records.items():
        alike.setdefault(record["parameters"].get("student"), {})[folder] = record
    for of_student in alike.values():
        found += _split(
            of_student,
            lambda r: {
                key: r.get(key) or r.get("settings", {}).get(key)
                for key in ("student_version", "template")
            },
            f"{done} with another",
            _names,
        )
    return found


def _circumstances(session: dict, record: dict) -> set[str]:
    """What a session and a record differ in, of what both say: modules, versions of packages, the
    device."""
    changed = set()
    for key in ("code", "packages"):
        if session.get(key) and record.get(key):
            changed |= set(_names(session[key], record[key]))
    if session.get("device") and session["device"] != record.get("device", session["device"]):
        changed.add("the device")
    return changed


def _several(records: dict[str, dict], done: str) -> list[str]:
    """Runs that were made in several sessions, not all by the same code, versions and device."""
    found = []
    for folder, record in records.items():
        changed = {
            name
            for session in record.get("sessions", [])
            for name in _circumstances(session, record)
        }
        if changed:
            found.append(
                f"{folder} was {done} in several sessions, and between them "
                f"{', '.join(sorted(changed))} changed."
            )
    return found


def _bases(evaluated: dict[str, dict]) -> list[str]:
    """Runs whose base student's answers, which runs share, were made by other code or versions of
    packages."""
    found = []
    for folder, record in evaluated.items():
        changed = {
            name
            for sessions in record.get("base", {}).values()
            for session in sessions
            for name in _circumstances(session, record)
        }
        # a baseline's notebook is the same one
        changed = {name for name in changed if not name.endswith(".ipynb")}
        if changed:
            found.append(
                f"The base student's answers in {folder} were made by another version of "
                f"{', '.join(sorted(changed))} than those of its checkpoints."
            )
    return found


def _data(trained: dict[str, dict]) -> list[str]:
    """Runs on one data set, of the same size, teacher and seed, whose rows are not the same."""
    found = []
    alike: dict[tuple, dict] = {}
    for folder, record in trained.items():
        p = record["parameters"]
        key = tuple(
            p.get(k)
            for k in ("dataset", "teacher", "domain", "n_examples", "n_heldout", "seed", "overlong")
        )
        alike.setdefault(key, {})[folder] = record
    for key, records in alike.items():
        found += _split(
            records,
            lambda r: {"rows": r.get("data_sha256")},
            f"trained on other data called {key[0]}, by its",
            _names,
        )
    return found


def _benchmarks(evaluated: dict[str, dict]) -> list[str]:
    """Runs whose tasks of one benchmark are not the same."""
    found = []
    names = {
        name
        for record in evaluated.values()
        for name in record.get("settings", {}).get("tasks_sha256", {})
    }
    for name in sorted(names):
        having = {
            f: r
            for f, r in evaluated.items()
            if name in r.get("settings", {}).get("tasks_sha256", {})
        }
        found += _split(
            having,
            lambda r, n=name: {n: r["settings"]["tasks_sha256"][n]},
            "evaluated on other tasks of",
            _names,
        )
    return found

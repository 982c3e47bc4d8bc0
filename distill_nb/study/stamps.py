"""Stamps: what says that a stage of the study is done. It is, when its stamp

    runs/<scale>/<folder>/made/<stage>-<hash>

is there, with the hash over all that it is made of now (ingredients.py), and its results too,
finished (`unfinished`). A stamp without them is none, and the Snakefile removes it.

The analysis reads every evaluation of its scale. Those of replicates and of other runs beyond the
study it does not need, so they are no part of its hash, which is the plan's: its stamp names those
that there were, and holds while they are the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

from distill_nb.runtime import paths, provenance
from distill_nb.students.adapters import adapter_files
from distill_nb.study import graph, tiny
from distill_nb.study.graph import Stage
from distill_nb.study.ingredients import CORE, hash_of, hash_of_results, ingredients, modules

# What says below a stage's folder that its results are there.
RECORD = {
    "traces": "provenance.json",
    "train": "provenance_train.json",
    "eval": "provenance_eval.json",
    "analyze": "analyze.ipynb",
    "paper": "latex/paper/paper.tex",
}
STAMP = re.compile(rf"({'|'.join(['fixtures', *RECORD])})-[0-9a-f]{{16}}")
BEYOND = ", beyond the study"


def stamp(stage: Stage) -> Path:
    """The file that says that the stage is done as it would be made now."""
    return stage.dir() / "made" / f"{stage.name}-{hash_of(stage)}"


def stamps(stage: Stage) -> dict[Path, dict]:
    """The stage's stamps on disk: of what it was made of, whenever that was."""
    found = {}
    for file in sorted((stage.dir() / "made").glob(f"{stage.name}-*")):
        try:
            found[file] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # damaged: it proves nothing
            continue
    return found


def write_stamp(stage: Stage, beyond: dict[str, str] | None = None, **extra) -> None:
    """Say that the stage is done, in place of what was said before. beyond: `beyond_study` when it
    began; `extra` is kept in the stamp, as JSON, and so is the code that made the results, by their
    provenance: it may be an earlier one than now."""
    new, record = stamp(stage), _record(stage)
    code = [made["code"] for made in (record, *record.get("sessions", [])) if made.get("code")]
    provenance.write(
        new,
        extra
        | {
            "made_of": ingredients(stage)
            | ingredients(stage, False)
            | (beyond_study(stage) if beyond is None else beyond),
            "result": hash_of_results(stage),
            **({"code": code[0], "earlier_code": code[1:]} if code else {}),
        },
    )
    for old in set((stage.dir() / "made").glob(f"{stage.name}-*")) - {new}:
        old.unlink(missing_ok=True)


def _record(stage: Stage) -> dict:
    """The provenance of a set, of training or of an evaluation; {} where there is none, or a
    damaged one."""
    try:
        return provenance.read(stage.dir() / RECORD[stage.name], "") if stage.name in CORE else {}
    except (OSError, ValueError):
        return {}


def unfinished(stage: Stage) -> str:
    """What the results of a stage lack, in words; "" where they are there and finished, whatever
    made them."""
    files = [tiny.file_of(name, stage.dir()) for name in tiny.STUDY]
    if stage.name != "fixtures":
        files = [stage.dir() / RECORD[stage.name]]
    if missing := [file.name for file in files if not file.is_file()]:
        return f"there is no {', '.join(missing)}"
    record = _record(stage)  # of a set it is written at its end
    if stage.name in CORE and not record.get("finished", stage.name == "traces" and bool(record)):
        why = [
            f"step {p['step']}: {p['why']}"
            for p in record.get("adapter_proof", [])
            if not p["passed"]
        ]
        if failed := record.get("failed_requests"):
            why.append(f"{failed} requests failed, and are asked again at the next start")
        return f"{files[0].name} does not say that it is finished" + (
            f" ({'; '.join(why)})" if why else ""
        )
    return _lost(stage, record)


def _lost(stage: Stage, record: dict) -> str:
    """Which results are not there any more as they were finished, in words: of records by their
    size, for there may be gigabytes of them. "" where all are."""
    if stage.name == "traces":
        lost = [] if (stage.dir() / "train.parquet").is_file() else ["train.parquet"]
    elif stage.name == "train":
        there = adapter_files(stage.dir())
        lost = [
            f"the adapter of step {step}"
            for step in record.get("adapters_sha256", {})
            if int(step) not in there
        ]
    else:
        sizes = (
            {name: stage.dir() / "eval" / name for name in record.get("files", {})}
            if stage.name == "eval"
            else {}
        )
        lost = [
            name
            for name, file in sizes.items()
            if not file.is_file() or file.stat().st_size != record["files"][name]
        ]
    return (
        f"{lost[0]} is not there as it was finished"
        + (f", and {len(lost) - 1} more" * (len(lost) > 1))
        if lost
        else ""
    )


def beyond_study(stage: Stage) -> dict[str, str]:
    """Of the analysis and the paper: the finished evaluations of their scale that the study does
    not make itself (replicates, runs of papermill_params/extra/ or made without the graph), each
    with the sha256 of its provenance. Else nothing."""
    if stage.name not in ("analyze", "paper"):
        return {}
    own = {need.folder for need in graph.needs(Stage(stage.scale, "report", "analyze"))}
    others = [
        Stage(stage.scale, file.parent.name, "eval")
        for file in sorted((paths.runs() / stage.scale).glob(f"*/{RECORD['eval']}"))
        if file.parent.name not in own
    ]
    return {
        f"result of {other}{BEYOND}": provenance.sha256_of_file(other.dir() / RECORD["eval"])
        for other in others
        if not unfinished(other)
    }


def _holds(stage: Stage, found: dict) -> bool:
    """Whether a stamp's word that its stage is done can be taken: it is finished, and has read what
    there is now."""
    beyond = {k: v for k, v in found.get("made_of", {}).items() if k.endswith(BEYOND)}
    return not unfinished(stage) and beyond == beyond_study(stage)


def is_done(stage: Stage) -> bool:
    """Whether the stage is done as it would be made now."""
    return stamp(stage) in (found := stamps(stage)) and _holds(stage, found[stamp(stage)])


def has_results(stage: Stage) -> bool:
    """Whether the results that later stages read are there as they would be made now, whatever
    became of the page."""
    return any(
        found.get("result") == hash_of_results(stage) and _holds(stage, found)
        for found in stamps(stage).values()
    )


def on_disk(scale: str) -> set[Stage]:
    """The stages of a scale that have a stamp, those of replicates and of runs that have no
    parameter file any more too."""
    top = paths.runs() / scale
    found = {
        (file.parents[1].relative_to(top).as_posix(), STAMP.fullmatch(file.name))
        for pattern in ("*/made/*", "*/*/made/*")
        for file in top.glob(pattern)
    }
    return {Stage(scale, folder, match[1]) for folder, match in found if match}


def remove_false_stamps(scale: str) -> None:
    """Remove the stamps of a scale that do not hold: Snakemake only looks whether they are there.
    One that is written just now, by a study that runs, is looked at twice."""
    for stage in on_disk(scale):
        for file in sorted((stage.dir() / "made").glob(f"{stage.name}-*")):
            if not any(
                file in (found := stamps(stage)) and _holds(stage, found[file]) for _ in range(2)
            ):
                file.unlink(missing_ok=True)


def remove_stamps_from(stage: Stage) -> None:
    """Before a stage is made anew: it is not done any more, nor is any stage that has read what it
    made, directly or not."""
    left, found = on_disk(stage.scale), {stage}
    reads = {other: _reads(other) for other in left}
    while more := {other for other in left - found if reads[other] & found}:
        found |= more
    for other in found:
        for file in (other.dir() / "made").glob(f"{other.name}-*"):
            file.unlink(missing_ok=True)


def _reads(stage: Stage) -> set[Stage]:
    """The stages that a stage reads, by its stamps and, where it has parameter files, by those; and
    the baselines whose records it has copies of."""
    named = {
        k.removeprefix("result of ").removesuffix(BEYOND)
        for found in stamps(stage).values()
        for k in found.get("made_of", {})
        if k.startswith("result of ")
    }
    found = {Stage(stage.scale, *name.rsplit("/", 1)) for name in named}
    try:
        return (found | graph.with_needs(stage) | set(graph.baselines(stage))) - {stage}
    except ValueError:
        return found


def changes(stage: Stage) -> list[str]:
    """What is other than when the stage was last done, by name; none where it never was."""
    now = ingredients(stage) | ingredients(stage, False) | beyond_study(stage)
    for found in stamps(stage).values():
        before = found.get("made_of", {})
        return sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    return []


def earlier_code(stage: Stage) -> list[str]:
    """The modules of which an earlier version made the results of a stage that is done, by its
    stamp: it was run again when they changed, and what was finished was kept."""
    found = stamps(stage).get(stamp(stage), {})
    now = modules(stage)
    made = [
        {k: v for k, v in code.items() if k.endswith(".py")}
        for code in (found.get("code"), *found.get("earlier_code", []))
        if code
    ]
    return sorted(
        {
            Path(name).name
            for code in made
            for name in code.keys() | now.keys()
            if code.get(name) != now.get(name)
        }
    )


def state(stage: Stage) -> str:
    """Why the study would run a stage, or what else there is to say of it; "" where it is done and
    all is well."""
    if not is_done(stage):
        lack = unfinished(stage) if stamps(stage) else ""
        return ", ".join(changes(stage)) or (f"not done: {lack}" if lack else "not done")
    if earlier := earlier_code(stage):
        return (
            f"done; its results are of an earlier version of {', '.join(earlier)}; "
            f"OVERWRITE={stage} makes them anew"
        )
    return ""

"""Stamps: what says that a stage of the study is done. A stage is done when its stamp

    runs/<scale>/<folder>/made/<stage>-<hash>

is there, with the hash over all that it is made of now (ingredients.py), and its results are there
and finished (`unfinished`). A stamp without results means nothing, and the Snakefile removes it.

The analysis reads every evaluation of its scale. It does not need those of replicates and of other
runs beyond the study, so these are no part of its hash. Its stamp names those that it read, and
holds while they are the same.
"""

import json
import re
from pathlib import Path
from typing import Any

from distill_nb.params import STUDY
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
    "published": "published.ipynb",
    "paper": "latex/paper/paper.tex",
}
STAMP = re.compile(rf"({'|'.join(['fixtures', *RECORD])})-[0-9a-f]{{16}}")
BEYOND = ", beyond the study"
MOST = 8  # modules that are named in one line


def stamp(stage: Stage) -> Path:
    """The file that says that the stage is done as it would be made now."""
    return stage.dir() / "made" / f"{stage.name}-{hash_of(stage)}"


def stamps(stage: Stage) -> dict[Path, dict]:
    """The stage's stamps on disk: of what it was made of, whenever that was."""
    found = {}
    for file in _files(stage):
        try:
            found[file] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # damaged: it proves nothing
            continue
    return found


def write_stamp(stage: Stage, beyond: dict[str, str] | None = None, **extra: Any) -> None:
    """Say that the stage is done, in place of what was said before.

    beyond: `beyond_study` when it began. `extra` is kept in the stamp, as JSON. So is the code that
    made the results, by their provenance: it may be earlier than today's."""
    new, record = stamp(stage), _record(stage)
    said = extra | {
        "made_of": _made_of(stage, beyond_study(stage) if beyond is None else beyond),
        "result": hash_of_results(stage),
    }
    code = [made["code"] for made in (record, *record.get("sessions", [])) if made.get("code")]
    if code:
        said |= {"code": code[0], "earlier_code": code[1:]}
    provenance.write(new, said)
    for old in set(_files(stage)) - {new}:
        old.unlink(missing_ok=True)


def _made_of(stage: Stage, beyond: dict[str, str]) -> dict[str, str]:
    return ingredients(stage) | ingredients(stage, False) | beyond


def _files(stage: Stage) -> list[Path]:
    """The stamp files of a stage, readable or not."""
    return sorted((stage.dir() / "made").glob(f"{stage.name}-*"))


def _record(stage: Stage) -> dict:
    """The provenance of a set, of training or of an evaluation; {} where there is none, or a
    damaged one."""
    if stage.name not in CORE:
        return {}
    return provenance.if_readable(stage.dir() / RECORD[stage.name])


def unfinished(stage: Stage) -> str:
    """What the results of a stage lack, in words; "" where they are there and finished, whatever
    made them."""
    files = [tiny.file_of(name, stage.dir()) for name in STUDY]
    if stage.name != "fixtures":
        files = [stage.dir() / RECORD[stage.name]]
    if missing := [file.name for file in files if not file.is_file()]:
        return f"there is no {', '.join(missing)}"
    record = _record(stage)  # of a set it is written at its end
    if stage.name in CORE and not record.get("finished", stage.name == "traces" and bool(record)):
        proofs = record.get("adapter_proof", [])
        why = [f"step {p['step']}: {p['why']}" for p in proofs if not p["passed"]]
        if failed := record.get("failed_requests"):
            why.append(f"{failed} requests failed, and are asked again at the next start")
        said = f"{files[0].name} does not say that it is finished"
        return f"{said} ({'; '.join(why)})" if why else said
    lost = _lost(stage, record)
    if not lost:
        return ""
    more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"{lost[0]} is not there as it was finished{more}"


def _lost(stage: Stage, record: dict) -> list[str]:
    """The results that are not there any more as they were finished, in words. Records count by
    their size: there may be gigabytes of them."""
    if stage.name == "traces":
        return [] if (stage.dir() / "train.parquet").is_file() else ["train.parquet"]
    if stage.name == "train":
        there = adapter_files(stage.dir())
        steps = record.get("adapters_sha256", {})
        return [f"the adapter of step {step}" for step in steps if int(step) not in there]
    lost = []
    for name, size in record.get("files", {}).items() if stage.name == "eval" else ():
        file = stage.dir() / "eval" / name
        if not file.is_file() or file.stat().st_size != size:
            lost.append(name)
    return lost


def beyond_study(stage: Stage) -> dict[str, str]:
    """For the analysis and the paper: the finished evaluations of their scale that the study does
    not make itself (replicates, runs of papermill_params/extra/ or made without the graph), each
    with the sha256 of its provenance. For other stages nothing."""
    if stage.name not in ("analyze", "paper"):
        return {}
    own = {need.folder for need in graph.needs(Stage(stage.scale, "report", "analyze"))}
    found = {}
    for file in sorted((paths.runs() / stage.scale).glob(f"*/{RECORD['eval']}")):
        other = Stage(stage.scale, file.parent.name, "eval")
        if other.folder not in own and not unfinished(other):
            found[f"result of {other}{BEYOND}"] = provenance.sha256_of_file(file)
    return found


def _holds(stage: Stage, found: dict) -> bool:
    """Whether a stamp is right that its stage is done: the results are finished, and were made from
    what there is now."""
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
    """The stages of a scale that have a stamp. Among them are those of replicates, and of runs
    whose parameter file is gone."""
    top, found = paths.runs() / scale, set()
    for file in (*top.glob("*/made/*"), *top.glob("*/*/made/*")):
        if match := STAMP.fullmatch(file.name):
            found.add(Stage(scale, file.parents[1].relative_to(top).as_posix(), match[1]))
    return found


def remove_false_stamps(scale: str) -> None:
    """Remove the stamps of a scale that do not hold: Snakemake only looks whether they are there.
    A study that runs may just be writing one: it is looked at twice."""
    for stage in on_disk(scale):
        for file in _files(stage):
            if not (_file_holds(stage, file) or _file_holds(stage, file)):
                file.unlink(missing_ok=True)


def _file_holds(stage: Stage, file: Path) -> bool:
    found = stamps(stage)
    return file in found and _holds(stage, found[file])


def remove_stamps_from(stage: Stage) -> None:
    """Before a stage is made anew: it is not done any more, nor is any stage that has read what it
    made, directly or not."""
    left, found = on_disk(stage.scale), {stage}
    reads = {other: _reads(other) for other in left}
    while more := {other for other in left - found if reads[other] & found}:
        found |= more
    for other in found:
        for file in _files(other):
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
    """The names of what has changed since the stage was last done; none where it never was."""
    now = _made_of(stage, beyond_study(stage))
    for found in stamps(stage).values():
        before = found.get("made_of", {})
        return sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    return []


def earlier_code(stage: Stage) -> list[str]:
    """The modules of which an earlier version made the results of a stage that is done, by its
    stamp. The stage was run again when they changed, and what was finished was kept."""
    found, now, names = stamps(stage).get(stamp(stage), {}), modules(stage), set()
    for code in (found.get("code") or {}, *found.get("earlier_code", [])):
        made = {name: sha256 for name, sha256 in code.items() if name.endswith(".py")}
        if code:
            names |= {name for name in made.keys() | now.keys() if made.get(name) != now.get(name)}
    return sorted({Path(name).name for name in names})


def state(stage: Stage) -> str:
    """Why the study would run a stage, or what else there is to say of it; "" where it is done and
    all is well."""
    if not is_done(stage):
        lack = unfinished(stage) if stamps(stage) else ""
        return ", ".join(changes(stage)) or (f"not done: {lack}" if lack else "not done")
    if earlier := earlier_code(stage):
        named = ", ".join(earlier[:MOST])
        if len(earlier) > MOST:
            named += f" and {len(earlier) - MOST} more modules"
        return (
            f"done; its results are of an earlier version of {named}; OVERWRITE={stage} makes them "
            "anew"
        )
    return ""

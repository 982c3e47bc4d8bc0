"""Sets of training traces: verified, deduplicated, clean of the evaluation sets, and accounted for.

    runs/<scale>/traces/<dataset>/train.parquet      the traces, `order` says in which order they are taken
                                  rejected.parquet   every other row of the source, with the reason
                                  funnel.json        how many rows each reason took; they add up to the source's rows
                                  ledger.json        what max_length does to the traces of this set, by student
                                  provenance.json    what made it

Problems are taken in an order that depends on the seed and the problem's id alone (the smallest
sha256 of both come first), so sets of two teachers that both know a problem take it at the same
place, whatever the source's own order."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from distill_nb.grading.graders import grade_math_all
from distill_nb.params.names import is_set
from distill_nb.runtime import disk, lock, paths, provenance, stop
from distill_nb.runtime.files import write_json
from distill_nb.traces import choose, from_teacher, hub, params, pocket, prompts, scan
from distill_nb.traces.decontamination import match
from distill_nb.traces.files import GROUP, REJECTED, Writer, columns_of, folder_of
from distill_nb.traces.funnel import funnel_of

# What may differ between a finished set and the parameters now.
FREE = {
    "processes",
    "overwrite",
    "students",
    "max_length",
    "max_cost",
    "poll_seconds",
    "concurrency",
}
MODULES = (
    "benchmarks/__init__.py",
    "benchmarks/livecodebench.py",
    "match.py",
    "statements.py",
    "files.py",
    "prompts.py",
    "build.py",
)


def modules_of(p) -> dict[str, str]:
    """module file → sha256 of every one that decides what is in a set: the hub's reading, or the
    teacher's; the grading where answers are graded. A chosen list, to say of a finished set that it
    would be another now; `code` in the provenance has all modules that took part."""
    folder = paths.ROOT / "distill_nb"
    own = ["grading/__init__.py", "grading/code.py", "hub.py", "scan.py", "choose.py"]
    if p.teacher_api != "none":
        own = [f.name for f in folder.glob("teacher*.py") if f.name != "between_teachers.py"]
    if p.teacher_api != "none" or p.verify == "regrade":
        own += [f.relative_to(folder).as_posix() for f in (folder / "grading").rglob("*.py")]
    own += [f.name for f in match.files()]
    return {name: provenance.sha256_of_file(folder / name) for name in sorted({*MODULES, *own})}


def evaluation_sets(p) -> list[tuple[str, str, str]]:
    """The problems that the set must be clean of. Raises ValueError where one of the sets is
    missing."""
    return [
        row for name in p.decontaminate for row in match.problems(name, p.benchmark_files.get(name))
    ]


def build(p, notebook: Path | None = None) -> dict:
    """Make the set, or leave a finished one alone; a killed one goes on with the rows it has not
    judged. Returns the funnel.

    Raises ValueError where a source or an evaluation set is missing, where `overwrite` is false and
    the folder holds a set of other parameters or of a source that is another now, or where another
    process is at it; RuntimeError where a worker process was killed."""
    folder = folder_of(p.dataset, p.scale)
    with (
        lock.alone(folder, "being made", "dataset"),
        disk.room(folder),
        stop.raising(
            "what is judged, and what a teacher answered, is on disk, and the set goes on there "
            "when it is started again."
        ),
    ):
        before = _finished(folder, p)
        if before:
            print(
                f"{p.dataset} is there ({before['kept']:,} traces); overwrite: true makes it again."
            )
            return before
        if p.teacher_api == "none":
            scan.warm_up()
        # until it is written again, no set is finished here
        (folder / "provenance.json").unlink(missing_ok=True)
        for left in (*folder.glob("*.partial"), *folder.glob("parts/*/*.partial")):
            left.unlink(missing_ok=True)  # by a process that was killed: this one is alone here
        evaluation, state = evaluation_sets(p), state_of_source(p)
        record = provenance.collect(
            p, notebook=notebook, entry="distill_nb.traces.build", modules=modules_of(p)
        )
        if p.teacher_api == "none":
            funnel, source = _from_hub(p, folder, evaluation)
        else:
            funnel, source = from_teacher.build(p, folder, evaluation)
        write_json(folder / "funnel.json", funnel)
        record = provenance.finish(record) | {
            "source": source | {"state": state},
            "funnel": funnel,
            "evaluation": [
                {"benchmark": b, "problems": sum(e[0] == b for e in evaluation)}
                for b in p.decontaminate
            ],
            "train_sha256": provenance.sha256_of_file(folder / "train.parquet"),
        }
        provenance.write(folder / "provenance.json", record)
    return funnel


def _finished(folder: Path, p) -> dict | None:
    """The funnel of a set that is there already, made with these parameters and of the source as it
    is now."""
    if p.overwrite or not (folder / "provenance.json").exists():
        return None
    record = json.loads((folder / "provenance.json").read_text())
    before, now, where = (
        record["parameters"],
        json.loads(json.dumps(asdict(p))),
        f"{folder.parent.name}/{folder.name}",
    )
    differing = [k for k in now if k not in FREE and before.get(k) != now[k]]
    if differing:
        raise ValueError(
            f"provenance.json in {where}: this set was made with other values of "
            f"{', '.join(differing)}; set "
            "overwrite: true to make it again."
        )
    if (state := state_of_source(p)) and state != record["source"].get("state", state):
        raise ValueError(
            f"provenance.json in {where}: this set was made from {p.source}, which is another now; "
            "set "
            "overwrite: true to make it again (a teacher's paid answers stay)."
        )
    if other := [
        name
        for name, value in modules_of(p).items()
        if record.get("modules", {}).get(name) != value
    ]:
        print(f"{p.dataset} was made by other versions of {', '.join(other)}.")
    funnel = json.loads((folder / "funnel.json").read_text())
    if funnel["rejected"].get("not_asked") and before.get("max_cost") != now["max_cost"]:
        return None  # more may be spent now
    return funnel


def state_of_source(p) -> list | None:
    """What tells the source from what it was before: the sha256 of an API teacher's problems; for
    local copies of the hub's, which have gigabytes, scan.state_of. None for the hub, whose revision
    is pinned, and for a source that is gone."""
    if p.source in ("hub", "pocket"):
        return None
    file = (
        folder_of(p.source, p.scale) / "train.parquet"
        if is_set(p.source)
        else paths.resolve(p.source)
    )
    if not file.exists():
        return None
    if p.teacher_api != "none":
        return [file.name, provenance.sha256_of_file(file)]
    return scan.state_of(hub.files(p.dataset, p.source, p.config)[0])


def _from_hub(p, folder: Path, evaluation: list) -> tuple[dict, dict]:
    """Scan, choose, fetch, write. Returns (funnel, what is recorded of the source)."""
    source = p.source
    if source == "pocket":
        source = str(
            pocket.write_hub_file(
                folder / "pocket.parquet", p.dataset, p.n_examples * 3 // 2, p.seed
            )
        )
    files, where = hub.files(p.dataset, source, p.config)
    groups = scan.groups(files, p.dataset)
    with scan.pool(p.processes, evaluation) as workers:
        parts = scan.scan(p, groups, files, evaluation, folder, workers)
        chosen, verdicts = choose.choose(p, parts)
        kept = write_train(p, folder, chosen, verdicts, groups, workers)
    rows = len(verdicts.reasons)
    funnel = funnel_of(rows, write_rejected(folder, parts, verdicts), kept)
    hashes = {f.name: provenance.sha256_of_file(f) for f in files} if p.source != "hub" else {}
    return funnel, {
        "source": where,
        "config": p.config,
        "files": len(files),
        "rows": rows,
        "sha256": hashes,
    }


def by_problem(rows: list[dict]):
    """Rows of a set in groups of one problem each, as itertools.groupby gives them."""
    return groupby(sorted(rows, key=lambda r: r["id"]), key=lambda r: r["id"])


def write_train(
    p, folder: Path, chosen, verdicts: choose.Verdicts, groups: list[scan.Group], workers
) -> int:
    """Write the first n_examples + spare chosen rows that pass, with the verdicts on those that do
    not; returns how many."""
    teacher, domain = params.teacher_and_domain(p.dataset)
    wanted, place, kept = p.n_examples + p.spare, 0, 0
    with Writer(folder / "train.parquet") as writer:
        while kept < wanted and place < len(chosen):
            take = chosen[place : place + wanted - kept]
            for rows in _chunks(scan.fetch(p, groups, take, workers)):
                for (i, row), outcome in zip(rows, _verdicts(p, rows), strict=True):
                    at, problem = int(take[i]["at"]), take[i]["problem"].decode()
                    if outcome != "correct":
                        verdicts.reject(at, "regraded_wrong")
                        verdicts.details[at] = outcome
                        continue
                    writer.add(
                        {
                            "id": problem,
                            "order": place + i,
                            "problem": row.problem,
                            "trace": row.trace,
                            "prompt": prompts.prompt_of(row.problem, domain, row.starter),
                            "answer": row.answer,
                            "teacher": teacher,
                            "domain": domain,
                            "template_of": verdicts.templates.get(at, ""),
                            "source_id": row.row_id or f"{take[i]['file']}:{take[i]['row']}",
                        }
                    )
                    kept += 1
            place += len(take)
    verdicts.reject(chosen["at"][place:], "not_needed")
    return kept


def _chunks(rows):
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == GROUP:
            yield chunk
            chunk = []
    yield chunk


def _verdicts(p, rows: list) -> list[str]:
    """Our grader's outcome of each fetched row; `correct` for all where the data set's own flag is
    enough."""
    if p.verify == "flag":
        return ["correct"] * len(rows)
    return [
        g.outcome for g in grade_math_all([r.trace for _, r in rows], [r.answer for _, r in rows])
    ]


def write_rejected(folder: Path, parts: list[Path], verdicts: choose.Verdicts) -> dict[str, int]:
    """Write rejected.parquet, from the parts and the verdicts; returns reason → rows."""
    counts, at = {}, 0
    with Writer(folder / "rejected.parquet", REJECTED) as writer:
        for part in parts:
            for row in columns_of(
                part, ["file", "row", "id", "problem_id", "reason", "detail"]
            ).to_pylist():
                reason, detail = row["reason"], row["detail"]
                if verdict := choose.REASONS[verdicts.reasons[at]]:
                    reason, detail = verdict, verdicts.details.get(at, "")
                if reason:
                    counts[reason] = counts.get(reason, 0) + 1
                    writer.add(
                        {
                            "id": row["id"] or f"{row['file']}:{row['row']}",
                            "problem_id": row["problem_id"],
                            "reason": reason,
                            "detail": detail,
                        }
                    )
                at += 1
    return counts

"""A set of training traces from the hub's: rows judged, chosen, fetched, graded again, written."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from distill_nb.grading.graders import grade_math_all
from distill_nb.runtime import provenance
from distill_nb.runtime.shard import Shard
from distill_nb.traces import files, hub, pocket, prompts, scan, selection, workers
from distill_nb.traces.decontamination.match import Statements
from distill_nb.traces.funnel import funnel_of
from distill_nb.traces.hub_rows import Row
from distill_nb.traces.params import TraceParams, teacher_and_domain
from distill_nb.traces.row_group import RowGroup
from distill_nb.traces.selection import Verdicts


def build(p: TraceParams, folder: Path, evaluation: Statements) -> tuple[dict, dict]:
    """Write train.parquet and rejected.parquet. Returns (funnel, record of the source)."""
    source = p.source
    if source == "pocket":
        n = p.n_examples * 3 // 2
        source = str(pocket.write_hub_file(folder / "pocket.parquet", p.dataset, n, p.seed))
    found, where = hub.files(p.shape, source, p.config)
    groups = scan.row_groups(found, p.shape)
    with workers.pool(p.processes, evaluation) as pool:
        parts = scan.judge(p, groups, found, evaluation, folder, pool)
        chosen, verdicts = selection.select(p, parts)
        taken = _kept(p, chosen, verdicts, groups, pool)
        kept = files.write(folder / "train.parquet", taken)
    counts = files.write_rejected(folder, _rejected(parts, verdicts))
    rows = len(verdicts.reasons)
    hashes = {f.name: provenance.sha256_of_file(f) for f in found} if p.source != "hub" else {}
    record = {"source": where, "config": p.config, "files": len(found), "rows": rows}
    return funnel_of(rows, counts, kept), record | {"sha256": hashes}


def judge(p: TraceParams, folder: Path, evaluation: Statements, shard: Shard) -> None:
    """Judge a shard's row groups, every so many of them. Raises ValueError for generated traces."""
    if p.source == "pocket":
        raise ValueError("source: pocket is generated in seconds, and has no shards; write 1.")
    found, _ = hub.files(p.dataset, p.source, p.config)
    groups = shard.every(scan.row_groups(found, p.dataset))
    with workers.pool(p.processes, evaluation) as pool:
        scan.judge(p, groups, found, evaluation, folder, pool)


def _kept(
    p: TraceParams,
    chosen: np.ndarray,
    verdicts: Verdicts,
    groups: list[RowGroup],
    pool: ProcessPoolExecutor,
) -> Iterator[dict]:
    """Yield the first n_examples + spare chosen rows that pass; note the verdicts on the others."""
    teacher, domain = teacher_and_domain(p.dataset)
    wanted, place, kept = p.n_examples + p.spare, 0, 0
    while kept < wanted and place < len(chosen):
        take = chosen[place : place + wanted - kept]
        for i, row, outcome in _graded(p, scan.fetch(p, groups, take, pool)):
            at = int(take[i]["at"])
            if outcome != "correct":
                verdicts.reject(at, "regraded_wrong")
                verdicts.details[at] = outcome
                continue
            yield {
                "id": take[i]["problem"].decode(),
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
            kept += 1
        place += len(take)
    verdicts.reject(chosen["at"][place:], "not_needed")


def _graded(p: TraceParams, rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row, str]]:
    """Yield (place, row, our grader's outcome, or `correct` where the set's flag is enough)."""
    if p.verify == "flag":
        yield from ((i, row, "correct") for i, row in rows)
        return
    left = iter(rows)
    while chunk := list(islice(left, files.GROUP)):
        grades = grade_math_all([r.trace for _, r in chunk], [r.answer for _, r in chunk])
        for (i, row), grade in zip(chunk, grades, strict=True):
            yield i, row, grade.outcome


def _rejected(parts: list[Path], verdicts: Verdicts) -> Iterator[dict]:
    """Yield the rows of rejected.parquet, from the parts and the verdicts."""
    at = 0
    for part in parts:
        columns = ["file", "row", "id", "problem_id", "reason", "detail"]
        for row in files.read_columns(part, columns).to_pylist():
            if verdict := selection.REASONS[verdicts.reasons[at]]:
                row |= {"reason": verdict, "detail": verdicts.details.get(at, "")}
            if row["reason"]:
                yield row | {"id": row["id"] or f"{row['file']}:{row['row']}"}
            at += 1

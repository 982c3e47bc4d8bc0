"""Sets of training traces: verified, deduplicated, clean of the evaluation sets, and accounted for.

    runs/<scale>/traces/<dataset>/train.parquet      the traces, `order` says in which order they are taken
                                  rejected.parquet   every other row of the source, with the reason
                                  funnel.json        how many rows each reason took; they add up to the source's rows
                                  ledger.json        what max_length does to the traces of this set, by student
                                  provenance.json    what made it

Problems are taken in an order that depends on the seed and the problem's id alone (the smallest sha256 of both come first), so
sets of two teachers that both know a problem take it at the same place, whatever the source's own order.
"""
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from . import decontaminate, disk, hub_traces, lock, provenance, scan, statements, stop, trace_params
from .benchmarks import BOXED
from .benchmarks.livecodebench import PROMPT, WITHOUT_STARTER
from .trace_files import GROUP, REJECTED, Writer, folder_of

REASONS = {  # in the order in which they are tested; the first that holds is the one recorded
    "no_problem": "no statement", "no_statement": "statement not in the row, and no file of statements given",
    "no_trace": "no trace", "incomplete": "thinking not closed, cut off, or no answer after it",
    "not_verified": "no complete generation is marked correct", "no_code": "no complete code block",
    "does_not_compile": "code does not compile",
    "contaminated": "problem of an evaluation set", "same_template": "evaluation problem with other numbers",
    "same_problem": "problem has its traces already", "near_duplicate": "problem nearly repeats another",
    "regraded_wrong": "answer not correct by our grader",
    # of an API teacher, whose problems are judged before it is asked
    "wrong": "no attempt was correct by our grader", "no_answer": "no attempt had an answer to grade",
    "failed": "no attempt can be used: refused, hidden thinking, or the API failed",
    "not_asked": "not asked: max_cost was reached",
    "not_needed": "good, and not needed"}
def prompt_of(problem: str, domain: str) -> str:
    """What a student is asked in training: the words of the math benchmarks, or of LiveCodeBench for a program that reads
    standard input, so that it is asked the same in evaluation."""
    return f"{problem}\n\n{BOXED}" if domain == "math" else PROMPT.format(problem=problem, how=WITHOUT_STARTER)


def rank(seed: int, problem_id: str) -> bytes:
    """Where a problem stands in the order."""
    return hashlib.sha256(f"{seed} {problem_id}".encode()).digest()


def evaluation_sets(p) -> list[tuple[str, str, str]]:
    """The problems that the set must be clean of. Raises ValueError where one of the sets is missing."""
    return [row for name in p.decontaminate for row in decontaminate.problems(name, p.benchmark_files.get(name))]


def build(p, notebook: Path | None = None) -> dict:
    """Make the set, or leave a finished one alone; a killed one goes on with the rows it has not judged. Returns the funnel.

    Raises ValueError where a source or an evaluation set is missing, the folder holds a set of other parameters and
    `overwrite` is false, or another process is at it."""
    folder = folder_of(p.dataset, p.scale)
    with lock.alone(folder, "being made", "dataset"), disk.room(folder), stop.raising(
            "what is judged, and what a teacher answered, is on disk, and the set goes on there when it is started again."):
        before = _finished(folder, p)
        if before:
            print(f"{p.dataset} is there ({before['kept']:,} traces); overwrite: true makes it again.")
            return before
        for left in folder.glob("*.partial"):  # by a process that was killed
            left.unlink()
        (folder / "provenance.json").unlink(missing_ok=True)  # until it is written again, no set is finished here
        evaluation = evaluation_sets(p)
        record = provenance.collect(p, notebook=notebook, entry="distill_nb.trace_sets")
        if p.teacher_api == "none":
            funnel, source = _from_hub(p, folder, evaluation)
        else:
            from . import teacher_sets

            funnel, source = teacher_sets.build(p, folder, evaluation)
        provenance.write(folder / "funnel.json", funnel)
        record = provenance.finish(record) | {"source": source, "funnel": funnel, "evaluation": [
            {"benchmark": b, "problems": sum(e[0] == b for e in evaluation)} for b in p.decontaminate],
            "train_sha256": provenance.sha256_of_file(folder / "train.parquet")}
        provenance.write(folder / "provenance.json", record)
    return funnel


def _finished(folder: Path, p) -> dict | None:
    """The funnel of a set that is there already, made with these parameters."""
    if p.overwrite or not (folder / "provenance.json").exists():
        return None
    before = json.loads((folder / "provenance.json").read_text())["parameters"]
    now = json.loads(json.dumps(asdict(p)))
    free = {"processes", "overwrite", "students", "max_length", "max_cost", "poll_seconds", "concurrency"}
    differing = [k for k in now if k not in free and before.get(k) != now[k]]
    if differing:
        raise ValueError(f"provenance.json in {folder.parent.name}/{folder.name}: this set was made with other values of "
                         f"{', '.join(differing)}; set overwrite: true to make it again.")
    funnel = json.loads((folder / "funnel.json").read_text())
    if funnel["rejected"].get("not_asked") and before.get("max_cost") != now["max_cost"]:
        return None  # more may be spent now
    return funnel


def _from_hub(p, folder: Path, evaluation: list) -> tuple[dict, dict]:
    """Scan, choose, fetch, write. Returns (funnel, what is recorded of the source)."""
    source = p.source
    if source == "pocket":
        from . import traces_pocket

        source = str(traces_pocket.write_hub_file(folder / "pocket.parquet", p.dataset, p.n_examples * 3 // 2, p.seed))
    files, where = hub_traces.files(p.dataset, source, p.config)
    with scan.pool(p.processes, evaluation) as workers:
        parts = scan.scan(p, files, evaluation, folder, workers)
        chosen, rejected, rows = choose(p, parts)
        kept, also = write_train(p, folder, chosen, files, workers)
    reasons = write_rejected(folder, parts, rejected | also)
    funnel = funnel_of(rows, reasons, kept)
    hashes = {f.name: provenance.sha256_of_file(f) for f in files} if p.source != "hub" else {}
    return funnel, {"source": where, "config": p.config, "files": len(files), "rows": rows, "sha256": hashes}


def funnel_of(rows: int, reasons: dict[str, int], kept: int) -> dict:
    """{"rows", "rejected": {reason: rows}, "kept"}, which add up; RuntimeError where they do not."""
    ordered = {reason: reasons[reason] for reason in REASONS if reasons.get(reason)}
    if sum(ordered.values()) + kept != rows:
        raise RuntimeError(f"{rows} rows, {kept} kept, {sum(ordered.values())} rejected: the count does not add up.")
    return {"rows": rows, "rejected": ordered, "kept": kept}


def explained(counts: dict):
    """A funnel as a pandas DataFrame: reason, what it means, rows."""
    import pandas as pd

    rows = [(reason.replace("_", " "), REASONS[reason], n) for reason, n in counts["rejected"].items()]
    rows += [("kept", "in the set", counts["kept"]), ("all", "rows of the source", counts["rows"])]
    return pd.DataFrame(rows, columns=["reason", "meaning", "rows"])


def by_problem(rows: list[dict]):
    """Rows of a set in groups of one problem each, as itertools.groupby gives them."""
    return groupby(sorted(rows, key=lambda r: r["id"]), key=lambda r: r["id"])


def choose(p, parts: list[Path]) -> tuple[list[tuple], dict[tuple, tuple], int]:
    """(the good rows in the order in which they are taken, [(file, group, row, choice, problem id, evaluation problem
    of the same template)]; of the other rows that were good by themselves, (file, row) → (problem id, reason, detail); how
    many rows there are)."""
    from pyarrow import parquet

    good, sketches, rows = {}, {}, 0
    for part in parts:
        table = parquet.read_table(part)
        rows += table.num_rows
        for row in table.filter(_is(table, "reason", "")).to_pylist():
            good.setdefault(row["problem_id"], []).append(
                (row["characters"], row["file"], row["row"], row["group"], row["choice"], row["detail"]))
            if row["sketch"] is not None:
                sketches.setdefault(row["problem_id"], (row["numbers"], row["sketch"]))
    near = statements.NearDuplicates(p.near_duplicate) if p.near_duplicate < 1 else None
    chosen, rejected = [], {}
    for problem in sorted(good, key=lambda i: rank(p.seed, i)):
        found = sorted(good.pop(problem), key=lambda r: r if p.pick == "shortest" else r[1:])
        values, sketch = sketches.pop(problem)  # what is done with is let go, for there may be hundreds of thousands
        like = near.first_like(problem, sketch, values) if near else None
        for k, (_, file, row, group, choice, template) in enumerate(found):
            if like:
                rejected[file, row] = (problem, "near_duplicate", f"{like[0]} ({like[1]:.2f})")
            elif k >= p.per_problem:
                rejected[file, row] = (problem, "same_problem", "")
            else:
                chosen.append((file, group, row, choice, problem, template))
    return chosen, rejected, rows


def _is(table, column: str, value: str):
    from pyarrow import compute

    return compute.equal(table.column(column), value)


def write_train(p, folder: Path, chosen: list[tuple], files: list[Path], workers) -> tuple[int, dict[tuple, tuple]]:
    """Write the first n_examples + spare chosen rows that pass; returns (how many, the rejected as in `choose`)."""
    teacher, domain = trace_params.teacher_and_domain(p.dataset)
    wanted, place, kept, rejected = p.n_examples + p.spare, 0, 0, {}
    with Writer(folder / "train.parquet") as writer:
        while kept < wanted and place < len(chosen):
            take = chosen[place:place + wanted - kept]
            for rows in _chunks(scan.fetch(p, files, [c[:4] for c in take], workers)):
                for (i, row), outcome in zip(rows, _verdicts(p, rows), strict=True):
                    file, _, number, _, problem, template = take[i]
                    if outcome != "correct":
                        rejected[file, number] = (problem, "regraded_wrong", outcome)
                        continue
                    writer.add({"id": problem, "order": place + i, "problem": row.problem, "trace": row.trace,
                                "prompt": prompt_of(row.problem, domain), "answer": row.answer, "teacher": teacher,
                                "domain": domain, "source_id": row.row_id or f"{file}:{number}", "template_of": template})
                    kept += 1
            place += len(take)
    rejected |= {(file, number): (problem, "not_needed", "") for file, _, number, _, problem, _ in chosen[place:]}
    return kept, rejected


def _chunks(rows):
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == GROUP:
            yield chunk
            chunk = []
    yield chunk


def _verdicts(p, rows: list) -> list[str]:
    """Our grader's outcome of each fetched row; `correct` for all where the data set's own flag is enough."""
    if p.verify == "flag":
        return ["correct"] * len(rows)
    from .grading import grade_math_all

    return [g.outcome for g in grade_math_all([r.trace for _, r in rows], [r.answer for _, r in rows])]


def write_rejected(folder: Path, parts: list[Path], rejected: dict[tuple, tuple]) -> dict[str, int]:
    """Write rejected.parquet, from the parts and from `choose` and `write_train`; returns reason → rows."""
    from pyarrow import parquet

    counts: dict[str, int] = {}
    with Writer(folder / "rejected.parquet", REJECTED) as writer:
        for part in parts:
            for row in parquet.read_table(part, columns=["file", "row", "id", "problem_id", "reason", "detail"]).to_pylist():
                problem, reason, detail = rejected.get((row["file"], row["row"]),
                                                       (row["problem_id"], row["reason"], row["detail"]))
                if reason:
                    counts[reason] = counts.get(reason, 0) + 1
                    writer.add({"id": row["id"] or f"{row['file']}:{row['row']}", "problem_id": problem, "reason": reason,
                                "detail": detail})
    return counts

"""Sets of training traces: verified, deduplicated, clean of the evaluation sets, and accounted for.

runs/<scale>/traces/<dataset>/
    train.parquet     the traces; `order` says in which order they are taken
    rejected.parquet  every other row of the source, with the reason
    funnel.json       how many rows each reason took; they add up to the source's rows
    ledger.json       what max_length does to the traces of this set, by student
    provenance.json   what made it

Problems are taken in an order that depends on the seed and the problem's id alone (the smallest
sha256 of both come first). So sets of two teachers that both know a problem take it at the same
place, whatever the source's own order."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from distill_nb.params.names import benchmark_name, is_set
from distill_nb.runtime import code_hash, disk, lock, paths, provenance, stop
from distill_nb.runtime.files import write_json
from distill_nb.traces import from_hub, from_teacher, hub, scan, workers
from distill_nb.traces.decontamination import evaluation_sets as sets
from distill_nb.traces.decontamination.match import VERSION, Statements
from distill_nb.traces.files import folder_of
from distill_nb.traces.params import TraceParams

log = logging.getLogger(__name__)

# What may differ between a finished set and the parameters now.
FREE = (
    "processes", "overwrite", "students", "max_length", "max_cost", "poll_seconds", "concurrency",
)  # fmt: skip
NAMED = 5  # files of other code that a message names


def evaluation_sets(p: TraceParams) -> Statements:
    """The problems that the set must be clean of. ValueError where one of the sets is missing."""
    found = []
    for name in p.decontaminate:
        found += sets.problems(name, p.benchmark_files.get(benchmark_name(name)))
    return found


def build(p: TraceParams, notebook: Path | None = None) -> dict:
    """Make the set, or leave a finished one alone; a killed one goes on. Returns the funnel.

    Raises ValueError where a source or an evaluation set is missing, where `overwrite` is false and
    the folder holds a set of other parameters or of another source, or where another process is at
    it; RuntimeError where a worker process was killed."""
    folder = folder_of(p.dataset, p.scale)
    with (
        lock.alone(folder, "being made", "dataset"),
        disk.room(folder),
        stop.raising(
            "what is judged, and what a teacher answered, is on disk, and the set goes on there "
            "when it is started again."
        ),
    ):
        if before := _finished(folder, p):
            log.info(
                f"{p.dataset} is there ({before['kept']:,} traces); overwrite: true makes it again."
            )
            return before
        if p.teacher_api == "none":
            workers.warm_up()
        # until it is written again, no set is finished here
        (folder / "provenance.json").unlink(missing_ok=True)
        for left in (*folder.glob("*.partial"), *folder.glob("parts/*/*.partial")):
            left.unlink(missing_ok=True)  # by a process that was killed: this one is alone here
        evaluation, state = evaluation_sets(p), state_of_source(p)
        record = provenance.collect(p, notebook=notebook, entry=__name__)
        make = from_hub.build if p.teacher_api == "none" else from_teacher.build
        funnel, source = make(p, folder, evaluation)
        write_json(folder / "funnel.json", funnel)
        sizes = Counter(benchmark for benchmark, _, _ in evaluation)
        record = provenance.finish(record) | {
            "source": source | {"state": state},
            "funnel": funnel,
            "evaluation": [
                {"benchmark": b, "problems": sizes[b]} for b in map(benchmark_name, p.decontaminate)
            ],
            "decontamination": VERSION,
            "train_sha256": provenance.sha256_of_file(folder / "train.parquet"),
        }
        provenance.write(folder / "provenance.json", record)
    return funnel


def _finished(folder: Path, p: TraceParams) -> dict | None:
    """The funnel of a set that is there, made with these parameters and of this source."""
    if p.overwrite or not (folder / "provenance.json").exists():
        return None
    record = json.loads((folder / "provenance.json").read_text())
    before, now = record["parameters"], json.loads(json.dumps(asdict(p)))
    where = f"{folder.parent.name}/{folder.name}"
    differing = provenance.differing(before, now, [k for k in now if k not in FREE])
    if differing:
        raise ValueError(
            f"provenance.json in {where}: this set was made with other values of "
            f"{', '.join(differing)}; set overwrite: true to make it again."
        )
    if (state := state_of_source(p)) and state != record["source"].get("state", state):
        raise ValueError(
            f"provenance.json in {where}: this set was made from {p.source}, which is another now; "
            "set overwrite: true to make it again (a teacher's paid answers stay)."
        )
    if other := _other_code(record, p.teacher_api != "none"):
        log.info(f"{p.dataset} was made by other versions of {other}.")
    funnel = json.loads((folder / "funnel.json").read_text())
    if funnel["rejected"].get("not_asked") and before.get("max_cost") != now["max_cost"]:
        return None  # more may be spent now
    if p.max_cost and funnel["rejected"].get("failed") and (n := from_teacher.asked_again(p)):
        log.info(
            f"{p.dataset} is there, but {n:,} of its problems failed for a reason that was not "
            "theirs (the account's or the server's): they are asked again."
        )
        return None
    return funnel


def _other_code(record: dict, asks_a_teacher: bool) -> str:
    """The files of code that are others than when a set was made, in words; "" where none is."""
    maker = from_teacher if asks_a_teacher else from_hub
    before, now = record.get("code", {}), code_hash.hashes(maker.__name__)
    other = [name for name, sha256 in now.items() if before.get(name) != sha256]
    if len(other) > NAMED + 1:
        return f"{', '.join(other[:NAMED])} and {len(other) - NAMED} other files"
    return ", ".join(other)


def state_of_source(p: TraceParams) -> list | None:
    """What tells the source from what it was: the sha256 of an API teacher's problems, or
    scan.state_of of local files. None for the hub, whose revision is pinned, or what is gone."""
    if p.source in ("hub", "pocket"):
        return None
    if is_set(p.source):
        file = folder_of(p.source, p.scale) / "train.parquet"
    else:
        file = paths.resolve(p.source)
    if not file.exists():
        return None
    if p.teacher_api != "none":
        return [file.name, provenance.sha256_of_file(file)]
    return scan.state_of(hub.files(p.shape, p.source, p.config)[0])


def by_problem(rows: list[dict]) -> Iterator[tuple[str, Iterator[dict]]]:
    """Rows of a set in groups of one problem each, as itertools.groupby gives them."""
    return groupby(sorted(rows, key=lambda r: r["id"]), key=lambda r: r["id"])

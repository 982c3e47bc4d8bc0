"""The records of shards (shards.py) put together to what one process makes: the same records in the
same order, that in which Transformers answers, the longest prompts first.

The evaluation that is started next finds all records there, and finishes the run as after any
interruption."""

import logging
import shutil
from pathlib import Path

from distill_nb.evaluation import baseline, evaluate, records, resume, shards
from distill_nb.evaluation.shards import RECORD, Part, Tasks, key_of
from distill_nb.params import Params
from distill_nb.runtime import disk, jsonl, lock, paths, provenance
from distill_nb.runtime.shard import Shard
from distill_nb.runtime.shard import shards as all_shards

log = logging.getLogger(__name__)
Merged = tuple[Path, list[dict]]  # a file, and all of its records
REMEDY = "set overwrite: true to make all of them again"


class ShardsMissing(ValueError):
    """Some shards have not made all of theirs; `missing` says which."""

    def __init__(self, message: str, missing: list[Shard]):
        super().__init__(message)
        self.missing = missing


def merge(p: Params, of: int) -> None:
    """Put the records of `of` shards into the run and the base student's files, and remove the
    shards. What is there already stays; without shards nothing is done. A merge that was killed is
    done again.

    Raises ShardsMissing where records are missing; ValueError where two shards have the same
    record, where shards were made with different settings, or where another process is evaluating
    the run or a shard of it."""
    run_dir = paths.run_dir(p)
    with lock.alone(run_dir, "being evaluated"), disk.room(run_dir):
        before = resume.earlier_provenance(run_dir / RECORD)
        made = {shard: _provenance(p, shard) for shard in all_shards(of)}
        known = [record for record in (before, *made.values()) if record]
        if not known:
            first = all_shards(of)[0]
            raise ShardsMissing(_missing_sentence(p, {first: "not begun"}, of), all_shards(of))
        if not any(made.values()):
            return
        _refuse_different(p, before, made)
        tasks, steps = evaluate.load_tasks(p), resume.checkpoint_steps(p)
        shared = baseline.shared_files(p, known[-1]["settings"])
        parts = {shard: shards.parts(p, shard, tasks, steps, shared) for shard in all_shards(of)}
        with lock.locked(baseline.baseline_dir(p)):
            base, own = _merged(p, parts, tasks)
            for file, found in [*base, *own]:
                jsonl.write(file, found)
            _note_base(shared, [shards.base_folder(p, shard) for shard in all_shards(of)])
        provenance.write(run_dir / RECORD, _record(before, [r for r in made.values() if r]))
        shutil.rmtree(run_dir / "eval" / shards.FOLDER)
        log.info(
            f"{run_dir.name}: the records of {of} shards are merged into {len(base) + len(own)} "
            "files."
        )


def _provenance(p: Params, shard: Shard) -> dict:
    """A shard's provenance, {} where there is none. Raises ValueError while it is being made."""
    folder = shards.folder(p, shard)
    if not folder.is_dir():
        return {}
    with lock.alone(folder, "being evaluated"):
        return provenance.read(folder / RECORD, "delete the folder")


def _refuse_different(p: Params, before: dict, made: dict[Shard, dict]) -> None:
    """Raises ValueError where not all records were made with the same settings."""
    named = [(paths.run_dir(p).name, before)]
    named += [(f"shard {shard.number} of {shard.of}", record) for shard, record in made.items()]
    named = [(name, record["settings"]) for name, record in named if record.get("settings")]
    (first, known), others = named[0], named[1:]
    for name, settings in others:
        whole = [key for key in known if key not in resume.PARTS]
        differing = provenance.differing(known, settings, whole)
        differing += resume.differing_parts(known, settings)
        if differing:
            raise ValueError(
                f"eval/{shards.FOLDER} of {paths.run_dir(p).name}: the records of {first} and of "
                f"{name} were made with different values of {', '.join(differing)}; {REMEDY}."
            )


def _merged(
    p: Params, parts: dict[Shard, list[Part]], tasks: Tasks
) -> tuple[list[Merged], list[Merged]]:
    """(the base student's files, the run's) that get records from shards, with all that they then
    have. parts: those of each shard, in one order. Raises ShardsMissing, or ValueError for a record
    of two shards."""
    missing: dict[Shard, list[str]] = {}
    base: list[Merged] = []
    own: list[Merged] = []
    for same_file in zip(*parts.values(), strict=True):
        step, name, file = same_file[0].step, same_file[0].benchmark, same_file[0].whole
        places = {task.task_id: i for i, task in enumerate(tasks[name])}
        merged = {key_of(r): r for r in records.once(jsonl.read(file))}
        found = _of_shards(same_file, places)
        new = {key: r for key, r in found.items() if key not in merged or _is_open(merged[key])}
        merged |= new
        for shard, part in zip(parts, same_file, strict=True):
            keys = [(task.task_id, k) for task in part.tasks for k in range(p.n_samples)]
            if lack := sum(key not in merged or _is_open(merged[key]) for key in keys):
                missing.setdefault(shard, []).append(f"{lack} of {paths.step_name(step)}/{name}")
        if new:
            all_ = sorted(
                merged.values(),
                key=lambda r: (-r["prompt_tokens"], places.get(r["task_id"], -1), r["sample"]),
            )
            (own if step else base).append((file, all_))
    if missing:
        named = {shard: ", ".join(missing[shard]) for shard in parts if shard in missing}
        raise ShardsMissing(_missing_sentence(p, named, len(parts)), list(named))
    return base, own


def _of_shards(same_file: tuple[Part, ...], places: dict[str, int]) -> dict[tuple, dict]:
    """The records that the shards have for one file. Raises ValueError where two have the same."""
    found: dict[tuple, tuple[dict, Path]] = {}
    for part in same_file:
        for record in records.once(jsonl.read(part.file)):
            key = key_of(record)
            if key in found:
                raise ValueError(
                    f"{paths.movable(part.file)} and {paths.movable(found[key][1])} both have a "
                    f"record of {key[0]}, sample {key[1]}; {REMEDY}."
                )
            if key[0] in places:
                found[key] = (record, part.file)
    return {key: record for key, (record, _) in found.items()}


def _is_open(record: dict) -> bool:
    """Whether a record's request failed, and is asked again."""
    return record["outcome"] == "sampling_error" and not record.get("failed_for_good")


def _missing_sentence(p: Params, missing: dict[Shard, str], of: int) -> str:
    shard, what = next(iter(missing.items()))
    more = f", and {len(missing) - 1} more shards" if len(missing) > 1 else ""
    return (
        f"eval/{shards.FOLDER} of {paths.run_dir(p).name}: shard {shard.number} of {of} has not "
        f"made all of its records ({what}){more}; run it again."
    )


def _note_base(shared: dict[str, Path], folders: list[Path]) -> None:
    """Note beside the base student's files what made their shards' records, and remove those. The
    folders stay: others may hold their locks."""
    for file in shared.values():
        slices = [folder / file.name for folder in folders]
        made = [session for each in slices for session in baseline.sessions(each)]
        if made:
            note = {"sessions": [*baseline.sessions(file), *made]}
            provenance.write(baseline.note_file(file), note)
        for each in slices:
            each.unlink(missing_ok=True)
            baseline.note_file(each).unlink(missing_ok=True)


def _record(before: dict, made: list[dict]) -> dict:
    """The provenance of an evaluation that was made by shards and is not finished yet: each is a
    session of it."""
    record = before
    for shard in made:
        merged = provenance.follow(shard, record)
        sessions = [*merged.get("sessions", []), *shard.get("sessions", [])]
        for part in resume.PARTS:
            old = record.get("settings", {}).get(part, {})
            merged["settings"] = merged["settings"] | {part: old | shard["settings"][part]}
        merged["benchmarks"] = record.get("benchmarks", {}) | shard["benchmarks"]
        record = merged | {"sessions": sessions}
    gone = ("unproven", "finished", "failed_requests", "finished_at", "files")
    kept = {k: v for k, v in record.items() if k not in gone}
    return kept | {"finished": False, "base": before.get("base", {})}

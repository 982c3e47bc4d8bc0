"""What an earlier start of a run left on disk: whether it is this run, and how far it came."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from distill_nb.params import Params, pocket_values
from distill_nb.runtime import disk, jsonl, provenance, tracking
from distill_nb.students.adapters import adapter_files
from distill_nb.training import times
from distill_nb.training.data import Data

log = logging.getLogger(__name__)
LOG = "train.log"  # in the run's folder: what its starts said, each line with its time

# A run is the same run if these are equal. How a batch is divided (micro_batch_size,
# train_processes, sharding) and whether activations are recomputed change rounding alone: a run may
# go on with less memory or more GPUs. But a state of one value of sharding is none of the other:
# sharding.refuse_other_states.
TRAINING_KEYS = (
    "run_name", "scale", "seed", "teacher", "domain",
    "student", "student_size", "chat_template", "dtype", "load_in_4bit", "backend",
    "dataset", "n_examples", "n_heldout", "max_length", "overlong",
    "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "lora_experts", "lora_expert_rank",
    "learning_rate", "lr_schedule", "warmup_steps", "weight_decay", "max_grad_norm",
    "batch_size", "max_steps", "save_every",
)  # fmt: skip


def saved_steps(p: Params) -> range:
    """The steps that leave an adapter."""
    return range(p.save_every, p.max_steps + 1, p.save_every)


def last_state(run_dir: Path, saved: Sequence[int] = ()) -> tuple[int, Path | None]:
    """The step and folder of the newest state to resume from, (0, None) if there is none.

    Removes states, and says so, that are half-written, damaged, or after a missing adapter of the
    steps `saved` or line of metrics.jsonl. Raises ValueError if all come after such a line."""
    adapters = adapter_files(run_dir)
    whole: dict[int, Path] = {}
    for folder in (run_dir / "state").glob("checkpoint-*"):
        step = int(folder.name.split("-")[1])
        wrong = disk.broken(folder)
        lost = [s for s in saved if s <= step and s not in adapters]
        if lost and not wrong:
            wrong = f"the adapter of step {lost[0]} is missing and must be made again"
        if wrong:
            _remove_state(folder, wrong)
        else:
            whole[step] = folder
    logged = {line["step"] for line in _metrics(run_dir / "metrics.jsonl")}
    unlogged = {step: min(set(range(1, step + 1)) - logged, default=0) for step in whole}
    if whole and all(unlogged.values()):  # nothing is removed: the file may be elsewhere
        raise ValueError(
            f"metrics.jsonl in {run_dir.name} has no line of step {unlogged[min(unlogged)]}, and "
            "every state of the run comes after that; put the file back, or set overwrite: true to "
            "train it again."
        )
    for step, missing in unlogged.items():
        if missing:
            why = f"metrics.jsonl has no line of step {missing}, which must be made again"
            _remove_state(whole.pop(step), why)
    return max(whole.items(), default=(0, None))


def _remove_state(folder: Path, why: str) -> None:
    run_dir = folder.parents[1]
    log.info(f"{run_dir.name}/state/{folder.name} is not used, and removed: {why}.")
    shutil.rmtree(folder)


def refuse_other_run(run_dir: Path, p: Params, data: Data) -> dict:
    """The provenance that an earlier start left, {} if none; ValueError for another run's."""
    file = run_dir / "provenance_train.json"
    before = provenance.read(file, "set overwrite: true to train it again")
    if not before and (any(run_dir.glob("state/*")) or any(run_dir.glob("checkpoints/*"))):
        raise ValueError(
            f"{run_dir.name}: it has checkpoints but no {file.name}, so nothing says of which "
            "parameters; put that back, or set overwrite: true to train it again."
        )
    if not before:
        return {}
    now = json.loads(json.dumps(asdict(p)))
    # keys that came later did what they do in the pocket run
    was = pocket_values() | before["parameters"]
    differing = provenance.differing(was, now, TRAINING_KEYS)
    if (content := before.get("data_sha256")) != data.sha256:
        differing.append(f"dataset (its content: {provenance.both(content, data.sha256)})")
    if (version := before.get("student_version", data.student_version)) != data.student_version:
        differing.append(f"student (its files: {provenance.both(version, data.student_version)})")
    if differing:
        raise ValueError(
            f"{file.name} in {run_dir.name}: this run was started with other values of "
            f"{', '.join(differing)}; set overwrite: true to start it again, or choose another "
            "run_name."
        )
    return before


def start_again(run_dir: Path) -> None:
    """Remove what an earlier training and its evaluation left: the provenance first and the
    checkpoints last. If this is cut off, `refuse_other_run` keeps the run from being resumed."""
    (run_dir / "provenance_train.json").unlink(missing_ok=True)
    tracking.forget(run_dir, "train", "eval")
    files = ("eval", "provenance_eval.json", "metrics.jsonl", times.FILE, LOG)
    for name in (*files, "state", "checkpoints"):
        if (run_dir / name).is_dir() and not (run_dir / name).is_symlink():
            shutil.rmtree(run_dir / name)
        else:
            (run_dir / name).unlink(missing_ok=True)


def keep_lines_up_to(file: Path, step: int) -> None:
    """Drop the lines after `step` and torn ones: the resumed run writes them again."""
    if file.exists():
        lines = _metrics(file, report=True)
        jsonl.write(file, [line for line in lines if line["step"] <= step])


def _metrics(file: Path, report: bool = False) -> list[dict]:
    """The lines of metrics.jsonl without those that a power failure tore."""
    found = []
    for text in file.read_bytes().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(text))
        except ValueError:  # half a line, or bytes that are no text
            if report:
                log.info(f"{file.parent.name}/{file.name}: dropped a torn line.")
    return found

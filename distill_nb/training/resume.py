"""What an earlier start of a run left on disk: whether it is this run, and how far it came."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from distill_nb.params import Params, pocket_values
from distill_nb.runtime import disk, jsonl, provenance
from distill_nb.students.adapters import adapter_files

# A run is the same run if these are equal. How a batch is divided (micro_batch_size,
# train_processes) changes its rounding and not what is learnt, so that a run may go on with less
# memory or more GPUs; `overwrite` and the evaluation's keys change nothing.
TRAINING_KEYS = (
    "run_name",
    "scale",
    "seed",
    "teacher",
    "domain",
    "student",
    "student_size",
    "chat_template",
    "dtype",
    "load_in_4bit",
    "backend",
    "dataset",
    "n_examples",
    "n_heldout",
    "max_length",
    "overlong",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_targets",
    "lora_experts",
    "lora_expert_rank",
    "learning_rate",
    "lr_schedule",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "batch_size",
    "max_steps",
    "save_every",
)


def saved_steps(p: Params) -> range:
    """The steps that leave an adapter."""
    return range(p.save_every, p.max_steps + 1, p.save_every)


def last_state(run_dir: Path, saved=range(0)) -> tuple[int, Path | None]:
    """The newest whole state folder and its step, (0, None) if there is none. Removes half-written
    and damaged ones, and those that come after a missing adapter of the steps `saved`, and says so;
    also those that come after a missing line of metrics.jsonl, if there is one before that. Raises
    ValueError if there is none."""
    found, logged = [], {line["step"] for line in _metrics(run_dir / "metrics.jsonl")}
    for folder in (run_dir / "state").glob("checkpoint-*"):
        step, wrong = int(folder.name.split("-")[1]), disk.broken(folder)
        lost = [s for s in saved if s <= step and s not in adapter_files(run_dir)]
        if wrong or lost:
            print(
                f"{run_dir.name}/state/{folder.name} is not used, and removed: "
                + (wrong or f"the adapter of step {lost[0]} is missing and must be made again")
                + "."
            )
            shutil.rmtree(folder)
        else:
            found.append((step, folder))
    unlogged = {step: min(set(range(1, step + 1)) - logged, default=0) for step, _ in found}
    if found and all(unlogged.values()):  # nothing is removed: the file may be elsewhere
        raise ValueError(
            f"metrics.jsonl in {run_dir.name} has no line of step {unlogged[min(unlogged)]}, and "
            "every state of "
            "the run comes after that; put the file back, or set overwrite: true to train it again."
        )
    for step, folder in found:
        if unlogged[step]:
            print(
                f"{run_dir.name}/state/{folder.name} is not used, and removed: metrics.jsonl has "
                "no line of step "
                f"{unlogged[step]}, which must be made again."
            )
            shutil.rmtree(folder)
    return max(((step, folder) for step, folder in found if not unlogged[step]), default=(0, None))


def refuse_other_run(run_dir: Path, p: Params, data) -> dict:
    """What an earlier start of this run left, {} if nothing. data: a train.Data. Raises ValueError
    if it was another run."""
    file = run_dir / "provenance_train.json"
    before = provenance.read(file, "set overwrite: true to train it again")
    if not before and (any(run_dir.glob("state/*")) or any(run_dir.glob("checkpoints/*"))):
        raise ValueError(
            f"{run_dir.name}: it has checkpoints but no {file.name}, so nothing says of which "
            "parameters; put "
            "that back, or set overwrite: true to train it again."
        )
    if not before:
        return {}
    now = json.loads(json.dumps(asdict(p)))
    # keys that came later did what they do in the pocket run
    was = pocket_values() | before["parameters"]
    differing = [k for k in TRAINING_KEYS if was.get(k) != now[k]]
    if before.get("data_sha256") != data.sha256:
        differing.append("dataset (its content)")
    if before.get("student_version", data.student_version) != data.student_version:
        differing.append("student (its files)")
    if differing:
        raise ValueError(
            f"{file.name} in {run_dir.name}: this run was started with other values of "
            f"{', '.join(differing)}; set overwrite: true to start it again, or choose another "
            "run_name."
        )
    return before


def start_again(run_dir: Path) -> None:
    """Remove what an earlier training and its evaluation left. The provenance goes first and the
    checkpoints last, so that a run of which this is cut off neither counts as finished nor is gone
    on with: `refuse_other_run` asks for overwrite."""
    for name in (
        "provenance_train.json",
        "eval",
        "provenance_eval.json",
        "metrics.jsonl",
        "state",
        "checkpoints",
    ):
        if (run_dir / name).is_dir() and not (run_dir / name).is_symlink():
            shutil.rmtree(run_dir / name)
        else:
            (run_dir / name).unlink(missing_ok=True)


def keep_metrics_up_to(file: Path, step: int) -> None:
    """Drop the lines after `step` (and a torn last line): the resumed run writes them again."""
    if file.exists():
        jsonl.write(file, [line for line in _metrics(file, say=True) if line["step"] <= step])


def _metrics(file: Path, say: bool = False) -> list[dict]:
    """The lines of metrics.jsonl without those that a power failure tore."""
    found = []
    for text in file.read_bytes().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(text))
        except ValueError:  # half a line, or bytes that are no text
            if say:
                print(f"{file.parent.name}/{file.name}: dropped a torn line.")
    return found

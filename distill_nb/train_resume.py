"""What an earlier start of a run left on disk: whether it is this run, and how far it came."""
from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from . import disk, paths, provenance
from .params import POCKET, Params

# A run is the same run if these are equal; `overwrite` and the evaluation's keys do not matter to its weights.
TRAINING_KEYS = (
    "run_name", "scale", "seed", "teacher", "domain", "student", "student_size", "chat_template", "dtype",
    "load_in_4bit", "backend", "dataset", "n_examples", "n_heldout", "max_length", "overlong", "lora_rank", "lora_alpha",
    "lora_dropout", "lora_targets", "lora_experts", "lora_expert_rank", "learning_rate", "lr_schedule",
    "warmup_steps", "weight_decay", "max_grad_norm", "batch_size", "micro_batch_size", "max_steps", "save_every",
)


def saved_steps(p: Params) -> range:
    """The steps that leave an adapter."""
    return range(p.save_every, p.max_steps + 1, p.save_every)


def last_state(run_dir: Path, saved=range(0)) -> tuple[int, Path | None]:
    """The newest whole state folder and its step, (0, None) if there is none. Removes half-written and damaged ones, and
    those that come after a missing adapter of the steps `saved`, and says so."""
    found = []
    for folder in (run_dir / "state").glob("checkpoint-*"):
        step, wrong = int(folder.name.split("-")[1]), disk.broken(folder)
        adapters = {f.parent.name for f in run_dir.glob("checkpoints/step_*/adapter_model.*")}
        lost = [s for s in saved if s <= step and paths.step_name(s) not in adapters]
        if wrong or lost:
            print(f"{run_dir.name}/state/{folder.name} is not used, and removed: "
                  + (wrong or f"the adapter of step {lost[0]} is missing and must be made again") + ".")
            shutil.rmtree(folder)
        else:
            found.append((step, folder))
    return max(found, default=(0, None))


def refuse_other_run(run_dir: Path, p: Params, data) -> dict:
    """What an earlier start of this run left, {} if nothing. data: a train.Data. Raises ValueError if it was another run."""
    file = run_dir / "provenance_train.json"
    before = provenance.read(file, "set overwrite: true to train it again")
    if not before and (any(run_dir.glob("state/*")) or any(run_dir.glob("checkpoints/*"))):
        raise ValueError(f"{run_dir.name}: it has checkpoints but no {file.name}, so nothing says of which parameters; put "
                         "that back, or set overwrite: true to train it again.")
    if not before:
        return {}
    now = json.loads(json.dumps(asdict(p)))
    was = POCKET | before["parameters"]  # keys that came later did what they do in the pocket run
    differing = [k for k in TRAINING_KEYS if was.get(k) != now[k]]
    if before.get("data_sha256") != data.sha256:
        differing.append("dataset (its content)")
    if before.get("student_version", data.student_version) != data.student_version:
        differing.append("student (its files)")
    if differing:
        raise ValueError(f"{file.name} in {run_dir.name}: this run was started with other values of "
                         f"{', '.join(differing)}; set overwrite: true to start it again, or choose another run_name.")
    return before


def keep_metrics_up_to(file: Path, step: int) -> None:
    """Drop the lines after `step` (and a torn last line): the resumed run writes them again."""
    if not file.exists():
        return
    kept = []
    for text in file.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            print(f"{file.parent.name}/{file.name}: dropped a torn line.")
            continue
        if line["step"] <= step:
            kept.append(text + "\n")
    new = file.with_suffix(".partial")
    new.write_text("".join(kept))
    os.replace(new, file)

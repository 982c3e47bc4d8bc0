"""Where things are.

Papermill runs in the caller's directory and Jupyter in the notebook's, so every location is
absolute and made here; nothing else joins paths by hand. These functions only name places; whoever
writes there makes the folder.

    runs/<scale>/<run_name>[_seed<k>]/checkpoints/step_00100/
    runs/<scale>/<run_name>[_seed<k>]/eval/step_00100/<benchmark>.jsonl
    runs/<scale>/_base/<student>-<hash>/<benchmark>.jsonl    made once for all runs
"""

import os
import sys
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
PARAMS_DIR = ROOT / "papermill_params"


class Run(Protocol):
    """What names a run's folder; `params.Params` has it."""

    @property
    def scale(self) -> str: ...

    @property
    def run_name(self) -> str: ...

    @property
    def seed(self) -> int: ...


def resolve(path: str | Path) -> Path:
    """A path that a user wrote, absolute; a relative one starts at the repository's root."""
    return (ROOT / Path(path).expanduser()).absolute()


def movable(path: str | Path) -> str:
    """The inverse of `resolve`, for records: relative inside the repository, with ~ inside the home
    folder. Any other text, such as a hub id, is returned as it is."""
    for base, sign in ((ROOT, ""), (Path.home(), "~")):
        if Path(path).is_absolute() and Path(path).is_relative_to(base):
            return (Path(sign) / Path(path).relative_to(base)).as_posix()
    return str(path)


def runs() -> Path:
    """The folder that runs write to: $DISTILL_NB_RUNS, read at each call, else runs/."""
    return resolve(os.environ.get("DISTILL_NB_RUNS") or "runs")


def runs_from_here() -> str:
    """The runs folder as it was named, where that means the same in the working folder; else
    absolute. Snakemake knows files by these names."""
    named = os.path.normpath(os.environ.get("DISTILL_NB_RUNS") or "runs")
    return named if os.path.abspath(named) == str(runs()) else str(runs())


def cache() -> Path:
    """The folder of downloads and built students: $DISTILL_NB_CACHE, else ~/.cache/distill_nb."""
    return resolve(os.environ.get("DISTILL_NB_CACHE") or "~/.cache/distill_nb")


def child_environment() -> dict[str, str]:
    """The environment for a process of this package's own, which finds it from any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def run_dir(p: Run) -> Path:
    """The folder of a run; a replicate (seed k > 0) gets its own."""
    return runs() / p.scale / (p.run_name + (f"_seed{p.seed}" if p.seed else ""))


def step_name(step: int) -> str:
    """step_00100: sorts by name as by number."""
    return f"step_{step:05d}"


def checkpoint_dir(p: Run, step: int) -> Path:
    """The folder of the adapter after `step` optimiser steps."""
    return run_dir(p) / "checkpoints" / step_name(step)


def records_file(p: Run, step: int, benchmark: str) -> Path:
    """The records of one checkpoint, or of the base student (step 0), on one benchmark."""
    return run_dir(p) / "eval" / step_name(step) / f"{benchmark}.jsonl"

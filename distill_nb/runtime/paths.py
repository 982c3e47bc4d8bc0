"""Where things are.

Papermill runs in the caller's directory and Jupyter in the notebook's, so every location is
absolute and made here; nothing else joins paths by hand. In a checkout, paths start at the
repository's root; with an installed package, at the working folder. These functions only name
places; whoever writes there makes the folder.

    runs/<scale>/<run_name>[_seed<k>]/checkpoints/step_00100/
    runs/<scale>/<run_name>[_seed<k>]/eval/step_00100/<benchmark>.jsonl
    runs/<scale>/_base/<student>-<hash>/<benchmark>.jsonl    made once for all runs
"""

import os
import sys
from pathlib import Path
from typing import Protocol

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # the repository's root; of an installed package, where it is installed
CHECKOUT = not (PACKAGE / "shipped").is_dir()  # the wheel alone has it (pyproject.toml)
SHIPPED = ROOT if CHECKOUT else PACKAGE / "shipped"  # notebooks/, papermill_params/, paper/ …
PARAMS_DIR = SHIPPED / "papermill_params"


class Run(Protocol):
    """What names a run's folder; `params.Params` has it."""

    @property
    def scale(self) -> str: ...

    @property
    def run_name(self) -> str: ...

    @property
    def seed(self) -> int: ...


def start() -> Path:
    """Where relative paths start: the repository's root, or with an installed package the working
    folder."""
    return ROOT if CHECKOUT else Path.cwd()


def resolve(path: str | Path) -> Path:
    """A path that a user wrote, absolute; a relative one begins at `start`."""
    return (start() / Path(path).expanduser()).absolute()


def movable(path: str | Path) -> str:
    """The inverse of `resolve`, for records: relative below `start`, with ~ inside the home folder;
    of the package's own files as in the repository. Any other text, such as a hub id, is returned
    as it is."""
    file = Path(path)
    if not file.is_absolute():
        return str(path)
    for base, below in ((SHIPPED, SHIPPED), (ROOT, PACKAGE), (start(), start())):
        if file.is_relative_to(below):
            return file.relative_to(base).as_posix()
    if file.is_relative_to(Path.home()):
        return (Path("~") / file.relative_to(Path.home())).as_posix()
    return str(path)


def shipped(name: str | Path) -> Path:
    """A file that comes with the package, by its name in the repository (notebooks/train.ipynb); a
    file of that name below `start`, such as an edited copy, goes first."""
    own = resolve(name)
    return own if own.is_file() else SHIPPED / name


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

"""Run one stage of the study (study.py): Papermill, its parameter files, one GPU of its own. The Snakefile calls it.

    python -m distill_nb.stage run tiny llama8b_math_4k/train [--made HASH] [--gpus N] [--overwrite]
    python -m distill_nb.stage report tiny                   # analysis and index of what there is, whatever failed

A failed notebook stays where it is, up to the failing cell, with its page; the index shows the traceback (failures.py).
What a run has on disk is never thrown away because something changed: the notebook resumes it, leaves it alone if it is
finished, or refuses, and says so. --overwrite is the parameter of that name.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import time
from pathlib import Path

from distill_nb import fixtures, gpus, made_of, paths, report, stand_in, stop, study
from distill_nb.study import Stage


def command(stage: Stage, out: Path, overwrite: bool = False) -> list[str]:
    """The call of Papermill, as a user would type it."""
    found = [sys.executable, "-m", "papermill", str(study.notebook_of(stage.name)), str(out), "--no-progress-bar",
             "--log-level", "ERROR"]
    for file in study.files(stage):
        found += ["-f", str(paths.PARAMS_DIR / file)]
    extra = study.extra(stage) | ({"overwrite": True} if overwrite else {})
    return [*found, *(word for k, v in extra.items() for word in ("-y", json.dumps({k: v})))]


def run(stage: Stage, planned: str = "", n_gpus: int = 0, overwrite: bool = False) -> int:
    """Run a stage, and write its stamp if it ends well; returns the exit status of what ran.

    planned: the hash under which it was planned; another one now is refused with a ValueError, for the stamp would lie."""
    if planned and planned != made_of.hash_of(stage):
        raise ValueError(f"{stage}: what it is made of has changed since it was planned; start the study again.")
    if changed := made_of.changes(stage):
        print(f"{stage} runs again, for these have changed: {', '.join(changed)}. What is finished is kept unless its "
              f"parameters or data differ; OVERWRITE={stage} makes it anew.", flush=True)
    if overwrite or not made_of.has_results(stage):
        for old in made_of.stamps(stage):
            old.unlink()
    stage.dir().mkdir(parents=True, exist_ok=True)
    with gpus.claimed(n_gpus) as devices:
        started = time.time()
        status = _without_notebook(stage) if stage.name in study.ENTRY else _notebook(stage, devices, overwrite)
        if status == 0:
            made_of.write_stamp(stage, gpus=devices, started=started, finished=time.time())
    return status


def _notebook(stage: Stage, devices: list[str], overwrite: bool) -> int:
    out = stage.dir() / f"{stage.name}.ipynb"
    words = command(stage, out, overwrite)
    print(f"$ CUDA_VISIBLE_DEVICES={','.join(devices)} " + shlex.join(["papermill", *words[3:]]), flush=True)
    with _teacher(stage) as environment:
        status = stop.run(words, env=environment | gpus.environment(devices), cwd=paths.ROOT, close_fds=False)
    if status and out.is_file():
        with contextlib.suppress(ValueError):  # killed while it was written
            print(f"{stage} failed; see {report.render(out)}. What it has made is kept; where it asks for overwrite: true, "
                  f"that is OVERWRITE={stage} for make study.", file=sys.stderr)
    return status


@contextlib.contextmanager
def _teacher(stage: Stage):
    """The environment for a notebook; for a tiny set of the API teacher, with the stand-in serving."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(paths.ROOT), *filter(None, sys.path)])}
    if not study.asks_the_stand_in(stage):
        yield environment
        return
    size = study.values(Stage("tiny", f"traces/r1_{stage.folder.split('_')[1]}", "traces"))
    with stand_in.serving(size["n_examples"] * 3 // 2, size["seed"]) as url:  # as many as trace_sets writes rows of
        yield {"ANTHROPIC_API_KEY": "stand-in"} | environment | {"ANTHROPIC_BASE_URL": url}


def _without_notebook(stage: Stage) -> int:
    if stage.name == "fixtures":
        for name in fixtures.STUDY:
            fixtures.write(name, stage.dir())
        return 0
    from distill_nb import paper

    if not paper.build(stage.dir(), stage.scale):
        print(f"{stage.dir() / 'latex'} is written; there is no paper.pdf, for LaTeX is not installed.")
    return 0


def write_report(scale: str) -> Path:
    """The analysis of what there is of a scale, and the index page, for when a failure kept the graph from them."""
    stage = Stage(scale, "report", "analyze")
    stage.dir().mkdir(parents=True, exist_ok=True)
    if _notebook(stage, [], False) == 0:
        report.render(stage.dir() / "analyze.ipynb")
    return report.index(paths.runs() / scale)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m distill_nb.stage", description="One stage of the study.")
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("scale", choices=("full", "pocket", "tiny"))
    parser.add_argument("stage", nargs="?", help="its folder below runs/<scale> and its name, as in llama8b_math_4k/train")
    parser.add_argument("--made", default="", help="the hash under which it was planned")
    parser.add_argument("--gpus", type=int, default=0, help="how many it needs")
    parser.add_argument("--overwrite", action="store_true", help="start again instead of resuming what is there")
    given = parser.parse_args(arguments)
    try:
        if given.what == "report":
            print(write_report(given.scale))
            return 0
        if not given.stage or "/" not in given.stage:
            parser.error("name the stage, as in llama8b_math_4k/train")
        return run(Stage(given.scale, *given.stage.rsplit("/", 1)), given.made, given.gpus, given.overwrite)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())

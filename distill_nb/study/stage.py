"""Run one stage of the study (graph.py): Papermill, its parameter files, one GPU of its own. The
Snakefile calls it.

    python -m distill_nb.study.stage run tiny llama8b_math_4k/train [--made HASH] [--gpus N]
    [--overwrite]
    python -m distill_nb.study.stage report tiny                   # analysis and index of what there is, whatever failed

A failed notebook stays where it is, up to the failing cell, with its page; the index shows the
traceback, or what else there is to say of a failure (failures.py). What a run has on disk is never
thrown away because something changed: the notebook resumes it, leaves it alone if it is finished,
or refuses, and says so. --overwrite is the parameter of that name."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path

from distill_nb.report import failures, index_page, latex, notebook_page
from distill_nb.runtime import disk, gpus, lock, paths, stop
from distill_nb.study import graph, ingredients, stamps, stand_in, tiny
from distill_nb.study.graph import Stage

SAID = 2**14  # bytes of the end of what a failed process said on stderr


def command(stage: Stage, out: Path, overwrite: bool = False) -> list[str]:
    """The call of Papermill, as a user would type it."""
    found = [
        sys.executable,
        "-m",
        "papermill",
        str(graph.notebook_of(stage.name)),
        str(out),
        "--no-progress-bar",
        "--log-level",
        "ERROR",
    ]
    for file in graph.files(stage):
        found += ["-f", str(paths.PARAMS_DIR / file)]
    # Whether it is made anew is said by who starts it: were it in a parameter file, each start
    # would begin again.
    idle = {"overwrite": overwrite, "regrade": False}
    extra = graph.extra(stage) | {k: v for k, v in idle.items() if k in graph.declared(stage.name)}
    return [*found, *(word for k, v in extra.items() for word in ("-y", json.dumps({k: v})))]


def run(
    stage: Stage, planned: str = "", n_gpus: int = 0, overwrite: bool = False, attempt: int = 1
) -> int:
    """Run a stage, and write its stamp if it ends well and its results are finished; returns the
    exit status of what ran, 1 where they are not. A failure is kept beside them (failures.py) until
    the next start.

    planned: the hash under which it was planned. Raises ValueError, before anything is run, where
    that is another one now, for the stamp would lie, and where n_gpus are too few or more than
    there are; disk.DiskFull."""
    graph.values(stage)  # of no run: refused, and no folder made
    failures.forget(stage.dir(), stage.name)
    started = time.time()
    try:
        with disk.room(stage.dir()):
            status, said = _run(stage, planned, n_gpus, overwrite, attempt)
    except Exception as error:
        failures.keep(stage.dir(), stage.name, 1, [str(error)], started)
        raise
    if status:
        failures.keep(stage.dir(), stage.name, status, said, started)
    return status


def _run(
    stage: Stage, planned: str, n_gpus: int, overwrite: bool, attempt: int
) -> tuple[int, list[str]]:
    """`run`, whose failures are kept; with the status the last lines that what ran said on
    stderr."""
    if planned and planned != ingredients.hash_of(stage):
        raise ValueError(
            f"{stage}: what it is made of has changed since it was planned; start the study again."
        )
    _refuse_too_few(stage, n_gpus)
    if changed := stamps.changes(stage):
        print(
            f"{stage} runs again, for these have changed: {', '.join(changed)}. What is finished "
            "is kept unless its "
            f"parameters or data differ; OVERWRITE={stage} makes it anew.",
            flush=True,
        )
    overwrite = overwrite and _to_overwrite(stage, attempt)
    if overwrite:  # before anything is lost: a kill must not leave stamps of what was made from it
        stamps.remove_stamps_from(stage)
    if not stamps.has_results(stage):
        for old in stamps.stamps(stage):
            old.unlink()
    stage.dir().mkdir(parents=True, exist_ok=True)
    beyond = stamps.beyond_study(stage)  # those that it will read; others may come meanwhile
    with gpus.claimed(n_gpus) as devices:
        started = time.time()
        ran = (
            _without_notebook(stage)
            if stage.name in graph.ENTRY
            else _notebook(stage, devices, overwrite)
        )
        if ran[0] == 0 and (lack := stamps.unfinished(stage)):
            ran = (
                1,
                [
                    f"{stage} has run and is not done: {lack}. What it has made is kept, and the "
                    "next start goes on there."
                ],
            )
            print(*ran[1], file=sys.stderr)
            _show(stage.dir() / f"{stage.name}.ipynb")
        if ran[0] == 0:
            stamps.write_stamp(stage, beyond, gpus=devices, started=started, finished=time.time())
    return ran


def _to_overwrite(stage: Stage, attempt: int) -> bool:
    """Whether an attempt at making a stage anew still has to remove what was there: not if an
    earlier one, which ran out of time, has done so and begun the stage's record."""
    mark, record = (
        stage.dir() / "made" / f"overwriting-{stage.name}",
        stage.dir() / stamps.RECORD.get(stage.name, ""),
    )
    if attempt > 1 and mark.is_file() and record.is_file():
        return record.stat().st_mtime < mark.stat().st_mtime
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return True


def _refuse_too_few(stage: Stage, n_gpus: int) -> None:
    """On a cluster the profile says how many GPUs a job gets (0: it computes on the CPU), and the
    run's parameters how many it uses."""
    if stage.name in ("train", "eval") and 0 < n_gpus < (wanted := graph.gpus_of(stage)):
        asked = "train_processes" if stage.name == "train" else "tensor_parallel × data_parallel"
        raise ValueError(
            f"{stage}: {asked} is {wanted} in {graph.files(stage)[0]}, and its job has {n_gpus} "
            f"GPU{'s' * (n_gpus > 1)}; write {wanted} in the profile's config.yaml (set-resources: "
            f"{stage.name}: "
            f"gpu), or lower {asked.replace('×', 'or')}."
        )


def _notebook(stage: Stage, devices: list[str], overwrite: bool) -> tuple[int, list[str]]:
    out = stage.dir() / f"{stage.name}.ipynb"
    words = command(stage, out, overwrite)
    if (
        stage.name in ingredients.CORE
    ):  # else the notebook would refuse, over the one of the process that is at it
        with lock.alone(
            stage.dir(), "being started", "dataset" if stage.name == "traces" else "run_name"
        ):
            pass
    print(
        f"$ CUDA_VISIBLE_DEVICES={','.join(devices)} " + shlex.join(["papermill", *words[3:]]),
        flush=True,
    )
    with _teacher(stage) as environment, _heard() as stderr:
        status = stop.run(
            words,
            env=environment | gpus.environment(devices),
            cwd=paths.ROOT,
            stderr=stderr,
            close_fds=False,
        )
        said = disk.end_of(stderr, SAID)
    if not status:
        return 0, []
    full = disk.full(stage.dir())
    if out.is_file() and not failures.readable(
        out
    ):  # torn by a full disk or a kill: it shows nothing
        out.unlink()
    page, no_room = _show(out)
    full = full or no_room
    if page:
        print(
            f"{stage} failed; see {page}. What it has made is kept; where it asks for overwrite: "
            "true, that is "
            f"OVERWRITE={stage} for make study, and for regrade: true the notebook is run by "
            "itself.",
            file=sys.stderr,
        )
    if full:
        said.append(full)
        print(full, file=sys.stderr)
    return status, said


def _show(notebook: Path) -> tuple[Path | None, str]:
    """The page of a notebook that has not come to its end, if there can be one; and what a full
    disk has to say."""
    if notebook.is_file():
        try:
            with disk.room(notebook.parent):
                return notebook_page.render(notebook), ""
        except ValueError:  # its page would load something
            pass
        except disk.DiskFull as error:
            return None, str(error)
    return None, ""


@contextlib.contextmanager
def _heard():
    """A file to be a process's stderr: what is written there is said here too, at once. Not a pipe:
    who writes to one whose reader was killed dies of it, and a kernel that saves its state must
    not."""
    ended = threading.Event()
    with tempfile.TemporaryFile() as file:
        thread = threading.Thread(target=_pass_on, args=(file, ended))
        thread.start()
        try:
            yield file
        finally:
            ended.set()
            thread.join()


def _pass_on(file, ended: threading.Event) -> None:
    at = 0
    while True:
        last = ended.is_set()
        if data := os.pread(file.fileno(), SAID, at):
            at += len(data)
            with contextlib.suppress(OSError):  # nobody reads it: that is no reason to stop
                sys.stderr.write(data.decode(errors="replace"))
                sys.stderr.flush()
        elif last:
            return
        else:
            ended.wait(0.2)


@contextlib.contextmanager
def _teacher(stage: Stage):
    """The environment for a notebook; for a tiny set of the API teacher, with the stand-in
    serving."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(paths.ROOT), *filter(None, sys.path)])
    }
    if not graph.asks_the_stand_in(stage):
        yield environment
        return
    size = graph.values(Stage("tiny", f"traces/r1_{stage.folder.split('_')[1]}", "traces"))
    with stand_in.serving(
        size["n_examples"] * 3 // 2, size["seed"]
    ) as url:  # as many as trace_sets writes rows of
        yield {"ANTHROPIC_API_KEY": "stand-in"} | environment | {"ANTHROPIC_BASE_URL": url}


def _without_notebook(stage: Stage) -> tuple[int, list[str]]:
    if stage.name == "fixtures":
        for name in tiny.STUDY:
            tiny.write(name, stage.dir())
        return 0, []
    if not latex.build(stage.dir(), stage.scale):
        print(
            f"{stage.dir() / 'latex'} is written; there is no paper.pdf, for LaTeX is not "
            "installed."
        )
    return 0, []


def write_report(scale: str) -> Path:
    """The analysis of what there is of a scale, and the index page, for when a failure kept the
    graph from them."""
    stage = Stage(scale, "report", "analyze")
    with disk.room(paths.runs() / scale):
        stage.dir().mkdir(parents=True, exist_ok=True)
        if _notebook(stage, [], False)[0] == 0:
            notebook_page.render(stage.dir() / "analyze.ipynb")
        return index_page.index(paths.runs() / scale)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m distill_nb.study.stage", description="One stage of the study."
    )
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("scale", choices=("full", "pocket", "tiny"))
    parser.add_argument(
        "stage",
        nargs="?",
        help="its folder below runs/<scale> and its name, as in llama8b_math_4k/train",
    )
    parser.add_argument("--made", default="", help="the hash under which it was planned")
    parser.add_argument("--gpus", type=int, default=0, help="how many it needs")
    parser.add_argument(
        "--overwrite", action="store_true", help="start again instead of resuming what is there"
    )
    parser.add_argument(
        "--attempt",
        type=int,
        default=1,
        help="a later one goes on with what the first has overwritten",
    )
    given = parser.parse_args(arguments)
    try:
        if given.what == "report":
            print(write_report(given.scale))
            return 0
        if not given.stage or "/" not in given.stage:
            parser.error("name the stage, as in llama8b_math_4k/train")
        return run(
            Stage(given.scale, *given.stage.rsplit("/", 1)),
            given.made,
            given.gpus,
            given.overwrite,
            given.attempt,
        )
    except (ValueError, disk.DiskFull) as error:
        sys.exit(str(error))

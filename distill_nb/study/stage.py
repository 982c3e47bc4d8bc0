"""Run one stage of the study (graph.py): its notebook with its parameters, on GPUs of its own. The
Snakefile calls it, by `distill-nb stage`.

A notebook that fails stays where it is, up to the failing cell, with its page. The index page shows
the traceback, or what else is known of the failure (failures.py). What a run has on disk is never
thrown away because something changed: the notebook resumes it, leaves it alone if it is finished,
or refuses, and says so. `overwrite` is the parameter of that name.
"""

import contextlib
import json
import logging
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from distill_nb.evaluation import shards
from distill_nb.params import STUDY
from distill_nb.report import failures, index_page, latex, notebook_page
from distill_nb.runtime import disk, gpus, paths
from distill_nb.runtime.shard import Shard
from distill_nb.study import graph, ingredients, notebooks, stamps, stand_in, tiny
from distill_nb.study.graph import Stage

log = logging.getLogger(__name__)


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
        _renew_index(stage.scale)
        raise
    if status:
        failures.keep(stage.dir(), stage.name, status, said, started)
    _renew_index(stage.scale)
    return status


def _renew_index(scale: str) -> None:
    """The landing page of a scale says where the study is. Two stages that end at once write it one
    after the other, the last of what both have made."""
    runs = set()
    with contextlib.suppress(ValueError):  # a parameter file is wrong, which is no end of this one
        runs = {stage.folder for stage in graph.grid(scale) if stage.name in ("train", "eval")}
    index_page.renew(paths.runs() / scale, runs)


def _run(
    stage: Stage, planned: str, n_gpus: int, overwrite: bool, attempt: int
) -> tuple[int, list[str]]:
    """`run`, whose failures are kept; with the status the last lines that what ran said on
    stderr."""
    refuse_changed(stage, planned)
    refuse_too_few(stage, n_gpus)
    if changed := stamps.changes(stage):
        log.info(
            f"{stage} runs again, for these have changed: {', '.join(changed)}. What is finished "
            f"is kept unless its parameters or data differ; OVERWRITE={stage} makes it anew."
        )
    overwrite = overwrite and to_overwrite(stage, attempt)
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
            log.error(*ran[1])
            notebooks.page_of_failure(stage.dir() / f"{stage.name}.ipynb")
        if ran[0] == 0:
            stamps.write_stamp(stage, beyond, gpus=devices, started=started, finished=time.time())
    return ran


def refuse_changed(stage: Stage, planned: str) -> None:
    """Raises ValueError where the hash under which a stage was planned is another one now."""
    if planned and planned != ingredients.hash_of(stage):
        raise ValueError(
            f"{stage}: what it is made of has changed since it was planned; start the study again."
        )


def to_overwrite(stage: Stage, attempt: int, shard: Shard | None = None) -> bool:
    """Whether an attempt at making a stage or a shard of an evaluation anew still has to remove
    what was there: not if an earlier one, which ran out of time, has done so and begun its
    record."""
    name, place = stage.name, stage.dir()
    if shard is not None:
        name, place = f"{name}_{shard}", place / "eval" / shards.FOLDER / str(shard)
    mark = stage.dir() / "made" / f"overwriting-{name}"
    record = place / stamps.RECORD.get(stage.name, "")
    if attempt > 1 and mark.is_file() and record.is_file():
        return record.stat().st_mtime < mark.stat().st_mtime
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return True


def refuse_too_few(stage: Stage, n_gpus: int) -> None:
    """On a cluster the profile says how many GPUs a job gets (0: it computes on the CPU), and the
    run's parameters how many it uses."""
    if stage.name in ("train", "eval") and 0 < n_gpus < (wanted := graph.gpus_of(stage)):
        asked = "train_processes" if stage.name == "train" else "tensor_parallel × data_parallel"
        raise ValueError(
            f"{stage}: {asked} is {wanted} in {graph.files(stage)[0]}, and its job has {n_gpus} "
            f"GPU{'s' * (n_gpus > 1)}; write {wanted} in the profile's config.yaml (set-resources: "
            f"{stage.name}: gpu), or lower {asked.replace('×', 'or')}."
        )


def _notebook(stage: Stage, devices: list[str], overwrite: bool) -> tuple[int, list[str]]:
    """Execute the stage's notebook; its exit status, and the last lines that it said on stderr."""
    out = stage.dir() / f"{stage.name}.ipynb"
    notebooks.refuse_if_busy(stage.name, stage.dir())
    log.info(f"$ CUDA_VISIBLE_DEVICES={','.join(devices)} {as_command(stage, overwrite)}")
    # Whether it is made anew is said by who starts it: were it in a parameter file, each start
    # would begin again.
    values = graph.parameters(stage) | {"overwrite": overwrite, "regrade": False}
    with teacher(stage) as environment:
        environment |= gpus.environment(devices)
        ended = notebooks.execute(stage.name, out, values, environment)
    if not ended.status:
        return 0, []
    page, no_room = notebooks.page_of_failure(out)
    if page:
        log.error(
            f"{stage} failed; see {page}. What it has made is kept; where it asks for overwrite: "
            f"true, that is OVERWRITE={stage} for make study, and for regrade: true the notebook "
            "is run by itself."
        )
    if full := ended.full or no_room:
        log.error(full)
    return ended.status, [*ended.said, *filter(None, [full])]


def as_command(stage: Stage, overwrite: bool = False) -> str:
    """The call of Papermill that does by itself what the stage does, as a user would type it."""
    out = paths.movable(stage.dir() / f"{stage.name}.ipynb")
    words = ["papermill", f"notebooks/{stage.name}.ipynb", out]
    for file in graph.files(stage):
        words += ["-f", paths.movable(paths.PARAMS_DIR / file)]
    values = graph.extra(stage) | ({"overwrite": True} if overwrite else {})
    for key, value in values.items():
        words += ["-y", json.dumps({key: value})]
    return shlex.join(words)


@contextlib.contextmanager
def teacher(stage: Stage) -> Iterator[dict[str, str]]:
    """What a notebook's environment has beside ours: for a tiny set of the API teacher, the address
    of the stand-in, which serves meanwhile."""
    if not graph.asks_the_stand_in(stage):
        yield {}
        return
    size = graph.values(Stage("tiny", f"traces/r1_{stage.folder.split('_')[1]}", "traces"))
    rows = size["n_examples"] * 3 // 2  # as many as traces/from_hub.py generates
    with stand_in.serving(rows, size["seed"]) as url:
        key = os.environ.get("ANTHROPIC_API_KEY", "stand-in")
        yield {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": url}


def _without_notebook(stage: Stage) -> tuple[int, list[str]]:
    if stage.name == "fixtures":
        for name in STUDY:
            tiny.write(name, stage.dir())
        return 0, []
    if not latex.build(stage.dir(), stage.scale):
        log.info(
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

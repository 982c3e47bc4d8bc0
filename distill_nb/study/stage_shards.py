"""A stage that several jobs make: `run_shard` makes one shard, `gather` puts them together and then
runs the stage's notebook, which finds all results there. The Snakefile calls both, by `distill-nb
stage --shard` and `--shards`."""

import logging
import os
import time
from dataclasses import replace

from distill_nb import params
from distill_nb.evaluation import evaluate, shard_merge
from distill_nb.params import Params
from distill_nb.report import failures
from distill_nb.runtime import disk, gpus, provenance, stop
from distill_nb.runtime.shard import Shard
from distill_nb.study import graph, shard_stamps, stage, stamps
from distill_nb.study.graph import Stage
from distill_nb.traces import params as trace_params
from distill_nb.traces import shards as trace_shards

log = logging.getLogger(__name__)


def run_shard(
    which: Stage,
    shard: Shard,
    planned: str = "",
    n_gpus: int = 0,
    overwrite: bool = False,
    attempt: int = 1,
) -> int:
    """Make one shard of a stage, in this process, and write its stamp if it is finished; returns 1
    if it is not. What it has made is kept, and the next start goes on there. Arguments and errors
    are those of stage.run."""
    name, started = f"{which.name}_shard_{shard}", time.time()
    graph.values(which)  # of no run: refused, and no folder made
    failures.forget(which.dir(), name)
    stage.refuse_changed(which, planned)
    stage.refuse_too_few(which, n_gpus)
    overwrite = overwrite and which.name == "eval" and stage.to_overwrite(which, attempt, shard)
    if overwrite:  # before anything is lost: a kill must not leave stamps of what was made from it
        stamps.remove_stamps_from(which)
    try:
        with (
            disk.room(which.dir()),
            gpus.claimed(n_gpus) as devices,
            stage.teacher(which) as environment,
        ):
            os.environ.update(environment | gpus.environment(devices))
            lack = _make(which, shard, overwrite)
    except Exception as error:
        failures.keep(which.dir(), name, 1, [str(error)], started)
        if isinstance(error, stop.Stopped):
            log.error(str(error))
            return 1
        raise
    if lack:
        said = f"{which}: shard {shard.number} of {shard.of} has run and is not done: {lack}."
        failures.keep(which.dir(), name, 1, [said], started)
        log.error(said)
        return 1
    about = {"gpus": devices, "started": started, "finished": time.time()}
    provenance.write(shard_stamps.stamp(which, shard), about)
    return 0


def _make(which: Stage, shard: Shard, overwrite: bool) -> str:
    """Make a shard; what it lacks, in words."""
    if which.name == "traces":
        values = graph.parameters(which)
        trace_shards.make(trace_params.validate(values, str(which)), shard)
        return ""
    record = evaluate.evaluate(replace(_run_of(which), overwrite=overwrite), shard=shard)
    if record["finished"]:
        return ""
    failed = f"{record['failed_requests']} requests failed"
    return "; ".join(record["unproven"]) or f"{failed}, and are asked again at the next start"


def _run_of(which: Stage) -> Params:
    """The parameters of an evaluation, as its notebook gets them."""
    p = params.validate(graph.parameters(which), str(which))
    return replace(p, overwrite=False, regrade=False)


def gather(
    which: Stage,
    of: int,
    planned: str = "",
    n_gpus: int = 0,
    overwrite: bool = False,
    attempt: int = 1,
) -> int:
    """Run a stage whose shards are made. An evaluation is not made anew here: its shards were.
    Raises ShardsMissing, ValueError, where a shard is missing; its stamp is then removed, so that
    the next start makes it."""
    if which.name == "eval":
        overwrite, started = False, time.time()
        stage.refuse_changed(which, planned)
        try:
            shard_merge.merge(_run_of(which), of)
        except Exception as error:
            if isinstance(error, shard_merge.ShardsMissing):
                shard_stamps.forget(which, error.missing)
            failures.keep(which.dir(), which.name, 1, [str(error)], started)
            raise
    status = stage.run(which, planned, n_gpus, overwrite, attempt)
    if not status:
        shard_stamps.forget(which)
    return status

"""The hidden subcommands that the Snakefile and the Makefile call."""

import sys

import click

from distill_nb.runtime import gpus, paths
from distill_nb.runtime.shard import parse
from distill_nb.study import stage, stage_shards, status
from distill_nb.study.command_line import SCALES, command
from distill_nb.study.graph import Stage


@command("stage", hidden=True)
@click.argument("scale", type=SCALES)
@click.argument("name")
@click.option("--made", "planned", default="", help="The hash under which the stage was planned.")
@click.option("--gpus", "n_gpus", default=0, help="How many GPUs it needs.")
@click.option("--overwrite", is_flag=True, help="Start again instead of resuming.")
@click.option("--attempt", default=1, help="A later one goes on with what the first overwrote.")
@click.option("--shard", default="", help="Make this shard alone, such as 2_of_4.")
@click.option("--shards", default=1, help="How many shards are made, and put together.")
def stage_(scale: str, name: str, shard: str, shards: int, **how) -> None:
    """Run one stage of the study, such as llama8b_math_4k/train."""
    if "/" not in name:
        raise ValueError(f"{name}: name a stage by folder and name, as in llama8b_math_4k/train.")
    which = Stage(scale, *name.rsplit("/", 1))
    if shard:
        sys.exit(stage_shards.run_shard(which, parse(shard), **how))
    sys.exit(stage_shards.gather(which, shards, **how) if shards > 1 else stage.run(which, **how))


@command("report-failed", hidden=True)
@click.argument("scale", type=SCALES)
def report_failed(scale: str) -> None:
    """The analysis and the index of what there is, when a failure kept the study from them."""
    click.echo(str(stage.write_report(scale)))


@command("stamp", hidden=True)
@click.argument("scale", type=SCALES)
@click.argument("name")
def stamp(scale: str, name: str) -> None:
    """The file that says that a stage is done, as the Snakefile names it."""
    stamp = status.stamp_of(scale, name).relative_to(paths.runs())
    click.echo(f"{paths.runs_from_here()}/{stamp.as_posix()}")


@command("gpus", hidden=True)
def gpus_() -> None:
    """How many GPUs this process may use."""
    click.echo(str(len(gpus.visible())))

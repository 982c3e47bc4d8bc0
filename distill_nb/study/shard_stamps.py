"""Which stages are made by shards, and what says that a shard of one is done:

    runs/<scale>/<folder>/made/<stage>_shard_2_of_4-<hash>

with the hash of the stage (ingredients.py). The shards' stamps are removed when the stage itself is
done."""

from pathlib import Path

from distill_nb.runtime.shard import Shard
from distill_nb.study import graph
from distill_nb.study.graph import Stage
from distill_nb.study.ingredients import hash_of


def count(stage: Stage, wanted: int) -> int:
    """By how many shards a stage is made where `wanted` are asked for; 1: by one process. Generated
    traces are made in seconds, and batches of an API are one account's."""
    if wanted == 1 or stage.name not in ("eval", "traces"):
        return 1
    given = graph.parameters(stage)
    if stage.name == "traces" and given["teacher_api"] == "none":
        return 1 if given["source"] == "pocket" else wanted
    if stage.name == "traces":
        return wanted if given["teacher_mode"] == "messages" else 1
    return wanted


def stamp(stage: Stage, shard: Shard) -> Path:
    """The file that says that a shard is done as it would be made now."""
    return stage.dir() / "made" / f"{stage.name}_shard_{shard}-{hash_of(stage)}"


def forget(stage: Stage, some: list[Shard] | None = None) -> None:
    """Remove the stamps of some shards of a stage, or of all: they are to be made again."""
    for each in ["*"] if some is None else some:
        for file in (stage.dir() / "made").glob(f"{stage.name}_shard_{each}-*"):
            file.unlink(missing_ok=True)

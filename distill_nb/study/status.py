"""What of a study is done, what would run, and why."""

from pathlib import Path

from distill_nb.study import graph, stamps
from distill_nb.study.graph import Stage


def stages(scale: str) -> list[tuple[Stage, str]]:
    """(stage, what there is to say of it) of all stages of a scale, each after those that it reads.

    `done` alone: it is as it would be made now. Else why it would run, or which earlier code made
    its results."""
    return [(stage, stamps.state(stage) or "done") for stage in graph.everything(scale)]


def stamp_of(scale: str, name: str) -> Path:
    """The file that says that a stage is done; name: as in llama8b_math_4k/train.

    Raises ValueError for what is no stage."""
    folder, _, stage = name.rpartition("/")
    if not folder or stage not in stamps.RECORD:
        raise ValueError(
            f"OVERWRITE: {name} is no stage; write a folder and traces, train or eval, as in "
            "llama8b_math_4k/train."
        )
    return stamps.stamp(Stage(scale, folder, stage))

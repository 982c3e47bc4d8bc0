"""TODO docstring."""

from __future__ import annotations

import sys

from distill_nb.runtime import paths
from distill_nb.study import graph, stamps
from distill_nb.study.graph import Stage


def main(arguments: list[str]) -> None:
    if (
        len(arguments) not in (1, 2)
        or arguments[0] not in ("full", "pocket", "tiny")
        or "/" not in (arguments[1:] or "/")[0]
    ):
        sys.exit(
            "usage: python -m distill_nb.study.ingredients full|pocket|tiny [STAGE]   (the stages "
            "that the study would run, and "
            "why; of one stage, as llama8b_math_4k/train, its file below the runs folder)"
        )
    try:
        if arguments[1:]:
            stage = Stage(arguments[0], *arguments[1].rsplit("/", 1))
            if stage.name not in stamps.RECORD:
                raise ValueError(
                    f"OVERWRITE: {stage} is no stage; write a folder and traces, train or eval, as "
                    "in "
                    "llama8b_math_4k/train."
                )
            print(stamps.stamp(stage).relative_to(paths.runs()))
            return
        for stage in graph.everything(arguments[0]):
            if said := stamps.state(stage):
                print(f"{stage}\t{said}")
    except ValueError as error:
        sys.exit(str(error))

"""Whether the disks have room for the whole: what is still to be downloaded, and what the plan
counts of the runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from distill_nb import params
from distill_nb.params import Params
from distill_nb.plan import architectures, estimate, evaluation_estimate
from distill_nb.plan import plan as planning
from distill_nb.runtime import paths
from distill_nb.study import online_students
from distill_nb.study.doctor import Finding
from distill_nb.study.online_hub import Needs, size_text

LARGER = "make room, or set {} to a folder on a larger disk"


def look(runs: list[Params], needs: Needs, unknown: list[str]) -> Iterator[Finding]:
    """Yield what each place takes and has. unknown: sources that did not say their size."""
    from huggingface_hub import constants

    download = sum(needs.values())
    kept, merged = _of_runs(runs)
    cache, place = _existing(Path(constants.HF_HUB_CACHE)), _existing(paths.runs())
    without = f", without {', '.join(unknown)}" if unknown else ""
    said = f"{size_text(download)} to download{without}"
    whole = f"{size_text(kept)} that stay and {size_text(merged)} during an evaluation"
    if os.stat(cache).st_dev == os.stat(place).st_dev:
        variables = "HF_HOME or DISTILL_NB_RUNS"
        yield _room("disk", place, download + kept + merged, f"{said}; runs: {whole}", variables)
        return
    yield _room("the hub's cache", cache, download, said, "HF_HOME")
    yield _room("runs", place, kept + merged, whole, "DISTILL_NB_RUNS")


def _of_runs(runs: list[Params]) -> tuple[int, int]:
    """As planning.disk, of runs and baselines."""
    trained, evaluations = [], []
    for p in runs:
        config, _ = architectures.config_of(p)
        counts = online_students.plan_counts(p, config)
        device = estimate.device_of(p, "this")
        evaluations.append(evaluation_estimate.of_config(p, device, config, counts))
        if not params.is_baseline(p):
            trained.append(estimate.disk_of(p, counts))
    return planning.disk(trained, evaluations)


def _existing(place: Path) -> Path:
    return next(p for p in (place, *place.parents) if p.exists())


def _room(what: str, place: Path, needed: int, said: str, variables: str) -> Finding:
    free = shutil.disk_usage(place).free
    found = f"{size_text(free)} free in {paths.movable(place)}; {said}"
    short = f"{size_text(needed - free)} too little: {LARGER.format(variables)}"
    return Finding(what, found, short if free < needed else "")

"""How long `papermill notebooks/published.ipynb` and then `analyze.ipynb` take on a checkout
without runs: the published study, and a page that has nothing to show yet.

    python bench/analyze.py [--repeats 3]

Prints wall and processor seconds of every repeat and their medians, and writes
bench/results/analyze.json with the processor's name. The target is under 60 s on a quiet machine;
on a busy one the processor seconds tell more."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distill_nb.runtime import provenance

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("published", "analyze")


def measure() -> dict:
    """One run of both notebooks in an empty runs folder: wall and processor seconds, their kernels'
    included."""
    with tempfile.TemporaryDirectory() as folder:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        for name in NOTEBOOKS:
            command = [
                sys.executable,
                "-m",
                "papermill",
                str(ROOT / "notebooks" / f"{name}.ipynb"),
                str(Path(folder) / f"{name}.ipynb"),
                "--no-progress-bar",
                "--log-level",
                "ERROR",
            ]
            subprocess.run(
                command,
                check=True,
                env=os.environ | {"DISTILL_NB_RUNS": folder},
                stderr=subprocess.DEVNULL,
            )
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_seconds": round(wall, 1), "processor_seconds": round(used, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = [measure() for _ in range(parser.parse_args().repeats)]
    medians = {key: statistics.median(r[key] for r in repeats) for key in repeats[0]}
    report = {
        "device": provenance.device(),
        "load_average": os.getloadavg()[0],
        "repeats": repeats,
        "median": medians,
    }
    file = ROOT / "bench" / "results" / "analyze.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

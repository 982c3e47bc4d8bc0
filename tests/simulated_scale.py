"""The folder of a scale with the study's runs, simulated: records whose truth is known, and what
says how each run was trained. The analysis takes it as it takes a real one."""

from pathlib import Path

import numpy as np

from bench.simulated_records import STEPS, Student, Study
from distill_nb import params
from distill_nb.runtime import files, jsonl

RUNS = tuple(f"run{i:02d}.yaml" for i in range(1, 11))
SIZES = {"math500": 500, "mbpp_plus": 378, "humaneval_plus": 164, "livecodebench": 279}
TRAINED_ON = {"math500": "math"}  # benchmark → the domain that gains by it; else code
BASE = Student(0.6, cut_off=0.02)
GAINED, LOST = Student(0.7, cut_off=0.02), Student(0.52, cut_off=0.12)


def write(scale_dir: Path, runs=RUNS, sizes=SIZES, steps=STEPS, **changes) -> None:
    """Write records of runs (files of papermill_params/, with changes): each gains 10 points in its
    own domain, and in the other loses skill and length."""
    rng, studies = np.random.default_rng(0), {}
    for file in runs:
        p = params.read_files(file) | changes
        study = studies.setdefault(p["student"], Study(rng, sizes, BASE))
        after = {b: GAINED if TRAINED_ON.get(b, "code") == p["domain"] else LOST for b in sizes}
        about = {key: p[key] for key in ("student", "teacher", "domain")}
        made = study.run(p["run_name"], after, steps=steps, **about)
        folder = scale_dir / p["run_name"]
        for (step, benchmark), rows in made.groupby(["step", "benchmark"]):
            out = folder / "eval" / f"step_{step:05d}" / f"{benchmark}.jsonl"
            out.parent.mkdir(parents=True, exist_ok=True)
            jsonl.write(out, rows.drop(columns="folder").to_dict("records"))
        record = {"parameters": p | {"scale": scale_dir.name}, "finished": True}
        files.write_json(folder / "provenance_train.json", record)

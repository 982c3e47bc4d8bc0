"""Two kills of Snakemake over a run of the tiny study: what comes out is what comes out without."""

import os
import shutil
import subprocess

import pytest
from test_chaos import chaos
from test_slurm import content

from distill_nb.runtime import paths


@pytest.mark.timeout(3600)
def test_snakemake_is_killed_and_its_orphans_work_on(study_runs, tmp_path):
    run, runs = "llama8b_math_4k", tmp_path / "runs"
    for folder in ("fixtures", "traces"):  # copied with their stamps: they are done
        shutil.copytree(study_runs / "tiny" / folder, runs / "tiny" / folder)
    command = [*chaos.graph_command(), "--", str(runs / "tiny" / run / "eval.html")]

    def start():
        with open(tmp_path / "runs.log", "ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=tmp_path,
                env=os.environ | {"DISTILL_NB_RUNS": str(runs), "PYTHONPATH": str(paths.ROOT)},
            )

    moments = [("train", 1, "command alone"), ("eval", 3, "command")]
    done, kept = chaos.killed(start, moments, runs, {"train": 4, "eval": 30})
    print((tmp_path / "runs.log").read_text())
    assert [(kill["phase"], kill["victim"], kill["run"]) for kill in done] == [
        (phase, victim, run) for phase, _, victim in moments
    ]
    assert start().wait(600) == 0
    assert chaos.lost(kept) == [] and sum(map(len, kept[-1].values())) >= 3
    for file in (study_runs / "tiny" / run).rglob("adapter_model.safetensors"):
        assert content(runs / file.relative_to(study_runs)) == content(file)
    for file in (study_runs / "tiny" / run / "eval").rglob("*.jsonl"):
        one, two = (
            sorted(content(f), key=str) for f in (file, runs / file.relative_to(study_runs))
        )
        assert one == two and len(one) == 2

"""The study on a real Slurm of one node, which the test starts: profiles/slurm with the lines
changed that a user changes."""

import re
import shutil
import threading

import pytest
import yaml
from conftest import snakemake

from distill_nb.runtime import jsonl, paths, provenance

pytestmark = pytest.mark.timeout(3600)  # the study comes first
RUNS = ("llama8b_math_4k", "llama8b_code_4k")


def changed_profile(folder):
    """profiles/slurm with the lines changed that docs/slurm.md shows, as a user of a cluster
    without accounts does; and small jobs, and no wait between looks at the queue."""
    values = yaml.safe_load((paths.ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    assert values["default-resources"].pop("slurm_account") and values["retries"] == 2
    values["default-resources"]["slurm_partition"] = "'main'"
    on_gpus = ("train", "eval", "eval_shard")
    assert {values["set-resources"][rule].pop("gpu_model") for rule in on_gpus} == {"'h100'"}
    for resources in (values["default-resources"], *values["set-resources"].values()):
        resources |= {"mem_mb": 3000, "cpus_per_task": 1}
    values |= {
        "latency-wait": 15,
        "slurm-no-account": True,
        "slurm-init-seconds-before-status-checks": 2,
        "slurm-keep-successful-logs": True,
        "slurm-logdir": str(folder / "logs"),
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


def test_readme_shows_all_lines_of_the_profile_that_name_a_cluster():
    profile = yaml.safe_load((paths.ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    page = (paths.ROOT / "docs" / "slurm.md").read_text()
    shown = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    own = ("slurm_account", "slurm_partition", "gpu_model")
    named = {
        (key, rule): value
        for rule, resources in {
            "": profile["default-resources"],
            **profile["set-resources"],
        }.items()
        for key, value in resources.items()
        if key in own
    }
    there = {
        (key, rule): value
        for rule, resources in {"": shown["default-resources"], **shown["set-resources"]}.items()
        for key, value in resources.items()
    }
    assert named == {k: v for k, v in there.items() if k[0] in own} and len(named) == 5
    assert {k: v for k, v in there.items() if k[0] == "runtime"} == {
        ("runtime", rule): profile["set-resources"][rule]["runtime"]
        for rule in ("train", "eval", "eval_shard")
    }


def cancel_once_both_train(cluster, run, cancelled, done):
    """Cancel the training job of a run when both runs are in training."""
    while not done.wait(0.3):
        lines = cluster.ask("squeue", "-h", "-t", "R", "-o", "%A %k").splitlines()
        training = {
            comment: job
            for job, _, comment in (line.partition(" ") for line in lines)
            if "rule_train" in comment
        }
        if len(training) == 2 and all(
            (cluster.runs / "tiny" / name / "train.ipynb").exists() for name in RUNS
        ):
            cancelled.extend(job for comment, job in training.items() if run in comment)
            cluster.ask("scancel", *cancelled)
            return


def content(file):
    """A file of results without what a clock decides."""
    if file.suffix == ".jsonl" and "eval" in file.parts:
        return [{k: v for k, v in r.items() if k != "seconds"} for r in jsonl.read(file)]
    return provenance.sha256_of_file(file)


def test_two_runs_go_through_slurm_to_the_same_results_though_one_is_cancelled(
    cluster, study_runs, tmp_path
):
    runs, profile = tmp_path / "runs", changed_profile(tmp_path / "profile")
    for folder in ("fixtures", "traces"):  # copied with their stamps: they are done
        shutil.copytree(study_runs / "tiny" / folder, runs / "tiny" / folder)
    cluster.runs, cancelled, done = runs, [], threading.Event()
    watcher = threading.Thread(
        target=cancel_once_both_train, args=(cluster, RUNS[1], cancelled, done)
    )
    watcher.start()
    pages = [runs / "tiny" / run / f"{name}.html" for run in RUNS for name in ("train", "eval")]
    ended = snakemake(
        paths.ROOT,
        runs,
        "--workflow-profile",
        profile,
        *pages,
        **{k: cluster.environment[k] for k in ("SLURM_CONF", "PATH")},
    )
    done.set()
    watcher.join()
    text = ended.stdout + ended.stderr
    assert ended.returncode == 0 and all(page.is_file() for page in pages), text[-5000:]
    assert len(cancelled) == 1, text[-5000:]

    # the cancelled job was submitted again, and it alone
    logs = {
        run: [f.read_text() for f in sorted((profile / "logs").glob(f"rule_train/*{run}*/*.log"))]
        for run in RUNS
    }
    assert {run: len(found) for run, found in logs.items()} == {RUNS[0]: 1, RUNS[1]: 2}
    # the two that ran side by side had a GPU each, and Slurm's word was taken for it
    devices = {
        run: re.findall(r"\$ CUDA_VISIBLE_DEVICES=(\S*) papermill", found[0])
        for run, found in logs.items()
    }
    assert sorted(devices.values()) == [["0"], ["1"]], devices

    for run in RUNS:
        names = {
            f.relative_to(study_runs)
            for kind in ("eval/*/*.jsonl", "checkpoints/*/adapter_model.safetensors")
            for f in (study_runs / "tiny" / run).glob(kind)
        }
        assert len(names) == 17
        for name in names:
            assert content(runs / name) == content(study_runs / name), name


# ---- one evaluation as several jobs


def without_evaluation(study_runs, run, runs):
    """Copy of a study's fixtures and of one trained run, which is not evaluated yet."""
    for folder in ("fixtures", "traces", run):
        shutil.copytree(study_runs / "tiny" / folder, runs / "tiny" / folder)
    shutil.rmtree(runs / "tiny" / run / "eval")
    for name in ("eval.*", "provenance_eval.json", "made/eval-*"):
        for file in (runs / "tiny" / run).glob(name):
            file.unlink()


def cancel_a_shard(cluster, place, cancelled, done):
    """Cancel the job of a shard once it has begun to evaluate."""
    while not done.wait(0.2):
        if (place / ".lock").exists():
            lines = cluster.ask("squeue", "-h", "-t", "R", "-o", "%A %k").splitlines()
            cancelled += [line.split()[0] for line in lines if place.name in line]
            cluster.ask("scancel", *cancelled)
            return


def test_four_shards_of_an_evaluation_one_of_them_cancelled_make_the_same_records(
    cluster, study_runs, tmp_path
):
    runs, profile, run = tmp_path / "runs", changed_profile(tmp_path / "profile"), RUNS[0]
    without_evaluation(study_runs, run, runs)
    place, cancelled, done = (
        runs / "tiny" / run / "eval" / "shards" / "2_of_4",
        [],
        threading.Event(),
    )
    watcher = threading.Thread(target=cancel_a_shard, args=(cluster, place, cancelled, done))
    watcher.start()
    page = runs / "tiny" / run / "eval.html"
    ended = snakemake(
        paths.ROOT,
        runs,
        "--workflow-profile",
        profile,
        "--config",
        "shards=4",
        "--",
        page,
        **{k: cluster.environment[k] for k in ("SLURM_CONF", "PATH")},
    )
    done.set()
    watcher.join()
    text = ended.stdout + ended.stderr
    assert ended.returncode == 0 and page.is_file(), text[-5000:]
    assert len(cancelled) == 1, text[-5000:]

    # four jobs, the cancelled one twice, and one that put their records together
    logs = {
        rule: [f.read_text() for f in sorted((profile / "logs").glob(f"rule_{rule}/**/*.log"))]
        for rule in ("eval_shard", "eval", "train")
    }
    assert {rule: len(found) for rule, found in logs.items()} == {
        "eval_shard": 5,
        "eval": 1,
        "train": 0,
    }
    assert "the records of 4 shards are merged" in logs["eval"][0]
    found = sorted(
        f.relative_to(study_runs) for f in (study_runs / "tiny" / run).glob("eval/*/*.jsonl")
    )
    assert len(found) == 15
    for name in found:
        assert content(runs / name) == content(study_runs / name), name
    record = provenance.read(runs / "tiny" / run / "provenance_eval.json", "")
    assert record["finished"]
    assert {s["shard"] for s in record["sessions"]} == {f"{n}_of_4" for n in range(1, 5)}
    left = [f.name for f in (runs / "tiny" / run / "made").iterdir() if "shard" in f.name]
    assert not place.parent.exists() and left == []

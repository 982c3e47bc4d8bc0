"""A new study, in a folder outside of the repository: what is written, and from there to its report
at tiny size, by the commands that the documentation names."""

import json
import os
import subprocess
import sys

import pytest

from distill_nb import params
from distill_nb.params import yaml_text
from distill_nb.runtime import paths
from distill_nb.study import graph, new, study_file, tiny
from distill_nb.traces import params as trace_params

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def traces(file, count=60, plus=7):
    """Write worked sums; returns the file."""
    rows = (
        {"problem": f"What is {i} + {plus}?", "trace": f"It is \\boxed{{{i + plus}}}."}
        for i in range(count)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_new_study_passes_the_checks_and_every_key_of_a_run_is_explained(tmp_path):
    mine = traces(tmp_path / "mine.jsonl")
    file = new.write(tmp_path / "my_study", [LLAMA, "Qwen/Qwen3-30B-A3B-Base"], [mine, "r1_math"])
    study = study_file.read(file)
    names = ["llama_3_1_8b_instruct", "qwen3_30b_a3b_base"]
    runs = [f"{name}_{source}" for name in names for source in ("mine", "r1_math")]
    assert list(study.runs) == runs and study.name == "my_study"
    assert list(study.baselines) == [f"baseline_{name}" for name in names]
    checked, (made,) = study_file.check(study)
    own = ("teacher", "domain", "dataset", "n_examples", "n_heldout", "batch_size", "max_steps")
    assert [tuple(getattr(p, key) for key in own) for p in checked[:2]] == [
        ("mine", "math", mine, 50, 6, 5, 10),
        ("r1", "math", "r1_math", 25000, 200, 50, 500),
    ]
    assert made.dataset == "r1_math" and made.students == [LLAMA, "Qwen/Qwen3-30B-A3B-Base"]
    text = (file.parent / f"{runs[0]}.yaml").read_text()
    for line in text.splitlines():
        assert not line or line.startswith("#") or "  # " in line, line
    assert "# optimiser\n" in text and "ours" not in text
    # the grid that a comment shows can be taken as it is
    shown = [line[2:] for line in file.read_text().splitlines() if line.startswith("#   - run")]
    assert shown and "grid: {learning_rate: [" in file.read_text()
    assert yaml_text.read("\n".join(shown), "")[0]["run"] == f"{runs[0]}.yaml"
    small = study.small["pocket"]  # of 60 traces, not the pocket run's 90
    assert (small["n_examples"], small["n_heldout"]) == (48, 6)
    assert (small["max_steps"], small["save_every"]) == (12, 6)  # two checkpoints, as there
    assert small["batch_size"] == small["micro_batch_size"] == 4
    trace_params.validate(study_file.values_of(study.sets["r1_math"]))


def test_traces_that_are_enough_for_a_pocket_run_leave_it_as_it_is(tmp_path):
    for count, small in ((87, {"n_examples": 72, "max_steps": 18}), (90, {})):
        mine = traces(tmp_path / f"{count}.jsonl", count)
        file = new.write(tmp_path / f"of_{count}", [LLAMA], [mine])
        found = study_file.read(file).small["pocket"]
        assert {key: found[key] for key in small} == small and bool(found) == bool(small)


@pytest.mark.parametrize(
    ("count", "steps"),
    [
        (20, (1, 15, 3)),
        (120, (10, 10, 2)),
        (500, (25, 15, 3)),
        (25_200, (50, 500, 100)),
        (10**6, (50, 500, 100)),
    ],
)
def test_each_trace_is_seen_once_and_there_are_five_checkpoints(count, steps):
    sizes = new.sizes(count)
    assert (sizes["batch_size"], sizes["max_steps"], sizes["save_every"]) == steps
    assert sizes["n_examples"] == steps[0] * steps[1] <= count - sizes["n_heldout"]


def test_what_cannot_be_a_study_is_refused_and_nothing_is_written(tmp_path):
    mine, few = traces(tmp_path / "mine.jsonl"), traces(tmp_path / "few.jsonl", 19)
    for folder, students, files, says in (
        (tmp_path, [LLAMA], [mine], "there is something already: name a new folder"),
        (tmp_path / "tiny", [LLAMA], [mine], "take none of full, pocket, tiny"),
        (tmp_path / "own", ["a/b"], [mine], "set chat_template to one of llama3"),
        (tmp_path / "own", [LLAMA], [few], "it has 19 traces: give 20 or more"),
        (tmp_path / "own", [LLAMA], ["no.jsonl"], "this is no file of traces and no set"),
        (tmp_path / "own", [LLAMA], ["qwq_math"], "no papermill_params/traces_qwq_math.yaml"),
    ):
        with pytest.raises(ValueError, match=says):
            new.write(folder, students, files)
        assert sorted(f.name for f in tmp_path.iterdir()) == ["few.jsonl", "mine.jsonl"]


def distill_nb(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    for name in (study_file.VARIABLE, "DISTILL_NB_RUNS"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "distill_nb", *words],
        cwd=folder,
        env=environment | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.timeout(3600)
def test_a_study_outside_of_the_repository_goes_to_its_report(tmp_path):
    pytest.importorskip("snakemake", reason="Snakemake is not installed: make setup-study")
    files = [traces(tmp_path / f"{n}.jsonl", 40, i) for i, n in enumerate(("short", "long"))]
    given = [word for file in files for word in ("--traces", file)]
    said = distill_nb(tmp_path, "new", "my_study", "--student", LLAMA, *given)
    assert "distill-nb study my_study/study.yaml --scale tiny  " in said
    study = tmp_path / "my_study"
    for file in study.glob("*llama*.yaml"):  # one benchmark, which needs no other package
        text = file.read_text()
        assert "benchmarks: [math500, mbpp_plus," in text
        file.write_text(
            text.replace("[math500, mbpp_plus, humaneval_plus, livecodebench]", "[math500]")
        )
    distill_nb(tmp_path, "study", "my_study/study.yaml", "--scale", "tiny")
    runs = study / "runs" / "my_study" / "tiny"
    index = (runs / "report" / "index.html").read_text()
    for name in ("short", "long"):
        run = f"llama_3_1_8b_instruct_{name}"
        made = json.loads((runs / run / "provenance_train.json").read_text())
        assert made["finished"] and made["parameters"]["dataset"] == str(tmp_path / f"{name}.jsonl")
        assert f"{run}/eval.html" in index
        assert len(list((runs / run / "eval").glob("step_*/math500.jsonl"))) == 3
    assert "3 runs" in index and "Failed" not in index
    assert (
        "llama_3_1_8b_instruct_long, MATH-500: " in (runs / "report" / "analyze.html").read_text()
    )
    assert not (runs / "report" / "paper.pdf").exists()
    # again, and by the study's folder: all is done
    said = distill_nb(tmp_path, "--study", "my_study", "status", "tiny").splitlines()
    assert len(said) == 8 and all(line.endswith(" done") for line in said)
    assert "Nothing to be done" in distill_nb(tmp_path, "study", "my_study", "--scale", "tiny")


def test_a_new_studys_runs_can_stand_at_every_scale(tmp_path, monkeypatch):
    mine = traces(tmp_path / "mine.jsonl")
    file = new.write(tmp_path / "my_study", [LLAMA], [mine, "r1_math"])
    monkeypatch.setenv(study_file.VARIABLE, str(file))
    monkeypatch.setenv("DISTILL_NB_RUNS", str(tmp_path / "runs"))
    graph.forget()
    for name in params.STUDY:
        tiny.write(name, tiny.folder())
    found = {
        scale: [
            params.validate(graph.parameters(stage), str(stage))
            for stage in graph.grid(scale)
            if stage.name == "eval"
        ]
        for scale in study_file.SCALES
    }
    graph.forget()
    sizes = [[(p.dataset, p.n_examples, p.max_steps) for p in runs] for runs in found.values()]
    assert sizes == [
        [(mine, 50, 10), ("r1_math", 25000, 500), ("none", 0, 0)],
        [(mine, 48, 12), ("pocket", 48, 12), ("pocket", 48, 12)],  # the baseline learns nothing
        [(mine, 16, 4), ("r1_math", 16, 4), ("pocket", 16, 4)],
    ]
    assert {p.student for p in found["pocket"]} == {params.POCKET_STUDENT}

"""The whole study at tiny scale: all stages, what runs again after a change, and what a failure
leaves."""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import KEY, ODD, snakemake
from helpers import needs

from distill_nb import params
from distill_nb.params import BENCHMARKS
from distill_nb.report import notebook_page
from distill_nb.runtime import jsonl, paths, provenance
from distill_nb.traces import show

pytestmark = pytest.mark.timeout(3600)  # the first of them makes the study
PUBLISHED = params.read_files("studies/published.yaml")
RUNS = [file for file in PUBLISHED["runs"] if file.startswith("run")]
BASELINES = PUBLISHED["baselines"]
SETS = ("r1_code", "r1_math", "sonnet_code", "sonnet_math")
FOLDERS = {file: params.read_files(file)["run_name"] for file in (*RUNS, *BASELINES)}
ENDS = [f"{folder}/eval" for folder in FOLDERS.values()] + ["report/analyze", "report/paper"]


def test_the_four_sets_are_made_and_shown(study_runs, monkeypatch):
    monkeypatch.setenv("DISTILL_NB_RUNS", str(study_runs))
    for name in SETS:
        counts = show.funnel(name, "tiny")
        assert (
            counts["kept"] == 18 and set(counts["rejected"]) - {"not_needed"}
        ) or name.startswith("sonnet")
        page = (study_runs / "tiny" / "traces" / name / "traces.html").read_text()
        assert (
            page.count("<details") >= 10
            and "data:image/svg+xml" in page
            and "cut: lose the end token" in page
        )
        assert ("for each kept trace" in page) == name.startswith("sonnet")
    table = show.overlap("tiny")
    assert table.loc["r1_math", "sonnet_math"] == 18 == table.loc["r1_code", "sonnet_code"]
    assert table.loc["r1_math", "r1_code"] == 0
    for file in study_runs.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), (
            f"the API key is in {file.name}"
        )


@pytest.mark.parametrize("file", RUNS)
def test_each_run_is_trained_on_its_own_set_and_evaluated_on_all_five_benchmarks(file, study_runs):
    given, folder = params.read_files(file), study_runs / "tiny" / FOLDERS[file]
    trained = json.loads((folder / "provenance_train.json").read_text())
    assert trained["finished"] and trained["parameters"]["dataset"] == given["dataset"] in SETS
    assert sorted(f.name for f in folder.glob("checkpoints/step_*")) == ["step_00002", "step_00004"]
    assert sorted(f.name for f in folder.glob("eval/step_*")) == [
        "step_00000",
        "step_00002",
        "step_00004",
    ]
    for step in (0, 2, 4):
        for benchmark in BENCHMARKS[:5]:
            found = jsonl.read(folder / "eval" / f"step_{step:05d}" / f"{benchmark}.jsonl")
            assert len(found) == 2 and all(r["task_id"].startswith("part/") for r in found)
            assert {r["outcome"] for r in found} <= {
                "correct",
                "wrong",
                "no_answer",
                "truncated",
                "timeout",
            }
    assert (
        "data:image/svg+xml" in (folder / "train.html").read_text()
        and "Accuracy" in (folder / "eval.html").read_text()
    )


@pytest.mark.parametrize("file", BASELINES)
def test_each_baseline_is_evaluated_as_it_comes(file, study_runs):
    folder = study_runs / "tiny" / FOLDERS[file]
    assert [f.name for f in folder.glob("eval/step_*")] == ["step_00000"] and not (
        folder / "provenance_train.json"
    ).exists()
    assert (
        len(list(folder.glob("eval/step_00000/*.jsonl"))) == 5 and (folder / "eval.html").is_file()
    )


def shown(notebook) -> tuple[str, int]:
    """All texts that an executed notebook shows, and how many figures."""
    outputs = [o for c in nbformat.read(notebook, 4).cells for o in c.get("outputs", [])]
    texts = [o.get("text", "") + o.get("data", {}).get("text/html", "") for o in outputs]
    return "\n".join(texts), sum("image/svg+xml" in o.get("data", {}) for o in outputs)


def test_the_runs_are_analysed_and_written_up(study_runs):
    folder = study_runs / "tiny" / "report"
    texts, images = shown(folder / "analyze.ipynb")
    assert images == 5 and "There are no runs of scale" not in texts
    for name in FOLDERS.values():
        assert f"{name}, MATH-500: " in texts or name.startswith("baseline"), name
    texts, images = shown(folder / "published.ipynb")
    assert images == 7 and "<em>confounded</em>" in texts
    assert '<a href="published.html">' in (folder / "analyze.html").read_text()
    assert '<a href="analyze.html">' in (folder / "published.html").read_text()
    index = (folder / "index.html").read_text()
    assert all(f"{name}/eval.html" in index for name in FOLDERS.values()) and "Failed" not in index
    assert all(f"traces/{name}/traces.html" in index for name in SETS) and "13 runs" in index
    numbers = (folder / "latex" / "paper" / "generated" / "numbers.tex").read_text()
    assert r"\newcommand{\OurRuns}{13}" in numbers
    assert (folder / "paper.pdf").is_file() == bool(shutil.which("latexmk"))


def test_no_two_stages_shared_a_gpu(study_runs):
    made = {f.name: json.loads(f.read_text()) for f in (study_runs / "tiny").rglob("made/*")}
    spans = [
        (m["started"], m["finished"], m["gpus"], name) for name, m in made.items() if m["gpus"]
    ]
    assert len(spans) == 23 and all(len(devices) == 1 for _, _, devices, _ in spans)
    beside = [(a, b) for a in spans for b in spans if a[3] < b[3] and a[0] < b[1] and b[0] < a[1]]
    assert beside and not [(a[3], b[3]) for a, b in beside if a[2] == b[2]]
    assert all(not m["gpus"] for name, m in made.items() if not name.startswith(("train", "eval")))


# ---- what runs again


@pytest.fixture
def copy(tmp_path):
    """A fresh checkout in a folder with an odd name: the same files, all with new times."""
    folder = tmp_path / ODD / "checkout"
    folder.mkdir(parents=True)
    for name in (
        "Snakefile",
        "README.md",
        "distill_nb",
        "notebooks",
        "papermill_params",
        "profiles",
        "paper",
        "figures",
        "bench/results",
    ):
        source = paths.ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "generated")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, folder / name)
    return folder


def edit(file, old, new):
    text = file.read_text()
    assert old in text, f"{old} is not in {file.name}"
    file.write_text(text.replace(old, new, 1))


def out_of_date(copy, runs) -> dict[str, str]:
    """stage → what changed, as `distill-nb status tiny` says, of those that are not simply done."""
    done = subprocess.run(
        [sys.executable, "-m", "distill_nb", "status", "tiny"],
        cwd=copy,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(copy), "DISTILL_NB_RUNS": str(runs)},
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    return {stage: why for stage, why in said.items() if why != "done"}


def planned(copy, runs, *words) -> set[str]:
    """The stages and pages that `snakemake -n` would run."""
    done = snakemake(copy, runs, "-n", "--config", "scale=tiny", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    made = re.findall(r"^    output: (.+)", done.stdout + done.stderr, re.MULTILINE)
    assert made or "Nothing to be done" in done.stdout + done.stderr
    return {re.sub(r"made/(\w+)-\w{16}$", r"\1", m.removeprefix(f"{runs}/tiny/")) for m in made}


def test_a_fresh_checkout_and_an_edit_of_the_readme_rerun_nothing(copy, study_runs):
    edit(copy / "README.md", "# distill_nb", "# distill_nb, edited")
    edit(
        copy / "papermill_params" / "run07.yaml",
        "# what the run is",
        "# what the run is, in other words",
    )
    assert planned(copy, study_runs) == set()
    assert out_of_date(copy, study_runs) == {}


def test_a_changed_parameter_reruns_what_depends_on_it_and_nothing_else(copy, study_runs):
    edit(copy / "papermill_params" / "run07.yaml", "gpu_memory: 0.9", "gpu_memory: 0.8")
    run = "llama8b_math_4k"
    assert planned(copy, study_runs) == {
        f"{run}/eval",
        f"{run}/eval.html",
        "report/analyze",
        "report/analyze.html",
        "report/paper",
        "report/index.html",
    }
    assert out_of_date(copy, study_runs)[f"{run}/eval"] == "parameter gpu_memory"
    edit(copy / "papermill_params" / "run07.yaml", "weight_decay: 0.0", "weight_decay: 0.1")
    assert set(out_of_date(copy, study_runs)) == {
        f"{run}/train",
        f"{run}/eval",
        "report/analyze",
        "report/paper",
    }


def test_a_changed_set_reruns_the_runs_that_learn_from_it(copy, study_runs):
    edit(
        copy / "papermill_params" / "traces_r1_math.yaml",
        "same_template: keep",
        "same_template: remove",
    )
    runs = {
        folder for file, folder in FOLDERS.items() if params.read_files(file)["domain"] == "math"
    }
    assert len(runs) == 5
    assert set(out_of_date(copy, study_runs)) == {
        "traces/r1_math/traces",
        "traces/sonnet_math/traces",
        "report/analyze",
        "report/paper",
        *(f"{run}/{name}" for run in runs for name in ("train", "eval")),
    }


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("traces/show", [f"traces/{name}/traces" for name in SETS]),
        ("analysis/diagnosis", ["report/analyze", "report/paper"]),
        ("evaluation/collect", ENDS),
        ("report/notebook_page", []),
    ],
)
def test_a_changed_module_reruns_what_runs_it_and_nothing_else(module, stages, copy, study_runs):
    file = copy / "distill_nb" / f"{module}.py"
    file.write_text(file.read_text() + "\n# edited\n")
    found = set(out_of_date(copy, study_runs))
    assert found >= set(stages)
    extra = found - set(stages)
    assert extra <= (
        {f"{f}/train" for f in FOLDERS.values()} if module == "evaluation/collect" else set()
    ), extra
    if module == "traces/show":  # what is shown of a set's page is no reason to train
        assert planned(copy, study_runs) == {
            s for stage in stages for s in (stage, f"{stage}.html")
        } | {"report/index.html"}


def test_a_page_asked_for_by_name_is_made_again_too(copy, study_runs):
    edit(copy / "notebooks" / "train.ipynb", "What came out", "What came of it")
    edit(copy / "paper" / "paper.tex", "\\maketitle", "\\maketitle%")
    assert planned(
        copy, study_runs, "--", study_runs / "tiny" / "llama8b_math_4k" / "train.html"
    ) == {"llama8b_math_4k/train", "llama8b_math_4k/train.html"}
    trains = [f"{FOLDERS[file]}/train" for file in RUNS]
    assert planned(copy, study_runs) == {
        *trains,
        *(f"{t}.html" for t in trains),
        "report/paper",
        "report/index.html",
    }


def test_a_changed_notebook_reruns_its_own_stages(copy, study_runs):
    edit(copy / "notebooks" / "train.ipynb", "What came out", "What came of it")
    assert set(out_of_date(copy, study_runs)) == {f"{FOLDERS[file]}/train" for file in RUNS}
    notebook = json.loads((copy / "notebooks" / "eval.ipynb").read_text())
    notebook["cells"][1]["execution_count"] = 7  # opened and run in JupyterLab
    (copy / "notebooks" / "eval.ipynb").write_text(json.dumps(notebook))
    assert not [s for s in out_of_date(copy, study_runs) if s.endswith("eval")]


def test_a_run_that_is_made_anew_takes_along_what_reads_it(copy, study_runs):
    (stamp,) = (study_runs / "tiny" / "llama8b_math_4k" / "made").glob("train-*")
    stages = {"llama8b_math_4k/train", "llama8b_math_4k/eval", "report/analyze"}
    assert planned(copy, study_runs, "overwrite=llama8b_math_4k/train", "--forcerun", stamp) == {
        *stages,
        *(f"{stage}.html" for stage in stages),
        "report/paper",
        "report/index.html",
    }


def test_a_baseline_that_is_made_anew_takes_along_the_runs_that_share_its_records(copy, study_runs):
    (stamp,) = (study_runs / "tiny" / "baseline_llama" / "made").glob("eval-*")
    llamas = {
        folder for file, folder in FOLDERS.items() if "Llama" in params.read_files(file)["student"]
    }
    stages = {*(f"{folder}/eval" for folder in llamas), "report/analyze"}
    assert len(llamas) == 5 and planned(
        copy, study_runs, "overwrite=baseline_llama/eval", "--forcerun", stamp
    ) == {*stages, *(f"{stage}.html" for stage in stages), "report/paper", "report/index.html"}


@needs("snakemake")
def test_one_run_alone_waits_for_its_own_set_only(copy, tmp_path):
    done = snakemake(
        copy, tmp_path / "runs", "-n", tmp_path / "runs" / "full" / "llama8b_math_4k" / "train.html"
    )
    assert done.returncode == 0, done.stderr
    made = re.findall(r"^    output: (.+)", done.stdout + done.stderr, re.MULTILINE)
    assert [re.sub(r"-\w{16}$", "", m.removeprefix(f"{tmp_path}/runs/full/")) for m in made] == [
        "traces/r1_math/made/traces",
        "llama8b_math_4k/made/train",
        "llama8b_math_4k/train.html",
    ]


# ---- what a failure leaves


def test_a_failure_stops_no_other_run_destroys_nothing_and_is_shown(copy, study_runs, tmp_path):
    runs = tmp_path / ODD / "runs"
    shutil.copytree(study_runs, runs)
    for file in ("run07", "run08"):
        edit(copy / "papermill_params" / f"{file}.yaml", "weight_decay: 0.0", "weight_decay: 0.1")
    refused, again = (runs / "tiny" / name for name in ("llama8b_math_4k", "llama8b_code_4k"))
    made = [*refused.rglob("adapter_model.safetensors"), *refused.rglob("*.jsonl")]
    before = {f: provenance.sha256_of_file(f) for f in made}
    other = provenance.sha256_of_file(
        again / "checkpoints" / "step_00004" / "adapter_model.safetensors"
    )
    done = snakemake(copy, runs, "--config", "scale=tiny", "overwrite=llama8b_code_4k/train")
    assert done.returncode != 0
    # refused, with the remedy, and nothing of it lost
    assert "weight_decay (0.0, now 0.1); set overwrite: true" in done.stdout + done.stderr
    assert before and {f: provenance.sha256_of_file(f) for f in before} == before
    cells = [c for c in nbformat.read(refused / "train.ipynb", 4).cells if c.get("execution_count")]
    assert "train.train(p" in cells[-1].source and len(cells) > 4  # the partial notebook is kept
    # the other one is trained anew and evaluated
    assert (
        provenance.sha256_of_file(
            again / "checkpoints" / "step_00004" / "adapter_model.safetensors"
        )
        != other
    )
    assert (
        json.loads((again / "provenance_train.json").read_text())["parameters"]["weight_decay"]
        == 0.1
    )
    assert json.loads((again / "provenance_eval.json").read_text())["finished"]
    # and the report says so, over all that there is
    index = (runs / "tiny" / "report" / "index.html").read_text()
    assert ">Failed <" in index and "llama8b_math_4k/train.html" in index
    assert re.search(r"llama8b_math_4k/train</a>: code cell \d+, ValueError: .*weight_decay", index)
    assert "Traceback" in index and "The same as a table" in index
    assert index.count("<details>") == 3  # these, and the comparisons
    assert "llama8b_code_4k, MATH-500: " in shown(runs / "tiny" / "report" / "analyze.ipynb")[0]
    left = out_of_date(copy, runs)
    assert set(left) == {
        "llama8b_math_4k/train",
        "llama8b_math_4k/eval",
        "report/analyze",
        "report/paper",
    }
    # taken back, it is as it was: finished, and left alone
    edit(copy / "papermill_params" / "run07.yaml", "weight_decay: 0.1", "weight_decay: 0.0")
    page = notebook_page.render(refused / "train.ipynb")
    assert "weight_decay" in page.read_text()


@needs("snakemake")
def test_the_graph_in_contributing_is_the_snakefiles(tmp_path):
    done = snakemake(paths.ROOT, tmp_path / "runs", "--rulegraph", "mermaid-js")
    assert done.returncode == 0, done.stderr

    def drawn(text):
        names = dict(re.findall(r"(id\d+)\[(\w+)\]", text))
        return {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", text)}

    page = (paths.ROOT / "CONTRIBUTING.md").read_text()
    shown = re.search(r"```mermaid\n(.*?)```", page, re.DOTALL)[1]
    assert (
        drawn(shown)
        == drawn(done.stdout)
        >= {("traces", "train"), ("train", "eval"), ("eval", "analyze"), ("analyze", "paper")}
    )

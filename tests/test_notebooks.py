"""The notebooks, executed by the real Papermill; study/test_graph.py executes the study's."""

import json
import subprocess
import sys

import nbformat
import pytest
import simulated_scale

from distill_nb.evaluation.engines import types
from distill_nb.runtime import jsonl, paths
from distill_nb.study import tiny


def papermill(notebook, out, *files, cwd=None, **parameters):
    """Run a notebook as a user does; returns the finished process."""
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(paths.ROOT / "notebooks" / f"{notebook}.ipynb"),
        str(out),
    ]
    for name in files:
        command += ["-f", str(paths.PARAMS_DIR / f"{name}.yaml")]
    for key, value in parameters.items():
        command += ["-y", json.dumps({key: value})]
    return subprocess.run([*command, "--no-progress-bar"], capture_output=True, text=True, cwd=cwd)


def test_all_five_benchmarks_go_through_the_notebook_with_vllm(odd_runs_dir, tmp_path):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    if not types.installed_vllm():
        pytest.skip("vLLM is not installed: make setup-ci installs its CPU build")
    names = ["math500", "aime", "humaneval_plus", "mbpp_plus", "livecodebench"]
    odd_runs_dir.mkdir(parents=True)
    files = {name: str(tiny.write(name, odd_runs_dir.parent)) for name in names}
    for notebook in ("train", "eval"):
        done = papermill(
            notebook,
            tmp_path / f"{notebook}.ipynb",
            "run07",
            "tiny",
            cwd=tmp_path,
            engine="vllm",
            benchmarks=names,
            benchmark_files=files,
            n_samples=2,
            temperature=0.7,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    folder = odd_runs_dir / "tiny" / "llama8b_math_4k"
    for step in (0, 2, 4):
        for name in names:
            found = jsonl.read(folder / "eval" / f"step_{step:05d}" / f"{name}.jsonl")
            assert len(found) == 4 and {r["engine"] for r in found} == {
                f"vllm {types.vllm_version()}"
            }
            assert all(r["seed"] for r in found)
            assert {r["outcome"] for r in found} <= {
                "correct",
                "wrong",
                "no_answer",
                "truncated",
                "timeout",
            }
    record = json.loads((folder / "provenance_eval.json").read_text())
    assert [proof["passed"] for proof in record["adapter_proof"]] == [True, True] and record[
        "adapters"
    ] == "merged"
    assert set(record["benchmarks"]) == set(names) and len(record["benchmarks"]["aime"]["ids"]) == 2
    outputs = [
        str(o)
        for c in nbformat.read(tmp_path / "eval.ipynb", 4).cells
        for o in c.get("outputs", [])
    ]
    assert any("pass@2" in o and "aime 2024 (part)" in o for o in outputs)


def test_the_real_benchmarks_go_through_the_notebook(runs_dir, tmp_path, data_dir):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    files = {
        "math500": "math500/math500.jsonl",
        "aime": "aime/aimo-validation-aime.jsonl",
        "humaneval_plus": "evalplus/HumanEvalPlus.jsonl.gz",
        "mbpp_plus": "evalplus/MbppPlus.jsonl.gz",
    }
    done = papermill(
        "eval",
        tmp_path / "eval.ipynb",
        "baseline_llama",
        "tiny",
        cwd=tmp_path,
        max_steps=0,
        dataset="none",
        n_examples=0,
        benchmarks=list(files),
        benchmark_files={name: str(data_dir / file) for name, file in files.items()},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((runs_dir / "tiny" / "baseline_llama" / "provenance_eval.json").read_text())
    sizes = {
        name: (source["size"], source["whole"], source["taken"])
        for name, source in record["benchmarks"].items()
    }
    assert sizes == {
        "math500": (500, True, 3),
        "aime": (90, True, 3),
        "humaneval_plus": (164, True, 3),
        "mbpp_plus": (378, True, 3),
    }
    assert all(
        source["sha256"] and len(source["ids"]) == 3 for source in record["benchmarks"].values()
    )


def shown(name, folder, **parameters) -> tuple[str, int]:
    """All texts that an executed notebook shows, and how many figures."""
    done = papermill(name, folder / f"{name}.ipynb", cwd=folder, **parameters)
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [
        o for c in nbformat.read(folder / f"{name}.ipynb", 4).cells for o in c.get("outputs", [])
    ]
    texts = [o.get("text", "") + o.get("data", {}).get("text/html", "") for o in outputs]
    return "\n".join(texts), sum("image/svg+xml" in o.get("data", {}) for o in outputs)


def test_the_published_study_is_analysed_without_any_run(runs_dir, tmp_path):
    texts, images = shown("published", tmp_path)
    assert images == 7
    first, rest = texts.split("</ol>", 1)  # the verdicts come first
    for verdict in ("confounded", "contradicted", "inconclusive", "supported"):
        assert f"<em>{verdict}</em>" in first
    assert first.count("<li ") == 7 and "claims of the write-up" in rest[:1500]
    assert "129/164" in texts and "80.6 [76.9, 83.8]" in texts
    assert not runs_dir.exists()


def test_without_runs_the_analysis_says_what_makes_one(runs_dir, tmp_path):
    texts, _ = shown("analyze", tmp_path, scale="pocket")
    assert texts.startswith("<p>There are no runs of scale pocket yet")
    assert "<code>make demo</code>" in texts.splitlines()[0] and "published.ipynb" in texts
    assert not runs_dir.exists()


def test_runs_are_analysed_with_their_verdicts_first(runs_dir, tmp_path):
    sizes = {"math500": 60, "mbpp_plus": 40}
    simulated_scale.write(runs_dir / "full", ("run07.yaml", "run09.yaml"), sizes, (10, 20))
    texts, images = shown("analyze", tmp_path, scale="full")
    said = "<li><b>llama8b_math_4k</b> (Llama 8B, R1 math), step 20: MATH-500 "
    assert said in texts.splitlines()[0] and "Teacher against teacher, 2 comparisons: " in texts
    assert images == 5  # curves, matrix, gains, outcomes, parts
    assert "8 of the 129 published cells were run here" not in texts  # at other steps
    record = json.loads((runs_dir / "full" / "report" / "provenance_analyze.json").read_text())
    assert record["parameters"] == {"scale": "full", "select_on": "test", "margin": 5.0}


@pytest.mark.parametrize(("key", "value"), [("learning_rat", 0.1), ("student", "no such student")])
def test_a_bad_parameter_stops_the_notebook_before_anything_is_loaded(
    key, value, runs_dir, tmp_path
):
    """params/test_run.py has all that is refused."""
    done = papermill("train", tmp_path / "out.ipynb", "run09", "tiny", **{key: value})
    assert done.returncode != 0 and "ValueError" in done.stderr and key in done.stderr
    executed = [
        c for c in nbformat.read(tmp_path / "out.ipynb", 4).cells if c.get("execution_count")
    ]
    assert "from_notebook" in executed[-1].source and not runs_dir.exists()


@pytest.mark.parametrize("notebook", ["traces", "train", "eval", "analyze", "published"])
def test_every_parameter_is_documented(notebook):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            "--help-notebook",
            str(paths.ROOT / "notebooks" / f"{notebook}.ipynb"),
        ],
        capture_output=True,
        text=True,
    )
    source = nbformat.read(paths.ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells[1].source
    declared = [line for line in source.splitlines() if ": " in line and not line.startswith("#")]
    assert declared and all("  # " in line for line in declared)
    for line in declared:
        assert line.split(":")[0] in done.stdout, done.stdout
    assert "Unknown" not in done.stdout

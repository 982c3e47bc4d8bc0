"""Every location is absolute, and the environment can move what is written."""

from pathlib import Path

import pytest

from distill_nb import params
from distill_nb.evaluation import baseline
from distill_nb.runtime import paths

ROOT = Path(__file__).resolve().parents[2]


def test_the_root_is_the_repository_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("DISTILL_NB_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert paths.ROOT == ROOT
    assert paths.PARAMS_DIR == ROOT / "papermill_params"
    assert paths.runs() == ROOT / "runs"


def test_environment_variables_are_read_at_each_call(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_NB_RUNS", str(tmp_path / "a"))
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "c"))
    assert paths.runs() == tmp_path / "a"
    assert paths.cache() == tmp_path / "c"
    monkeypatch.setenv("DISTILL_NB_RUNS", "elsewhere")
    monkeypatch.setenv("DISTILL_NB_CACHE", "")
    assert paths.runs() == ROOT / "elsewhere"
    assert paths.cache() == Path.home() / ".cache" / "distill_nb"


def test_the_folders_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_NB_RUNS", str(tmp_path))
    p = params.pocket()
    assert paths.run_dir(p) == tmp_path / "pocket" / "pocket_math"
    assert paths.checkpoint_dir(p, 100) == paths.run_dir(p) / "checkpoints" / "step_00100"
    file = paths.records_file(p, 30, "pocket_math")
    assert file == paths.run_dir(p) / "eval" / "step_00030" / "pocket_math.jsonl"
    base = paths.records_file(p, 0, "pocket_code")
    assert base == paths.run_dir(p) / "eval" / "step_00000" / "pocket_code.jsonl"


def test_replicates_get_their_own_folder():
    folders = [paths.run_dir(params.pocket(seed=seed)).name for seed in (0, 1, 2)]
    assert folders == ["pocket_math", "pocket_math_seed1", "pocket_math_seed2"]


def test_runs_share_a_baseline_only_if_they_would_generate_the_same():
    base = baseline.baseline_dir(params.pocket())
    assert base.parent == paths.runs() / "pocket" / "_base"
    assert base.name.startswith("smollm2-135m-instruct-")
    for same in (
        dict(run_name="x"),
        dict(teacher="r1"),
        dict(learning_rate=0.5),
        dict(benchmarks=["aime"]),
        dict(benchmark_limit=5),
    ):
        assert baseline.baseline_dir(params.pocket(**same)) == base, same
    for other in (dict(temperature=0.6), dict(max_new_tokens=97), dict(seed=1),
                  dict(dtype="bfloat16"), dict(student_size="tiny"), dict(chat_template="qwen3"),
                  dict(student="HuggingFaceTB/SmolLM2-135M-Instruct"),
                  dict(engine="auto")):  # fmt: skip
        assert baseline.baseline_dir(params.pocket(**other)) != base, other


@pytest.mark.parametrize("text, record", [
    (ROOT / "data" / "x.jsonl", "data/x.jsonl"),
    (Path.home() / "models" / "llama", "~/models/llama"),
    ("/somewhere/else", "/somewhere/else"),
    ("Qwen/Qwen3-30B-A3B-Base", "Qwen/Qwen3-30B-A3B-Base"),
    ("data/x.jsonl", "data/x.jsonl"),
])  # fmt: skip
def test_movable_is_the_inverse_of_resolve(text, record):
    assert paths.movable(text) == record
    assert paths.resolve(record) == paths.resolve(text)

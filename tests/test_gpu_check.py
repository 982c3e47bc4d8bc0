import importlib.util
import json
import subprocess
import sys
import types

import pytest
import torch

from distill_nb.runtime import paths

SCRIPT = paths.ROOT / "bench" / "gpu_check.py"
HAS_UNSLOTH, HAS_VLLM = (importlib.util.find_spec(name) is not None for name in ("unsloth", "vllm"))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The whole check at tiny size."""
    out = tmp_path_factory.mktemp("gpu_check")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--size", "tiny", "--out", out], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.glob("gpu_check_*_tiny.json")
    return json.loads(file.read_text())


def rows(result, section, **is_):
    return [
        r
        for r in result["rows"]
        if r["section"] == section and all(r[k] == v for k, v in is_.items())
    ]


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_parity(result, kind):
    for way in ("plain", "unsloth") if HAS_UNSLOTH else ("plain",):
        (row,) = rows(result, "parity", kind=kind, way=way)
        assert len(row["losses"]) == 4 and row["losses"][-1] < row["losses"][0]
        assert row["largest_loss_difference"] < 1e-4 and row["largest_weight_difference"] < 0.02


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_steps_and_what_the_plan_expects_of_them(result, kind):
    ways = ("unsloth", "hf", "plain") if HAS_UNSLOTH else ("hf", "plain")
    for spread in ("whole", "r1"):
        made = {way: rows(result, "steps", kind=kind, way=way, spread=spread)[0] for way in ways}
        assert len({r["tokens"] for r in made.values()}) == 1 and made["hf"]["tokens"] <= 4 * 256
        assert all(r["loss_difference"] < 1e-4 for way, r in made.items() if way != "hf")
        for row in made.values():
            sizes = [t["micro_batch_size"] for t in row["tried"]]
            assert sizes == [1, 2][: len(sizes)] and row["micro_batch_size"] in sizes
            assert row["seconds_per_batch_of_50"] == pytest.approx(row["seconds"] * 12.5)
            assert 0 < row["share_of_matrix_rate"] < 1 and row["peak_memory_gib"] > 0
        if HAS_UNSLOTH:
            assert bool(made["unsloth"]["packed_attention"]) == torch.cuda.is_available()
        assert result["ours"][f"{kind} {spread}"]["times_plain"] > 0
        (row,) = rows(result, "plan", kind=kind, way="hf", spread=spread)
        assert row["memory_gib"] > 0 and row["measured_hours"] == pytest.approx(
            made["hf"]["seconds"] * 2 / 3600, abs=1e-6
        )


@pytest.mark.skipif(not HAS_VLLM, reason="vLLM is not installed: make setup-ci installs it")
@pytest.mark.parametrize(
    "kind, ways", [("dense", ["hf", "merged", "multi"]), ("moe", ["hf", "merged"])]
)
def test_evaluation_and_adapter_proof(result, kind, ways):
    (row,) = rows(result, "evaluate", kind=kind, way="")
    assert list(row["medians"]) == ways and row["answers"] == 8
    assert row["answers_as_hf"] == dict.fromkeys(ways, 8)  # float32: the same tokens
    assert len(row["proofs"]) == len(ways) and all(made["passed"] for made in row["proofs"])


def test_two_processes_and_what_needs_a_gpu(result):
    made = rows(result, "processes")
    assert [row["kind"] for row in made] == ["dense", "moe"]
    assert all(len(row["losses"]) == 4 and row["largest_loss_difference"] < 1e-4 for row in made)
    assert all("skipped" in row or len(row["losses"]) == 10 for row in rows(result, "4bit"))


def test_what_fails_or_is_missing_is_recorded_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--size", "tiny", "--only", "parity", "--out", tmp_path],
        capture_output=True,
        text=True,
    )
    (file,) = tmp_path.glob("gpu_check_*_tiny.json")
    found = json.loads(file.read_text())["rows"]
    assert done.returncode == 1 and all("Error" in row["failed"] for row in found)
    assert any("Traceback" in line for row in found for line in row["said"])


def test_a_section_that_ends_too_early_keeps_what_it_has_measured(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu_check

    script = tmp_path / "job.py"
    row, tried = (
        {"section": "steps", "kind": "moe", "way": "hf", "tried": [{"micro_batch_size": 1}]},
        {"micro_batch_size": 2},
    )
    script.write_text(f"""import sys, time
print("TRIED", '{json.dumps(row["tried"][0])}')
print("ROW", '{json.dumps(row)}')
print("TRIED", '{json.dumps(tried)}', flush=True)
print("ROW {{", end="", flush=True)
print("so far", file=sys.stderr, flush=True)
if "hang" in sys.argv: time.sleep(600)
raise KeyError("it ends")
""")
    monkeypatch.setattr(gpu_check, "__file__", str(script))
    for way, reason, said in (
        ("ends", "KeyError: 'it ends'", "so far"),
        ("hang", "the section took more than 600", "so far"),
    ):
        made = gpu_check.process("tiny", tmp_path, 5, "steps", "moe", way)
        assert made[0] == row and len(made) == 2 and made[1]["failed"].startswith(reason)
        assert made[1]["tried"] == [tried] and made[1]["said"][0] == said


def test_a_disk_without_room_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu_check

    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        gpu_check.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=39 * 2**30)
    )
    with pytest.raises(
        SystemExit,
        match=r"39\.0 GiB are free, and .* take up to 40; name a folder on a larger disk by --fo",
    ):
        gpu_check.refuse_small_disks(tmp_path)
    monkeypatch.setattr(
        gpu_check.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=41 * 2**30)
    )
    gpu_check.refuse_small_disks(tmp_path)


def test_full_size_is_refused_without_a_gpu(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 1 and "needs a CUDA device" in done.stderr

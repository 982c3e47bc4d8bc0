import importlib.util
import json
import math
import statistics
import subprocess
import sys
import types

import pytest
import torch

from distill_nb.runtime import paths

SCRIPT = paths.ROOT / "bench" / "gpu_check.py"
HAS_UNSLOTH, HAS_VLLM = (importlib.util.find_spec(name) is not None for name in ("unsloth", "vllm"))
needs_unsloth = pytest.mark.skipif(not HAS_UNSLOTH, reason="Unsloth is not installed")
needs_vllm = pytest.mark.skipif(not HAS_VLLM, reason="vLLM is not installed: make setup-ci")


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """The whole check at tiny size."""
    out = tmp_path_factory.mktemp("gpu_check")
    command = [sys.executable, SCRIPT, "--size", "tiny", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.glob("gpu_check_*_tiny.json")
    result = json.loads(file.read_text())
    assert result["goals"]["Llama-3.1-8B"] == 12_500 and "not measurements" in str(result["goals"])
    lines = [line.split(" (")[0] for line in done.stdout.splitlines()]
    # all in the order in which they ran, but for the one that is asked for by name
    assert set(lines) == result["sections"].keys() and lines[0] == "environment"
    return result["sections"]


@pytest.fixture
def bench(monkeypatch):
    """The script's folder on the path."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))


def rows(sections, name, **is_):
    return [r for r in sections[name]["rows"] if all(r.get(k) == v for k, v in is_.items())]


RELEASE = torch.__version__.partition("+")[0]  # a build's suffix is not in every package's name


def test_environment(sections):
    machine, back_ends, kernel = rows(sections, "environment")
    assert machine["matrix_rate"] > 0 and machine["versions"]["torch"].partition("+")[0] == RELEASE
    assert bool(machine["compiler"]) or machine["lacking"]
    assert machine["cores"] >= 1
    assert back_ends["hf"]["dense"]["attention"] == "sdpa" and not back_ends["vllm_tuned_here"]
    assert "skipped" in kernel or torch.cuda.is_available()


def check_steps(row, loss):
    assert row["losses"][0] == pytest.approx(row["expected_loss"], abs=0.05)
    assert row["losses"][:2] == pytest.approx(loss, abs=1e-4) and len(row["seconds"]) == 3
    assert row["tokens_a_step"] == 4 * 256 and row["peak_memory_gib"] > 0 and row["layers"] == 2
    rate = row["tokens_a_step"] / statistics.median(row["seconds"])
    assert row["tokens_per_second"] == pytest.approx(rate, rel=0.01)
    assert row["plan_gib"] > 0 and 0 < row["share_of_matrix_rate"] < 1


def test_steps(sections):
    made = rows(sections, "steps dense", way="hf")
    assert [(r["micro_batch_size"], r["recomputed"]) for r in made] == [(2, False), (2, True)]
    made += rows(sections, "steps dense", way="unsloth")
    assert len(made) == (4 if HAS_UNSLOTH else 2)
    for row in made:
        check_steps(row, made[0]["losses"][:2])
    assert made[1]["flop_per_second"] / made[1]["tokens_per_second"] > (
        made[0]["flop_per_second"] / made[0]["tokens_per_second"]
    )  # recomputing is work, too
    if HAS_UNSLOTH:
        (row,) = rows(sections, "steps moe unsloth")
        check_steps(row, row["losses"][:2])


@needs_unsloth
@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_gradients_of_unsloth_are_those_of_hf(sections, kind):
    (ours,) = rows(sections, "parity real width", way="unsloth", kind=kind)
    (theirs,) = rows(sections, "parity real width", way="hf", kind=kind)
    assert ours["loss_difference"] < 1e-4 and theirs["tensors"] == ours["tensors"] > 20
    assert theirs["worst_cosine"] > 0.999 and theirs["length_ratio"] == pytest.approx(1, abs=1e-3)
    assert min(theirs["cosine"], theirs["cosine_a"], theirs["cosine_b"]) > 0.9999


@needs_vllm
@pytest.mark.parametrize("kind, way, count", [("dense", "multi", 2), ("moe", "merged", 1)])
def test_serving_proves_the_adapters(sections, kind, way, count):
    (row,) = rows(sections, f"serve {kind}", way=way)
    assert len(row["proofs"]) == count and all(made["passed"] for made in row["proofs"])
    # far more than float32's rounding
    assert all(made["effect"] > 100 * made["error"] for made in row["proofs"])
    assert 0 < row["new_tokens"] <= 4 * 8 and row["kv_cache_tokens"] > 1000
    assert row["start_seconds"] > 0 and row["tokens_per_second"] > 0


def test_attention_over_lengths_of_r1(sections):
    made = rows(sections, "hf attention")
    assert [row["row"] for row in made] == ["ours", "one by one", "ours again"]
    assert all(row["loss_difference"] < 1e-5 for row in made)
    assert len({row["tokens"] for row in made}) == 1 and made[0]["longest"] == 256


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_parity(sections, kind):
    for way in ("plain", "unsloth") if HAS_UNSLOTH else ("plain",):
        (row,) = rows(sections, "parity", kind=kind, way=way)
        assert len(row["losses"]) == 4 and row["losses"][-1] < row["losses"][0]
        assert row["loss_difference"] < 1e-4 and row["weight_difference"] < 0.02


def test_two_processes_and_what_needs_a_gpu(sections):
    made = rows(sections, "processes")
    assert [row["row"] for row in made] == ["dense sharding none", "moe sharding full"]
    assert all(len(row["losses"]) == 4 and row["loss_difference"] < 1e-4 for row in made)
    assert sections["4bit"]["state"] == "skipped" or torch.cuda.is_available()


def test_what_fails_is_recorded_and_the_next_section_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    command = [sys.executable, SCRIPT, "--size", "tiny", "--out", tmp_path, "--only"]
    done = subprocess.run([*command, "hf attention", "environment"], capture_output=True, text=True)
    (file,) = tmp_path.glob("gpu_check_*_tiny.json")
    found = json.loads(file.read_text())["sections"]
    assert done.returncode == 1 and found["hf attention"]["state"] == "failed"
    (row,) = found["hf attention"]["rows"]
    assert "Error" in row["failed"] and any("Traceback" in line for line in row["said"])
    # what does not need the cache is there all the same
    assert found["environment"]["rows"][0]["matrix_rate"] > 0
    command[-1:] = ["--minutes", "0.0001", "--only", "parity"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    found = json.loads(file.read_text())["sections"]
    assert found["parity"]["state"] == "skipped" and "may take 120" in found["parity"]["why"]
    assert found["environment"]["rows"]  # of before


def test_a_section_that_ends_too_early_keeps_its_rows(tmp_path, monkeypatch, bench):
    import gpu_jobs

    script = tmp_path / "job.py"
    script.write_text("""import sys, time
print('ROW {"row": "a", "value": 1}')
print('ROW {"row": "a", "value": 2}', flush=True)
print('ROW {"row"', end="", flush=True)
print("so far", file=sys.stderr, flush=True)
if "hang" in sys.argv: time.sleep(600)
raise KeyError("it ends")
""")
    monkeypatch.setattr(gpu_jobs, "SCRIPT", script)
    args = types.SimpleNamespace(size="tiny", layers=0, length=0)
    for way, reason in (("ends", "KeyError: 'it ends'"), ("hang", "not done after 5 seconds")):
        report = gpu_jobs.Report(tmp_path / f"{way}.json", {})
        section = report.start("steps", 5)
        assert not gpu_jobs.run_job(report, section, args, tmp_path, ("steps", way), 5)
        written = json.loads((tmp_path / f"{way}.json").read_text())["sections"]["steps"]["rows"]
        assert written[0] == {"row": "a", "value": 2} and len(written) == 2
        assert written[1]["failed"] == reason and written[1]["said"][0] == "so far"
        assert written[1]["late"] == (way == "hang")


def test_a_file_of_weights_takes_no_disk_and_has_the_hubs_names(tmp_path, bench):
    import gpu_models
    from safetensors import safe_open

    folder = gpu_models.folder_of("full", "moe", 2, tmp_path)
    gpu_models.write_hole(folder)
    file = folder / "model.safetensors"
    size = file.stat().st_size
    assert 3.4 < size / 2**30 < 3.5 and file.stat().st_blocks * 512 < 2**20
    with safe_open(file, "pt") as found:
        name = "model.layers.1.mlp.experts.127.down_proj.weight"
        assert found.get_slice(name).get_shape() == [2048, 768]
        assert "model.layers.0.mlp.experts.0.gate_proj.weight" in found.keys()  # noqa: SIM118
        norm = found.get_tensor("model.norm.weight")
        assert norm.dtype == torch.bfloat16 and not norm.any()
    model = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False), torch.nn.LayerNorm(64))
    gpu_models.fill(model)
    first = model[0].weight.clone()
    gpu_models.fill(model)
    assert model[0].weight.equal(first) and first.std().item() == pytest.approx(0.02, rel=0.1)
    assert model[1].weight.eq(1).all()
    expected = math.log(128256) + 0.0004 * 4096 / 2
    assert gpu_models.expected_loss("full", "dense") == pytest.approx(expected)


def test_what_is_wrong_with_steps_is_said(bench):
    import gpu_plan
    import gpu_steps

    key = {"kind": "moe", "micro_batch_size": 5, "recomputed": True, "layers": 48}
    planned = [key | {"way": "hf", "plan_gib": 70.0, "flop_a_token": 2e10}]

    def compared(memory, way="hf"):
        row = key | {"way": way, "peak_memory_gib": memory, "tokens_per_second": 1e4}
        gpu_plan.compare_plan(planned, [row], 1e15, full=True)
        assert row["share_of_matrix_rate"] == pytest.approx(0.2)
        return "failed" in row

    assert [compared(gib) for gib in (50, 69, 90)] == [True, False, True]
    planned.append(planned[0] | {"way": "unsloth"})
    assert [compared(gib, "unsloth") for gib in (50, 69, 90)] == [False, False, True]
    made = [{"losses": [12.3, 12.2]}, {"losses": [12.31, 12.2]}, {"losses": [12.3]}]
    made.append({"losses": [12.4, 12.2]})
    gpu_steps.compare_steps(made)
    assert ["failed" in row for row in made] == [False, False, False, True]
    row = {"losses": [12.5], "expected_loss": 12.34, "kind": "moe", "micro_batch_size": 5}
    seen = {"fast": 0, "compiled": 96, "fallback": 0}
    assert not gpu_steps.faults(row | {"packed_attention": seen})
    (said,) = gpu_steps.faults(row | {"packed_attention": seen | {"fallback": 2}})
    assert said == "attention took a mask 2 times"
    assert len(gpu_steps.faults(row | {"packed_attention": seen | {"compiled": 0}})) == 1
    assert len(gpu_steps.faults(row | {"losses": [float("nan")]})) == 1


def test_vllms_tuned_file_is_found_by_the_gpus_name(bench):
    import gpu_facts

    files = ["E=128,N=768,device_name=NVIDIA_H200.json"]
    assert gpu_facts.tuned_here("NVIDIA H200", files)
    assert not gpu_facts.tuned_here("NVIDIA H100 80GB HBM3", files)


def test_a_disk_without_room_is_refused_first(tmp_path, monkeypatch, bench):
    import gpu_check

    def disk(gib):
        usage = types.SimpleNamespace(free=gib * 2**30)
        monkeypatch.setattr(gpu_check.shutil, "disk_usage", lambda _: usage)

    disk(29)
    with pytest.raises(SystemExit, match=r"29\.0 GiB are free, and .* up to 30; name a folder"):
        gpu_check.refuse_small_disks(tmp_path)
    disk(31)
    gpu_check.refuse_small_disks(tmp_path)


def test_full_size_is_refused_without_a_gpu(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 1 and "needs a CUDA device" in done.stderr

import importlib.util
import json
import subprocess
import sys

import pytest

from distill_nb import paths


def test_everything_in_gpu_check_runs_at_tiny_size(tmp_path):
    script = paths.ROOT / "bench" / "gpu_check.py"
    done = subprocess.run([sys.executable, script, "--size", "tiny", "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("gpu_check_*_tiny.json")
    result = json.loads(file.read_text())
    rows = {(r["section"], r["backend"]): r for r in result["rows"]}
    assert len(rows["parity", "hf"]["losses"]) == 4 and rows["parity", "hf"]["losses"][0] > 3
    assert rows["steps", "hf"]["tokens_per_second"] > 0 and rows["steps", "hf"]["peak_memory_gib"] > 0
    if importlib.util.find_spec("unsloth") is None:
        pytest.skip("the Unsloth half: unsloth is not installed (make setup-ci)")
    assert rows["steps", "unsloth"]["tokens_per_second"] > 0
    assert result["parity_max_loss_difference"] < 0.02

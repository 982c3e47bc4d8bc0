"""docs/decontamination.md shows the bench's results, and the bench runs."""

import json
import subprocess
import sys

from distill_nb.runtime import paths
from distill_nb.traces.decontamination.match import VERSION

BENCH = paths.ROOT / "bench" / "decontamination.py"


def bench(*words):
    done = subprocess.run([sys.executable, str(BENCH), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_shows_the_results():
    report = json.loads((paths.ROOT / "bench/results/decontamination.json").read_text())
    page = (paths.ROOT / "docs/decontamination.md").read_text()
    assert report["rule"] == VERSION  # another rule? then run the bench again
    assert bench("--table", "--print").strip() in page and "MBPP's own wording" in page


def test_the_bench_finds_every_kind_of_leak_without_data(tmp_path):
    bench("--out", str(tmp_path / "r.json"))
    report = json.loads((tmp_path / "r.json").read_text())
    for row in report["leaks"]:
        assert row["both_looks"] >= row["words_8"] and row["both_looks"] == row["problems"], row
    for row in report["others"]:
        assert 10 * row["both_looks"] <= row["words_8"], row
    assert len(report["leaks"]) >= 17 and len(report["others"]) >= 7

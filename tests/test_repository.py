"""What holds for the repository as a whole."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from distill_nb.runtime import paths

LIGHT = ["distill_nb"] + [
    f"distill_nb.{m}"
    for m in (
        "params",
        "paths",
        "provenance",
        "traces",
        "benchmarks",
        "grading",
        "results",
        "stats",
        "consistency",
        "claims",
        "comparisons",
        "findings",
        "selection",
        "tables",
        "alt",
        "plots",
        "figures",
        "accessible",
        "report",
    )
]
PRIVATE = "|".join(
    [
        r"/ro" r"ot/",
        r"(?<![\w.\])}])/wo" r"rk/",
        r"file:/" r"//",
        r"index-" r"url",
        r"find-" r"links",
        r"https?://\S*/sim" r"ple\b",
    ]
)


def git(*arguments):
    try:
        done = subprocess.run(["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return done


@pytest.fixture(scope="module")
def files():
    """Every file that is committed, or would be."""
    done = git("ls-files", "--cached", "--others", "--exclude-standard")
    if done.returncode:
        pytest.skip("this copy of the repository is not a git checkout")
    return [paths.ROOT / name for name in done.stdout.splitlines() if (paths.ROOT / name).is_file()]


def test_notebooks_are_committed_clean(files):
    notebooks = [f for f in files if f.suffix == ".ipynb"]
    if not notebooks:
        pytest.skip("no notebooks yet")
    for file in notebooks:
        nb = nbformat.read(file, 4)
        assert nb.metadata.kernelspec.name == "python3", file.name
        assert sum("parameters" in c.metadata.get("tags", []) for c in nb.cells) == 1, file.name
        for cell in nb.cells:
            assert not cell.get("outputs") and cell.get("execution_count") is None, (
                f"{file.name}: run nbstripout"
            )
            assert "injected-parameters" not in cell.metadata.get("tags", []), file.name
        assert len({c.id for c in nb.cells}) == len(nb.cells), (
            f"{file.name}: cells need ids of their own"
        )


@pytest.mark.parametrize("module", LIGHT)
def test_reading_needs_neither_torch_nor_transformers(module):
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'transformers', 'peft') if m in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_ruff_finds_nothing():
    pytest.importorskip("ruff", reason="ruff is not installed: make setup")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def read_tree(readme: str) -> tuple[set[str], list[str]]:
    """The paths in the README's tree, and those that are not there: its first fenced block with
    `distill_nb/` in it.

    A line is a path, then two spaces or more, then words about it; a line further in lies inside
    the folder above. A word that looks like a file may be another path, beside or inside the first
    one."""
    block = next(
        b for b in re.findall(r"```[^\n]*\n(.*?)```", readme, re.DOTALL) if "distill_nb/" in b
    )
    listed, missing, folders = set(), [], []
    for line in block.splitlines():
        line = re.sub("[│├└─]", " ", line).rstrip()
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        folders = [(i, f) for i, f in folders if i < indent]
        parent = folders[-1][1] if folders else ""
        first, *rest = line.split()
        own = parent + first
        if first.endswith("/"):
            folders.append((indent, own))
        wanted = [[own]]
        for word in rest:
            word = word.strip("(),:;")
            if re.fullmatch(
                r"[\w.-]+(/[\w.-]+)*\.(py|ipynb|yaml|toml|md|txt|csv)|[\w.-]+/|[A-Z]\w+file", word
            ):
                wanted.append([parent + word, own + word, word])
        for candidates in wanted:
            there = [
                c
                for c in candidates
                if (paths.ROOT / c).exists() or git("check-ignore", "-q", c).returncode == 0
            ]
            listed.update(there[:1])
            if not there:
                missing.append(candidates[0])
    return listed, missing


def test_the_readmes_tree_is_what_is_on_the_disk(files):
    readme = paths.ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("no README.md yet")
    listed, missing = read_tree(readme.read_text(encoding="utf-8"))
    assert not missing, f"listed in README.md, but not on the disk: {missing}"
    names = [f.relative_to(paths.ROOT).as_posix() for f in files]
    covered = {path.split("/")[0] for path in listed}
    unlisted = {name.split("/")[0] for name in names} - covered - {".gitignore"}
    unlisted |= (
        {n for n in names if re.fullmatch(r"(distill_nb|bench)/\w+\.py", n)}
        - listed
        - {"distill_nb/__init__.py"}
    )
    unlisted |= {
        n
        for n in names
        if re.fullmatch(r"distill_nb/(benchmarks|grading)/\w+\.py", n)
        and not n.endswith("__init__.py")
    } - listed
    assert not unlisted, f"on the disk, but not in README.md's tree: {sorted(unlisted)}"


def test_no_file_is_large_or_tells_about_one_machine(files):
    for file in files:
        name = file.relative_to(paths.ROOT).as_posix()
        assert file.stat().st_size <= 2 * 2**20, f"{name} is over 2 MiB"
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = re.search(f".*({PRIVATE}).*", text)
        assert not found, (
            f"{name} names a place on one machine, or an index: {found and found.group(0)[:200]}"
        )


def test_constraints_pin_what_pyproject_pins():
    pins = dict(
        re.findall(
            r"^([\w.-]+)==([\w.+]+)", (paths.ROOT / "constraints.txt").read_text(), re.MULTILINE
        )
    )
    wanted = re.findall(
        r'"([\w-]+)(?:==([\w.]+))?[";]',
        (paths.ROOT / "pyproject.toml")
        .read_text()
        .split("dependencies = [")[1]
        .split("[tool.setuptools]")[0],
    )
    assert {name: pins.get(name) for name, version in wanted if version} == {
        n: v for n, v in wanted if v
    }
    assert not [name for name, _ in wanted if name not in pins]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_gpu_extra_resolves_to_what_is_pinned(python, tmp_path):
    """What `pip install -e '.[gpu]' -c constraints.txt` asks for has one solution, the pinned one;
    nothing is installed. pip's own resolver takes minutes to say so, as it fetches every
    package."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("uv is not installed: make setup")
    out = tmp_path / "resolved.txt"
    done = subprocess.run(
        [
            uv,
            "pip",
            "compile",
            "pyproject.toml",
            "--extra",
            "gpu",
            "-c",
            "constraints.txt",
            "--quiet",
            "--python-version",
            python,
            "--python-platform",
            "x86_64-manylinux_2_28",
            "--no-annotate",
            "--no-header",
            "-o",
            out,
        ],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    unreachable = re.search(
        "(?i)failed to fetch|dns error|error sending request|client error|timed out", done.stderr
    )
    if done.returncode and unreachable:
        pytest.skip(f"no package index is reachable: {unreachable[0]}")
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(re.findall(r"^([\w.-]+)==([\w.+]+)", out.read_text(), re.MULTILINE))
    assert {"unsloth", "vllm", "trl", "torch", "transformers", "peft"} <= set(found)
    pins = re.findall(
        r"^([\w.-]+)==([\w.+]+)", (paths.ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert not {name: version for name, version in found.items() if (name, version) not in pins}

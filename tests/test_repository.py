"""What holds for the repository as a whole."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from distill_nb.runtime import paths

ROOMS = sorted(face.parent.name for face in (paths.ROOT / "distill_nb").glob("*/__init__.py"))
HEAVY = ("torch", "transformers", "peft", "vllm", "unsloth", "datasets", "evalplus")
# Modules that are programs: they do their work when they are imported, or run in the sandbox.
PROGRAMS = ("grading.sandbox.child", "grading.sandbox.watch", "grading.sandbox.worker")
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


def modules(room: str) -> list[str]:
    """The dotted names of a room's modules, without programs."""
    files = sorted((paths.ROOT / "distill_nb" / room).rglob("*.py"))
    names = [file.relative_to(paths.ROOT).with_suffix("").as_posix() for file in files]
    dotted = [name.replace("/", ".").removesuffix(".__init__") for name in names]
    return [name for name in dotted if not name.endswith(PROGRAMS)]


@pytest.mark.parametrize("room", [*ROOMS, "__main__.py"])
def test_no_room_loads_a_heavy_library(room):
    names = modules(room) if room != "__main__.py" else ["distill_nb.__main__"]
    assert names
    code = f"import sys, {', '.join(names)}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_only_rooms_lie_in_the_package_and_each_says_what_its_files_are(files):
    top = paths.ROOT / "distill_nb"
    own = {f.name for f in files if f.parent == top}
    assert own == {"__init__.py", "__main__.py", "py.typed"}
    for face in sorted(top.glob("*/**/__init__.py")):
        text = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))) or ""
        words = [word.strip("(),.:;") for word in text.split()]
        inside = {f.name for f in files if f.parent == face.parent and f.suffix == ".py"}
        missing = inside - {"__init__.py"} - set(words)
        assert not missing, f"{face.relative_to(top)} does not say what {sorted(missing)} are"
        gone = {w for w in words if re.fullmatch(r"\w+\.py", w)} - inside
        assert not gone, f"{face.relative_to(top)} names {sorted(gone)}, which are not there"


def test_rooms_import_only_downwards():
    program = Path(sys.executable).with_name("lint-imports")
    if not program.is_file():
        pytest.skip("import-linter is not installed: make setup")
    done = subprocess.run([program], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_our_own_modules_are_imported_at_the_top(files):
    for file in files:
        if not file.is_relative_to(paths.ROOT / "distill_nb") or file.suffix != ".py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        typing = [
            n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
        ]
        inner = set(ast.walk(tree)) - set(tree.body) - {n for block in typing for n in block.body}
        found = [n for n in inner if isinstance(n, ast.ImportFrom)]
        found = [n for n in found if n.level or (n.module or "").startswith("distill_nb")]
        assert not found, f"{file.name}, line {found[0].lineno}: import it at the top"


def test_each_notebook_imports_from_two_rooms_and_report(files):
    for file in (f for f in files if f.suffix == ".ipynb"):
        cells = [c.source for c in nbformat.read(file, 4).cells if c.cell_type == "code"]
        rooms = set()
        for node in ast.walk(ast.parse("\n".join(cells))):
            if isinstance(node, ast.ImportFrom) and node.module == "distill_nb":
                rooms |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module.startswith("distill_nb."):
                rooms.add(node.module.split(".")[1])
        assert len(rooms - {"report"}) <= 2, f"{file.name} imports from {sorted(rooms)}"


def test_files_are_short(files):
    for file in files:
        if file.is_relative_to(paths.ROOT / "distill_nb") and file.suffix == ".py":
            lines = len(file.read_text(encoding="utf-8").splitlines())
            assert lines <= 320, (
                f"{file.relative_to(paths.ROOT)} has {lines} lines: one subject a file"
            )


@pytest.mark.parametrize("words", [("check", "--no-cache"), ("format", "--check", "--no-cache")])
def test_ruff_finds_nothing(words):
    pytest.importorskip("ruff", reason="ruff is not installed: make setup")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "."], cwd=paths.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def read_tree(readme: str) -> tuple[set[str], list[str]]:
    """The paths in a page's tree, and those that are not there: its first fenced block with
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


def test_the_tree_in_contributing_is_what_is_on_the_disk(files):
    readme = paths.ROOT / "CONTRIBUTING.md"
    if not readme.is_file():
        pytest.skip("no CONTRIBUTING.md yet")
    listed, missing = read_tree(readme.read_text(encoding="utf-8"))
    assert not missing, f"listed in CONTRIBUTING.md, but not on the disk: {missing}"
    names = [f.relative_to(paths.ROOT).as_posix() for f in files]
    covered = {path.split("/")[0] for path in listed}
    unlisted = {name.split("/")[0] for name in names} - covered - {".gitignore"}
    rooms = {f"distill_nb/{name}" for name in ROOMS}
    unlisted |= rooms - {path.rstrip("/") for path in listed}
    assert not unlisted, f"on the disk, but not in CONTRIBUTING.md's tree: {sorted(unlisted)}"


def test_no_file_is_large_or_tells_about_one_machine(files):
    for file in files:
        name = file.relative_to(paths.ROOT).as_posix()
        assert file.stat().st_size <= 2 * 2**20, f"{name} is over 2 MiB"
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = re.search(PRIVATE, text)
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
        .split("[project.scripts]")[0],
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
    released = {name: version.partition("+")[0] for name, version in found.items()}  # any build
    assert not {name: version for name, version in released.items() if (name, version) not in pins}

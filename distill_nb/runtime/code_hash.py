"""Which code made a result: the modules that a module or notebook runs, and a hash of each.

Modules are read by ast and not imported. Followed are imports wherever they stand (also inside
functions), modules imported by a name made at run time (then all of their package counts), and
modules started as processes, by a dotted name or as a file beside (`-m
distill_nb.evaluation.engines.vllm_process`, `worker.py`). Data files, such as published/*.csv, are
not code: whoever depends on them names them."""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from distill_nb.runtime import paths

PACKAGE = "distill_nb"


def hashes(
    entry: str | Path, notebook: str | Path | None = None, root: Path = paths.ROOT
) -> dict[str, str]:
    """File → 16 hex digits, for the modules that an entry runs and for the notebook that calls it.
    Raises ValueError as `modules_of`."""
    found = modules_of(entry, root) + ([paths.shipped(notebook)] if notebook else [])
    return {paths.movable(file): content_hash(file)[:16] for file in found}


def modules_of(entry: str | Path, root: Path = paths.ROOT) -> list[Path]:
    """The package's files below `root` that an entry runs, its own among them, sorted.

    entry: a dotted module name (distill_nb.training.train), or a .py or .ipynb file, absolute or
    from the repository's root. Raises ValueError where there is none such, or one is not Python."""
    start = _file(entry, root)
    found, left = set(), [start]
    while left:
        file = left.pop()
        # importing a module runs the __init__.py of the packages around it
        packages = [f / "__init__.py" for f in file.parents if f.is_relative_to(root / PACKAGE)]
        for module in [*filter(Path.is_file, packages), file]:
            if module not in found:
                found.add(module)
                left += _needed(module, root)
    return sorted(f for f in found if f.is_relative_to(root / PACKAGE))


def content_hash(file: Path) -> str:
    """64 hex digits of one file; of a notebook its cells' kind, source and tags count."""
    data = json.dumps(_cells(file)).encode() if file.suffix == ".ipynb" else file.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _file(entry: str | Path, root: Path) -> Path:
    file = _module(str(entry), root) if str(entry).split(".")[0] == PACKAGE else None
    file = file or (paths.shipped(entry) if root == paths.ROOT else root / entry)
    if not file.is_file():
        raise ValueError(
            f"{entry}: there is no such module or file to find the code of: correct its name."
        )
    return file.resolve() if root == root.resolve() else file


def _module(name: str, root: Path) -> Path | None:
    """The file of a dotted module name, None if the package has none of that name."""
    path = root.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def _cells(notebook: Path) -> list[list]:
    """[kind, source, tags] of each cell."""
    return [
        [c["cell_type"], "".join(c["source"]), c.get("metadata", {}).get("tags", [])]
        for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    ]


def _source(file: Path) -> str:
    if file.suffix != ".ipynb":
        return file.read_text(encoding="utf-8")
    lines = "\n".join(source for kind, source, _ in _cells(file) if kind == "code").splitlines()
    # IPython's own commands
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def _needed(file: Path, root: Path) -> list[Path]:
    """The package's files that one file names in its code."""
    try:
        nodes = _nodes(_source(file))
    except SyntaxError as error:
        raise ValueError(
            f"{file.name}: this is not Python ({error.msg}, line {error.lineno}): correct it."
        ) from None
    inside = file.relative_to(root).parent.parts if file.is_relative_to(root / PACKAGE) else ()
    found: list[Path | None] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += _imported([alias.name for alias in node.names], root)
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += _imported([base, *(f"{base}.{alias.name}" for alias in node.names)], root)
        elif isinstance(node, ast.Call):
            found += _by_name(node, file, inside, root)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(_process(node.value, file, root))
    return [f for f in found if f]


@lru_cache(maxsize=1024)
def _nodes(source: str) -> list[ast.AST]:
    """The nodes of a source that may name modules. Most sources are asked for by many entries."""
    return [node for node in ast.walk(ast.parse(source)) if _names(node)]


def _names(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
    if isinstance(node, ast.Constant):
        text = node.value
        return isinstance(text, str) and (text.startswith(f"{PACKAGE}.") or text.endswith(".py"))
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _imported(names: list[str], root: Path) -> list[Path | None]:
    return [_module(name, root) for name in names if name.split(".")[0] == PACKAGE]


def _by_name(call: ast.Call, file: Path, inside: tuple[str, ...], root: Path) -> list[Path | None]:
    """What import_module(".name", __package__) imports: of a name made at run time the package."""
    name = call.args[0] if call.args else None
    first = name.values[0] if isinstance(name, ast.JoinedStr) else name
    text = first.value if isinstance(first, ast.Constant) else None
    if isinstance(name, ast.JoinedStr) and text == ".":
        return [*sorted(file.parent.glob("*.py"))]
    if isinstance(name, ast.Constant) and isinstance(text, str) and text.startswith("."):
        return [_module(".".join(inside) + text, root)]
    return []


def _process(text: str, file: Path, root: Path) -> Path | None:
    """The module that a text names: dotted, as after `python -m`, or as a file beside this one."""
    if text.startswith(f"{PACKAGE}.") and text.replace(".", "").replace("_", "").isalnum():
        return _module(text, root)
    if text.endswith(".py") and file.is_relative_to(root / PACKAGE):
        beside = file.parent / text.rpartition("/")[2]
        return beside if beside.is_file() else None
    return None

"""Which modules a module or notebook depends on, and one hash over all of them.

Read from the sources by ast, nothing is imported. Followed are imports wherever they stand (inside
functions too), modules that are imported by a name made at run time (the whole of their package
then counts), and modules that are started as processes, by a dotted name or as a file beside (`-m
distill_nb.evaluation.engines.vllm_process`, `worker.py`). Data files, such as published/*.csv, are
no code: whoever depends on them names them."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

from distill_nb.runtime import paths

PACKAGE = "distill_nb"


def modules_of(entry, root: Path = paths.ROOT) -> list[Path]:
    """The files of the package below `root` that an entry runs, directly or not, sorted; its own
    among them if it is one.

    entry: a dotted module name (distill_nb.training.train), or a .py or .ipynb file, absolute or
    from the repository's root. Raises ValueError where there is no such module or file, or one that
    is not Python."""
    start = _file(entry, root)
    found, left = set(), [start]
    while left:
        file = left.pop()
        for module in [*_parents(file, root), file]:
            if module not in found:
                found.add(module)
                left += _needed(module, root)
    return sorted(f for f in found if f.is_relative_to(root / PACKAGE))


def hash_of(entry, root: Path = paths.ROOT) -> str:
    """64 hex digits over an entry and its modules, by name and content; of a notebook the cells
    count, not their outputs."""
    found = {f.relative_to(root).as_posix(): content_hash(f) for f in modules_of(entry, root)}
    start = _file(entry, root)
    if not start.is_relative_to(root / PACKAGE):
        found["entry"] = content_hash(start)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def content_hash(file: Path) -> str:
    """64 hex digits of one file; of a notebook the kind, source and tags of its cells."""
    data = json.dumps(_cells(file)).encode() if file.suffix == ".ipynb" else file.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _file(entry, root: Path) -> Path:
    file = _module(str(entry), root) if str(entry).split(".")[0] == PACKAGE else None
    file = file or root / entry
    if not file.is_file():
        raise ValueError(
            f"{entry}: there is no such module or file to find the code of: correct its name."
        )
    return file.resolve() if root == root.resolve() else file


def _module(name: str, root: Path) -> Path | None:
    """The file of a dotted module name, None if the package has none of that name."""
    path = root.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def _parents(file: Path, root: Path) -> list[Path]:
    """The __init__.py of the packages around a module: importing it runs them."""
    if not file.is_relative_to(root / PACKAGE):
        return []
    folders = [f for f in file.parents if f.is_relative_to(root / PACKAGE)]
    return [f / "__init__.py" for f in folders if (f / "__init__.py").is_file()]


def _cells(notebook: Path) -> list:
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
        tree = ast.parse(_source(file))
    except SyntaxError as error:
        raise ValueError(
            f"{file.name}: this is not Python ({error.msg}, line {error.lineno}): correct it."
        ) from None
    inside = file.relative_to(root).parent.parts if file.is_relative_to(root / PACKAGE) else ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [
                _module(alias.name, root)
                for alias in node.names
                if alias.name.split(".")[0] == PACKAGE
            ]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node.level, node.module, inside)
            if base.split(".")[0] == PACKAGE:
                found += [
                    _module(base, root),
                    *(_module(f"{base}.{alias.name}", root) for alias in node.names),
                ]
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
        ):
            found += _by_name(node, file, inside, root)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += _process(node.value, file, root)
    return [f for f in found if f]


def _base(level: int, module: str | None, inside: tuple[str, ...]) -> str:
    """The dotted name that `from <level dots><module> import` means in a package `inside`."""
    start = inside[: len(inside) - level + 1] if level else ()
    return ".".join([*start, *([module] if module else [])])


def _by_name(call: ast.Call, file: Path, inside: tuple[str, ...], root: Path) -> list[Path | None]:
    """What import_module(".name", __package__) imports: all of its package, if the name is made at
    run time."""
    name = call.args[0] if call.args else None
    if isinstance(name, ast.Constant) and str(name.value).startswith("."):
        return [_module(".".join(inside) + name.value, root)]
    if (
        isinstance(name, ast.JoinedStr)
        and isinstance(name.values[0], ast.Constant)
        and name.values[0].value == "."
    ):
        return sorted(file.parent.glob("*.py"))
    return []


def _process(text: str, file: Path, root: Path) -> list[Path | None]:
    """The module that a text names in full: dotted, as after `python -m`, or as a file beside this
    one."""
    if text.startswith(f"{PACKAGE}.") and text.replace(".", "").replace("_", "").isalnum():
        return [_module(text, root)]
    beside = text.rpartition("/")[2]
    if (
        beside.endswith(".py")
        and file.is_relative_to(root / PACKAGE)
        and (file.parent / beside).is_file()
    ):
        return [file.parent / beside]
    return []

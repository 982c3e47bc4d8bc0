"""The Python packages beside the standard library that a candidate may import.

By default those that answers to contests use most: LiveCodeBench's users have them too."""

import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

USUAL = ("numpy", "sortedcontainers", "sympy")


def chosen(names: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The names as given, or those of USUAL that are installed. Raises ValueError for a name that
    cannot be imported here."""
    if names is None:
        return tuple(name for name in USUAL if _found(name))
    for name in names:
        if not _found(name):
            raise ValueError(
                f"sandbox_packages: {name!r} is not installed; install it, or take it off the list."
            )
    return tuple(dict.fromkeys(names))


@cache
def places(names: tuple[str, ...]) -> tuple[str, ...]:
    """The files and folders of these packages and of those that they need, without links."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if (distribution := _distribution(name)) is None:  # nothing but a file of that name
            spec = importlib.util.find_spec(name)
            top = Path(spec.origin) if spec and spec.origin else None
            if top is not None:
                found[str(top.parent if top.name == "__init__.py" else top)] = None
            continue
        found |= dict.fromkeys(_tops(distribution))
        waiting += _needed(distribution)
    return tuple(sorted({str(Path(path).resolve()) for path in found}))


@cache
def versions(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name with its version, as in "numpy 2.3.5"."""
    found = [(name, _distribution(name)) for name in names]
    return tuple(f"{name} {d.version}" if d is not None else name for name, d in found)


def _found(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def _distribution(name: str) -> metadata.Distribution | None:
    """What is installed under a name of its own, or provides the module of that name."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        providers = metadata.packages_distributions().get(name, [])
        return metadata.distribution(providers[0]) if providers else None


def _tops(distribution: metadata.Distribution) -> Iterator[str]:
    """The topmost files and folders that it brought beside others' packages."""
    tops = {Path(str(file)).parts[0] for file in distribution.files or ()}
    for top in tops - {"..", "__pycache__"}:
        path = Path(str(distribution.locate_file(top)))
        if path.exists() and path.suffix not in (".dist-info", ".egg-info", ".pth"):
            yield str(path)


def _needed(distribution: metadata.Distribution) -> list[str]:
    """The installed packages that it needs, without those of its extras."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in distribution.requires or ()]
    names = [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [name for name in names if _distribution(name) is not None]

"""What parameters a notebook's namespace or parameter files give, before they are checked."""

import difflib
import types
from collections.abc import Collection
from pathlib import Path
from typing import Any

from distill_nb.runtime import paths

_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}


def given(namespace: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """A notebook's parameters, by its globals(): the `known` names, and others that can only be
    mistyped ones."""
    values = {}
    # Run All again in one kernel also finds what the notebook has made since: a new name then
    # counts only if it looks like a mistyped parameter.
    first = namespace.setdefault("_names_when_first_read", frozenset(namespace))
    for name, value in list(namespace.items()):
        imported = isinstance(value, types.ModuleType) or callable(value)
        later = name not in first and not difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if name in known or not (imported or later or name.startswith("_") or name in _IPYTHON):
            values[name] = value
    return values


def read_files(*files: str | Path) -> dict[str, Any]:
    """The merged mapping of YAML parameter files; the last one that has a key decides. A name may
    be one in papermill_params/. Raises ValueError for a file that is not one flat mapping."""
    import yaml

    merged: dict[str, Any] = {}
    for file in map(str, files):
        path = paths.PARAMS_DIR / file
        if "/" in file and not path.is_file():
            path = paths.resolve(file)
        if not path.is_file():
            raise ValueError(
                f"{file}: there is no such parameter file: choose one from papermill_params/."
            )
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise ValueError(f"{file}: this is not YAML ({where}): correct it.") from None
        if not isinstance(values, dict):
            raise ValueError(f"{file}: this is not a mapping: write one `key: value` a line.")
        merged.update(values)
    return merged

"""What parameters a notebook's namespace or parameter files give, before they are checked."""

import copy
import difflib
import types
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from distill_nb.params import yaml_text
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
    be one in papermill_params/. Raises ValueError as `read_file` does, and for a file that is not
    there."""
    merged: dict[str, Any] = {}
    for file in map(str, files):
        path = paths.PARAMS_DIR / file
        if "/" in file and not path.is_file():
            path = paths.resolve(file)
        if not path.is_file():
            raise ValueError(
                f"{file}: there is no such parameter file: choose one from papermill_params/."
            )
        merged.update(read_file(path, file))
    return merged


def read_file(path: Path, source: str) -> dict[str, Any]:
    """The mapping of one YAML file; `source` opens each sentence. Raises ValueError for a file that
    is not one mapping in UTF-8, and as `yaml_text.read` does."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{source}: this cannot be read ({error.strerror}): make it so.") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{source}: line {line} is not UTF-8: save the file as UTF-8.") from None
    values = copy.deepcopy(_value(text, source))
    if values is None:
        raise ValueError(f"{source}: this file is empty: write one `key: value` a line.")
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "one value"
        raise ValueError(f"{source}: this is {kind} and no mapping: write one `key: value` a line.")
    return values


@lru_cache(maxsize=256)
def _value(text: str, source: str) -> Any:
    """A study's graph asks for the same few files some hundred times."""
    return yaml_text.read(text, source)

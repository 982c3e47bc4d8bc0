"""DeepSeek-R1's traces on the hub: which data sets they are, and their files.

r1_math: open-r1/OpenR1-Math-220k (Apache-2.0; problems of NuminaMath 1.5).
r1_code: nvidia/OpenCodeReasoning (CC-BY-4.0; Ahmad et al. 2025, arXiv 2504.01943)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.runtime import hub, paths
from distill_nb.traces.hub_rows import COLUMNS, FLAGS, LISTS, OPTIONAL

if TYPE_CHECKING:
    import pyarrow as pa

HUB = {
    "r1_math": ("open-r1/OpenR1-Math-220k", "e4e141ec9dea9f8326f4d347be56105859b2bd68"),
    "r1_code": ("nvidia/OpenCodeReasoning", "20a1ca19c0d050fe9057fc08339d6b370ec1c67a"),
}
FOLDERS = {
    "r1_math": {"default": "data/", "extended": "extended/"},
    "r1_code": {"split_0": "split_0/", "split_1": "split_1/"},
}


def files(dataset: str, source: str, config: str) -> tuple[list[Path], str]:
    """(Parquet files in order, what is recorded of them) of the hub, or of a file or folder.

    A folder with the hub's subfolders (FOLDERS) is read as the hub is, those of `config` alone; one
    without any, whole. Raises ValueError where there are no files."""
    if source != "hub":
        path = paths.resolve(source)
        found = _local_files(path, source, dataset, config) if path.is_dir() else [path]
        if not found or found[0].suffix != ".parquet":
            raise ValueError(
                f"source: there is no .parquet file in {source}; give files as in "
                f"{HUB[dataset][0]}."
            )
        return found, paths.movable(path)
    hub_id, revision = HUB[dataset]
    names, remedy = on_hub(dataset, config), "give a folder with copies of its .parquet files"
    found = [hub.download(hub_id, revision, name, "source", remedy) for name in names]
    return found, f"{hub_id}@{revision}"


def on_hub(dataset: str, config: str) -> list[str]:
    """The names of its Parquet files on the hub. Raises ValueError where there are none."""
    hub_id, revision = HUB[dataset]
    folders = _folders(dataset, config)
    names = hub.listed(hub_id, revision, "source", "give a folder with its .parquet files")
    names = sorted(n for n in names if n.endswith(".parquet") and n.startswith(tuple(folders)))
    if not names:
        raise ValueError(
            f"source: {hub_id} at {revision} has no .parquet files in {', '.join(folders)}; give a "
            "folder with copies of them."
        )
    return names


def _folders(dataset: str, config: str) -> list[str]:
    known = FOLDERS[dataset]
    return [known[config]] if config != "all" else list(known.values())


def _local_files(folder: Path, source: str, dataset: str, config: str) -> list[Path]:
    if not any((folder / sub).is_dir() for sub in FOLDERS[dataset].values()):
        return sorted(folder.rglob("*.parquet"))
    found = []
    for sub in _folders(dataset, config):
        own = sorted((folder / sub).rglob("*.parquet"))
        if not own:
            raise ValueError(
                f"config: {config} of {HUB[dataset][0]} has its .parquet files in {sub}, and "
                f"{source} has none there; fetch them, or set config to a part that is there."
            )
        found += own
    return found


def columns(schema: pa.Schema, name: str, dataset: str) -> list[str]:
    """The columns to read of a file. ValueError for one that is missing, or of another type."""
    missing = [c for c in COLUMNS[dataset] if c not in schema.names and c not in OPTIONAL]
    if missing:
        raise ValueError(
            f"source: {name} has no column {missing[0]!r}; use files in the shape of "
            f"{HUB[dataset][0]}."
        )
    found = [c for c in COLUMNS[dataset] if c in schema.names]
    for column in found:
        kind = schema.field(column).type
        if not _is_readable(column, kind):
            raise ValueError(
                f"source: {name} has {column!r} of type {kind}; use files in the shape of "
                f"{HUB[dataset][0]}."
            )
    return found


def _is_readable(column: str, kind: pa.DataType) -> bool:
    """Whether its texts, lists of texts or flags may be stored in a column of this type."""
    import pyarrow as pa

    if column in LISTS:
        if not isinstance(kind, (pa.ListType, pa.LargeListType)):
            return False
        kind = kind.value_type
    elif pa.types.is_dictionary(kind):
        kind = kind.value_type
    elif pa.types.is_null(kind):
        return True
    if column in FLAGS:
        return pa.types.is_boolean(kind)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)

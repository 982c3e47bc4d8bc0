"""What all parts of `doctor --online` ask of the hub: a repository's files, what of them is not in
the hub's cache yet, and a file that is read by ranges."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, BinaryIO

from distill_nb.runtime import hub
from distill_nb.runtime.devices import GIB

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, ModelInfo

Needs = dict[str, int]  # source → bytes that are not in the hub's cache yet


def repository(hub_id: str, revision: str | None, kind: str) -> DatasetInfo | ModelInfo:
    """As hub.about, with sizes. Raises ValueError, one sentence."""
    try:
        return hub.about(hub_id, revision, kind, sizes=True)
    except Exception as error:  # the many ways in which the hub fails
        what = "data set" if kind == "dataset" else kind
        raise ValueError(
            f"the hub's {what} {hub_id} {hub.why(error, revision=revision or '')}."
        ) from None


def sizes(about: DatasetInfo | ModelInfo) -> dict[str, int]:
    """File → bytes."""
    return {file.rfilename: file.size or 0 for file in about.siblings}


def to_download(about: DatasetInfo | ModelInfo, kind: str, names: Collection[str]) -> int:
    """Bytes of those of the files that are not in the hub's cache at this commit."""
    from huggingface_hub import try_to_load_from_cache

    found = sizes(about)
    return sum(
        found[name]
        for name in names
        if not isinstance(
            try_to_load_from_cache(about.id, name, revision=about.sha, repo_type=kind), str
        )
    )


def opened(hub_id: str, revision: str, name: str) -> BinaryIO:
    """A file of a data set, each read of which is a request for that range alone."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem().open(f"datasets/{hub_id}@{revision}/{name}", cache_type="none")


def size_text(size: float) -> str:
    """1.5 GiB, or 12.3 MB below a tenth of one."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 1e6:,.1f} MB"

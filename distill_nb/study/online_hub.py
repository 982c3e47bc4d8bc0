"""What all parts of `doctor --online` ask of the hub: a repository's files, what of them is not in
the hub's cache yet, and a file that is read by ranges."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, BinaryIO

from distill_nb.runtime import hub
from distill_nb.runtime.devices import GIB

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, ModelInfo

Needs = dict[str, int]  # source → bytes that are not in the hub's cache yet


def repository(
    hub_id: str, revision: str | None, kind: str, instead: str
) -> DatasetInfo | ModelInfo:
    """As hub.about, with sizes. Raises ValueError, one sentence that ends with `instead`."""
    import httpx

    try:
        return hub.about(hub_id, revision, kind, sizes=True)
    except Exception as error:  # the many ways in which the hub fails
        why = hub.why(error, revision=revision or "")
        if isinstance(error, httpx.TransportError):
            why = "could not be reached: try again with a connection"
        what = "data set" if kind == "dataset" else kind
        raise ValueError(f"the hub's {what} {hub_id} {why}, or {instead}") from None


def unreadable(error: ValueError, hub_id: str, instead: str) -> str:
    """What a reader of a data set's files says, or why the hub did not give them, where that is
    behind it."""
    import httpx

    cause = error.__context__
    if not isinstance(cause, httpx.HTTPError):  # huggingface_hub's errors are some of these
        return str(error)
    return f"the hub's data set {hub_id} {hub.why(cause)}, or {instead}"


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


def opener(hub_id: str, revision: str) -> Callable[[str], BinaryIO]:
    """What opens a file of a data set by its name; each read of it is a request for that range."""
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(skip_instance_cache=True)  # nothing of what an earlier one has seen
    return lambda name: files.open(f"datasets/{hub_id}@{revision}/{name}", cache_type="none")


def size_text(size: float) -> str:
    """1.5 GiB, or 12.3 MB below a tenth of one."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 1e6:,.1f} MB"

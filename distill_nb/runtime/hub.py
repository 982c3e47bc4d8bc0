"""Files of the Hugging Face hub, and in one sentence why one cannot be had.

`reach` comes before anything that costs time: a hub that is down, a gated model without a token or
a revision that is gone stops a run in seconds. What is in the hub's cache needs no connection."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.runtime import provenance

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, ModelInfo

PAUSES = (1, 4, None)  # seconds before the next try; None: there is none
# Bytes; of a larger file in a student's folder only the size and both ends are hashed.
READ_WHOLE = 2**30


def why(error: Exception, name: str = "", revision: str = "") -> str:
    """What an error of huggingface_hub means, as the end of a sentence."""
    import httpx
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, errors.GatedRepoError):
        return "is gated: ask for access on its page and log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"no longer has the revision {revision}"
    offline = isinstance(error, errors.LocalEntryNotFoundError)
    if offline and isinstance(error.__cause__, errors.HfHubHTTPError):
        return why(error.__cause__, name, revision)
    if offline or isinstance(error, httpx.TransportError):
        cached = "nothing of it is in the hub's cache"
        return f"could not be reached, and {cached}: try again with a connection"
    if isinstance(error, errors.EntryNotFoundError):
        return f"has no {name}" + (f" at {revision}" if revision else "")
    if isinstance(error, errors.RepositoryNotFoundError):
        return "is not there, or is private"
    if status in (401, 403):
        remedy = "log in with `hf auth login`, with one that may read it"
        return f"does not open to your token (HTTP {status}): {remedy}"
    if status >= 500:
        fault = f"the hub has an error of its own (HTTP {status})"
        return f"cannot be had, for {fault}: try again later"
    first = next(iter(str(error).strip().splitlines()), "")
    return f"could not be downloaded ({type(error).__name__}: {first[:150]}): try again"


def file(hub_id: str, name: str, revision: str | None = None, kind: str = "dataset") -> Path:
    """One file, from the hub's cache or else the hub. Raises what `why` explains."""
    import huggingface_hub

    reach(hub_id, name, revision, kind)  # a hub that hangs would be waited for ten minutes below
    return Path(huggingface_hub.hf_hub_download(hub_id, name, repo_type=kind, revision=revision))


def reach(hub_id: str, name: str, revision: str | None, kind: str) -> None:
    """Raises what huggingface_hub raises where a file is neither in its cache nor on the hub."""
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    where = {"revision": revision, "repo_type": kind}
    if isinstance(huggingface_hub.try_to_load_from_cache(hub_id, name, **where), str):
        return
    url = huggingface_hub.hf_hub_url(hub_id, name, **where)
    for pause in PAUSES:
        try:
            huggingface_hub.get_hf_file_metadata(url)
            return
        except (httpx.TransportError, HfHubHTTPError) as error:
            if pause is None or getattr(getattr(error, "response", None), "status_code", 500) < 500:
                raise
            time.sleep(pause)


def hash_of_folder(folder: Path) -> str:
    """64 hex digits over the files of a student's or an adapter's folder, not of folders in it."""
    found: dict[str, str | list] = {}
    for path in sorted(f for f in folder.iterdir() if f.is_file()):
        size = path.stat().st_size
        if size <= READ_WHOLE:
            found[path.name] = provenance.sha256_of_file(path)
        else:
            with open(path, "rb") as stream:
                first = stream.read(2**20)
                stream.seek(-(2**20), 2)
                found[path.name] = [size, provenance.sha256_of_bytes(first + stream.read())]
    return provenance.sha256_of_json(found)


def download(hub_id: str, revision: str, name: str, opening: str, remedy: str) -> Path:
    """As `file`, of a data set. Raises ValueError, one sentence from `opening` to `remedy`."""
    try:
        return file(hub_id, name, revision)
    except Exception as error:  # the many ways in which a download fails
        raise ValueError(
            f"{opening}: the hub's data set {hub_id} {why(error, name, revision)}, or {remedy}."
        ) from None


def about(
    hub_id: str, revision: str | None, kind: str, *, sizes: bool = False
) -> DatasetInfo | ModelInfo:
    """What the hub says of a repository: sha, gated, siblings (its files; with sizes: their sizes,
    and lfs.sha256 of large ones). Raises what `why` explains."""
    import huggingface_hub
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

    more = {"files_metadata": True} if sizes else {}
    return huggingface_hub.HfApi().repo_info(
        hub_id, repo_type=kind, revision=revision, timeout=HF_HUB_ETAG_TIMEOUT, **more
    )


def listed(hub_id: str, revision: str, opening: str, remedy: str) -> list[str]:
    """The files of a data set of the hub. Raises ValueError as `download` does."""
    try:
        return [file.rfilename for file in about(hub_id, revision, "dataset").siblings]
    except Exception as error:  # the many ways in which the hub fails
        raise ValueError(
            f"{opening}: the hub's data set {hub_id} {why(error, revision=revision)}, or {remedy}."
        ) from None

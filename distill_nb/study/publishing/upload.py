"""A publication, sent to the hub. Each revision is one commit, so it is there whole or not at all;
what is there already with equal content isn't sent again, and a start after a failure goes on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from distill_nb.study.publishing.publication import (
    MANIFEST,
    File,
    Publication,
    Revision,
    address,
    shown_size,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

NOT_OURS = {".gitattributes"}  # of a repository that is still empty: the hub makes it
NAMED = 3  # files that a sentence names


def send(publication: Publication, private: bool, say: Callable[[str], None]) -> str:
    """Send a publication; returns its address. say: is told what became of each revision.

    Raises ValueError, in one sentence, where the hub cannot be reached or refuses, where there is
    no token, and where the repository is another run's or set's, holds files from elsewhere, or is
    public and private is wanted. What was sent before stays there."""
    import huggingface_hub

    if not huggingface_hub.get_token():
        raise ValueError(
            "There is no token of the hub: log in with `hf auth login`, or set HF_TOKEN, with one "
            "that may write."
        )
    api = huggingface_hub.HfApi()
    with _in_a_sentence("the hub", "ask for your account"):
        user = api.whoami()["name"]
    heads = _open(api, publication, private, user)
    for revision in publication.revisions:
        say(f"{revision.name}: {_send_revision(api, publication, revision, heads)}")
    if publication.tag:
        with _in_a_sentence(publication.to, "make the tag"):
            api.create_tag(
                publication.to,
                tag=publication.tag,
                revision="main",
                repo_type=publication.kind,
                exist_ok=True,
            )
        say(f"tag {publication.tag}")
    return address(publication.kind, publication.to)


def _open(api: HfApi, publication: Publication, private: bool, user: str) -> dict[str, str]:
    """Branch → its head, of the repository, which is made where there is none."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    to, kind = publication.to, publication.kind
    info = None
    with _in_a_sentence(to, "look at the repository"):
        try:
            info = api.repo_info(to, repo_type=kind)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            api.create_repo(to, repo_type=kind, private=private)
    if info is not None and private and not info.private:
        raise ValueError(
            f"--private: {to} is there already, and public; make it private on its settings page, "
            "or choose another name."
        )
    with _in_a_sentence(to, "read the branches"):
        refs = api.list_repo_refs(to, repo_type=kind)
        heads = {branch.name: branch.target_commit for branch in refs.branches}
    if info is not None:
        _refuse_others(api, publication, heads)
    return heads


def _refuse_others(api: HfApi, publication: Publication, heads: dict[str, str]) -> None:
    """Raises ValueError where a branch has another run's or set's files, or some from elsewhere."""
    for branch in sorted(heads):
        there = _files(api, publication, branch)
        if set(there) <= NOT_OURS:
            continue
        if MANIFEST not in there:
            names = sorted(set(there) - NOT_OURS)
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise ValueError(
                f"--to: {publication.to} holds files that were not published from here "
                f"({', '.join(names[:NAMED])}{more}, on {branch}); choose another name, or empty "
                "it."
            )
        manifest = _manifest(api, publication, branch)
        for key, wanted in publication.identity.items():
            if (found := manifest.get(key)) != wanted:
                raise ValueError(
                    f"--to: {publication.to} holds another {_what(publication)}: its {key} is "
                    f"{_short(found)}, and here it is {_short(wanted)}; choose another name."
                )


def _what(publication: Publication) -> str:
    return "run" if publication.kind == "model" else "set"


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _files(api: HfApi, publication: Publication, branch: str) -> dict[str, RepoFile]:
    """Path → what the hub says of each file of a branch."""
    from huggingface_hub.hf_api import RepoFile

    with _in_a_sentence(publication.to, f"list the files of {branch}"):
        tree = api.list_repo_tree(
            publication.to, recursive=True, revision=branch, repo_type=publication.kind
        )
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _manifest(api: HfApi, publication: Publication, branch: str) -> dict:
    """The manifest that an earlier publication left on a branch."""
    import huggingface_hub

    url = f"{address(publication.kind, publication.to)}/resolve/{branch}/{MANIFEST}"
    with _in_a_sentence(publication.to, f"read {MANIFEST} of {branch}"):
        session = huggingface_hub.get_session()
        headers = huggingface_hub.utils.build_hf_headers()
        answer = session.get(url, headers=headers, follow_redirects=True)
        huggingface_hub.utils.hf_raise_for_status(answer)
    try:
        found = json.loads(answer.text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"--to: {MANIFEST} of {publication.to} on {branch} is damaged, so nothing says what is "
            "there; choose another name, or delete that branch."
        )
    return found


def _send_revision(
    api: HfApi, publication: Publication, revision: Revision, heads: dict[str, str]
) -> str:
    """Commit what differs on a branch, which is made where it is missing; returns what was done."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    to, kind = publication.to, publication.kind
    if revision.name not in heads:
        with _in_a_sentence(to, f"make the branch {revision.name}"):
            api.create_branch(to, branch=revision.name, repo_type=kind, exist_ok=True)
        heads[revision.name] = heads["main"]  # it begins there
    there = _files(api, publication, revision.name)
    other = [f for f in revision.files if f.path not in there or _differs(f, there[f.path])]
    gone: list[str] = []
    if MANIFEST in there:  # what an earlier publication had, and this one has not
        ours = _manifest(api, publication, revision.name).get("files", {})
        gone = sorted(set(ours) & set(there) - {f.path for f in revision.files})
    kept = f"{_counted(len(revision.files) - len(other))} there already"
    if not other and not gone:
        return f"nothing sent, {kept}"
    operations: list = [
        CommitOperationAdd(path_in_repo=f.path, path_or_fileobj=f.content) for f in other
    ]
    operations += [CommitOperationDelete(path_in_repo=path) for path in gone]
    with _in_a_sentence(to, f"send {revision.name}"):
        commit = api.create_commit(
            to,
            operations,
            commit_message=revision.why,
            repo_type=kind,
            revision=revision.name,
            parent_commit=heads[revision.name],
        )
    heads[revision.name] = commit.oid
    removed = f", {len(gone)} removed" if gone else ""
    size = shown_size(sum(f.size for f in other))
    return f"{_counted(len(other))} sent ({size}){removed}, {kept}"


def _counted(n: int) -> str:
    return f"{n} file{'' if n == 1 else 's'}"


def _differs(file: File, there: RepoFile) -> bool:
    if there.lfs is not None:
        return there.lfs.sha256 != file.sha256
    return there.size != file.size or there.blob_id != file.git_sha1


@contextlib.contextmanager
def _in_a_sentence(what: str, doing: str) -> Iterator[None]:
    """What huggingface_hub raises becomes a ValueError that says what it means."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    again = "what was sent is there, and the same command goes on"
    try:
        yield
    except OfflineModeIsEnabled:
        raise ValueError("HF_HUB_OFFLINE is set, so nothing can be sent: unset it.") from None
    except httpx.TransportError as error:
        raise ValueError(
            f"The hub could not be reached to {doing} ({type(error).__name__}): try again with a "
            f"connection; {again}."
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = " ".join(str(error.server_message or "").split())[:150].rstrip(".")
        said = f": {said}" if said else ""
        if status == 401:
            why = "the hub knows no such token; log in again with `hf auth login`"
        elif status == 403:
            why = (
                f"your token may not write to {what} (HTTP 403{said}); take one with write access, "
                "or another --to"
            )
        elif status in (409, 412):
            why = (
                f"{what} is there already and not to be seen with your token, or was changed "
                f"meanwhile (HTTP {status}{said}); start again, or choose another name"
            )
        elif status >= 500:
            why = f"the hub has an error of its own (HTTP {status}); {again} later"
        else:
            why = f"the hub refused to {doing} (HTTP {status}{said})"
        raise ValueError(f"--to: {why}.") from None
    except ValueError as error:  # metadata of a card that the hub does not take, above all
        lines = " ".join(str(error).split())
        raise ValueError(f"--to: the hub could not {doing}: {lines[:300]}") from None

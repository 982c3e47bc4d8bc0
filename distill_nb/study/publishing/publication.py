"""What makes a repository of the hub: revisions of files, known byte for byte before any of it is
sent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from distill_nb.runtime import provenance
from distill_nb.study.publishing.licences import ADDRESS

MANIFEST = "distill_nb/published.json"  # in every revision: whose it is, and which files are ours


@dataclass(frozen=True)
class File:
    """A file of a repository: its path there, and its bytes or the file that has them."""

    path: str
    content: bytes | Path

    @cached_property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        if isinstance(self.content, bytes):
            return provenance.sha256_of_bytes(self.content)
        return provenance.sha256_of_file(self.content)

    @cached_property
    def git_sha1(self) -> str:
        """The id that git gives a file that is no LFS object."""
        data = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class Revision:
    """A branch, and the files of ours that it has."""

    name: str
    files: tuple[File, ...]
    why: str  # in a few words, for the plan and as the commit's message


@dataclass(frozen=True)
class Publication:
    """What goes where. kind: model | dataset; identity: what tells it from another run or set;
    tag: of the content of main, or ""; questions: those without which nothing is sent; notes: what
    the publisher should know."""

    kind: str
    to: str
    identity: dict
    revisions: tuple[Revision, ...]
    tag: str = ""
    questions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_address(to: str) -> None:
    """Raises ValueError where --to is no name of a repository."""
    if not ADDRESS.fullmatch(to) or ".." in to or "--" in to:
        raise ValueError(f"--to: {to!r} names no repository of the hub; write organisation/name.")


def revision(name: str, files: Iterable[File], why: str, identity: dict) -> Revision:
    """A revision with its manifest: the identity, and the sha256 of every file."""
    listed = sorted(files, key=lambda file: file.path)
    manifest = {"made_by": "distill_nb", **identity, "files": {f.path: f.sha256 for f in listed}}
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    return Revision(name, (*listed, File(MANIFEST, text.encode())), why)


def address(kind: str, to: str, branch: str = "") -> str:
    """The page of a repository, or of one of its branches, on the hub that huggingface_hub asks."""
    from huggingface_hub import constants

    folder = "datasets/" if kind == "dataset" else ""
    return f"{constants.ENDPOINT}/{folder}{to}" + (f"/tree/{branch}" if branch else "")


def table(publication: Publication) -> str:
    """The plan: every revision with its files and their sizes."""
    width = max(len(f.path) for r in publication.revisions for f in r.files)
    lines = [f"{address(publication.kind, publication.to)} ({publication.kind})"]
    total = 0
    for r in publication.revisions:
        lines += ["", f"{r.name}: {r.why}"]
        for file in r.files:
            lines.append(f"  {file.path:<{width}}  {shown_size(file.size):>9}")
            total += file.size
    if publication.tag:
        lines += ["", f"tag {publication.tag} of main"]
    n = len(publication.revisions)
    lines += ["", f"{n} revision{'s' if n > 1 else ''}, {shown_size(total)} in all"]
    return "\n".join(lines)


def shown_size(size: int) -> str:
    """Bytes in decimal units, as the hub shows them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def machine_paths(record: object, where: str = "") -> list[str]:
    """`key: value` of each value in a record that is an absolute path, which only this machine
    has."""
    if isinstance(record, dict):
        return [p for k, v in record.items() for p in machine_paths(v, f"{where}.{k}".strip("."))]
    if isinstance(record, list):
        return [p for v in record for p in machine_paths(v, where)]
    if isinstance(record, str) and re.match(r"(/|~/)[^/\s]+/\S", record):
        return [f"{where}: {record}"]
    return []

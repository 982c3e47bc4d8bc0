"""The hub's data sets of traces, as `doctor --online` asks for them: the pinned revision, columns
and rows by the footers of all files, and twenty rows, read by the code that reads all of them.

A few megabytes are read of gigabytes: each file's footer, and the first pages of one row group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from distill_nb.study import online_hub
from distill_nb.study.doctor import Finding
from distill_nb.study.online_hub import Needs, size_text
from distill_nb.traces import hub, hub_rows, scan
from distill_nb.traces.params import TraceParams
from distill_nb.traces.row_group import RowGroup

READ = 20  # rows
# Rows of each part at the pinned revision, where they are published: by the card of
# https://huggingface.co/datasets/nvidia/OpenCodeReasoning. The pages of OpenR1-Math-220k give
# rounded numbers only: its rows are counted, and compared with nothing.
ROWS = {("r1_code", "split_0"): 567_850, ("r1_code", "split_1"): 167_405}
INSTEAD = "set source to a folder with copies of its .parquet files"
OTHER = f"the study was planned with other files; look at the data set's page, or {INSTEAD}"


def look(p: TraceParams, needs: Needs) -> Iterator[Finding]:
    """Yield what is found of the set's files."""
    hub_id, revision = hub.HUB[p.dataset]
    try:
        about = online_hub.repository(hub_id, revision, "dataset", INSTEAD)
        names = hub.on_hub(p.dataset, p.config)
    except ValueError as error:
        yield Finding("revision", f"{revision[:8]} of {hub_id} cannot be had", str(error))
        return
    needs[p.dataset] = online_hub.to_download(about, "dataset", names)
    size = sum(online_hub.sizes(about)[name] for name in names)
    found = f"{revision[:8]} of {hub_id}: {len(names)} files, {size_text(size)}"
    differs = "" if about.sha == revision else f"the hub gives {about.sha} for {revision}: {OTHER}"
    yield Finding("revision", found, differs)
    open_file = online_hub.opener(hub_id, revision)
    for part, folder in hub.FOLDERS[p.dataset].items():
        if p.config in (part, "all"):
            own = [name for name in names if name.startswith(folder)]
            yield from _part(p, part, own, open_file)


def _part(
    p: TraceParams, part: str, names: list[str], open_file: Callable[[str], BinaryIO]
) -> Iterator[Finding]:
    """Yield what is found of one part's files, of which all footers are read."""
    rows, read, columns = 0, None, ""
    for name in names:
        with open_file(name) as stream:
            try:
                groups = scan.groups_of(Path(name), p.dataset, stream=stream)
            except ValueError as error:
                yield Finding(f"{part}: columns", f"{name} is no such file", _why(p, error))
                return
            rows += sum(group.rows for group in groups)
            if read is None and groups:
                columns, read = ", ".join(groups[0].columns), _read(p, part, groups[0], stream)
    yield Finding(f"{part}: columns", f"{columns} in {len(names)} files")
    expected = ROWS.get((p.dataset, part))
    found = f"{rows:,}" if expected else f"{rows:,}; no number is published to compare them with"
    differs = f"expected {expected:,}: {OTHER}" if expected not in (None, rows) else ""
    yield Finding(f"{part}: rows", found, differs)
    yield read or Finding(f"{part}: {READ} rows", "there is none", OTHER)


def _why(p: TraceParams, error: ValueError) -> str:
    return online_hub.unreadable(error, hub.HUB[p.dataset][0], INSTEAD)


def _read(p: TraceParams, part: str, group: RowGroup, stream: BinaryIO) -> Finding:
    """The first rows of a row group, judged as all of them will be."""
    what = f"{part}: {READ} rows"
    try:
        found = hub_rows.batches(group.path, group.number, list(group.columns), stream, READ)
        batch = next(found)
        rows = list(hub_rows.rows(batch, p.dataset, p.pick, p.statements))
    except ValueError as error:
        return Finding(what, "cannot be read", _why(p, error))
    reasons = Counter(row.reason or "good" for row in rows)
    said = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    lack = "" if reasons["good"] else f"none is good, so that the set would be empty: {OTHER}"
    return Finding(what, f"read by the code that reads all: {said}", lack)

"""Stages of a scale that failed, for its index page: the notebook's cell, error and traceback; and
where the notebook has none (its kernel was killed, or it was never started) what stage.py keeps of
a failure:

    runs/<scale>/<folder>/failure_<stage>.json       its exit status, when that was, the last lines
                                                     that it said on stderr
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
from datetime import UTC, datetime
from pathlib import Path

from distill_nb.runtime.files import write_json

ANSI = re.compile(r"\x1b\[[0-9;]*m")  # IPython colours its tracebacks
LINES = 40  # that are kept


def keep(folder: Path, stage: str, status: int, said: list[str], started: float) -> None:
    """Write down that a stage, started at a Unix time, failed; on a full disk perhaps not."""
    lines = [line.rstrip() for line in ANSI.sub("", "\n".join(said)).splitlines() if line.strip()]
    with contextlib.suppress(OSError):
        write_json(
            folder / f"failure_{stage}.json",
            {
                "status": status,
                "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds"),
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "said": lines[-LINES:],
            },
        )


def forget(folder: Path, stage: str) -> None:
    """The stage starts again, or has ended well."""
    (folder / f"failure_{stage}.json").unlink(missing_ok=True)


def readable(notebook: Path) -> bool:
    """Whether a file is a notebook, and whole."""
    return _cells(notebook) is not None


def _cells(notebook: Path) -> list[dict] | None:
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def failure(notebook: Path) -> dict | None:
    """The first error of an executed notebook: {"where" (code cell n, from 1), "source", "error",
    "traceback"}.

    None for one that has none, that is being executed now, or that is none."""
    for number, cell in enumerate(
        (c for c in _cells(notebook) or [] if c.get("cell_type") == "code"), 1
    ):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                return {
                    "where": f"code cell {number}",
                    "source": "".join(cell["source"]),
                    "error": f"{output.get('ename', '?')}: {ANSI.sub('', output.get('evalue', ''))}",
                    "traceback": ANSI.sub("", "\n".join(output.get("traceback", []))),
                }
    return None


def kept(folder: Path, stage: str) -> dict | None:
    """What was kept of a stage's failure, as `failure` has it. None where nothing was, and where
    its notebook was executed since, or has an error of its own from then."""
    file, notebook = folder / f"failure_{stage}.json", folder / f"{stage}.ipynb"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        started, when = (datetime.fromisoformat(found[key]) for key in ("started", "time"))
        status, said = int(found["status"]), list(found["said"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if notebook.is_file():
        executed = notebook.stat().st_mtime
        if executed > when.timestamp() + 1 or (
            executed >= started.timestamp() and failure(notebook)
        ):
            return None
    ended = f"exit status {status}"  # Papermill's is 138 where its kernel died
    if -status in [*signal.Signals]:
        ended = f"killed by {signal.Signals(-status).name}"
    return {
        "where": f"{ended}, {when:%Y-%m-%d %H:%M} UTC",
        "source": "",
        "error": said[-1] if said else "it said nothing",
        "traceback": "\n".join(said),
    }


def failures(scale_dir: Path) -> dict[Path, dict]:
    """notebook → its failure, of all stages of runs/<scale>; the paper and what was never started
    have no notebook there."""

    def files(name):
        return {file for folder in ("*", "traces/*") for file in scale_dir.glob(f"{folder}/{name}")}

    notebooks = files("*.ipynb") | {
        f.with_name(f"{f.stem.removeprefix('failure_')}.ipynb") for f in files("failure_*.json")
    }
    found = {file: kept(file.parent, file.stem) or failure(file) for file in sorted(notebooks)}
    return {file: failed for file, failed in found.items() if failed}

"""Stages of a scale that failed, for its index page: the notebook's cell, error and traceback.

Where the notebook has none (its kernel was killed, or it was never started), what study/stage.py
keeps of a failure: runs/<scale>/<folder>/failure_<stage>.json with its exit status, when that was,
and the last lines on stderr."""

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
    """Write down that a stage, started at a Unix time, failed; a full disk is no error here."""
    lines = [line.rstrip() for line in ANSI.sub("", "\n".join(said)).splitlines() if line.strip()]
    times = {"started": datetime.fromtimestamp(started, UTC), "time": datetime.now(UTC)}
    texts = {key: time.isoformat(timespec="milliseconds") for key, time in times.items()}
    record = {"status": status} | texts | {"said": lines[-LINES:]}
    with contextlib.suppress(OSError):
        write_json(folder / f"failure_{stage}.json", record)


def forget(folder: Path, stage: str) -> None:
    """Remove what was kept: the stage starts again, or has ended well."""
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
    "traceback"}. None where it has no error, is being executed now, or is no notebook."""
    code = [cell for cell in _cells(notebook) or [] if cell.get("cell_type") == "code"]
    for number, cell in enumerate(code, 1):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                said = ANSI.sub("", output.get("evalue", ""))
                return {
                    "where": f"code cell {number}",
                    "source": "".join(cell["source"]),
                    "error": f"{output.get('ename', '?')}: {said}",
                    "traceback": ANSI.sub("", "\n".join(output.get("traceback", []))),
                }
    return None


def kept(folder: Path, stage: str) -> dict | None:
    """What was kept of a stage's failure, as `failure` has it. None where nothing was kept, and
    where the notebook was executed since, or has an error of its own from then."""
    file, notebook = folder / f"failure_{stage}.json", folder / f"{stage}.ipynb"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        started, when = (datetime.fromisoformat(found[key]) for key in ("started", "time"))
        status, said = int(found["status"]), list(found["said"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    executed = notebook.stat().st_mtime if notebook.is_file() else 0
    since = executed > when.timestamp() + 1
    if since or (executed >= started.timestamp() and failure(notebook)):
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
    """notebook → its failure, of all stages of runs/<scale>. The notebook of the paper, and of what
    was never started, does not exist."""
    notebooks: set[Path] = set()
    for folder in ("*", "traces/*"):
        notebooks.update(scale_dir.glob(f"{folder}/*.ipynb"))
        for file in scale_dir.glob(f"{folder}/failure_*.json"):
            notebooks.add(file.with_name(f"{file.stem.removeprefix('failure_')}.ipynb"))
    found = {}
    for notebook in sorted(notebooks):
        failed = kept(notebook.parent, notebook.stem) or failure(notebook)
        if failed:
            found[notebook] = failed
    return found

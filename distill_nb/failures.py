"""Notebooks of a scale that stopped at an error: which cell, which error, and its traceback, for the index page."""
from __future__ import annotations

import json
import os
import re
from html import escape
from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;]*m")  # IPython colours its tracebacks


def failure(notebook: Path) -> dict | None:
    """The first error of an executed notebook: {"cell" (of the code cells, from 1), "source", "error", "traceback"}.

    None for one that has none, that is being executed now, or that is none."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for number, cell in enumerate((c for c in cells if c.get("cell_type") == "code"), 1):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                return {"cell": number, "source": "".join(cell["source"]),
                        "error": f"{output.get('ename', '?')}: {ANSI.sub('', output.get('evalue', ''))}",
                        "traceback": ANSI.sub("", "\n".join(output.get("traceback", [])))}
    return None


def failures(scale_dir: Path) -> dict[Path, dict]:
    """notebook → its failure, of all notebooks of runs/<scale>: of sets, runs and the analysis."""
    found = {}
    for file in sorted([*scale_dir.glob("*/*.ipynb"), *scale_dir.glob("traces/*/*.ipynb")]):
        if failed := failure(file):
            found[file] = failed
    return found


def failures_html(scale_dir: Path, page: Path) -> str:
    """The failures of a scale for its index page, each with its traceback to unfold; nothing where there are none."""
    entries = []
    for file, found in failures(scale_dir).items():
        html, name = file.with_suffix(".html"), file.relative_to(scale_dir).with_suffix("").as_posix()
        shown = escape(name)
        if html.is_file():
            shown = f'<a href="{escape(Path(os.path.relpath(html, page.parent)).as_posix())}">{shown}</a>'
        entries.append(f"<details><summary>{shown}: code cell {found['cell']}, {escape(found['error'])}</summary>\n"
                       f"<pre>{escape(found['traceback'])}</pre></details>")
    return ("<h2>Failed</h2>\n<p>These notebooks stopped at an error; what they had made is kept, and the next start goes on "
            "from there.</p>\n" + "\n".join(entries)) if entries else ""

"""The index page of a scale: its runs with their pages, sets, accuracies and failures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from html import escape
from pathlib import Path

from distill_nb import params
from distill_nb.analysis import comparability, results
from distill_nb.report import accessible, tables, template
from distill_nb.report.failures import failures
from distill_nb.report.notebook_page import is_run, render
from distill_nb.runtime import provenance


def failures_html(scale_dir: Path, page: Path) -> str:
    """The failures of a scale for its index page, each with its traceback to unfold; nothing where
    there are none."""
    entries = []
    for file, found in failures(scale_dir).items():
        html, name = (
            file.with_suffix(".html"),
            file.relative_to(scale_dir).with_suffix("").as_posix(),
        )
        shown = escape(name)
        if html.is_file():
            shown = f'<a href="{escape(Path(os.path.relpath(html, page.parent)).as_posix())}">{shown}</a>'
        entries.append(
            f"<details><summary>{shown}: {escape(found['where'])}, "
            f"{escape(found['error'])}</summary>\n"
            f"<pre>{escape(found['traceback'])}</pre></details>"
        )
    return (
        (
            "<h2>Failed</h2>\n<p>These stopped at an error; what they had made is kept, and the "
            "next start goes on "
            "from there.</p>\n" + "\n".join(entries)
        )
        if entries
        else ""
    )


TINY = (
    "<p>Tiny scale shows that everything runs, and nothing else: whatever the names say, the "
    "students are random models "
    "of two layers, the traces are generated, and a benchmark has two problems. The numbers mean "
    "nothing.</p>"
)
STAND_IN = (
    "<p>A stand-in is a set of synthetic traces that this package generated in the teacher's "
    "place: none of it is the "
    "teacher's output. The runs keep the names of the study's runs that they are small versions "
    "of.</p>"
)


def describe_run(folder: Path) -> dict:
    """What a run's provenance says about it; "?" where it says nothing."""
    record: dict = {}
    for name in ("provenance_train.json", "provenance_eval.json"):
        if (folder / name).is_file():
            try:
                record = json.loads((folder / name).read_text(encoding="utf-8"))
                break
            except ValueError:  # damaged: the other one may tell
                continue
    given = record.get("parameters", {})
    described = {key: given.get(key, "?") for key in ("student", "domain", "seed", "max_steps")}
    # eval.ipynb does not know it
    dataset = given.get("dataset", "?") if name == "provenance_train.json" else "?"
    return described | {
        "traces": params.traces_of(given.get("teacher", "?"), dataset),
        "finished": record.get("finished"),
    }


def link(page: Path, index: Path, name: str) -> str:
    """A link to a page where it exists; otherwise its name, shown as missing and why."""
    if page.is_file():
        return f'<a href="{escape(Path(os.path.relpath(page, index.parent)).as_posix())}">{escape(name)}</a>'
    made = page.with_name(
        f"provenance_{name}.json" if name in ("train", "eval") else "provenance.json"
    )
    if page.with_suffix(".ipynb").is_file():
        why = "executed, not rendered"
    elif made.is_file():
        try:
            done = provenance.read(made, "").get("finished", True)
        except ValueError:  # damaged
            done = False
        why = f"{'done' if done else 'begun'}, no page"
    else:
        why = "not executed"
    return f'<span class="missing">{escape(name)}: {why}</span>'


def accuracy_html(scale_dir: Path) -> str:
    """The table of accuracies of a scale; a sentence where there are no records."""
    table = results.accuracy_table(scale_dir)
    if table.empty:
        return "<p>No run of this scale has been evaluated yet.</p>"
    note = (
        "Percent with 95% Wilson intervals; step 0 is the base student; * marks a score whose n "
        "includes errors."
    )
    mixed = "".join(
        f"<li>{escape(sentence)}</li>" for sentence in comparability.differences(scale_dir)
    )
    mixed = f"<p>Not all of these results were made alike:</p><ul>{mixed}</ul>" if mixed else ""
    return (
        f"<p>{note}</p>\n{mixed}"
        + tables.show(results.wide_table(table), "", "Accuracy by run and step").data
    )


def sets_html(scale_dir: Path, page: Path) -> str:
    """The sets of training traces of a scale with their pages, as a table; nothing where there are
    none."""
    rows = []
    for file in sorted(scale_dir.glob("traces/*/funnel.json")):
        counts = json.loads(file.read_text(encoding="utf-8"))
        rows.append(
            f"<tr><th>{escape(file.parent.name)}<br>{link(file.parent / 'traces.html', page, 'traces')}</th>"
            f"<td>{counts['kept']:,}</td><td>{counts['rows']:,}</td></tr>"
        )
    head = "<thead><tr><th>set</th><th>traces</th><th>rows of the source</th></tr></thead>"
    return (
        (
            "<h2>Training traces</h2>\n<table><caption>The sets and their "
            f"pages</caption>{head}<tbody>{''.join(rows)}</tbody>"
            "</table>"
        )
        if rows
        else ""
    )


def index(scale_dir: Path) -> Path:
    """Write <scale_dir>/report/index.html: every run of a scale with its pages, the analysis, the
    training sets, the accuracies.

    Raises ValueError where the folder does not exist."""
    scale_dir = Path(scale_dir).absolute()
    if not scale_dir.is_dir():
        raise ValueError(
            f"{scale_dir} is not a folder: give runs/<scale>, the folder that holds the runs of a "
            "scale."
        )
    page = scale_dir / "report" / "index.html"
    folders = [
        f
        for f in sorted(scale_dir.iterdir())
        if f.is_dir() and not f.name.startswith("_") and is_run(f)
    ]
    rows = []
    for folder in folders:
        d = describe_run(folder)
        baseline = d["traces"] == "none"
        steps = "—" if baseline else f"{d['max_steps']}"
        steps += "" if d["finished"] else " (unfinished)"
        pages = " · ".join(
            link(folder / f"{name}.html", page, name) for name in ("train", "eval")[baseline:]
        )
        cells = [d["traces"], d["student"], d["domain"], d["seed"], steps]
        rows.append(
            f"<tr><th>{escape(folder.name)}<br>{pages}</th>"
            + "".join(f"<td>{escape(str(c))}</td>" for c in cells)
            + "</tr>"
        )
    html = template.INDEX.format(
        scale=escape(scale_dir.name),
        css=template.CSS,
        rows="\n".join(rows),
        accuracy=accuracy_html(scale_dir),
        sets=sets_html(scale_dir, page),
        failed=failures_html(scale_dir, page),
        script=template.SCRIPT,
        note=TINY
        if scale_dir.name == "tiny"
        else STAND_IN
        if any("stand-in" in row for row in rows)
        else "",
        runs="1 run" if len(rows) == 1 else f"{len(rows)} runs",
        analysis=link(page.parent / "analyze.html", page, "analyze"),
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(accessible.page(html), encoding="utf-8")
    return page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m distill_nb.report.notebook_page", description="Notebooks as HTML pages."
    )
    parser.add_argument(
        "notebook", nargs="*", type=Path, help="executed notebook; its page is written beside it"
    )
    parser.add_argument(
        "--index", type=Path, metavar="runs/<scale>", help="write the index page of a scale"
    )
    given = parser.parse_args(arguments)
    if not given.notebook and not given.index:
        parser.error("give a notebook, or --index runs/<scale>")
    try:
        for notebook in given.notebook:
            print(render(notebook))
        if given.index:
            print(index(given.index))
    except ValueError as error:
        sys.exit(str(error))

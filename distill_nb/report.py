"""Executed notebooks → self-contained HTML pages, and the index page of a scale.

    python -m distill_nb.report runs/pocket/<run_name>/train.ipynb    writes train.html beside it
    python -m distill_nb.report --index runs/pocket                   writes runs/pocket/report/index.html

A page loads nothing from the network: it can be mailed, archived and opened on a phone. That excludes MathJax, so
formulas in the notebooks are written in Unicode. Look and script are in report_page.py, what readers of a page by keyboard,
ear or phone need of its tables and figures in accessible.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from html import escape, unescape
from pathlib import Path

from distill_nb import accessible, failures, params, report_page
from distill_nb.runtime import provenance

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
# What a browser would fetch by itself; plain links (<a href>) are fine.
FETCHES = re.compile(
    r"""<[a-z][^<>]*\ssrc(?:set)?\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^<>]*\shref\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^"'\s)]+|\burl\(\s*["']?(?:https?:)?//[^"'\s)]+""",
    re.IGNORECASE,
)


TINY = ("<p>Tiny scale shows that everything runs, and nothing else: whatever the names say, the students are random models "
        "of two layers, the traces are generated, and a benchmark has two problems. The numbers mean nothing.</p>")
STAND_IN = ("<p>A stand-in is a set of synthetic traces that this package generated in the teacher's place: none of it is the "
            "teacher's output. The runs keep the names of the study's runs that they are small versions of.</p>")


# ---- progress bars as text


def collapse(text: str) -> str:
    """What a terminal shows after printing `text`: carriage returns and cursor-ups (tqdm's nested bars) applied, so
    that of each progress bar only the final state is left."""
    if "\r" not in text and "\x1b[A" not in text:
        return text
    lines, row, column = [""], 0, 0
    for piece in re.split(r"(\r?\n|\r|\x1b\[A)", text):
        if piece in ("\n", "\r\n"):
            row, column = row + 1, 0
            if row == len(lines):
                lines.append("")
        elif piece == "\r":
            column = 0
        elif piece == "\x1b[A":
            row = max(row - 1, 0)
        elif piece:
            old = lines[row].ljust(column)
            lines[row] = old[:column] + piece + old[column + len(piece) :]
            column += len(piece)
    return "\n".join(line.rstrip() for line in lines)


def merge_streams(outputs: list) -> list:
    """A cell's outputs with the pieces of each stream joined and collapsed.

    Neighbouring pieces of one stream are joined. A piece of stderr that starts with a carriage return continues the
    bar of the last piece of stderr, even where the cell printed something in between."""
    merged: list = []
    for output in outputs:
        if output.output_type == "stream":
            same = [o for o in merged if o.output_type == "stream" and o.name == output.name]
            neighbour = merged and same and merged[-1] is same[-1]
            if neighbour or (same and output.name == "stderr" and output.text.startswith("\r")):
                same[-1].text += output.text
                continue
        merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = collapse(output.text)
    return [o for o in merged if o.output_type != "stream" or o.text.strip()]


def widget_text(model_id: str, state: dict) -> str:
    """The words of a widget and its children, from the notebook's saved widget state: for tqdm's bar
    `Training: 100% 30/30 [01:50<00:00]`. Empty where the widget was closed or hidden (tqdm's leave=False)."""
    fields = state.get(model_id, {}).get("state", {})
    layout = str(fields.get("layout")).removeprefix("IPY_MODEL_")
    if state.get(layout, {}).get("state", {}).get("visibility") == "hidden":
        return ""
    if fields.get("_model_name") in ("HTMLModel", "LabelModel", "HTMLMathModel"):
        words = [str(fields.get("description") or ""), re.sub(r"<[^>]*>", "", str(fields.get("value") or ""))]
    else:
        children = [str(child).removeprefix("IPY_MODEL_") for child in fields.get("children") or []]
        words = [widget_text(child, state) for child in children]
    return re.sub(r"\s+", " ", unescape(" ".join(words))).strip()


def plain_outputs(notebook) -> None:
    """Make every output one that needs no script, in place: streams merged, widgets as text, JavaScript dropped."""
    saved = notebook.metadata.pop("widgets", {}).get(WIDGET_STATE, {}).get("state")
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop("application/javascript", None)
            view = data.pop(WIDGET_VIEW, None)
            if view is not None and saved is not None:
                text = widget_text(view.get("model_id", ""), saved)
                output.data = type(data)({"text/plain": text} if text else {})
        cell.outputs = merge_streams([o for o in cell.outputs if o.get("data", True)])


# ---- one notebook


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's: it was trained there, or evaluated."""
    return (folder / "provenance_train.json").is_file() or (folder / "eval").is_dir()


def title_of(notebook, path: Path) -> str:
    """The notebook's title in its metadata, else its first heading, else its file name; with the run's name."""
    headings = [re.match(r"#+\s+(.*)", c.source) for c in notebook.cells if c.cell_type == "markdown"]
    title = notebook.metadata.get("title") or next((m.group(1) for m in headings if m), path.stem)
    return f"{title} · {path.parent.name}" if is_run(path.parent) else title


def render(notebook: Path, html: Path | None = None) -> Path:
    """Write an executed notebook as one HTML file that loads nothing, beside it unless `html` says where.

    Cells tagged `hide-input` and, where Papermill injected parameters, the defaults are folded under "show code"; the
    injected parameters stay visible. Raises ValueError where the notebook is missing or not one, or where an output
    or a cell of text would make the page fetch something."""
    import nbformat
    from nbconvert import HTMLExporter

    path = Path(notebook).absolute()
    html = Path(html).absolute() if html else path.with_suffix(".html")
    try:
        nb = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ValueError(f"{notebook} does not exist: execute the notebook with papermill first.") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError):
        raise ValueError(f"{notebook} is not a notebook: give the .ipynb that papermill wrote.") from None
    plain_outputs(nb)
    nb.metadata["title"] = title_of(nb, path)
    injected = any("injected-parameters" in c.metadata.get("tags", []) for c in nb.cells)
    exporter = HTMLExporter(template_name="lab", embed_images=True, exclude_input_prompt=True, exclude_anchor_links=True,
                            exclude_output_prompt=True)
    exporter.raw_template = report_page.NOTEBOOK
    back = back_link(path.parent)
    page, _ = exporter.from_notebook_node(nb, resources={
        "metadata": {"name": path.stem, "path": str(path.parent)},
        "page_css": report_page.notebook_css(), "script": report_page.SCRIPT,
        "folded": ["hide-input", "parameters"] if injected else ["hide-input"],
        "back": Path(os.path.relpath(back, html.parent)).as_posix() if back else ""})
    fetched = FETCHES.search(page)
    if fetched:
        raise ValueError(f"{notebook} has a cell or output that loads {fetched.group(0)[-120:]!r} from the network: "
                         "use a local file, which is embedded.")
    html.parent.mkdir(parents=True, exist_ok=True)
    html.write_text(accessible.page(page), encoding="utf-8")
    return html


# ---- the index of a scale


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
    dataset = given.get("dataset", "?") if name == "provenance_train.json" else "?"  # eval.ipynb does not know it
    return described | {"traces": params.traces_of(given.get("teacher", "?"), dataset), "finished": record.get("finished")}


def link(page: Path, index: Path, name: str) -> str:
    """A link to a page where it exists; otherwise its name, shown as missing and why."""
    if page.is_file():
        return f'<a href="{escape(Path(os.path.relpath(page, index.parent)).as_posix())}">{escape(name)}</a>'
    made = page.with_name(f"provenance_{name}.json" if name in ("train", "eval") else "provenance.json")
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
    from distill_nb import tables
    from distill_nb.analysis import comparability, results

    table = results.accuracy_table(scale_dir)
    if table.empty:
        return "<p>No run of this scale has been evaluated yet.</p>"
    note = "Percent with 95% Wilson intervals; step 0 is the base student; * marks a score whose n includes errors."
    mixed = "".join(f"<li>{escape(sentence)}</li>" for sentence in comparability.sentences(scale_dir))
    mixed = f"<p>Not all of these results were made alike:</p><ul>{mixed}</ul>" if mixed else ""
    return f"<p>{note}</p>\n{mixed}" + tables.show(results.wide_table(table), "", "Accuracy by run and step").data


def sets_html(scale_dir: Path, page: Path) -> str:
    """The sets of training traces of a scale with their pages, as a table; nothing where there are none."""
    rows = []
    for file in sorted(scale_dir.glob("traces/*/funnel.json")):
        counts = json.loads(file.read_text(encoding="utf-8"))
        rows.append(f"<tr><th>{escape(file.parent.name)}<br>{link(file.parent / 'traces.html', page, 'traces')}</th>"
                    f"<td>{counts['kept']:,}</td><td>{counts['rows']:,}</td></tr>")
    head = "<thead><tr><th>set</th><th>traces</th><th>rows of the source</th></tr></thead>"
    return (f"<h2>Training traces</h2>\n<table><caption>The sets and their pages</caption>{head}<tbody>{''.join(rows)}</tbody>"
            "</table>") if rows else ""


def back_link(folder: Path) -> Path | None:
    """The index page of the scale that a notebook in this folder belongs to: a run, the report, or a set of traces."""
    if is_run(folder) or folder.name == "report":
        return folder.parent / "report" / "index.html"
    return folder.parents[1] / "report" / "index.html" if folder.parent.name == "traces" else None


def index(scale_dir: Path) -> Path:
    """Write <scale_dir>/report/index.html: every run of a scale with its pages, the analysis, the training sets, the
    accuracies.

    Raises ValueError where the folder does not exist."""
    scale_dir = Path(scale_dir).absolute()
    if not scale_dir.is_dir():
        raise ValueError(f"{scale_dir} is not a folder: give runs/<scale>, the folder that holds the runs of a scale.")
    page = scale_dir / "report" / "index.html"
    folders = [f for f in sorted(scale_dir.iterdir()) if f.is_dir() and not f.name.startswith("_") and is_run(f)]
    rows = []
    for folder in folders:
        d = describe_run(folder)
        baseline = d["traces"] == "none"
        steps = "—" if baseline else f"{d['max_steps']}"
        steps += "" if d["finished"] else " (unfinished)"
        pages = " · ".join(link(folder / f"{name}.html", page, name) for name in ("train", "eval")[baseline:])
        cells = [d["traces"], d["student"], d["domain"], d["seed"], steps]
        rows.append(f"<tr><th>{escape(folder.name)}<br>{pages}</th>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells)
                    + "</tr>")
    html = report_page.INDEX.format(
        scale=escape(scale_dir.name), css=report_page.CSS, rows="\n".join(rows), accuracy=accuracy_html(scale_dir),
        sets=sets_html(scale_dir, page), failed=failures.failures_html(scale_dir, page), script=report_page.SCRIPT,
        note=TINY if scale_dir.name == "tiny" else STAND_IN if any("stand-in" in row for row in rows) else "",
        runs="1 run" if len(rows) == 1 else f"{len(rows)} runs",
        analysis=link(page.parent / "analyze.html", page, "analyze"))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(accessible.page(html), encoding="utf-8")
    return page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m distill_nb.report", description="Notebooks as HTML pages.")
    parser.add_argument("notebook", nargs="*", type=Path, help="executed notebook; its page is written beside it")
    parser.add_argument("--index", type=Path, metavar="runs/<scale>", help="write the index page of a scale")
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


if __name__ == "__main__":
    main()

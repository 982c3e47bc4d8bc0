"""Executed notebooks → self-contained HTML pages.

A page loads nothing from the network: it can be mailed, archived and opened on a phone. That
excludes MathJax, so formulas in the notebooks are written in Unicode. markup.py names the files
that a page's look comes from, accessible.py adds what readers by keyboard, ear or phone need."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.report import accessible, markup
from distill_nb.runtime.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
# What a browser would fetch by itself; plain links (<a href>) are fine.
FETCHES = re.compile(
    r"""<[a-z][^<>]*\ssrc(?:set)?\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^<>]*\shref\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^"'\s)]+|\burl\(\s*["']?(?:https?:)?//[^"'\s)]+""",
    re.IGNORECASE,
)


# ---- progress bars as text


def collapse(text: str) -> str:
    """What a terminal shows after printing `text`: carriage returns and cursor-ups (tqdm's nested
    bars) applied, so that of each progress bar only the final state is left."""
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


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """A cell's outputs with the pieces of each stream joined and collapsed.

    Neighbouring pieces of one stream are joined. A piece of stderr that starts with a carriage
    return continues the bar of the last piece of stderr, even where the cell printed something in
    between."""
    merged: list[NotebookNode] = []
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
    """The words of a widget and its children, from the notebook's saved widget state: for tqdm's
    bar `Training: 100% 30/30 [01:50<00:00]`. Empty where the widget was closed or hidden (tqdm's
    leave=False)."""
    fields = state.get(model_id, {}).get("state", {})
    layout = str(fields.get("layout")).removeprefix("IPY_MODEL_")
    if state.get(layout, {}).get("state", {}).get("visibility") == "hidden":
        return ""
    if fields.get("_model_name") in ("HTMLModel", "LabelModel", "HTMLMathModel"):
        value = re.sub(r"<[^>]*>", "", str(fields.get("value") or ""))
        words = [str(fields.get("description") or ""), value]
    else:
        children = [str(child).removeprefix("IPY_MODEL_") for child in fields.get("children") or []]
        words = [widget_text(child, state) for child in children]
    return re.sub(r"\s+", " ", unescape(" ".join(words))).strip()


def plain_outputs(notebook: NotebookNode) -> None:
    """Make every output one that needs no script, in place: streams merged, widgets as text,
    JavaScript dropped."""
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


def link_pages(page: str, folder: Path) -> str:
    """The page with links to notebooks of its folder as links to their pages. Where there is no
    such notebook, the words are left; a scale's folder `report` gets all of its pages in time."""

    def linked(found: re.Match[str]) -> str:
        target, words = found.group(1), found.group(2)
        there = folder.name == "report" or (folder / f"{target}.ipynb").is_file()
        return f'<a href="{target}.html">{words}</a>' if there else words

    return re.sub(r'<a href="([\w-]+)\.ipynb"[^>]*>(.*?)</a>', linked, page)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's: it was trained there, or evaluated."""
    return (folder / "provenance_train.json").is_file() or (folder / "eval").is_dir()


def title_of(notebook: NotebookNode, path: Path) -> str:
    """The notebook's title in its metadata, else its first heading, else its file name; with the
    run's name."""
    texts = (c.source for c in notebook.cells if c.cell_type == "markdown")
    headings = (re.match(r"#+\s+(.*)", text) for text in texts)
    title = notebook.metadata.get("title") or next((m.group(1) for m in headings if m), path.stem)
    return f"{title} · {path.parent.name}" if is_run(path.parent) else title


def name_of_run(notebook: NotebookNode, path: Path) -> None:
    """Put the run's name into the first heading, in place, where the notebook is a run's."""
    cell = next((c for c in notebook.cells if c.cell_type == "markdown"), None)
    if is_run(path.parent) and cell:
        name = path.parent.name.replace("_", r"\_")
        cell.source = re.sub(r"\A(#\s+[^\n]*)", rf"\g<1> · {name}", cell.source)


def only_declared(notebook: NotebookNode) -> None:
    """Leave of the injected parameters those that the parameters cell declares, in place.
    `other_parameters` are the run's others: what reads them has its own record of them."""
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            with contextlib.suppress(SyntaxError):
                kept = [
                    node
                    for node in ast.parse(cell.source).body
                    if "other_parameters" not in map(ast.unparse, getattr(node, "targets", []))
                ]
                cell.source = "\n".join(map(ast.unparse, kept))


def render(notebook: Path, html: Path | None = None) -> Path:
    """Write an executed notebook as one HTML file that loads nothing, beside it unless `html` says
    where.

    Cells tagged `hide-input` and parameters are folded; of what Papermill injected, only what the
    notebook declares is shown. Raises ValueError where the notebook is missing, not one or was not
    executed, or where an output or a cell of text would make the page fetch something."""
    import nbformat
    from nbconvert import HTMLExporter

    path = Path(notebook).absolute()
    html = Path(html).absolute() if html else path.with_suffix(".html")
    try:
        nb = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        remedy = "execute the notebook with papermill first"
        raise ValueError(f"{notebook} does not exist: {remedy}.") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError):
        remedy = "give the .ipynb that papermill wrote"
        raise ValueError(f"{notebook} is not a notebook: {remedy}.") from None
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    if code and not any(cell.get("execution_count") or cell.outputs for cell in code):
        raise ValueError(f"{notebook} was not executed: run it with papermill first.")
    plain_outputs(nb)
    nb.metadata["title"] = title_of(nb, path)
    name_of_run(nb, path)
    only_declared(nb)
    exporter = HTMLExporter(
        template_name=markup.NAME,
        extra_template_basedirs=[str(markup.FOLDER)],
        embed_images=True,
        exclude_input_prompt=True,
        exclude_anchor_links=True,
        exclude_output_prompt=True,
    )
    exporter.register_filter("svg_uri", markup.svg_uri)
    back = back_link(path.parent)
    resources = {
        "metadata": {"name": path.stem, "path": str(path.parent)},
        "highlight_css": highlight_css(),
        "folded": ["hide-input", "parameters", "injected-parameters"],
        "back": Path(os.path.relpath(back, html.parent)).as_posix() if back else "",
    }
    page, _ = exporter.from_notebook_node(nb, resources=resources)
    page = link_pages(page, path.parent)
    fetched = FETCHES.search(page)
    if fetched:
        raise ValueError(
            f"{notebook} has a cell or output that loads {fetched.group(0)[-120:]!r} from the "
            "network: use a local file, which is embedded."
        )
    write_text(html, accessible.page(page))
    return html


def highlight_css() -> str:
    """The colours of highlighted code, for a light and a dark screen."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


def back_link(folder: Path) -> Path | None:
    """The index page of the scale that a notebook in this folder belongs to: a run, the report, or
    a set of traces."""
    if is_run(folder) or folder.name == "report":
        return folder.parent / "report" / "index.html"
    return folder.parents[1] / "report" / "index.html" if folder.parent.name == "traces" else None

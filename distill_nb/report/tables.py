"""How tables are shown: as HTML in a notebook, as LaTeX in the paper."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame, Series

if TYPE_CHECKING:
    from IPython.display import HTML

NONE = "—"  # a cell without a value
# Heads of columns that are not their names with blanks for underscores.
HEADS = {
    "lo": "interval from", "hi": "to", "p_holm": "p (Holm)", "p_adjusted": "p, adjusted",
    "bounds_lo": "errors as wrong", "bounds_hi": "errors as correct", "task_id": "problem",
}  # fmt: skip

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "—": "---",
    "–": "--",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": r"$-$",
}


def latex_text(value: object) -> str:
    """A cell as LaTeX text: special characters escaped, the study's dashes and arrows written in
    LaTeX."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda m: LATEX[m[0]], str(value))


def to_latex(table: DataFrame, caption: str, label: str, columns: str = "") -> str:
    r"""A table environment with booktabs rules (\usepackage{booktabs}). columns: LaTeX's column
    types; left out, texts to the left and numbers to the right."""
    for name in table if not columns else ():
        numeric = all(re.match(r"[-+−]?\d|—$", str(value)) for value in table[name])
        columns += "r" if numeric else "l"
    styled = table.style.hide(axis="index").format(latex_text)
    return styled.format_index(latex_text, axis="columns").to_latex(
        caption=latex_text(caption),
        label=label,
        column_format=columns,
        position_float="centering",
        hrules=True,
    )


def to_html(table: DataFrame, caption: str = "", digits: int = 1) -> str:
    """An HTML table without scripts, everything escaped; a named index is its first columns."""
    if any(name is not None for name in table.index.names):
        table = table.reset_index().rename_axis(columns=None)
    texts = pd.DataFrame(
        {name: _cells(table[name], digits) for name in table}, columns=table.columns, dtype=object
    )
    texts.columns = [head(name) for name in texts]
    with pd.option_context("display.max_colwidth", None):
        html = texts.to_html(index=False, escape=True, border=0)
    if not caption:
        return html
    return html.replace(">\n", f">\n  <caption>{escape(caption)}</caption>\n", 1)


def head(name: object) -> str:
    """A column's name in words."""
    return HEADS.get(str(name), str(name).replace("_", " "))


def _cells(column: Series, digits: int) -> list[str]:
    """A column as texts: whole numbers as such, p values to two digits, other numbers to so many
    decimals."""
    if column.dtype.kind != "f":
        return [NONE if value is None or value != value else str(value) for value in column]
    if all(value == int(value) for value in column.dropna()):
        form = ".0f"
    elif re.search(r"(^|_)p(_holm|_adjusted)?$", str(column.name)):
        form = ".2g"
    else:
        form = f".{digits}f"
    return [NONE if value != value else format(value, form) for value in column]


def show(
    table: DataFrame | None, nothing: str = "", caption: str = "", digits: int = 1
) -> HTML | None:
    """HTML for a notebook: a table, or where it has no rows the sentence `nothing`, if there is
    one."""
    from IPython.display import HTML

    if table is None or not len(table):
        return HTML(f"<p>{escape(nothing)}</p>") if nothing else None
    return HTML(to_html(table, caption, digits))


def show_each(parts: dict[str, DataFrame]) -> None:
    """Show in a notebook each table of title → DataFrame, under its title."""
    from IPython.display import display

    for title, table in parts.items():
        display(show(table, caption=title))


def folded(parts: dict[str, DataFrame], digits: int = 1) -> HTML:
    """HTML for a notebook: each table of title → DataFrame behind a line that opens it."""
    from IPython.display import HTML

    texts = []
    for title, table in parts.items():
        shown = to_html(table, digits=digits) if len(table) else "<p>No rows.</p>"
        texts.append(f"<details><summary>{escape(title)}</summary>\n{shown}\n</details>")
    return HTML("\n".join(texts))

"""How tables are shown: as HTML in a notebook, as LaTeX in the paper."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame, Series

from distill_nb.analysis.names import name_of

if TYPE_CHECKING:
    from IPython.display import HTML

NONE = "—"  # a cell without a value
# Heads of columns that are not their names with blanks for underscores.
HEADS = {
    "lo": "interval from", "hi": "to", "p_holm": "p (Holm)", "p_adjusted": "p, adjusted",
    "bounds_lo": "errors as wrong", "bounds_hi": "errors as correct", "task_id": "problem",
    "folder": "run", "level": "level, %", "se": "standard error", "can_fail": "can fail at all",
    "test_step": "best on all: step", "test_accuracy": "its accuracy",
    "dev_step": "best on one half: step", "dev_accuracy": "its accuracy there",
    "same_half": "best on all, on that half", "naive": "where it was chosen",
    "corrected": "elsewhere", "regret": "above the last", "regret_lo": "interval from",
    "regret_hi": "to", "only_base": "right before only", "only_step": "right after only",
    "margin_lo": "for the margin from", "margin_hi": "to", "margin_level": "level of that, %",
    "skill_least": "solved: least change", "skill_most": "solved: most change",
    "share_lo": "interval from", "share_hi": "to", "seed_sd_lo": "interval from",
    "seed_sd_hi": "to", "checkpoint_n": "n of checkpoints", "says": "the write-up says",
    "numbers": "its numbers say",
}  # fmt: skip
# Columns whose values are keys, and are shown by their names.
KEYS = ("benchmark", "student", "teacher", "first", "second")

MOST_LINES = 8  # of sentences that are not folded

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
    html = re.sub(r"\n *<", "\n<", html)  # the indent is a tenth of a large table
    if not caption:
        return html
    return html.replace(">\n", f">\n<caption>{escape(caption)}</caption>\n", 1)


def head(name: object) -> str:
    """A column's name in words; of a benchmark its name."""
    text = str(name)
    key = re.split(r"\W", text, maxsplit=1)[0]  # of `math500 (n = 500)`
    if name_of(key) != key:
        return name_of(key) + text.removeprefix(key)
    return HEADS.get(text, re.sub(r"^inflation_", "inflation at ", text).replace("_", " "))


def _cells(column: Series, digits: int) -> list[str]:
    """A column as texts: whole numbers as such, p values to two digits, other numbers to so many
    decimals."""
    if column.name in KEYS:
        column = column.map(lambda value: name_of(value) if isinstance(value, str) else value)
    elif column.name == "part":
        column = column.str.replace("_", " ")
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


def sentences(text: str, title: str) -> HTML:
    """HTML for a notebook: the lines of a text as a list, behind a line that opens it where they
    are many."""
    from IPython.display import HTML

    lines = text.splitlines()
    if len(lines) < 2:
        return HTML(f"<p>{escape(text)}</p>" if text else "")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    shown = f"<ul>{items}</ul>"
    if len(lines) > MOST_LINES:
        shown = f"<details><summary>{escape(title)}</summary>{shown}</details>"
    return HTML(shown)


def folded(parts: dict[str, DataFrame], digits: int = 1) -> HTML:
    """HTML for a notebook: each table of title → DataFrame behind a line that opens it."""
    from IPython.display import HTML

    texts = []
    for title, table in parts.items():
        shown = to_html(table, digits=digits) if len(table) else "<p>No rows.</p>"
        texts.append(f"<details><summary>{escape(title)}</summary>\n{shown}\n</details>")
    return HTML("\n".join(texts))

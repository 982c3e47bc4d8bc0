"""Tables as the published study has them, from a tidy table (names.COLUMNS), and what its
percentages can say beyond.

Cells are texts: percent at the precision of the data, an asterisk where sampling errors degraded a
score, — where there is no number; with intervals=True a 95% Wilson interval of the stated n
follows.

    python -m distill_nb.report.tables FOLDER      writes the published study's tables as LaTeX, one file each
"""

from __future__ import annotations

import re
from html import escape

import pandas as pd

from distill_nb.analysis import selection_bias, stats
from distill_nb.analysis.baseline_changes import forgetting_matrix
from distill_nb.analysis.names import name_of
from distill_nb.analysis.published.findings import check_all, findings_table
from distill_nb.analysis.tidy import best_checkpoints, checkpoints_of

NONE = "—"


def _text(r, intervals: bool) -> str:
    text = f"{r.accuracy:.{r.decimals}f}{'*' if r.flagged else ''}"
    if not intervals:
        return text
    lo, hi = stats.wilson(r.accuracy * r.n / 100, r.n)
    return f"{text} [{100 * lo:.1f}, {100 * hi:.1f}]"


def _wide(rows, index: list[str], intervals: bool):
    """One row a combination of `index`, in the order of the data, one column a benchmark, by the
    study's names."""
    out = {}
    names = [name_of(b) for b in rows["benchmark"].unique()]
    for r in rows.itertuples():
        key = tuple(getattr(r, c) for c in index)
        out.setdefault(key, dict.fromkeys(names, NONE))[name_of(r.benchmark)] = _text(r, intervals)
    return pd.DataFrame(
        [dict(zip(index, key, strict=True)) | cells for key, cells in out.items()],
        columns=[*index, *names],
    )


def baselines(table, intervals: bool = False):
    """The students as they come: student, then one column a benchmark."""
    wide = _wide(table[table["step"] == 0], ["student"], intervals)
    return wide.assign(student=wide["student"].map(name_of))


def checkpoints(table, student: str, teacher: str, intervals: bool = False):
    """Every checkpoint of a student distilled from a teacher: domain, step, then one column a
    benchmark.

    Raises ValueError if there are none."""
    rows = table[
        (table["student"] == student) & (table["teacher"] == teacher) & (table["step"] > 0)
    ]
    if rows.empty:
        raise ValueError(
            f"student {student!r} and teacher {teacher!r} have no checkpoints in the table: choose "
            "from "
            f"{', '.join(f'{s} and {t}' for s, t in pairs(table))}."
        )
    return _wide(rows, ["domain", "step"], intervals)


def pairs(table) -> list[tuple[str, str]]:
    """(student, teacher) of the runs with checkpoints, in the order of the table."""
    rows = table[table["step"] > 0][["student", "teacher"]].drop_duplicates()
    return list(rows.itertuples(index=False, name=None))


def best(table, intervals: bool = False):
    """Best checkpoints by the study's rule, all benchmarks of that very checkpoint: student,
    config, step, then one column a benchmark. The baseline of each student comes first; ties go to
    the earliest step."""
    chosen, parts = best_checkpoints(table), []
    for student in table["student"].unique():
        own = table[table["student"] == student]
        parts.append(own[own["step"] == 0].assign(config="Baseline"))
        for run in chosen[chosen["student"] == student].itertuples():
            rows = own[
                (own["teacher"] == run.teacher)
                & (own["domain"] == run.domain)
                & (own["step"] == run.step)
                & own["learning_rate"].isin([run.learning_rate])
            ]
            parts.append(rows.assign(config=f"{name_of(run.teacher)} {run.domain}"))
    rows = pd.concat(parts) if parts else table.assign(config="")
    wide = _wide(rows, ["student", "config", "step"], intervals)
    return wide.assign(student=wide["student"].map(name_of), step=wide["step"].replace(0, NONE))


def inflation(table, correlations=(0.0, 0.5, 0.8)):
    """By how much the best checkpoint of each run is expected to look better than it is, had all of
    them one true accuracy (their mean): what percentages allow to say about choosing on the test
    set.

    Columns: run, benchmark, step, n, checkpoints, best, last, mean (percent), and one
    inflation_<correlation> in points for each correlation between checkpoints
    (`selection_bias.inflation`), which only records could tell; 0 is the worst case."""
    rows = []
    for run in best_checkpoints(table).itertuples():
        scores = checkpoints_of(table, run, run.benchmark)["accuracy"]
        size = {
            f"inflation_{c:g}": 100
            * selection_bias.inflation(scores.mean() / 100, run.n, run.checkpoints, c)
            for c in correlations
        }
        rows.append(
            dict(
                run=f"{name_of(run.student)}, {name_of(run.teacher)} {run.domain}",
                benchmark=name_of(run.benchmark),
                step=run.step,
                n=run.n,
                checkpoints=run.checkpoints,
                best=run.accuracy,
                last=scores.iloc[-1],
                mean=scores.mean(),
            )
            | size
        )
    return pd.DataFrame(rows)


def power(table):
    """The smallest loss and gain on each baseline that a checkpoint on equally many problems would
    show with power 0.8 at the 5% level: student, benchmark, n, base (percent), loss, gain (points;
    nan = none is large enough)."""
    rows = []
    for r in table[table["step"] == 0].itertuples():
        loss, gain = stats.detectable(r.accuracy / 100, r.n, r.n)
        rows.append(
            (name_of(r.student), name_of(r.benchmark), r.n, r.accuracy, 100 * loss, 100 * gain)
        )
    return pd.DataFrame(rows, columns=["student", "benchmark", "n", "base", "loss", "gain"])


def forgetting(matrix):
    """baseline_changes.forgetting_matrix for reading: a row a run, evaluated domain and checkpoint
    (best and last), with the change in points and relative to the baseline, each with its 95% interval; *
    marks degraded scores."""

    def change(value, lo, hi):
        return NONE if value != value else f"{value:+.1f} [{lo:+.1f}, {hi:+.1f}]"

    rows = [
        (
            name_of(r.student),
            name_of(r.teacher),
            r.domain,
            name_of(r.benchmark),
            f"{r.checkpoint} ({r.step})",
            f"{r.base:.1f}",
            f"{r.accuracy:.1f}{'*' if r.flagged else ''}",
            change(r.change, r.lo, r.hi),
            change(r.relative, r.relative_lo, r.relative_hi),
        )
        for r in matrix.itertuples()
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "student",
            "teacher",
            "trained on",
            "evaluated on",
            "checkpoint (step)",
            "baseline (%)",
            "accuracy (%)",
            "change (points)",
            "relative change (%)",
        ],
    )


def evidence(finding):
    """What a finding (findings.Finding) rests on, for reading: a row a comparison. p is Holm's over
    the finding; detectable: the difference that is found with power 0.8, in points; rows that do
    not decide are said to."""

    def number(value, form):
        return NONE if value != value else format(value, form)

    rows = [
        (
            r.comparison,
            number(r.first, ".1f"),
            number(r.second, ".1f"),
            NONE
            if r.difference != r.difference
            else f"{r.difference:+.1f} [{r.lo:+.1f}, {r.hi:+.1f}]",
            number(r.p_holm, ".2g"),
            number(r.detectable, "+.1f"),
            f"{r.n}{'*' if r.flagged else ''}",
            "yes" if r.decides else "no",
            r.verdict,
        )
        for r in finding.numbers.itertuples()
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "comparison",
            "first",
            "second",
            "difference (points)",
            "p (Holm)",
            "detectable",
            "n",
            "decides",
            "verdict",
        ],
    )


def impossible(tested):
    """The numbers of grim.check that cannot be, for reading: which k of the full benchmark
    each would be."""
    failed = tested[~tested["consistent"]]
    rows = [
        (
            name_of(r.student),
            NONE if r.step == 0 else f"{name_of(r.teacher)} {r.domain}",
            r.step,
            name_of(r.benchmark),
            f"{r.accuracy:.{r.decimals}f}",
            r.n,
            " or ".join(r.implied) or NONE,
        )
        for r in failed.itertuples()
    ]
    return pd.DataFrame(
        rows, columns=["student", "config", "step", "benchmark", "accuracy", "n", "but it can be"]
    )


# ---- for the paper and the report

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
    "−": r"$-$",
}


def latex_text(value) -> str:
    """A cell as LaTeX text: special characters escaped, the study's dashes and arrows written in
    LaTeX."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda m: LATEX[m[0]], str(value))


def to_latex(table, caption: str, label: str, columns: str = "") -> str:
    r"""A table environment with booktabs rules (\usepackage{booktabs}). columns: LaTeX's column
    types; left out, texts to the left and numbers to the right."""

    def numeric(column):
        return all(re.match(r"[-+−]?\d|—$", str(v)) for v in table[column])

    rows = [
        " & ".join(map(latex_text, row)) + r" \\"
        for row in table.itertuples(index=False, name=None)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{columns or ''.join('r' if numeric(c) else 'l' for c in table)}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.columns)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cells(column, digits: int) -> list[str]:
    """A column as texts: whole numbers as such, p values to two digits, other numbers to so many
    decimals."""
    whole = all(v == int(v) for v in column.dropna()) if column.dtype.kind == "f" else False
    form = (
        ".0f"
        if whole
        else ".2g"
        if re.search(r"(^|_)p(_holm)?$", str(column.name))
        else f".{digits}f"
    )
    return [
        NONE if v is None or v != v else format(v, form) if column.dtype.kind == "f" else str(v)
        for v in column
    ]


def to_html(table, caption: str = "", digits: int = 1) -> str:
    """An HTML table without index or scripts, everything escaped."""
    texts = pd.DataFrame(
        {name: _cells(table[name], digits) for name in table}, columns=table.columns, dtype=object
    )
    with pd.option_context("display.max_colwidth", None):
        html = texts.to_html(index=False, escape=True, border=0)
    return (
        html.replace(">\n", f">\n  <caption>{escape(caption)}</caption>\n", 1) if caption else html
    )


def show(table, nothing: str, caption: str = "", digits: int = 1):
    """HTML for a notebook: a table, its named index as its first columns; where it has no rows the
    sentence `nothing`, if there is one."""
    from IPython.display import HTML

    if table is None or not len(table):
        return HTML(f"<p>{escape(nothing)}</p>") if nothing else None
    named = any(name is not None for name in table.index.names)
    return HTML(
        to_html(table.reset_index().rename_axis(columns=None) if named else table, caption, digits)
    )


def folded(parts: dict, digits: int = 1):
    """HTML for a notebook: each table of title → DataFrame behind a line that opens it."""
    from IPython.display import HTML

    return HTML(
        "\n".join(
            f"<details><summary>{escape(title)}</summary>\n"
            f"{to_html(table, digits=digits) if len(table) else '<p>No rows.</p>'}\n</details>"
            for title, table in parts.items()
        )
    )


def study(table) -> dict[str, str]:
    """name → LaTeX of every table of the study: baselines, checkpoints, best checkpoints,
    forgetting, findings."""
    found = check_all(table)
    wide = r"rp{0.22\linewidth}lp{0.5\linewidth}"
    out = {"baselines": to_latex(baselines(table), "Baselines, percent.", "tab:baselines")}
    for student, teacher in pairs(table):
        names = f"{name_of(student)}, {name_of(teacher)} traces"
        key = re.sub(r"\W+", "_", f"checkpoints {name_of(student)} {name_of(teacher)}").lower()
        out[key] = to_latex(
            checkpoints(table, student, teacher),
            f"{names}: every checkpoint, percent.",
            f"tab:{key}",
        )
    marks = "* marks scores with sampling errors."
    return (
        out
        | {
            "best_checkpoints": to_latex(
                best(table), f"Best checkpoints, percent; {marks}", "tab:best"
            ),
            "forgetting": to_latex(
                forgetting(forgetting_matrix(table)),
                f"Changes from the baseline; {marks}",
                "tab:forgetting",
            ),
            "findings": to_latex(
                findings_table(found), "The findings of the study, checked.", "tab:findings", wide
            ),
        }
        | {
            f"finding_{f.number}": to_latex(
                evidence(f), f"{f.title}: {f.verdict}.", f"tab:finding{f.number}"
            )
            for f in found
        }
    )

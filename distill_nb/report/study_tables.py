"""The published study's tables, from a tidy table (names.COLUMNS), and what its percentages can
say beyond them.

Cells are texts: percent at the precision of the data, an asterisk where sampling errors degraded a
score, — where there is no number; with intervals=True a 95% Wilson interval of the stated n
follows."""

import re

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis import selection_bias, stats
from distill_nb.analysis.baseline_changes import forgetting_matrix
from distill_nb.analysis.names import Cell, name_of, printed
from distill_nb.analysis.published.findings import Finding, check_all, findings_table
from distill_nb.analysis.tidy import Best, best_checkpoints, checkpoints_of, of_run
from distill_nb.report.tables import NONE, to_latex


def _wide(rows: DataFrame, index: list[str], intervals: bool) -> DataFrame:
    """One row a combination of `index`, in the order of the data, one column a benchmark, by the
    study's names."""
    names = [name_of(b) for b in rows["benchmark"].unique()]
    wide: dict[tuple, dict[str, str]] = {}
    for r in rows.itertuples():
        key = tuple(getattr(r, column) for column in index)
        cells = wide.setdefault(key, dict.fromkeys(names, NONE))
        cells[name_of(r.benchmark)] = _cell(r, intervals)
    texts = [[*key, *cells.values()] for key, cells in wide.items()]
    return pd.DataFrame(texts, columns=[*index, *names])


def _cell(r: Cell, intervals: bool) -> str:
    text = printed(r).replace("%", "")
    if not intervals:
        return text
    lo, hi = stats.wilson(r.accuracy * r.n / 100, r.n)
    return f"{text} [{100 * lo:.1f}, {100 * hi:.1f}]"


def baselines(table: DataFrame, intervals: bool = False) -> DataFrame:
    """The students as they come: student, then one column a benchmark."""
    wide = _wide(table[table["step"] == 0], ["student"], intervals)
    return wide.assign(student=wide["student"].map(name_of))


def checkpoints(table: DataFrame, student: str, teacher: str, intervals: bool = False) -> DataFrame:
    """Every checkpoint of a student distilled from a teacher: domain, step, then one column a
    benchmark. Raises ValueError if there are none."""
    own = (table["student"] == student) & (table["teacher"] == teacher) & (table["step"] > 0)
    if not own.any():
        raise ValueError(
            f"student {student!r} and teacher {teacher!r} have no checkpoints in the table: choose "
            f"from {', '.join(f'{s} and {t}' for s, t in pairs(table))}."
        )
    return _wide(table[own], ["domain", "step"], intervals)


def all_checkpoints(table: DataFrame) -> dict[str, DataFrame]:
    """Title → the checkpoints of each student and teacher."""
    return {
        f"{name_of(student)}, {name_of(teacher)} traces": checkpoints(table, student, teacher)
        for student, teacher in pairs(table)
    }


def pairs(table: DataFrame) -> list[tuple[str, str]]:
    """(student, teacher) of the runs with checkpoints, in the order of the table."""
    rows = table[table["step"] > 0][["student", "teacher"]].drop_duplicates()
    return list(rows.itertuples(index=False, name=None))


def best(table: DataFrame, intervals: bool = False) -> DataFrame:
    """Best checkpoints by the study's rule, all benchmarks of that very checkpoint: student,
    config, step, then one column a benchmark. The baseline of each student comes first; ties go to
    the earliest step."""
    chosen, parts = best_checkpoints(table), []
    for student in table["student"].unique():
        own = table[table["student"] == student]
        parts.append(own[own["step"] == 0].assign(config="Baseline"))
        for run in chosen[chosen["student"] == student].itertuples():
            rows = of_run(own, run)
            parts.append(rows[rows["step"] == run.step].assign(config=_config(run)))
    rows = pd.concat(parts) if parts else table.assign(config="")
    wide = _wide(rows, ["student", "config", "step"], intervals)
    return wide.assign(student=wide["student"].map(name_of), step=wide["step"].replace(0, NONE))


def _config(run: Best | Cell) -> str:
    """`Sonnet math`."""
    return f"{name_of(run.teacher)} {run.domain}"


def inflation(table: DataFrame, correlations: tuple[float, ...] = (0.0, 0.5, 0.8)) -> DataFrame:
    """By how much the best checkpoint of each run is expected to look better than it is, had all of
    them one true accuracy (their mean): what percentages allow to say about choosing on the test
    set.

    Columns: run, benchmark, step, n, checkpoints, best, last, mean (percent), and one
    inflation_<correlation> in points for each correlation between checkpoints
    (`selection_bias.inflation`), which only records could tell."""
    rows = []
    for run in best_checkpoints(table).itertuples():
        scores = checkpoints_of(table, run, run.benchmark)["accuracy"]
        mean = scores.mean()
        row = {
            "run": f"{name_of(run.student)}, {_config(run)}",
            "benchmark": name_of(run.benchmark),
            "step": run.step,
            "n": run.n,
            "checkpoints": run.checkpoints,
            "best": run.accuracy,
            "last": scores.iloc[-1],
            "mean": mean,
        }
        for c in correlations:
            size = selection_bias.inflation(mean / 100, run.n, run.checkpoints, c)
            row[f"inflation_{c:g}"] = 100 * size
        rows.append(row)
    return pd.DataFrame(rows)


def power(table: DataFrame) -> DataFrame:
    """The smallest loss and gain on each baseline that a checkpoint on equally many problems would
    show with power 0.8 at the 5% level: student, benchmark, n, base (percent), loss, gain (points;
    nan = none is large enough)."""
    rows = []
    for r in table[table["step"] == 0].itertuples():
        loss, gain = stats.detectable(r.accuracy / 100, r.n, r.n)
        names = name_of(r.student), name_of(r.benchmark)
        rows.append((*names, r.n, r.accuracy, 100 * loss, 100 * gain))
    return pd.DataFrame(rows, columns=["student", "benchmark", "n", "base", "loss", "gain"])


def _number(value: float, form: str) -> str:
    return NONE if value != value else format(value, form)


def _change(value: float, lo: float, hi: float) -> str:
    return NONE if value != value else f"{value:+.1f} [{lo:+.1f}, {hi:+.1f}]"


def forgetting(matrix: DataFrame) -> DataFrame:
    """baseline_changes.forgetting_matrix for reading: a row a run, evaluated domain and checkpoint
    (best and last), with the change in points and relative to the baseline, each with its 95%
    interval; * marks degraded scores."""
    return pd.DataFrame(
        {
            "student": name_of(r.student),
            "teacher": name_of(r.teacher),
            "trained on": r.domain,
            "evaluated on": name_of(r.benchmark),
            "checkpoint (step)": f"{r.checkpoint} ({r.step})",
            "baseline (%)": f"{r.base:.1f}",
            "accuracy (%)": f"{r.accuracy:.1f}{'*' if r.flagged else ''}",
            "change (points)": _change(r.change, r.lo, r.hi),
            "relative change (%)": _change(r.relative, r.relative_lo, r.relative_hi),
        }
        for r in matrix.itertuples()
    )


def evidence(finding: Finding) -> DataFrame:
    """The comparisons that a finding rests on, for reading. p is Holm's over the finding;
    detectable: the difference that is found with power 0.8, in points; decides: whether the verdict
    rests on it."""
    return pd.DataFrame(
        {
            "comparison": r.comparison,
            "first": _number(r.first, ".1f"),
            "second": _number(r.second, ".1f"),
            "difference (points)": _change(r.difference, r.lo, r.hi),
            "p (Holm)": _number(r.p_holm, ".2g"),
            "detectable": _number(r.detectable, "+.1f"),
            "n": f"{r.n}{'*' if r.flagged else ''}",
            "decides": "yes" if r.decides else "no",
            "verdict": r.verdict,
        }
        for r in finding.numbers.itertuples()
    )


def all_evidence(found: list[Finding]) -> dict[str, DataFrame]:
    """Title → the evidence of each finding."""
    rest = "its comparisons, Holm's p, and what each could have detected"
    return {f"Finding {f.number}: {rest}": evidence(f) for f in found}


def impossible(tested: DataFrame) -> DataFrame:
    """The numbers of grim.check that cannot be, for reading: which k of the full benchmark each
    would be."""
    return pd.DataFrame(
        {
            "student": name_of(r.student),
            "config": NONE if r.step == 0 else _config(r),
            "step": r.step,
            "benchmark": name_of(r.benchmark),
            "accuracy": f"{r.accuracy:.{r.decimals}f}",
            "n": r.n,
            "but it can be": " or ".join(r.implied) or NONE,
        }
        for r in tested[~tested["consistent"]].itertuples()
    )


def study(table: DataFrame) -> dict[str, str]:
    """name → LaTeX of every table of the study: baselines, checkpoints, best checkpoints,
    forgetting, findings."""
    found = check_all(table)
    made = {"baselines": to_latex(baselines(table), "Baselines, percent.", "tab:baselines")}
    for title, shown in all_checkpoints(table).items():
        words = title.removesuffix(" traces")
        key = "checkpoints_" + re.sub(r"\W+", "_", words).lower()
        made[key] = to_latex(shown, f"{title}: every checkpoint, percent.", f"tab:{key}")
    marks = "* marks scores with sampling errors."
    caption = f"Best checkpoints, percent; {marks}"
    made["best_checkpoints"] = to_latex(best(table), caption, "tab:best")
    changes = forgetting(forgetting_matrix(table))
    made["forgetting"] = to_latex(changes, f"Changes from the baseline; {marks}", "tab:forgetting")
    caption, columns = "The findings of the study, checked.", r"rp{0.22\linewidth}lp{0.5\linewidth}"
    made["findings"] = to_latex(findings_table(found), caption, "tab:findings", columns)
    for f in found:
        caption, label = f"{f.title}: {f.verdict}.", f"tab:finding{f.number}"
        made[f"finding_{f.number}"] = to_latex(evidence(f), caption, label)
    return made

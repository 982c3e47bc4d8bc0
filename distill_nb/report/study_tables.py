"""The published study's tables, from a tidy table (names.COLUMNS), and what its percentages can
say beyond them.

Cells are texts: percent at the precision of the data, an asterisk where sampling errors degraded a
score, — where there is no number; with intervals=True a 95% Wilson interval of the stated n
follows."""

import math
import re

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis import selection_bias, stats
from distill_nb.analysis.baseline_changes import forgetting_matrix
from distill_nb.analysis.names import Cell, name_of, printed, printed_rate
from distill_nb.analysis.published import fragility
from distill_nb.analysis.published.comparisons import Comparison
from distill_nb.analysis.published.comparisons import by_group as by_group_of
from distill_nb.analysis.published.conclusions import Finding
from distill_nb.analysis.published.findings import check_all, findings_table
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
    config, step, then one column a benchmark. config has the learning rate where nothing else tells
    runs apart. The baseline of each student comes first; ties go to the earliest step."""
    chosen, parts = best_checkpoints(table), []
    alike = chosen.groupby(["student", "teacher", "domain"])["learning_rate"].transform("size")
    rated = chosen.assign(several=alike > 1)
    for student in table["student"].unique():
        own = table[table["student"] == student]
        parts.append(own[own["step"] == 0].assign(config="Baseline"))
        for run in rated[rated["student"] == student].itertuples():
            rows = of_run(own, run)
            config = _config(run)
            if run.several:
                config += f" at {printed_rate(run.learning_rate)}"
            parts.append(rows[rows["step"] == run.step].assign(config=config))
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
    """The smallest loss and gain on each baseline that a checkpoint would show with power 0.8 at
    the 5% level: student, benchmark, n (of the baseline), checkpoint_n (of the benchmark's
    checkpoints; the baseline's where there are none), base (percent), loss, gain (points; nan =
    none is large enough)."""
    sizes = table[table["step"] > 0].groupby("benchmark")["n"].max()
    rows = []
    for r in table[table["step"] == 0].itertuples():
        own = int(sizes.get(r.benchmark, r.n))
        loss, gain = stats.detectable(r.accuracy / 100, own, r.n)
        names = name_of(r.student), name_of(r.benchmark)
        rows.append((*names, r.n, own, r.accuracy, 100 * loss, 100 * gain))
    columns = ["student", "benchmark", "n", "checkpoint_n", "base", "loss", "gain"]
    return pd.DataFrame(rows, columns=columns)


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
    """The comparisons that a finding rests on, for reading. p of no difference and of contradiction
    are Holm's; supported from, contradicted from: the true difference that these problems would
    show with power 0.8; problems needed: for a verdict, were the observed difference true; decides:
    whether the verdict rests on it."""
    return pd.DataFrame(
        {
            "comparison": r.comparison,
            "first": _number(r.first, ".1f"),
            "second": _number(r.second, ".1f"),
            "difference (points)": _change(r.difference, r.lo, r.hi),
            "p (no difference)": _number(r.p_holm, ".2g"),
            "p (supports)": _number(r.p_supports, ".2g"),
            "p (contradicts)": _number(r.p_contradicts, ".2g"),
            "supported from": _number(r.supported_from, "+.1f"),
            "contradicted from": _number(r.contradicted_from, "+.1f"),
            "problems needed": "no number"
            if r.problems == math.inf
            else _number(r.problems, ",.0f"),
            "n": f"{r.n}{'*' if r.flagged else ''}",
            "decides": "yes" if r.decides else "no",
            "verdict": _with_ends(r),
        }
        for r in finding.numbers.itertuples()
    )


def _with_ends(r: Comparison) -> str:
    """A verdict, and what it depends on rounding between."""
    return r.verdict if r.worst == r.best else f"{r.verdict}: {r.worst} or {r.best}"


def all_evidence(found: list[Finding]) -> dict[str, DataFrame]:
    """Title → the evidence of each finding."""
    rest = "its comparisons, and what each could have shown"
    return {f"Finding {f.number}: {rest}": evidence(f) for f in found}


def by_group(found: list[Finding]) -> DataFrame:
    """What the verdict of a finding is in each of its groups (students and teachers, or runs):
    finding, group, verdict."""
    parts = [by_group_of(f.numbers).assign(finding=f.number) for f in found]
    rows = pd.concat(parts) if parts else pd.DataFrame(columns=["finding", "group", "verdict"])
    return rows[["finding", "group", "verdict"]].reset_index(drop=True)


def fragility_of(rows: DataFrame) -> DataFrame:
    """The table of fragility.table, for reading: what each run's best checkpoint leads by, and its
    headline numbers with the runner-up instead, in points."""
    return pd.DataFrame(
        {
            "run": f"{name_of(r.student)}, {_config(r)}",
            "chosen by": name_of(r.benchmark),
            "best (step)": f"{r.accuracy:g} ({r.step})",
            "runner-up (step)": f"{r.runner_up_accuracy:g} ({r.runner_up})",
            "lead (problems)": f"{fragility.problems(r)} of {r.n}",
            "lead beyond noise": f"from {r.noise:.0f}",
            "change": _number(r.change, "+.1f"),
            "with the runner-up": _number(r.runner_up_change, "+.1f"),
            "change in the other domain": _number(r.other_change, "+.1f"),
            "other, with the runner-up": _number(r.runner_up_other_change, "+.1f"),
        }
        for r in rows.itertuples()
    )


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
    forgetting, findings, how fragile the choice of the best is."""
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
    caption = "The findings of the study, and a seventh of ours, checked."
    columns = r"rlp{0.2\linewidth}lp{0.5\linewidth}"
    made["findings"] = to_latex(findings_table(found), caption, "tab:findings", columns)
    caption = "By how much the best checkpoint of each run leads; changes in points."
    leads = fragility_of(fragility.table(table))
    made["fragility"] = to_latex(leads, caption, "tab:fragility")
    for f in found:
        caption, label = f"{f.title}: {f.verdict}.", f"tab:finding{f.number}"
        made[f"finding_{f.number}"] = to_latex(evidence(f), caption, label)
    return made

"""How fragile the choice of the best checkpoint is: by how many problems it leads over the
runner-up, and what a run's headline numbers would be had the runner-up been chosen."""

import math
from typing import NamedTuple

import pandas as pd

from distill_nb.analysis.baseline_changes import difference
from distill_nb.analysis.names import RULE, name_of
from distill_nb.analysis.published import bounds, rounding
from distill_nb.analysis.published.lookup import Lookup
from distill_nb.analysis.tidy import Best, best_checkpoints, checkpoints_of


class Row(NamedTuple):
    """One run. Accuracies in percent; changes from the baseline in points, nan without one."""

    student: str
    teacher: str
    domain: str
    learning_rate: float
    benchmark: str  # that chose
    n: int
    step: int  # the best
    accuracy: float
    runner_up: int  # step: the best of the others, the earliest of equals
    runner_up_accuracy: float
    lead: float  # problems, as printed
    lead_lowest: float  # the least that rounding allows; below 0: the runner-up may be the best
    lead_highest: float
    noise: float  # lead that a 95% interval would tell from none, in problems, unpaired
    change: float  # on the benchmark that chose
    runner_up_change: float
    other_benchmark: str  # of the other domain
    other_change: float
    runner_up_other_change: float


COLUMNS = list(Row._fields)


def table(tidy: pd.DataFrame) -> pd.DataFrame:
    """Each run of a tidy table (names.COLUMNS) with two checkpoints or more, by the study's rule
    (tidy.best_checkpoints): columns COLUMNS.

    Both checkpoints answered the same problems, so the true noise of the lead is smaller than
    `noise`; how much, only records can say."""
    best = best_checkpoints(tidy)
    rows = [_row(Lookup(tidy, best), run) for run in best.itertuples() if run.checkpoints > 1]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(look: Lookup, run: Best) -> Row:
    cells = {c.step: c for c in checkpoints_of(look.table, run, run.benchmark).itertuples()}
    first = cells.pop(run.step)
    # tidy keeps steps in order, and max takes the first of equals
    second = max(cells.values(), key=lambda cell: cell.accuracy)
    one, two = rounding.share(first), rounding.share(second)
    p = (one.k / one.n + two.k / two.n) / 2
    (other,) = (domain for domain in RULE if domain != run.domain)
    there = look.benchmark(run, other)
    return Row(
        student=run.student,
        teacher=run.teacher,
        domain=run.domain,
        learning_rate=run.learning_rate,
        benchmark=run.benchmark,
        n=one.n,
        step=run.step,
        accuracy=first.accuracy,
        runner_up=second.step,
        runner_up_accuracy=second.accuracy,
        lead=one.k - two.k,
        lead_lowest=one.lowest - two.highest,
        lead_highest=one.highest - two.lowest,
        noise=bounds.quantile(bounds.ONE_SIDED) * math.sqrt(2 * one.n * p * (1 - p)),
        change=_change(look, run, first.step, run.benchmark),
        runner_up_change=_change(look, run, second.step, run.benchmark),
        other_benchmark=there,
        other_change=_change(look, run, first.step, there),
        runner_up_other_change=_change(look, run, second.step, there),
    )


def _change(look: Lookup, run: Best, step: int, benchmark: str) -> float:
    cell, base = look.cell(run, step, benchmark), look.cell(run, 0, benchmark)
    return math.nan if cell is None or base is None else 100 * difference(cell, base).difference


def sentence(rows: pd.DataFrame) -> str:
    """In how many runs the lead is beyond noise, the narrowest lead, and where the runner-up would
    change a headline number most."""
    if rows.empty:
        return "No run has two checkpoints to choose from."
    sure = (rows["lead_lowest"] > rows["noise"]).sum()
    unsure = (rows["lead_lowest"] <= 0).sum()
    narrow = next(rows.loc[[rows["lead_highest"].idxmin()]].itertuples())
    text = (
        f"The best checkpoint leads by more than noise in {sure} of {len(rows)} runs; in {unsure} "
        f"rounding hides which is the best. The lead is narrowest in {_run(narrow)}, "
        f"{problems(narrow)} of {narrow.n} problems of {name_of(narrow.benchmark)}: "
        f"{_instead(narrow)}"
    )
    moved = (rows["runner_up_other_change"] - rows["other_change"]).abs()
    if moved.notna().any():
        most = next(rows.loc[[moved.idxmax()]].itertuples())
        text += f". Most would change in {_run(most)}: {_instead(most)}"
    return text + "."


def _instead(row: Row) -> str:
    """What the runner-up would have said of the other domain, or else of its own."""
    name, now, then = row.other_benchmark, row.other_change, row.runner_up_other_change
    if then != then:
        name, now, then = row.benchmark, row.change, row.runner_up_change
    if then != then:
        return "there is no baseline to say what the runner-up would change"
    return (
        f"with the runner-up, step {row.runner_up}, {name_of(name)} changes by {then:+.1f} points "
        f"instead of {now:+.1f}"
    )


def _run(row: Row) -> str:
    return f"{name_of(row.student)} {name_of(row.teacher)} {row.domain}"


def problems(row: Row) -> str:
    """The lead in problems: `1`, or `6 to 14` where rounding hides it."""
    low, high = f"{row.lead_lowest:g}", f"{row.lead_highest:g}"
    return low if low == high else f"{low} to {high}"

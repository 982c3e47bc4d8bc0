"""Changes of checkpoints from their base student, from percentages alone: unpaired, with 95%
intervals. `paired` has them from records."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.names import RULE, RUN, Cell, beyond, chooses
from distill_nb.analysis.tidy import best_checkpoints, of_run

COLUMNS = [
    *RUN, "evaluated", "benchmark", "checkpoint", "step", "base", "accuracy", "change", "lo", "hi",
    "relative", "relative_lo", "relative_hi", "n", "flagged",
]  # fmt: skip


def difference(a: Cell, b: Cell) -> stats.Difference:
    """Accuracy of cell a minus that of cell b."""
    return stats.difference(a.accuracy * a.n / 100, a.n, b.accuracy * b.n / 100, b.n)


def equal_band(accuracy: float, n: int, level: float = stats.LEVEL) -> tuple[float, float]:
    """The lowest and highest score (percent) of a checkpoint on n problems that does not differ
    from a base student's `accuracy` (percent) on as many: those for which the unpaired interval of
    the difference at `level` holds 0.

    It is what a band around a learning curve's base line should be. The interval of the base
    student's own score is narrower, as it leaves out that the checkpoint's score varies, too: of
    equal checkpoints with independent answers one in six lies outside. Answers to the same problems
    are alike, so fewer than 1 - level lie outside this band; `paired` says it exactly."""
    k = np.arange(n + 1)
    d = stats.difference(k, n, accuracy * n / 100, n, level)
    equal = k[(d.lo <= 0) & (d.hi >= 0)]
    return 100 * float(equal.min()) / n, 100 * float(equal.max()) / n


def changes(
    cells: pd.DataFrame, table: pd.DataFrame
) -> Iterator[tuple[Cell, Cell, stats.Difference]]:
    """(cell, its baseline, difference) of every checkpoint among the cells that has a baseline in
    the tidy table."""
    base = {(r.student, r.benchmark): r for r in table[table["step"] == 0].itertuples()}
    for r in cells[cells["step"] > 0].itertuples():
        b = base.get((r.student, r.benchmark))
        if b:
            yield r, b, difference(r, b)


def forgetting_matrix(table: pd.DataFrame) -> pd.DataFrame:
    """Trained domain × evaluated domain of every run of a tidy table, at its best checkpoint
    (`best_checkpoints`) and at its last.

    Columns COLUMNS: RUN (domain = trained), evaluated (math, code, or the subject
    of another benchmark: names.beyond), benchmark, checkpoint (best
    or last), step, base and accuracy (percent), change, lo, hi (points), relative, relative_lo,
    relative_hi (percent of the baseline; score interval of a ratio, Koopman 1984, doi
    10.2307/2531405), n, flagged."""
    rows = []
    for run in best_checkpoints(table).itertuples():
        own = of_run(table, run)
        base = table[(table["step"] == 0) & (table["student"] == run.student)]
        base = base.set_index("benchmark")
        there = set(own["benchmark"]) & set(base.index)
        named = {evaluated: chooses(evaluated, there) for evaluated in RULE} | beyond(there)
        for evaluated, name in named.items():
            for checkpoint, step in (("best", run.step), ("last", run.last_step)):
                cell = own[(own["benchmark"] == name) & (own["step"] == step)]
                if cell.empty:
                    continue
                b, c = base.loc[name], cell.iloc[0]
                d, relative = difference(c, b), _relative(c, b)
                row = {k: getattr(run, k) for k in RUN} | {
                    "evaluated": evaluated,
                    "benchmark": name,
                    "checkpoint": checkpoint,
                    "step": int(step),
                    "base": b.accuracy,
                    "accuracy": c.accuracy,
                    "change": c.accuracy - b.accuracy,
                    "lo": 100 * d.lo,
                    "hi": 100 * d.hi,
                    "n": int(c.n),
                    "flagged": bool(c.flagged or b.flagged),
                }
                names = ("relative", "relative_lo", "relative_hi")
                rows.append(row | dict(zip(names, relative, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _relative(a: Cell, b: Cell) -> tuple[float, float, float]:
    """(change, lo, hi) of cell a in percent of cell b; nan where b is 0."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    if not b.accuracy > 0:
        return np.nan, np.nan, np.nan
    counts = a.accuracy * a.n / 100, a.n, b.accuracy * b.n / 100, b.n
    with np.errstate(divide="ignore"):
        lo, hi = confint_proportions_2indep(*counts, compare="ratio", method="score")
    return 100 * (a.accuracy / b.accuracy - 1), 100 * (lo - 1), 100 * (hi - 1)

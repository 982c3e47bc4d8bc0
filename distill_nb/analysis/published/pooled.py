"""Our runs beside the published ones, all cells together: a small shift of all, or more scatter
than sampling explains, which no cell by itself can show."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.margins import MARGIN
from distill_nb.analysis.names import RUN, name_of

COLUMNS = [
    "benchmark", "cells", "runs", "difference", "se", "lo", "hi", "p", "scatter", "scatter_p",
    "verdict",
]  # fmt: skip
ALL, OPEN = "all", "inconclusive"


def table(compared: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """The table of reproduction.compare together: one row for all cells (benchmark `all`), then
    one for each benchmark, by name; columns COLUMNS. No rows where nothing was run; margin in
    points.

    difference: the mean of ours − published over the cells, in points. A run is one draw: its cells
    share a training seed and problems, and may all move together. So se is the larger of two
    standard errors: the one by which the means of runs scatter (clustered by run: Liang & Zeger
    1986, doi 10.1093/biomet/73.1.13, Student's t with runs - 1 degrees of freedom), and the one of
    sampling alone, with the errors of a run's cells added up as if they were one. Runs are taken as
    independent: problems are the same on both sides, so that their difficulty cancels; where they
    are not (n differs), it is part of the difference.

    scatter: the mean square of (difference - mean) / sampling error over the cells; 1 is what
    sampling alone gives, or less, as pairs share problems. scatter_p: one-sided, of a chi-square
    with as many degrees of freedom as the cells are worth if those of a run are one (Satterthwaite
    1946, doi 10.2307/3002019).

    verdict: `differs` where the 95% interval leaves out 0; else `equal` where it lies within the
    margin (points); else `inconclusive`. Only the row of all cells is a test of
    reproduction; those of benchmarks say where to look."""
    ran = compared[compared["ours"].notna()]
    parts = [(ALL, ran), *ran.groupby("benchmark", sort=False)] if len(ran) else []
    rows = [(name_of(name), *_pool(cells, margin)) for name, cells in parts]
    return pd.DataFrame(rows, columns=COLUMNS)


def _pool(cells: pd.DataFrame, margin: float) -> tuple:
    from scipy.stats import chi2, norm, t

    d = (cells["ours"] - cells["published"]).to_numpy(float)
    error = np.sqrt(sum(_variance(cells[a], cells[n]) for a, n in _SIDES))
    _, run = np.unique(cells[RUN].astype(str).agg("|".join, axis=1), return_inverse=True)
    runs, size = int(run.max()) + 1, np.bincount(run)
    mean = float(d.mean())
    sampling = math.sqrt(np.sum(np.bincount(run, error) ** 2)) / d.size
    between = stats.clustered(d, run).se if runs > 1 else 0.0
    se = max(sampling, between)
    spread = t(runs - 1) if between > sampling else norm()
    half = spread.ppf(0.975) * se
    scatter = float(np.mean(((d - mean) / error) ** 2))
    worth = d.size**2 / np.sum(size**2)
    p = 2 * spread.sf(abs(mean) / se)
    verdict = "differs" if abs(mean) > half else OPEN
    if verdict == OPEN and abs(mean) + half < margin:
        verdict = "equal"
    interval = mean - half, mean + half
    return (
        d.size, runs, mean, se, *interval, p, scatter, chi2.sf(scatter * worth, worth), verdict,
    )  # fmt: skip


_SIDES = (("published", "n_published"), ("ours", "n_ours"))


def _variance(accuracy: pd.Series, n: pd.Series) -> np.ndarray:
    """Of accuracies, in points²; with two successes and two failures added to each, so that 0% is
    not certain (Agresti & Coull 1998, doi 10.1080/00031305.1998.10480550)."""
    n = n.to_numpy(float)
    p = (accuracy.to_numpy(float) / 100 * n + 2) / (n + 4)
    return 100**2 * p * (1 - p) / n

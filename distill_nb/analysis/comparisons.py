"""Comparisons that findings rest on: cells of a tidy table looked up, set against each other, and
judged together.

A comparison claims a direction (+1: the first is higher, -1: lower) and gets a verdict of its own:
  supported     the difference has the claimed sign, and p < 0.05 after Holm over the comparisons of the finding
  contradicted  the same with the other sign
  within noise  p >= 0.05: the numbers show neither the effect nor its absence
  confounded    would be supported, but something else differs too (the learning rates of the two teachers)
Tests are unpaired (only percentages are known); intervals are 95% and not adjusted for their
number.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from distill_nb.analysis import stats
from distill_nb.analysis.names import RULE, RUN, name_of
from distill_nb.analysis.results import best_checkpoints

COMPARISON = [
    "comparison",
    "first",
    "second",
    "difference",
    "lo",
    "hi",
    "p",
    "p_holm",
    "detectable",
    "n",
    "flagged",
    "decides",
    "verdict",
]
VERDICTS = ("supported", "contradicted", "within noise", "confounded", "not testable")
WEAKEST_FIRST = ("contradicted", "not testable", "confounded", "within noise", "supported")


def runs_of(best, student, teacher, domain) -> list:
    """The runs of that kind, lowest learning rate first (ours may repeat one at another rate)."""
    chosen = best[
        (best[["student", "teacher", "domain"]] == [student, teacher, domain]).all(axis=1)
    ]
    return list(chosen.sort_values("learning_rate").itertuples())


def checkpoints(table, run, benchmark):
    """The rows of a run's checkpoints on one benchmark, by step."""
    chosen = table[
        (
            table[["student", "teacher", "domain", "benchmark"]]
            == [run.student, run.teacher, run.domain, benchmark]
        ).all(axis=1)
    ]
    return chosen[chosen["learning_rate"].isin([run.learning_rate])].sort_values("step")


def cell(table, run, step, benchmark, missing):
    """The cell of a run (or, at step 0, of its student); None, and its name in `missing`, where
    there is none."""
    chosen = (
        checkpoints(table, run, benchmark)
        if step
        else table[(table["student"] == run.student) & (table["benchmark"] == benchmark)]
    )
    chosen = chosen[chosen["step"] == step]
    if chosen.empty:
        kind = f"{name_of(run.teacher)} {run.domain} step {step}" if step else "baseline"
        missing.append(f"{name_of(benchmark)} of {name_of(run.student)} {kind}")
        return None
    return next(chosen.itertuples())


def one_run(best, student, teacher, domain, missing):
    """The first of runs_of; None, and its name in `missing`, where there is none."""
    runs = runs_of(best, student, teacher, domain)
    if not runs:
        missing.append(f"{name_of(student)} distilled from {name_of(teacher)} {domain}")
    return runs[0] if runs else None


def benchmark_of(table, run, domain):
    """What measures a domain in this run: the first of RULE that it has."""
    own = set(table[(table["student"] == run.student) & (table["step"] > 0)]["benchmark"])
    return next((b for b in RULE[domain] if b in own), RULE[domain][0])


def unpaired(a, b) -> stats.Difference:
    """Accuracy of cell a minus that of cell b."""
    return stats.difference(a.accuracy * a.n / 100, a.n, b.accuracy * b.n / 100, b.n)


def comparison_row(
    comparison, d, first, second, cells, claimed, detectable, decides=True, confounder=False
) -> dict:
    """One comparison of these cells, d and detectable in fractions, first and second in percent; n
    is the smallest of the cells'. detectable: the true difference, on the side where the observed
    one is, that is found with power 0.8.

    decides: whether the finding's verdict rests on it; flagged: whether a cell is."""
    return {
        "comparison": comparison,
        "first": first,
        "second": second,
        "difference": 100 * d.difference,
        "lo": 100 * d.lo,
        "hi": 100 * d.hi,
        "p": d.p,
        "detectable": 100 * detectable,
        "n": min(c.n for c in cells),
        "flagged": any(c.flagged for c in cells),
        "decides": decides,
        "claimed": claimed,
        "confounder": confounder,
    }


def against(comparison, a, b, claimed, **more) -> list[dict]:
    """One row of accuracy a against accuracy b; none where a number is missing. claimed: +1 = a is
    higher, -1 lower."""
    if a is None or b is None:
        return []
    d = unpaired(a, b)
    side = stats.detectable(b.accuracy / 100, a.n, b.n)[d.difference > 0]
    return [comparison_row(comparison, d, a.accuracy, b.accuracy, (a, b), claimed, side, **more)]


def change_against(comparison, first, second, claimed, **more) -> list[dict]:
    """One row of two changes, each (cell, baseline)."""
    if None in (*first, *second):
        return []
    one, two = unpaired(*first), unpaired(*second)
    d = stats.contrast(one, two)
    # Normal approximation: the interval's half width is 1.96 standard errors, power 0.8 takes 1.96
    # + 0.84 of them.
    side = (d.hi - d.difference if d.difference > 0 else d.lo - d.difference) * (
        1 + norm.ppf(0.8) / norm.ppf(0.975)
    )
    return [
        comparison_row(
            comparison,
            d,
            100 * one.difference,
            100 * two.difference,
            (*first, *second),
            claimed,
            side,
            **more,
        )
    ]


def judge(rows: list[dict]):
    """The rows as a table, columns COMPARISON. Rows without a p value keep the verdict that they
    bring."""
    table = pd.DataFrame(rows, columns=[*COMPARISON, "claimed", "confounder"])
    tested = table["p"].notna()
    p_holm = pd.Series(stats.holm(table["p"][tested].astype(float)), table.index[tested])
    verdicts = [
        r.verdict
        if r.Index not in p_holm.index
        else "within noise"
        if p_holm[r.Index] >= 0.05
        else "contradicted"
        if r.difference * r.claimed < 0
        else "confounded"
        if r.confounder
        else "supported"
        for r in table.itertuples()
    ]
    return table.assign(p_holm=p_holm, verdict=verdicts)[COMPARISON]


def weakest(numbers) -> str:
    """The verdict of some comparisons together; not testable if there are none."""
    return next((v for v in WEAKEST_FIRST if v in set(numbers["verdict"])), "not testable")


def verdict_counts(numbers) -> str:
    """`supported`, or `supported in 4, within noise in 1 of 5`."""
    counts = numbers["verdict"].value_counts()
    parts = [f"{v} in {counts[v]}" for v in VERDICTS if v in counts]
    return f"{', '.join(parts)} of {len(numbers)}" if len(parts) > 1 else weakest(numbers)


# ---- tables of many differences


def forgetting_matrix(table):
    """Trained domain × evaluated domain of every run, at the best checkpoint (`best_checkpoints`)
    and at the last.

    Columns: RUN (domain = trained), evaluated (math or code), benchmark, checkpoint (best or last),
    step, base and accuracy (percent), change, lo, hi (points, `stats.difference`), relative,
    relative_lo, relative_hi (percent of the baseline; score interval of a ratio, Koopman 1984, doi
    10.2307/2531405), n, flagged. Unpaired, 95%."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    rows = []
    for run in best_checkpoints(table).itertuples():
        own = table[
            (table["step"] > 0)
            & (table["student"] == run.student)
            & (table["teacher"] == run.teacher)
            & (table["domain"] == run.domain)
            & table["learning_rate"].isin([run.learning_rate])
        ]
        base = table[(table["step"] == 0) & (table["student"] == run.student)].set_index(
            "benchmark"
        )
        for evaluated, names in RULE.items():
            name = next((b for b in names if b in set(own["benchmark"]) & set(base.index)), None)
            for checkpoint, step in (("best", run.step), ("last", run.last_step)):
                cell = own[(own["benchmark"] == name) & (own["step"] == step)]
                if cell.empty:
                    continue
                b, c = base.loc[name], cell.iloc[0]
                counts = c.accuracy * c.n / 100, c.n, b.accuracy * b.n / 100, b.n
                d = stats.difference(*counts)
                ratio = (np.nan, np.nan)
                if b.accuracy > 0:
                    with np.errstate(divide="ignore"):
                        ratio = confint_proportions_2indep(*counts, compare="ratio", method="score")
                rows.append(
                    {k: getattr(run, k) for k in RUN}
                    | {
                        "evaluated": evaluated,
                        "benchmark": name,
                        "checkpoint": checkpoint,
                        "step": int(step),
                        "base": b.accuracy,
                        "accuracy": c.accuracy,
                        "change": c.accuracy - b.accuracy,
                        "lo": 100 * d.lo,
                        "hi": 100 * d.hi,
                        "relative": 100 * (c.accuracy / b.accuracy - 1)
                        if b.accuracy > 0
                        else np.nan,
                        "relative_lo": 100 * (ratio[0] - 1),
                        "relative_hi": 100 * (ratio[1] - 1),
                        "n": int(c.n),
                        "flagged": bool(c.flagged or b.flagged),
                    }
                )
    return pd.DataFrame(
        rows,
        columns=[
            *RUN,
            "evaluated",
            "benchmark",
            "checkpoint",
            "step",
            "base",
            "accuracy",
            "change",
            "lo",
            "hi",
            "relative",
            "relative_lo",
            "relative_hi",
            "n",
            "flagged",
        ],
    )


def changes(table, student="any", teacher="any", domain="any", benchmark="any"):
    """(row, baseline row, stats.Difference) of every checkpoint that has a baseline; `any` takes
    all."""
    base = {(r.student, r.benchmark): r for r in table[table["step"] == 0].itertuples()}
    wanted = dict(student=student, teacher=teacher, domain=domain, benchmark=benchmark)
    for r in table[table["step"] > 0].itertuples():
        b = base.get((r.student, r.benchmark))
        if b and all(v in ("any", getattr(r, k)) for k, v in wanted.items()):
            yield r, b, stats.difference(r.accuracy * r.n / 100, r.n, b.accuracy * b.n / 100, b.n)

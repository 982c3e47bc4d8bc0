"""What only records can say: changes problem by problem, and what choosing a checkpoint is worth.

Takes `results.load_records`. A problem whose answer at either of two steps is an error (sampling or
grader) says nothing of the student: it is left out of that comparison, and counted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.names import ERRORS, UNANSWERED, name_of

CHANGES = [
    "folder",
    "domain",
    "benchmark",
    "step",
    "base",
    "accuracy",
    "change",
    "lo",
    "hi",
    "p",
    "p_holm",
    "only_base",
    "only_step",
    "n",
    "errors",
    "missing",
    "unanswered",
    "method",
]


def matrix(records):
    """[steps × problems]: the share of a problem's answers that are correct; nan where one of them
    is an error, and where a step has none."""
    share = records.assign(
        share=(records["outcome"] == "correct").astype(float).mask(records["outcome"].isin(ERRORS))
    )
    groups = share.groupby(["step", "task_id"])["share"]
    return groups.mean().mask(groups.count() < groups.size()).unstack()


def _sizes(records):
    """[steps × problems]: how many answers there are; 0 = the step has not come to that problem."""
    return records.groupby(["step", "task_id"]).size().unstack(fill_value=0)


def _difference(after, base, several: bool):
    """(stats.Difference, method) of shares on the same problems, two or more if a problem has
    several samples."""
    from scipy.stats import binomtest, ttest_1samp

    if not several:
        return stats.paired_records(after == 1, base == 1), "paired"
    d, n = after - base, len(after)
    c = stats.clustered(d, range(n))
    if c.se > 1e-12:
        return stats.Difference(c.mean, c.lo, c.hi, ttest_1samp(d, 0).pvalue), "clustered"
    # All problems change by the same, so that there is no variance to go by: whether n of n changes
    # have one sign by chance, and an interval in which the share of problems beyond Wilson's bound
    # changed by anything at all.
    p = binomtest(n, n).pvalue if abs(c.mean) > 1e-12 else 1.0
    sure = stats.wilson(n, n)[0]
    return stats.Difference(
        c.mean, max(-1, c.mean * sure - (1 - sure)), min(1, c.mean * sure + 1 - sure), p
    ), "sign test"


def compared(base, after, several: bool) -> tuple[tuple, tuple, tuple, str]:
    """(base, after in percent), (change, lo, hi in points, p), (problems that only base, only after
    has), method, of two arrays of shares on the same problems; nan where there are not two to
    compare. several: samples a problem."""
    numbers, discordant, method = (np.nan,) * 4, (np.nan, np.nan), "none"
    if len(base) > 1:
        d, method = _difference(after, base, several)
        numbers = (*(100 * x for x in (d.difference, d.lo, d.hi)), d.p)
        if method == "paired":
            discordant = (d.only_second, d.only_first)
    means = (100 * base.mean(), 100 * after.mean()) if len(base) else (np.nan, np.nan)
    return means, numbers, discordant, method


def with_holm(table):
    """The table with p_holm made of its p, over all rows that have one (Holm 1979)."""
    tested = table["p"].notna()
    table["p_holm"] = pd.Series(
        stats.holm(table["p"][tested].astype(float)), table.index[tested], dtype=float
    )
    return table


def paired_changes(records):
    """Every checkpoint against its base student, problem by problem; each step by itself, so that
    an unfinished one takes no problems from the others.

    Columns CHANGES: base, accuracy (percent, on the n problems compared), change, lo, hi (points),
    p, p_holm (over all rows), only_base, only_step (discordant problems; nan with several samples),
    n (problems compared), errors (problems left out for an error at either step), missing (problems
    that only one of both has so far), unanswered (percent of the base's answers to the problems
    that gained that were cut off or not found; nan where none gained), method. `paired` is exact
    McNemar with Newcombe's paired interval; with several samples of a problem `clustered`:
    differences of problem means, their t interval and test, or where all are equal an exact `sign
    test`. Without two problems to compare: nan."""
    rows = []
    for (folder, benchmark), group in (
        records.groupby(["folder", "benchmark"]) if len(records) else ()
    ):
        shares, sizes = matrix(group), _sizes(group)
        for step in shares.index[1:] if shares.index[0] == 0 else ():
            pair, answers = shares.loc[[0, step]], sizes.loc[[0, step]]
            # an unfinished problem may have some of its samples
            whole = (answers == answers.max().max()).all()
            both = pair.loc[:, whole].dropna(axis="columns")
            base, after = both.loc[0].to_numpy(), both.loc[step].to_numpy()
            means, numbers, discordant, method = compared(
                base, after, group["sample"].nunique() > 1
            )
            started = (answers > 0).any()
            at_base = group[
                (group["step"] == 0) & group["task_id"].isin(both.columns[after > base])
            ]
            unanswered = 100 * at_base["outcome"].isin(UNANSWERED).mean()
            rows.append(
                (
                    folder,
                    group["domain"].iloc[-1],
                    benchmark,
                    step,
                    *means,
                    *numbers,
                    np.nan,
                    *discordant,
                    len(base),
                    int(whole.sum()) - len(base),
                    int((started & ~whole).sum()),
                    unanswered,
                    method,
                )
            )
    return with_holm(pd.DataFrame(rows, columns=CHANGES))


def verdict(change) -> str:
    """`gain`, `loss` or `within noise` by Holm's p at 5%, of a row of paired_changes; — where
    nothing could be tested."""
    if change.p != change.p:
        return "—"
    return "within noise" if not change.p_holm < 0.05 else "gain" if change.change > 0 else "loss"


def change_sentences(changes) -> str:
    """One sentence a run and benchmark: its last checkpoint in paired_changes, its verdict by
    Holm's p at 5%, and what was left out."""
    lines = []
    for r in changes.groupby(["folder", "benchmark"]).tail(1).itertuples():
        where, left = f"{r.folder}, {name_of(r.benchmark)}", ""
        if r.errors:
            left += f"; {r.errors} more left out, as sampling or grading failed"
        if r.missing:
            left += f"; {r.missing} more not answered yet"
        if r.p != r.p:
            lines.append(
                f"{where}: {r.n} problems to compare at step {r.step}{left}: nothing can be said."
            )
            continue
        found = {"gain": "a gain", "loss": "a loss"}.get(verdict(r), verdict(r))
        if found == "a gain" and r.unanswered > 50:
            found += (
                f", but {r.unanswered:.0f}% of the base student's answers to what was gained were "
                "cut off or could not "
                "be found: format or length, as much as skill"
            )
        lines.append(
            f"{where}: {r.base:.1f}% → {r.accuracy:.1f}% at step {r.step}, "
            f"{r.change:+.1f} points [{r.lo:+.1f}, {r.hi:+.1f}] on {r.n} problems{left}, p = "
            f"{r.p_holm:.2g} "
            f"({r.method}, Holm): {found}."
        )
    return "\n".join(lines)

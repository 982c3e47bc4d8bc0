"""Changes problem by problem, which only records can say.

Takes `results.load_records`. A problem whose answer at either of two steps is an error (sampling or
grader) says nothing of the student: it is left out of that comparison, and counted."""

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.names import ERRORS, UNANSWERED, name_of

CHANGES = [
    "folder", "domain", "benchmark", "step", "base", "accuracy", "change", "lo", "hi", "p",
    "p_holm", "only_base", "only_step", "n", "errors", "missing", "unanswered", "method",
]  # fmt: skip


class Tested(Protocol):
    """A row of a table that has been through `with_holm`."""

    change: float
    p: float
    p_holm: float


class Comparison(NamedTuple):
    """`compare` of two arrays; nan where there are not two problems to compare."""

    accuracy_first: float  # percent
    accuracy_second: float
    change: float  # second - first, points
    lo: float
    hi: float
    p: float
    only_first: stats.Counts  # discordant problems; nan with several samples
    only_second: stats.Counts
    method: str


def matrix(records: pd.DataFrame) -> pd.DataFrame:
    """[steps × problems]: the share of a problem's answers that are correct; nan where one of them
    is an error, and where a step has none."""
    correct = (records["outcome"] == "correct").astype(float)
    share = records.assign(share=correct.mask(records["outcome"].isin(ERRORS)))
    groups = share.groupby(["step", "task_id"])["share"]
    return groups.mean().mask(groups.count() < groups.size()).unstack()


def compare(first: np.ndarray, second: np.ndarray, several: bool) -> Comparison:
    """Two arrays of shares on the same problems; several: whether any has several samples."""
    from scipy.stats import binomtest, ttest_1samp

    n, nan = len(first), float("nan")
    one, two = (100 * first.mean(), 100 * second.mean()) if n else (nan, nan)
    if n < 2:
        return Comparison(one, two, *(nan,) * 6, "none")
    if not several:
        d = stats.paired_records(second == 1, first == 1)
        points = (100 * d.difference, 100 * d.lo, 100 * d.hi)
        return Comparison(one, two, *points, d.p, d.only_second, d.only_first, "paired")
    differences = second - first
    c = stats.clustered(differences, range(n))
    if c.se > 1e-12:
        points, p = (100 * c.mean, 100 * c.lo, 100 * c.hi), ttest_1samp(differences, 0).pvalue
        return Comparison(one, two, *points, p, nan, nan, "clustered")
    # All problems change by the same, so there is no variance to go by: whether n of n changes have
    # one sign by chance, and an interval in which the share of problems beyond Wilson's bound
    # changed by anything at all.
    p = binomtest(n, n).pvalue if abs(c.mean) > 1e-12 else 1.0
    sure = stats.wilson(n, n)[0]
    lo, hi = max(-1, c.mean * sure - (1 - sure)), min(1, c.mean * sure + 1 - sure)
    return Comparison(one, two, 100 * c.mean, 100 * lo, 100 * hi, p, nan, nan, "sign test")


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """The table with p_holm made of its p, over all rows that have one (Holm 1979)."""
    tested = table["p"].notna()
    p_holm = stats.holm(table["p"][tested].astype(float))
    table["p_holm"] = pd.Series(p_holm, table.index[tested], dtype=float)
    return table


def paired_changes(records: pd.DataFrame) -> pd.DataFrame:
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
    groups = records.groupby(["folder", "benchmark"]) if len(records) else ()
    for (folder, benchmark), group in groups:
        shares = matrix(group)
        # [steps × problems]: how many answers there are; 0 = the step has not come to that problem
        sizes = group.groupby(["step", "task_id"]).size().unstack(fill_value=0)
        several = group["sample"].nunique() > 1
        for step in shares.index[1:] if shares.index[0] == 0 else ():
            pair, answers = shares.loc[[0, step]], sizes.loc[[0, step]]
            # an unfinished problem may have some of its samples
            whole = (answers == answers.max().max()).all()
            both = pair.loc[:, whole].dropna(axis="columns")
            base, after = both.loc[0].to_numpy(), both.loc[step].to_numpy()
            started = (answers > 0).any()
            gained = group["task_id"].isin(both.columns[after > base])
            at_base = group[(group["step"] == 0) & gained]
            row = {
                "folder": folder,
                "domain": group["domain"].iloc[-1],
                "benchmark": benchmark,
                "step": step,
                "n": len(base),
                "errors": int(whole.sum()) - len(base),
                "missing": int((started & ~whole).sum()),
                "unanswered": 100 * at_base["outcome"].isin(UNANSWERED).mean(),
            }
            rows.append(row | compare(base, after, several)._asdict())
    names = {"accuracy_first": "base", "accuracy_second": "accuracy"}
    names |= {"only_first": "only_base", "only_second": "only_step"}
    table = pd.DataFrame(rows).rename(columns=names)
    return with_holm(table.reindex(columns=CHANGES))


def verdict(row: Tested) -> str:
    """`gain`, `loss` or `within noise` by Holm's p at 5%; — where nothing could be tested."""
    if row.p != row.p:
        return "—"
    if not row.p_holm < 0.05:
        return "within noise"
    return "gain" if row.change > 0 else "loss"


def change_sentences(changes: pd.DataFrame) -> str:
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
                "cut off or could not be found: format or length, as much as skill"
            )
        lines.append(
            f"{where}: {r.base:.1f}% → {r.accuracy:.1f}% at step {r.step}, "
            f"{r.change:+.1f} points [{r.lo:+.1f}, {r.hi:+.1f}] on {r.n} problems{left}, p = "
            f"{r.p_holm:.2g} ({r.method}, Holm): {found}."
        )
    return "\n".join(lines)

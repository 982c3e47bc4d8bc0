"""Changes problem by problem, which only records can say.

Takes `results.load_records`. A problem whose answer at either of two steps is an error (sampling or
grader) says nothing of the student: it is left out of that comparison, and counted.

The question of a run is whether it changed what its student can do, on any benchmark. Its last
finished checkpoint on each benchmark answers it, and these comparisons are one family (`primary`,
Holm): a false alarm in one of them would be a wrong answer. Other runs are other questions and
change nothing here. Earlier checkpoints show how a run came there. They are a sweep, and another
family (`exploratory`, false discovery rate)."""

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import families, margins, stats
from distill_nb.analysis.families import EXPLORATORY, PRIMARY
from distill_nb.analysis.finished import progress
from distill_nb.analysis.names import ERRORS, UNANSWERED, name_of

CHANGES = [
    "folder", "domain", "benchmark", "step", "status", "family", "base", "accuracy", "change", "lo",
    "hi", "level", "p", "p_adjusted", "margin_lo", "margin_hi", "margin_level", "verdict",
    "only_base", "only_step", "n", "errors", "missing", "unanswered", "method",
]  # fmt: skip
FINISHED = "finished"


class Change(margins.Tested, Protocol):
    """A row of `paired_changes`, of what sentences say."""

    folder: str
    benchmark: str
    step: int
    status: str
    base: float
    accuracy: float
    level: float
    p: float
    verdict: str
    n: int
    errors: int
    unanswered: float
    method: str


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


def compare(
    first: np.ndarray, second: np.ndarray, several: bool, level: float = stats.LEVEL
) -> Comparison:
    """Two arrays of shares on the same problems; several: whether any has several samples. level:
    of the interval."""
    from scipy.stats import binomtest, ttest_1samp

    n, nan = len(first), float("nan")
    one, two = (100 * first.mean(), 100 * second.mean()) if n else (nan, nan)
    if n < 2:
        return Comparison(one, two, *(nan,) * 6, "none")
    if not several:
        d = stats.paired_records(second == 1, first == 1, level)
        points = (100 * d.difference, 100 * d.lo, 100 * d.hi)
        return Comparison(one, two, *points, d.p, d.only_second, d.only_first, "paired")
    differences = second - first
    c = stats.clustered(differences, range(n), level)
    if c.se > 1e-12:
        points, p = (100 * c.mean, 100 * c.lo, 100 * c.hi), ttest_1samp(differences, 0).pvalue
        return Comparison(one, two, *points, p, nan, nan, "clustered")
    # All problems change by the same, so there is no variance to go by: whether n of n changes have
    # one sign by chance, and an interval in which the share of problems beyond Wilson's bound
    # changed by anything at all.
    p = binomtest(n, n).pvalue if abs(c.mean) > 1e-12 else 1.0
    sure = stats.wilson(n, n, level)[0]
    lo, hi = max(-1, c.mean * sure - (1 - sure)), min(1, c.mean * sure + 1 - sure)
    return Comparison(one, two, 100 * c.mean, 100 * lo, 100 * hi, p, nan, nan, "sign test")


def paired_changes(records: pd.DataFrame, margin: float = margins.MARGIN) -> pd.DataFrame:
    """Every checkpoint against its base student, problem by problem; each step by itself, so that
    an unfinished one takes no problems from the others. margin: points.

    Columns CHANGES. status: `finished`, or `unfinished: 60 of 500` where the base student or the
    checkpoint has not answered all problems (finished.py): then no verdict, and no family. family:
    `primary` at the last finished step on that benchmark, `exploratory` at the others. base,
    accuracy (percent, on the n problems compared), change (points). lo, hi: its interval (points)
    at `level` (percent), which is that of its verdict. p of no change, and p_adjusted within the
    family of its run. margin_lo, margin_hi: the interval at margin_level that is set against the
    margin. verdict: as in margins.py. only_base, only_step (discordant problems; nan with several
    samples), n (problems compared), errors (problems left out for an error at either step), missing
    (problems that one of both has not answered yet), unanswered (percent of the base's answers to
    the problems that gained that were cut off or not found; nan where none gained), method.

    `paired` is McNemar's mid-p with Newcombe's paired interval; with several samples of a problem
    `clustered`: differences of problem means, their t interval and test, or where all are equal an
    exact `sign test`. Without two problems to compare: nan."""
    rows, pairs = [], []
    done = progress(records)["of"]
    groups = records.groupby(["folder", "benchmark"]) if len(records) else ()
    for (folder, benchmark), group in groups:
        shares = matrix(group)
        # [steps × problems]: how many answers there are; 0 = the step has not come to that problem
        sizes = group.groupby(["step", "task_id"]).size().unstack(fill_value=0)
        several = group["sample"].nunique() > 1
        for step in shares.index[1:] if shares.index[0] == 0 else ():
            of = int(done[folder, benchmark, step])
            # an unfinished problem may have some of its samples
            whole = (sizes.loc[[0, step]] == sizes.max().max()).all()
            answered = int(whole.sum())
            both = shares.loc[[0, step]].loc[:, whole].dropna(axis="columns")
            base, after = both.loc[0].to_numpy(), both.loc[step].to_numpy()
            gained = group["task_id"].isin(both.columns[after > base])
            at_base = group[(group["step"] == 0) & gained]
            row = {
                "folder": folder,
                "domain": group["domain"].iloc[-1],
                "benchmark": benchmark,
                "step": step,
                "status": FINISHED if answered >= of else f"unfinished: {answered} of {of}",
                "n": len(base),
                "errors": answered - len(base),
                "missing": of - answered,
                "unanswered": 100 * at_base["outcome"].isin(UNANSWERED).mean(),
            }
            rows.append(row | compare(base, after, several)._asdict())
            pairs.append((base, after, several))
    names = {"accuracy_first": "base", "accuracy_second": "accuracy"}
    names |= {"only_first": "only_base", "only_second": "only_step"}
    table = pd.DataFrame(rows).rename(columns=names).reindex(columns=CHANGES)
    return _judged(table, pairs, margin)


def _judged(
    table: pd.DataFrame, pairs: list[tuple[np.ndarray, np.ndarray, bool]], margin: float
) -> pd.DataFrame:
    """The table with families, adjusted p values, the intervals at their levels, and verdicts.
    pairs: the arguments of `compare` of each row."""
    done = table[table["status"] == FINISHED]
    last = done.groupby(["folder", "benchmark"])["step"].transform("max")
    table["family"] = pd.Series(PRIMARY, done.index).where(done["step"] == last, EXPLORATORY)
    table["family"] = table["family"].fillna(margins.UNTESTED)
    table["level"] = 100 * stats.LEVEL
    for family, method in ((PRIMARY, "holm"), (EXPLORATORY, "fdr")):
        rows = table.index[table["family"] == family]
        found = families.adjust(table["p"][rows].astype(float), table["folder"][rows], method)
        table.loc[rows, "p_adjusted"] = found.p
        for at, alpha, each in zip(rows, found.alpha, found.each, strict=True):
            if alpha == alpha:
                first, second, several = pairs[at]
                wide = compare(first, second, several, 1 - alpha)
                narrow = compare(first, second, several, 1 - 2 * each)
                values = (wide.lo, wide.hi, 100 * (1 - alpha))
                table.loc[at, ["lo", "hi", "level"]] = values
                values = (narrow.lo, narrow.hi, 100 * (1 - 2 * each))
                table.loc[at, ["margin_lo", "margin_hi", "margin_level"]] = values
    table["verdict"] = [margins.verdict(r, margin) for r in table.itertuples()]
    return table


def change_sentences(changes: pd.DataFrame, margin: float = margins.MARGIN) -> str:
    """One sentence a run and benchmark, of `paired_changes` with this margin: its last finished
    checkpoint with its verdict, and what was left out. One more of a later step that is not
    finished."""
    lines = []
    for _, rows in changes.groupby(["folder", "benchmark"]):
        primary = rows[rows["family"] == PRIMARY]
        lines += [_sentence(r, margin) for r in primary.itertuples()]
        if rows["status"].iloc[-1] != FINISHED:
            lines.append(_unfinished(next(rows.tail(1).itertuples())))
    return "\n".join(lines)


def _change(r: Change) -> str:
    """`60.0% → 64.0% at step 500, +4.0 points [+1.0, +7.0 at 97.5%] on 500 problems`."""
    return (
        f"{r.base:.1f}% → {r.accuracy:.1f}% at step {r.step}, {r.change:+.1f} points "
        f"{margins.interval(r.lo, r.hi, r.level)} on {r.n} problems{_left_out(r)}"
    )


def _left_out(r: Change) -> str:
    return f"; {r.errors} more left out, as sampling or grading failed" if r.errors else ""


def _sentence(r: Change, margin: float) -> str:
    """Of a finished checkpoint."""
    where = f"{r.folder}, {name_of(r.benchmark)}"
    if r.p != r.p:
        to_compare = f"{r.n} problems to compare at step {r.step}{_left_out(r)}"
        return f"{where}: {to_compare}: nothing can be said."
    found = margins.words(r, margin)
    if r.verdict == "gain" and r.unanswered > 50:
        found += (
            f", but {r.unanswered:.0f}% of the base student's answers to what was gained were cut "
            "off or could not be found: format or length, as much as skill"
        )
    return f"{where}: {_change(r)}, {margins.p_value(r.p_adjusted)} ({r.method}, Holm): {found}."


def _unfinished(r: Change) -> str:
    """Of a checkpoint that is not finished."""
    where = f"{r.folder}, {name_of(r.benchmark)}: step {r.step} is {r.status} problems"
    if r.p != r.p:
        return f"{where}; there is nothing to compare yet."
    return f"{where}. So far {_change(r)}: no verdict, as the others may differ."

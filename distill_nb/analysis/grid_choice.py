"""The best setting of a grid, and what choosing it costs.

The best of many settings looks better than it is on the problems that chose it. So one half of the
problems, the same as for checkpoints (selection.in_dev), chooses; the other half scores, and on it
each setting is compared with the best. How much the best of all problems is overstated is said by
random halves (selection_bias.corrected)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from distill_nb.analysis import families, paired, replicates, results, selection_bias
from distill_nb.analysis.grid import Grid, Setting, in_words
from distill_nb.analysis.names import printed_rate
from distill_nb.analysis.selection import in_dev
from distill_nb.runtime import jsonl

BEST, BEHIND = "the best by dev", "behind"
OPEN, ALONE = "not separable", "behind by problems; seed noise unknown"


class Choice(NamedTuple):
    """The best setting of a grid; accuracies in percent."""

    grid: Grid
    best: int  # which of the settings, by the dev half; the first of equals
    dev: np.ndarray  # [settings] on the half that chose
    rest: np.ndarray  # [settings] on the other half
    lo: np.ndarray  # [settings] 95% interval of rest, over problems
    hi: np.ndarray
    n_dev: int  # problems
    n_rest: int
    naive: float  # the best of all problems, on these
    corrected: float  # what the same rule picks, on problems that did not choose it
    corrected_lo: float
    corrected_hi: float


def choose(grid: Grid) -> Choice | None:
    """The best setting by the dev half; None where there are too few problems for two halves."""
    dev = np.array([in_dev(task_id) for task_id in grid.problems])
    if min(dev.sum(), (~dev).sum()) < 2:
        return None
    means = np.array([setting.shares.mean(0) for setting in grid.settings])
    intervals = [
        results.interval(mean[~dev], len(s.folders) * int((~dev).sum()))
        for mean, s in zip(means, grid.settings, strict=True)
    ]
    lo, hi = 100 * np.array(intervals).T
    scores = selection_bias.corrected(means)
    return Choice(
        grid=grid,
        best=int(means[:, dev].mean(1).argmax()),
        dev=100 * means[:, dev].mean(1),
        rest=100 * means[:, ~dev].mean(1),
        lo=lo,
        hi=hi,
        n_dev=int(dev.sum()),
        n_rest=int((~dev).sum()),
        naive=100 * scores.naive,
        corrected=100 * scores.corrected,
        corrected_lo=100 * scores.lo,
        corrected_hi=100 * scores.hi,
    )


def heldout_losses(scale_dir: Path) -> dict[str, float]:
    """Run's folder → the last held-out loss of its training, where it has one."""
    found = {}
    for file in sorted(Path(scale_dir).glob("*/metrics.jsonl")):
        for row in jsonl.read(file):
            if row.get("heldout_loss") is not None:
                found[file.parent.name] = float(row["heldout_loss"])
    return found


def table(choices: list[Choice], losses: dict[str, float] | None = None) -> pd.DataFrame:
    """One row a setting.

    Columns: student, domain, teacher, the keys that vary, seeds, heldout_loss (mean over seeds; to
    be compared under one teacher only), dev (percent, on the half that chose), accuracy with lo, hi
    (on the other half, n problems), behind (points behind the best there), p_adjusted (Holm over
    the settings of the grid), verdict: BEST, BEHIND (by runs, with two seeds or more of each), OPEN
    or, from one seed, ALONE."""
    rows = []
    for choice in choices:
        grid, best = choice.grid, choice.grid.settings[choice.best]
        tested = [_against(choice, best, setting) for setting in grid.settings]
        adjusted = families.adjust([p for p, _ in tested]).p
        for i, setting in enumerate(grid.settings):
            values = {
                k: printed_rate(v) if k == "learning_rate" else v
                for k, v in zip(grid.keys, setting.values, strict=True)
            }
            own = [losses[f] for f in setting.folders if losses and f in losses]
            rows.append(
                {"student": grid.student, "domain": grid.domain, "teacher": setting.teacher}
                | values
                | {
                    "seeds": len(setting.folders),
                    "heldout_loss": float(np.mean(own)) if own else float("nan"),
                    "benchmark": grid.benchmark,
                    "dev": choice.dev[i],
                    "accuracy": choice.rest[i],
                    "lo": choice.lo[i],
                    "hi": choice.hi[i],
                    "n": choice.n_rest,
                    "behind": choice.rest[choice.best] - choice.rest[i],
                    "p_adjusted": adjusted[i],
                    "verdict": _verdict(i == choice.best, adjusted[i], *tested[i], choice, i),
                }
            )
    return pd.DataFrame(rows)


def _against(choice: Choice, best: Setting, other: Setting) -> tuple[float, bool]:
    """(p of no difference on the half that did not choose, whether by runs)."""
    if other is best:
        return float("nan"), False
    rest = np.array([not in_dev(task_id) for task_id in choice.grid.problems])
    first, second = best.shares[:, rest], other.shares[:, rest]
    if min(len(first), len(second)) > 1:
        return replicates.compare(first, second).p, True
    several = len(first) + len(second) > 2 or bool(((first % 1) > 0).any())
    return paired.compare(first.mean(0), second.mean(0), several).p, False


def _verdict(best: bool, adjusted: float, p: float, by_runs: bool, choice: Choice, i: int) -> str:
    if best:
        return BEST
    behind = adjusted < families.ALPHA and choice.rest[i] < choice.rest[choice.best]
    if not behind:
        return OPEN
    return BEHIND if by_runs else ALONE


def sentences(choices: list[Choice]) -> str:
    """One sentence a grid: its best setting, how sure that is, and what choosing it costs."""
    return "\n".join(map(_sentence, choices)) or "No run was repeated with another setting."


def _sentence(c: Choice) -> str:
    grid, b = c.grid, c.best
    others = len(grid.settings) - 1
    left = int((table([c])["verdict"] == OPEN).sum())
    sure = f"{left} of the {others} others are not separable from it"
    if left in (0, others):
        sure = "none of the others is separable from it" if left else "all others are behind it"
    return (
        f"{grid.where}: of {len(grid.settings)} settings the best by {c.n_dev} problems is "
        f"{in_words(grid.settings[b], grid.keys)}. It has {c.dev[b]:.1f}% there, and "
        f"{c.rest[b]:.1f}% [{c.lo[b]:.1f}, {c.hi[b]:.1f}] on the {c.n_rest} others; "
        f"{sure}. On all problems the best setting has {c.naive:.1f}%. Choosing adds about "
        f"{c.naive - c.corrected:.1f} points to that: a setting chosen so has {c.corrected:.1f}% "
        f"[{c.corrected_lo:.1f}, {c.corrected_hi:.1f}] on problems that did not choose it."
    )

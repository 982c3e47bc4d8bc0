"""What choosing the best checkpoint on the test set is worth: its accuracy on problems that did not
choose it.

`table` resamples the records of each run; `inflation` needs only percentages."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from distill_nb.analysis import stats
from distill_nb.analysis.finished import choices
from distill_nb.analysis.names import name_of
from distill_nb.analysis.paired import matrix

COLUMNS = [
    "folder", "benchmark", "n", "checkpoints", "step", "naive", "corrected", "lo", "hi", "last",
    "regret", "regret_lo", "regret_hi", "errors",
]  # fmt: skip
FEWEST = 4  # problems: two halves of two


@dataclass(frozen=True)
class Selection:
    """The best of several checkpoints; accuracies and regret are fractions."""

    selected: int  # row of the best on all problems, the first of equals
    naive: float  # its accuracy on the problems that chose it
    corrected: float  # accuracy, on problems that did not choose it, of what the same rule picks
    lo: float
    hi: float
    last: float  # accuracy of the last checkpoint, which nothing chose
    regret: float  # corrected - last: the loss by taking the last; negative = choosing loses
    regret_lo: float
    regret_hi: float


def table(records: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """One row a run, by the benchmark that chooses (names.RULE), from `results.load_records`.

    Columns COLUMNS: n (problems), checkpoints, step (chosen), naive, corrected, lo, hi, last
    (percent), regret, regret_lo, regret_hi (points; `corrected`), errors (problems left out, as an
    answer at one of the checkpoints is an error). Unfinished checkpoints are left out, and runs
    with less than two others or four problems; `left_out` says why."""
    rows = []
    for choice in choices(records):
        if choice.why_not:
            continue
        every = matrix(choice.records)
        shares = every.dropna(axis="columns")
        if shares.shape[1] < FEWEST:
            continue
        scores = asdict(corrected(shares.to_numpy(), seed=seed))
        row = {
            "folder": choice.folder,
            "benchmark": choice.benchmark,
            "n": shares.shape[1],
            "checkpoints": len(shares),
            "step": int(shares.index[scores.pop("selected")]),
            "errors": every.shape[1] - shares.shape[1],
        }
        rows.append(row | {key: 100 * share for key, share in scores.items()})
    return pd.DataFrame(rows, columns=COLUMNS)


def left_out(records: pd.DataFrame) -> str:
    """One sentence a run with checkpoints that `table` leaves out."""
    lines, runs = [], list(choices(records))
    if not runs:
        return "No run has a checkpoint to choose yet."
    for choice in runs:
        why = choice.why_not
        if not why:
            sound = matrix(choice.records).dropna(axis="columns").shape[1]
            name = name_of(choice.benchmark)
            if sound < FEWEST:
                why = (
                    f"{name} has {sound} problems without an error of ours, and {FEWEST} are needed"
                )
        if why:
            lines.append(f"{choice.folder}: what choosing is worth cannot be said, as {why}.")
    return "\n".join(lines) or "Every run with checkpoints is in this table."


def corrected(
    correct: ArrayLike, seed: int = 0, repeats: int = 200, resamples: int = 400
) -> Selection:
    """The accuracy of "the best checkpoint", scored on problems that did not choose it.

    correct: booleans [checkpoints, problems], the last row the last checkpoint. Half the problems
    choose (the first of equals), the other half scores, both ways, over `repeats` random halves
    (selection bias: Cawley & Talbot 2010, jmlr.org/papers/v11/cawley10a). The choice rests on half
    the problems, so a clear winner is picked a little less often than by all of them. Percentile
    interval from `resamples` bootstraps of the problems (Efron 1979, doi 10.1214/aos/1176344552)
    with ten splits nested in each; copies of a problem stay in one half. It is cautious: a nominal
    95% covers about 99% where checkpoints are equal. Raises ValueError below 4 problems."""
    correct = np.asarray(correct, float)
    if correct.ndim != 2 or correct.shape[1] < FEWEST:
        raise ValueError(
            f"correct has shape {correct.shape}: give [checkpoints, problems] with {FEWEST} "
            "problems or more."
        )
    rng, n = np.random.default_rng(seed), correct.shape[1]
    accuracy, last = correct.mean(1), float(correct[-1].mean())
    estimate = float(_split_scores(correct, np.ones((repeats, n)), rng).mean())
    weights = _bootstrap_weights(n, resamples, rng)
    boot = np.mean([_split_scores(correct, weights, rng) for _ in range(10)], axis=0)
    ends = [(1 - stats.LEVEL) / 2, (1 + stats.LEVEL) / 2]
    lo, hi = np.quantile(boot, ends)
    regret_lo, regret_hi = np.quantile(boot - weights @ correct[-1] / n, ends)
    return Selection(
        selected=int(accuracy.argmax()),
        naive=float(accuracy.max()),
        corrected=estimate,
        lo=float(lo),
        hi=float(hi),
        last=last,
        regret=estimate - last,
        regret_lo=float(regret_lo),
        regret_hi=float(regret_hi),
    )


def _split_scores(correct: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Per row of weights [resamples, problems]: the accuracy, on one random half, of the checkpoint
    that the other half picks, averaged over both directions. Halves without weight are drawn again;
    so each row must weigh two problems or more."""
    half = rng.permuted(np.tile(np.arange(correct.shape[1]) % 2 == 0, (len(weights), 1)), axis=1)
    while (empty := ((weights * half).sum(1) == 0) | ((weights * ~half).sum(1) == 0)).any():
        half[empty] = rng.permuted(half[empty], axis=1)
    one, other = (
        (weights * side) @ correct.T / (weights * side).sum(1, keepdims=True)
        for side in (half, ~half)
    )
    rows = np.arange(len(weights))
    return (other[rows, one.argmax(1)] + one[rows, other.argmax(1)]) / 2


def _bootstrap_weights(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """[resamples, n] how often each of n problems is drawn; draws of one problem alone are drawn
    again."""
    weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    while (alone := (weights > 0).sum(1) < 2).any():
        weights[alone] = rng.multinomial(n, np.full(n, 1 / n), size=alone.sum())
    return weights.astype(float)


def inflation(p: float, n: int, checkpoints: int, correlation: float = 0.0) -> float:
    """By how much the best of several checkpoints is expected to overstate their common true
    accuracy p on n problems; fractions.

    Assumes equal true accuracies, normal errors, and one correlation between any two checkpoints'
    scores (they answer the same problems; 0 is the worst case): sqrt(p (1-p) (1-correlation) / n) ×
    E[largest of m standard normals] (David & Nagaraja 2003, Order Statistics, doi
    10.1002/0471722162)."""
    from scipy.integrate import quad
    from scipy.stats import norm

    def density(x: float) -> float:
        return checkpoints * x * norm.pdf(x) * norm.cdf(x) ** (checkpoints - 1)

    return float(np.sqrt(p * (1 - p) * (1 - correlation) / n) * quad(density, -9, 9)[0])

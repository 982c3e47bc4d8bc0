"""A change of a score, split by what became of the answers, in points that add up to the change.

An answer that is not correct is cut off, unanswered, misformatted, wrong, or out of time. An answer
that flips between the base student and a checkpoint, from correct or to it, belongs to what it is
where it is not correct. So a part is what was gained from its answers less what was lost to them,
and each flip can be read (flips.py). Takes `results.load_records`."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.names import ERRORS

PARTS = {
    "cut_off": "ended by the token limit: looping, or too long",
    "unanswered": "no answer where it belongs, and none that the lenient reading finds right",
    "misformatted": "right by the lenient reading, but not where it belongs",
    "wrong": "a finished answer, not right by any reading",
    "timeout": "code that ran too long",
}
WORDS = {  # part → what a change, or a single flip, is called: a loss, a gain
    "cut_off": ("lost to length", "gained by length"),
    "unanswered": ("lost answers", "gained answers"),
    "misformatted": ("lost format", "gained format"),
    "wrong": ("lost skill", "gained skill"),
    "timeout": ("lost to time", "gained by time"),
}
CLASSES = ["correct", *PARTS, "error"]
SOLVED = [CLASSES.index("correct"), CLASSES.index("misformatted")]
WRONG = list(PARTS).index("wrong")
# nobody can know whether the student could have solved it
UNKNOWN = ("cut_off", "unanswered", "timeout")
KEYS = ["folder", "benchmark", "step"]
COLUMNS = [
    *KEYS, "part", "change", "lo", "hi", "gained", "lost", "before", "after", "p", "share",
    "share_lo", "share_hi", "n",
]  # fmt: skip
FEWEST = 6  # flips of a part: fewer, even all one way, are no evidence at 5% by the exact test


class Pair(NamedTuple):
    """A checkpoint beside its base student, on the problems that both answered without an error of
    ours: shares of the answers to a problem."""

    folder: str
    benchmark: str
    step: int
    before: np.ndarray  # [problems × CLASSES without the last]
    after: np.ndarray
    longer: np.ndarray  # [problems]: share at the token limit, right or not, after less before


def classes(records: pd.DataFrame) -> pd.Series:
    """What became of each answer: one of CLASSES. An answer at the token limit that is not correct
    is cut off, whatever a reading finds in it: it was not finished."""
    outcome = records["outcome"]
    lenient = records.get("lenient_outcome", outcome)
    conditions = {
        "error": outcome.isin(ERRORS),
        "correct": outcome == "correct",
        "cut_off": at_limit(records),
        "misformatted": lenient == "correct",
        "unanswered": outcome == "no_answer",
        "timeout": outcome == "timeout",
    }
    found = np.select([c.to_numpy() for c in conditions.values()], list(conditions), "wrong")
    return pd.Series(found, records.index)


def at_limit(records: pd.DataFrame) -> pd.Series:
    """Whether the token limit ended each answer, or the engine did for a loop that would have met
    it. Records without a finish_reason say so only of those in which no answer was found."""
    reason = records.get("finish_reason", pd.Series("", records.index))
    return records["outcome"].isin(["truncated", "looping"]) | reason.isin(["length", "loop"])


def pairs(records: pd.DataFrame) -> Iterator[Pair]:
    """Every checkpoint beside its base student. A problem is compared where both have as many
    answers as any step has, and none of them is an error (as in `paired.paired_changes`)."""
    if not len(records):
        return
    numbers = pd.Categorical(classes(records), CLASSES).codes
    numbered = records.assign(number=numbers, limit=at_limit(records))
    for (folder, benchmark), group in numbered.groupby(["folder", "benchmark"]):
        steps, at = np.unique(group["step"].to_numpy(), return_inverse=True)
        problem, ids = pd.factorize(group["task_id"])
        shape = len(steps), len(ids), len(CLASSES)
        cells = np.ravel_multi_index((at, problem, group["number"].to_numpy()), shape)
        counts = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)
        places = np.ravel_multi_index((at, problem), shape[:2])
        limit = np.bincount(places, group["limit"], int(np.prod(shape[:2]))).reshape(shape[:2])
        answers = counts.sum(axis=2)
        sound = (answers == answers.max()) & (counts[:, :, -1] == 0)
        for i in range(1, len(steps) if steps[0] == 0 else 0):
            kept = sound[0] & sound[i]
            before, after = counts[[0, i]][:, kept, :-1] / answers.max()
            longer = (limit[i] - limit[0])[kept] / answers.max()
            yield Pair(folder, benchmark, int(steps[i]), before, after, longer)


def parts(records: pd.DataFrame) -> pd.DataFrame:
    """One row a checkpoint and part; columns COLUMNS, in points of the score and percent of the
    answers. The changes of a checkpoint's parts add up to its change in `paired.paired_changes`.

    change: gained (from such an answer to a correct one) less lost (the other way), with a 95%
    interval over problems; of several samples all pairs of a problem count. before, after: percent
    of all answers that are such. share: of the whole change, with its interval (`ratio`). n:
    problems compared; with fewer than two nothing is said.

    p: that the part moved; the largest of the p values of what must all have moved (an
    intersection-union test: Berger 1982, doi 10.1080/00401706.1982.10487790); nan under FEWEST
    flips. Its flips, and its share of the answers the other way (of `cut_off` the share of all
    answers at the limit): or a student that solves less would also seem to be cut off more, as of
    what it solves less is cut off. For `wrong`, which
    stands for skill, its flips; the same with misformatted answers taken for right, so that no loss
    of format looks like one of skill; and the same with the flips of what nobody can know (cut off,
    unanswered, out of time) taken for skill, where their interval lies on the other side of 0: what
    was cut off may hide what was lost."""
    found = [pair for pair in pairs(records) if len(pair.before) > 1]
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    keys = pd.DataFrame([pair[: len(KEYS)] for pair in found], columns=KEYS)
    splits = [split(pair) for pair in found]
    table = keys.loc[keys.index.repeat(len(PARTS))].reset_index(drop=True)
    table = table.assign(part=list(PARTS) * len(found))
    columns = {name: np.concatenate([s[name] for s in splits]) for name in splits[0]}
    n = np.repeat([len(pair.before) for pair in found], len(PARTS))
    return table.assign(**columns, n=n)[COLUMNS]


def split(pair: Pair) -> dict[str, np.ndarray]:
    """The columns of `parts` of one checkpoint, [PARTS] each; of two problems or more."""
    from scipy.stats import t

    before, after = pair.before, pair.after
    n, own = len(before), slice(1, 1 + len(PARTS))
    flips = flips_of(before, after)
    change, covariance = flips.mean(axis=0), spread(flips)
    quantile = t.ppf(0.5 + stats.LEVEL / 2, n - 1)
    half = quantile * np.sqrt(np.diag(covariance))
    fewer = before[:, own] - after[:, own]
    fewer[:, list(PARTS).index("cut_off")] = -pair.longer
    p = np.maximum(p_of(flips), _p_along(fewer, np.sign(change)))
    surely = np.sign(change) * (abs(change) > half)
    p[WRONG] = _p_of_skill(before, after, flips, surely)
    p[(flips != 0).sum(axis=0) < FEWEST] = np.nan
    share, share_lo, share_hi = ratio(change, covariance, quantile)
    gained, lost = before[:, own] * after[:, :1], before[:, :1] * after[:, own]
    points = {
        "change": change, "lo": change - half, "hi": change + half, "gained": gained.mean(axis=0),
        "lost": lost.mean(axis=0), "before": before[:, own].mean(axis=0),
        "after": after[:, own].mean(axis=0), "share": share, "share_lo": share_lo,
        "share_hi": share_hi,
    }  # fmt: skip
    return {name: 100 * values for name, values in points.items()} | {"p": p}


def flips_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """[problems × PARTS]: gained from each part less lost to it, as shares of a problem's answers.
    A problem's sum is the change of its share of correct answers."""
    own = slice(1, 1 + len(PARTS))
    return before[:, own] * after[:, :1] - before[:, :1] * after[:, own]


def _p_of_skill(
    before: np.ndarray, after: np.ndarray, flips: np.ndarray, surely: np.ndarray
) -> float:
    """p that `wrong` moved, by each of three accounts of its flips (see `parts`). surely: [PARTS]
    which way the flips of each go, -1 or 1, and 0 where they may go neither."""
    wrong, way = flips[:, [WRONG]], np.sign(flips[:, WRONG].mean())
    solved = [side[:, SOLVED].sum(axis=1, keepdims=True) for side in (before, after)]
    failed = [side[:, [1 + WRONG]] for side in (before, after)]
    lenient = failed[0] * solved[1] - solved[0] * failed[1]
    against = [i for i, part in enumerate(PARTS) if part in UNKNOWN and surely[i] == -way]
    hidden = wrong + flips[:, against].sum(axis=1, keepdims=True)
    return max(float(_p_along(x, way)[0]) for x in (wrong, lenient, hidden))


def _p_along(differences: np.ndarray, way: np.ndarray | float) -> np.ndarray:
    """`p_of`; 1 where the mean does not go this way (-1 or 1)."""
    along = np.sign(differences.mean(axis=0)) == way
    return np.where(along, p_of(differences), 1.0)


def spread(flips: np.ndarray) -> np.ndarray:
    """Covariance [parts × parts] of the mean over problems of flips [problems × parts], each -1 to
    1. One flip each way is added to each part's variance, as Bonett and Price (2012, doi
    10.3102/1076998611411915) add to paired proportions: without a flip there is an interval,
    too."""
    n = len(flips)
    sums = np.cov(flips, rowvar=False, bias=True) + np.eye(flips.shape[1]) * 2 / n
    return sums / n


def p_of(differences: np.ndarray) -> np.ndarray:
    """p [columns] that means of differences [problems × columns] are 0: McNemar's where each is -1,
    0 or 1 (stats.mid_p), else Student's t test with the variances of `spread`."""
    from scipy.stats import t

    if np.isin(differences, (-1, 0, 1)).all():
        up, down = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
        return np.asarray(stats.mid_p(up, down), float)
    errors = np.sqrt(np.diag(spread(differences)))
    return 2 * t.sf(abs(differences.mean(axis=0)) / errors, len(differences) - 1)


def ratio(
    change: np.ndarray, covariance: np.ndarray, quantile: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(share, lo, hi) of each part's change in the sum of all: Fieller's interval (1954, doi
    10.1111/j.2517-6161.1954.tb00159.x) at that quantile; nan where the sum itself may be 0, for
    then a share may be anything."""
    total, z2 = change.sum(), quantile**2
    a = total**2 - z2 * covariance.sum()
    b = change * total - z2 * covariance.sum(axis=0)
    c = change**2 - z2 * np.diag(covariance)
    if a <= 0:
        unknown = np.full(len(change), np.nan)
        return unknown, unknown, unknown
    root = np.sqrt(np.maximum(b**2 - a * c, 0))
    return change / total, (b - root) / a, (b + root) / a

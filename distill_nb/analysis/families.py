"""Which comparisons are corrected together: one question, one family.

A family is the set of comparisons of which a single false alarm would make the answer to one
question wrong. What belongs to another question, such as another run, is in another family and
changes nothing here.

A claim of several parts needs care in one direction only. That *all* parts hold is false if one
is, so that the weakest of them decides and nothing is corrected (`all_hold`). That *any* part
holds, as in "contradicted in one of five", becomes likely by chance, so it is (`any_holds`)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from distill_nb.analysis import stats

ALPHA = 0.05  # chance of one false alarm in a family; of fdr the share of false ones
PRIMARY, EXPLORATORY = "primary", "exploratory"


class Adjusted(NamedTuple):
    """Arrays with an entry a comparison, in the order given; nan where nothing was tested."""

    p: np.ndarray  # adjusted; below alpha: significant within its family
    alpha: np.ndarray  # level at which that was decided: an interval at 1 - alpha says the same
    each: np.ndarray  # level of a claim of its own kind, such as equivalence, about each of them


def adjust(
    p_values: ArrayLike,
    families: Sequence | None = None,
    method: str = "holm",
    alpha: float = ALPHA,
) -> Adjusted:
    """p values corrected within their families.

    p_values: [comparisons], nan for one that was not tested, which then counts nowhere. families:
    [comparisons] a label each; None = all are one family. method:

    holm  the chance of any false alarm in a family is at most alpha (Holm 1979,
          jstor.org/stable/4615733)
    fdr   false ones are at most a share of alpha of what is called significant, on average, for
          comparisons that are independent or positively dependent (Benjamini & Hochberg 1995, doi
          10.1111/j.2517-6161.1995.tb02031.x; Benjamini & Yekutieli 2001, doi
          10.1214/aos/1013699998)

    Holm goes through the p values from the smallest, at alpha / m, alpha / (m - 1), …, and stops at
    the first that is not below: `alpha` is the level of its own step for what was significant, and
    that of the stop for the others. With fdr it is alpha × R / m for R significant of m, or
    alpha / m where none is (Benjamini & Yekutieli 2005, doi 10.1198/016214504000001907). Where a
    test agrees with its interval, the interval at 1 - `alpha` thus leaves 0 out exactly if the
    adjusted p is below alpha. `each` is alpha / m (Bonferroni), with fdr the same as `alpha`.

    Raises ValueError for a method of another name, and where families are not as many."""
    from scipy.stats import false_discovery_control

    if method not in ("holm", "fdr"):
        raise ValueError(f"method is {method!r}: choose from holm, fdr.")
    p = np.asarray(p_values, float)
    labels = np.zeros(p.size, object) if families is None else np.asarray(families, object)
    if labels.shape != p.shape:
        raise ValueError(f"families has {labels.size} labels for {p.size} p values: give one each.")
    adjusted, levels, each = (np.full(p.shape, np.nan) for _ in range(3))
    for label in set(labels):
        own = np.flatnonzero((labels == label) & ~np.isnan(p))
        if not (m := own.size):
            continue
        adjusted[own] = stats.holm(p[own]) if method == "holm" else false_discovery_control(p[own])
        found = int((adjusted[own] < alpha).sum())
        if method == "fdr":
            levels[own] = each[own] = alpha * max(found, 1) / m
            continue
        rank = np.minimum(np.argsort(np.argsort(p[own], kind="stable")), min(found, m - 1))
        levels[own], each[own] = alpha / (m - rank), alpha / m
    return Adjusted(adjusted, levels, each)


def all_hold(p_values: ArrayLike) -> float:
    """The p value of a claim that holds if all its parts do: the largest of theirs, uncorrected
    (intersection–union test: Berger 1982, doi 10.1080/00401706.1982.10487790)."""
    return float(np.max(np.asarray(p_values, float)))


def any_holds(p_values: ArrayLike) -> float:
    """The p value of a claim that holds if any of its parts does: the smallest of theirs, by
    Holm."""
    return float(np.min(stats.holm(p_values)))

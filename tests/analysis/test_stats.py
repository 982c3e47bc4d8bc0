"""Each function against a published value or a reference implementation, and on simulated data with
known truth."""

import math

import numpy as np
import pytest

from distill_nb.analysis import stats
from distill_nb.analysis.stats import wilson

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("k", "n", "lo", "hi"),
    [
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (5, 10, 0.23659, 0.76341),
        (81, 263, 0.25527, 0.36621),
    ],
)
def test_wilson_against_known_values(k, n, lo, hi):
    """The last one is Newcombe's (1998) example; the others follow from the formula."""
    assert wilson(k, n) == pytest.approx((lo, hi), abs=2e-5)


def test_wilson_holds_the_estimate_at_every_k():
    for n in (1, 3, 30, 48):
        for k in range(n + 1):
            lo, hi = wilson(k, n)
            assert 0 <= lo <= k / n <= hi <= 1
    assert all(math.isnan(x) for x in wilson(0, 0))


def test_wilson_covers_at_the_sizes_of_the_study():
    """Exact coverage, the sum of binomial probabilities of the k whose interval holds the truth."""
    from scipy.stats import binom

    for n in (100, 378, 500):
        ends = np.array([wilson(k, n) for k in range(n + 1)])
        for p in (0.1, 0.5, 0.8):
            inside = (ends[:, 0] <= p) & (p <= ends[:, 1])
            assert binom.pmf(np.arange(n + 1), n, p)[inside].sum() == pytest.approx(0.95, abs=0.02)


# ---- differences


@pytest.mark.parametrize(
    ("counts", "lo", "hi"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((5, 56, 0, 29), -0.0381, 0.1926),
    ],
)
def test_unpaired_difference_against_newcombes_examples(counts, lo, hi):
    d = stats.difference(*counts)
    assert (d.lo, d.hi) == pytest.approx((lo, hi), abs=5e-5)
    assert d.difference == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])


def test_unpaired_p_is_that_of_the_chi_square_test():
    from scipy.stats import chi2_contingency

    expected = chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue
    assert stats.difference(56, 70, 48, 80).p == pytest.approx(expected, rel=1e-9)
    assert stats.difference(0, 500, 0, 500).p == 1


def test_unpaired_difference_covers():
    rng = RNG(1)
    for p1, p2, n1, n2 in [(0.8, 0.75, 500, 500), (0.57, 0.75, 378, 378), (0.24, 0.27, 100, 100)]:
        d = stats.difference(rng.binomial(n1, p1, 20_000), n1, rng.binomial(n2, p2, 20_000), n2)
        assert np.mean((d.lo <= p1 - p2) & (p1 - p2 <= d.hi)) == pytest.approx(0.95, abs=0.01)


def test_contrast_of_two_differences_covers():
    rng, n, p = RNG(2), 378, (0.68, 0.77, 0.57, 0.75)
    truth, hits, rejected = (p[0] - p[1]) - (p[2] - p[3]), 0, 0
    counts = rng.binomial(n, p, (2000, 4))
    first, second = (
        stats.difference(counts[:, 0], n, counts[:, 1], n),
        stats.difference(counts[:, 2], n, counts[:, 3], n),
    )
    for i in range(len(counts)):
        c = stats.contrast(
            *(stats.Difference(d.difference[i], d.lo[i], d.hi[i], d.p[i]) for d in (first, second))
        )
        hits += c.lo <= truth <= c.hi
        rejected += (c.p < 0.05) != (c.lo > 0 or c.hi < 0)
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)
    assert rejected == 0  # p and interval agree on whether 0 is possible


def test_paired_against_published_examples():
    """Two tables of Fagerland, Lydersen & Laake, Statistical Analysis of Contingency Tables (2017),
    chapter 8."""
    many, few = stats.paired(59, 6, 16, 80), stats.paired(1, 1, 7, 12)
    assert (many.difference, many.lo, many.hi) == pytest.approx(
        (-0.0621, -0.1186, -0.0046), abs=5e-5
    )
    assert (few.lo, few.hi) == pytest.approx((-0.507, -0.026), abs=5e-4)
    assert (few.only_first, few.only_second, few.n) == (1, 7, 21)


def test_paired_p_is_mcnemars_mid_p():
    """The examples of Fagerland, Lydersen & Laake (2013): 0.039 and 0.035. Else the exact test less
    half the probability of what was observed on either side."""
    from scipy.stats import binom
    from statsmodels.stats.contingency_tables import mcnemar

    assert stats.paired(1, 1, 7, 12).p == pytest.approx(0.0391, abs=5e-5)
    assert stats.paired(59, 6, 16, 80).p == pytest.approx(0.0347, abs=5e-5)
    for table in [(59, 6, 16, 80), (10, 3, 9, 4), (7, 0, 0, 7), (7, 5, 0, 7)]:
        exact = mcnemar([table[:2], table[2:]], exact=True).pvalue
        observed = binom.pmf(table[1], table[1] + table[2], 0.5)
        assert stats.paired(*table).p == pytest.approx(exact - observed * (table[1] != table[2]))
    assert stats.mid_p(4, 4) == 1 and stats.mid_p(0, 0) == 1
    assert stats.mid_p(np.array([1, 6]), np.array([7, 16])) == pytest.approx([0.0391, 0.0347], 0.01)


def test_paired_records_counts_by_problem():
    result = stats.paired_records(
        [True, True, False, True, False], [True, False, True, False, False]
    )
    assert (result.only_first, result.only_second, result.n) == (2, 1, 5)
    assert result.difference == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"2 answers and second 1: pair them"):
        stats.paired_records([True, False], [True])


def test_paired_covers_and_is_shorter_than_unpaired():
    """Correct by a latent skill that both share: correlation as between two checkpoints of one
    student."""
    rng, n, p1, p2 = RNG(3), 500, 0.8, 0.76
    cells = np.array([0.70, 0.10, 0.06, 0.14])  # both, only first, only second, neither
    counts = rng.multinomial(n, cells, 20_000).T
    d, wide = (
        stats.paired(*counts),
        stats.difference(counts[0] + counts[1], n, counts[0] + counts[2], n),
    )
    assert np.mean((d.lo <= p1 - p2) & (p1 - p2 <= d.hi)) == pytest.approx(0.95, abs=0.012)
    assert np.mean(d.hi - d.lo) < 0.8 * np.mean(wide.hi - wide.lo)


def test_holm_against_the_definition():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]).size == 0
    from statsmodels.stats.multitest import multipletests

    p = RNG(11).random(20) ** 3
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


# ---- several samples of one problem


def test_clustered_equals_the_regression_with_clustered_errors():
    import statsmodels.api as sm

    rng = RNG(4)
    problem = np.repeat(np.arange(40), 5)
    values = (rng.random(200) < np.repeat(rng.random(40), 5)).astype(float)
    fit = sm.OLS(values, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": problem}, use_t=True
    )
    ours = stats.clustered(values, problem)
    assert (ours.mean, ours.se) == pytest.approx((fit.params[0], fit.bse[0]))
    assert (ours.lo, ours.hi) == pytest.approx(tuple(fit.conf_int()[0]))
    assert ours.clusters == 40


def test_clustered_covers_where_wilson_does_not():
    rng, problems, samples, hits, naive = RNG(5), 60, 8, 0, 0
    for _ in range(1000):
        skill = rng.beta(1, 1, problems)  # mean 0.5
        values = rng.random((problems, samples)) < skill[:, None]
        c = stats.clustered(values.ravel(), np.repeat(np.arange(problems), samples))
        hits += c.lo <= 0.5 <= c.hi
        lo, hi = wilson(values.sum(), values.size)
        naive += lo <= 0.5 <= hi
    assert hits / 1000 == pytest.approx(0.95, abs=0.02)
    assert naive / 1000 < 0.85


def test_clustered_at_its_limits():
    assert (
        stats.clustered([0, 0, 0, 0], [1, 1, 2, 2]).lo,
        stats.clustered([0] * 4, [1, 1, 2, 2]).hi,
    ) == wilson(0, 2)
    with pytest.raises(ValueError, match="one problem"):
        stats.clustered([1, 0], ["a", "a"])


# ---- power


def test_power_against_the_textbook_and_simulation():
    """388 a group find 50% against 60% with power 0.8, by the formula of Fleiss, Levin & Paik."""
    assert stats.power(0.6, 388, 0.5, 388) == pytest.approx(0.8, abs=0.002)
    rng = RNG(9)
    d = stats.difference(rng.binomial(378, 0.57, 20_000), 378, rng.binomial(378, 0.66, 20_000), 378)
    assert np.mean(d.p < 0.05) == pytest.approx(stats.power(0.57, 378, 0.66, 378), abs=0.015)


@pytest.mark.parametrize(("n1", "n2"), [(100, 500), (500, 100)])
def test_power_and_detectable_of_unequal_sizes(n1, n2):
    """n1 is the size behind the first proportion, n2 behind the second: against simulation, either
    way round."""
    rng, p1, p2 = RNG(10), 0.9, 0.8
    k1, k2 = rng.binomial(n1, p1, 40_000), rng.binomial(n2, p2, 40_000)
    found = np.mean(stats.difference(k1, n1, k2, n2).p < 0.05)
    assert stats.power(p1, n1, p2, n2) == pytest.approx(found, abs=0.02)
    # so that a mix-up would show
    assert abs(stats.power(p1, n1, p2, n2) - stats.power(p1, n2, p2, n1)) > 0.03
    for change in stats.detectable(p2, n1, n2):
        assert stats.power(p2 + change, n1, p2, n2) == pytest.approx(0.8, abs=1e-6)


def test_detectable_inverts_power():
    loss, gain = stats.detectable(0.5, 388, 388)
    assert -loss == pytest.approx(gain, abs=1e-6) and gain == pytest.approx(0.1, abs=2e-4)
    loss, gain = stats.detectable(0.91, 100, 100)
    assert stats.power(0.91 + loss, 100, 0.91, 100) == pytest.approx(0.8, abs=1e-6)
    assert loss < -0.1 and gain == pytest.approx(0.084, abs=1e-3)
    assert math.isnan(stats.detectable(0.98, 100, 100)[1])  # even 100% would be missed

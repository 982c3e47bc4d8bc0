"""Problems, samples and seeds of a new study, checked by simulated studies."""

import numpy as np
import pytest

from bench.simulated_seeds import checkpoint_p, runs
from distill_nb.analysis import replicates, sample_size, stats
from distill_nb.analysis.sample_size import Setting


def test_the_power_of_the_paired_test_is_that_of_simulated_answers():
    rng = np.random.default_rng(0)
    for n, apart, change, alpha in (
        (500, 0.2, 0.05, 0.05),
        (60, 0.4, 0.2, 0.01),
        (12, 0.5, 0, 0.05),
    ):
        shares = [(apart + change) / 2, (apart - change) / 2, 1 - apart]
        counts = rng.multinomial(n, shares, 20_000)
        found = np.mean(stats.mid_p(counts[:, 0], counts[:, 1]) < alpha)
        expected = sample_size.paired_power(change, n, apart, alpha)
        assert found == pytest.approx(expected, abs=0.012)
    assert sample_size.paired_power(0.0, 500, 0.0) == 0


def test_what_is_detectable_is_found_four_times_in_five():
    loss, gain = sample_size.detectable_paired(0.6, 500, apart=0.15)
    assert sample_size.paired_power(gain, 500, 0.15) == pytest.approx(0.8, abs=0.002)
    assert loss == pytest.approx(-gain, abs=1e-4) and 0.03 < gain < 0.06
    # a stricter level, or answers that agree less, need more
    assert sample_size.detectable_paired(0.6, 500, 0.15, alpha=0.05 / 8)[1] > gain
    less, more = (sample_size.detectable_paired(0.6, 500, correlation=c)[1] for c in (0.9, 0.5))
    assert less < more
    # answers to the same problems show smaller changes than two sets of problems
    assert more < stats.detectable(0.6, 500, 500)[1]
    loss, gain = sample_size.detectable_paired(0.98, 100, correlation=0.5)
    assert np.isnan(gain) and -0.12 < loss < -0.05


def test_seeds_needed_are_the_fewest_with_enough_power_and_simulated_studies_have_it():
    rng = np.random.default_rng(1)
    for difference, sd in ((5, 1.0), (5, 2.0)):
        known = Setting(seed_sd=sd)
        seeds = sample_size.seeds_needed(difference, setting=known)
        below, enough = (
            sample_size.power(difference, 500, r, setting=known) for r in (seeds - 1, seeds)
        )
        assert below < 0.8 <= enough
        pairs = [runs(rng, seeds, seeds, seed_sd=sd, difference=difference) for _ in range(300)]
        found = np.mean([replicates.compare(*pair).p < 0.05 for pair in pairs])
        assert found == pytest.approx(enough, abs=0.06)
    known = Setting(ways=0.6, seeds=0.8, samples=0.9, seed_sd=1)
    pairs = [
        runs(rng, 4, 4, 200, 1.0, 6, ways=0.6, seeds=0.8, samples=(3, 0.9)) for _ in range(300)
    ]
    found = np.mean([replicates.compare(*pair).p < 0.05 for pair in pairs])
    assert found == pytest.approx(sample_size.power(6, 200, 4, 3, known), abs=0.06)


def test_no_number_of_problems_helps_against_the_spread_between_seeds():
    known = Setting(seed_sd=2)
    endless = sample_size.power(5, float("inf"), 3, setting=known)
    assert sample_size.power(5, 500, 3, setting=known) < endless < 0.8
    assert sample_size.problems_needed(5, seeds=3, setting=known) is None
    assert sample_size.seeds_needed(2, setting=Setting(seed_sd=8)) is None
    assert sample_size.power(5, float("inf"), 3, setting=Setting(seed_sd=0)) == 1
    n = sample_size.problems_needed(5, seeds=5, setting=known)
    assert sample_size.power(5, n - 1, 5, setting=known) < 0.8
    assert sample_size.power(5, n, 5, setting=known) >= 0.8


def test_problems_needed_for_a_checkpoint_are_enough_in_simulated_studies():
    rng = np.random.default_rng(2)
    for samples in (1, 4):
        n = sample_size.problems_needed(8, samples=samples)
        found = np.mean([checkpoint_p(rng, 8, n, samples, 0.8) < 0.05 for _ in range(300)])
        assert 0.74 <= found <= 0.88, (samples, n, found)
    few, many = (sample_size.problems_needed(3, apart=share) for share in (0.1, 0.3))
    assert few < many and sample_size.paired_power(0.03, many, 0.3) >= 0.8
    assert sample_size.problems_needed(0.1) is None
    assert sample_size.problems_needed(3, samples=4) < sample_size.problems_needed(3)


def test_discordance_is_that_of_correlated_answers():
    assert sample_size.discordance(0.6, 0.6, 0.8) == pytest.approx(2 * 0.24 * 0.2)
    assert sample_size.discordance(0.5, 0.7, 0.0) == pytest.approx(0.5 * 0.3 + 0.5 * 0.7)
    assert sample_size.discordance(0.5, 0.9, 1.0) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="samples"):
        Setting(samples=0.5)

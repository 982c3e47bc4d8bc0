"""The share of a shift, and its standard error, against what is put in."""

import numpy as np
import pytest

from distill_nb.evaluation.shares import UNKNOWN, share


def heavy(rng, n=256):
    return rng.standard_t(4, n) * np.where(rng.random(n) < 0.1, 4.0, 1.0)


@pytest.mark.parametrize("true", [0.0, 0.5, 1.0, 2.0])
def test_a_shift_without_noise_is_found_exactly(true):
    rng = np.random.default_rng(0)
    expected, beside = rng.normal(size=(2, 40))
    assert share(true * expected, expected) == pytest.approx((true, 0), abs=1e-9)
    assert share(true * expected + 3 * beside, expected, beside) == pytest.approx(
        (true, 0), abs=1e-9
    )
    assert share(true * expected * 1e-5, expected * 1e-5) == pytest.approx((true, 0), abs=1e-6)


@pytest.mark.parametrize("true", [0.0, 1.0])
def test_the_standard_error_is_how_far_estimates_are_apart(true):
    """Under heavy tails and rounding that is larger where the shift is."""
    rng, found = np.random.default_rng(0), []
    for _ in range(150):
        size = rng.uniform(0.2, 1.5, 256)
        expected, beside = size * heavy(rng) / 3, size * heavy(rng) / 5
        noise = size * heavy(rng) / 2
        found.append(share(true * expected + 0.5 * beside + noise, expected, beside))
    shares, errors = np.array(found).T
    assert abs(shares.mean() - true) < 0.03
    apart = np.abs(shares - true) / errors  # of a normal distribution's half lies within 0.67
    assert 0.5 < np.median(apart) < 0.9 and np.mean(apart > 3) < 0.03


def test_one_token_that_is_far_off_changes_little():
    rng = np.random.default_rng(0)
    expected = rng.normal(size=64)
    off = np.zeros(64)
    off[np.abs(expected).argmax()] = 40.0
    found, error = share(expected + off, expected)
    plain = float(expected @ (expected + off) / (expected @ expected))
    assert abs(found - 1) < 0.2 < 1 < plain - 1 or abs(found - 1) < abs(plain - 1) / 4
    assert found - 3 * error < 1 < found + 3 * error


def test_a_shift_of_one_token_is_not_sure():
    expected, rng = np.zeros(64), np.random.default_rng(0)
    expected[7] = 3.0
    assert share(expected, expected)[1] == 0 or share(expected, expected)[1] > 0.3
    assert share(expected + rng.normal(0, 0.1, 64), expected)[1] > 0.3


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_tokens_are_not_sure(n):
    ones = np.ones(n)
    assert share(ones, np.zeros(n), ones) == (0.0, UNKNOWN)
    assert share(ones, ones)[1] == (UNKNOWN if n == 1 else pytest.approx(0))

"""One question, one family: corrections, and the levels at which verdicts are given."""

import numpy as np
import pytest

from distill_nb.analysis import families


def test_holm_within_each_family_by_hand():
    """.01 of three is tested at .05 / 3, .02 then at .05 / 2, .2 at .05; another family and an
    untested one change nothing."""
    found = families.adjust([0.02, np.nan, 0.2, 0.01, 0.04], ["a", "a", "a", "a", "b"])
    assert found.p == pytest.approx([0.04, np.nan, 0.2, 0.03, 0.04], nan_ok=True)
    assert found.alpha == pytest.approx([0.05 / 2, np.nan, 0.05, 0.05 / 3, 0.05], nan_ok=True)
    third = 0.05 / 3
    assert found.each == pytest.approx([third, np.nan, third, third, 0.05], nan_ok=True)


def test_where_holm_stops_all_that_is_left_has_the_level_of_the_stop():
    """.02 of three stops at .05 / 3, though .024 would pass its own step: none is significant."""
    found = families.adjust([0.024, 0.02, 0.03])
    assert (found.p >= 0.05).all() and found.alpha == pytest.approx([0.05 / 3] * 3)


def test_fdr_by_hand():
    """Two of four are significant: all are shown at .05 × 2 / 4; where none is, at .05 / 4."""
    found = families.adjust([0.02, 0.5, 0.001, 0.6], method="fdr")
    assert found.p == pytest.approx([0.04, 0.6, 0.004, 0.6])
    assert found.alpha == pytest.approx([0.025] * 4) == found.each
    assert families.adjust([0.5, 0.6, 0.7, 0.8], method="fdr").alpha == pytest.approx([0.0125] * 4)


@pytest.mark.parametrize("method", ["holm", "fdr"])
def test_the_level_says_what_the_adjusted_p_says(method):
    """So an interval at 1 - alpha that agrees with its test agrees with the verdict too."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        p = rng.random(rng.integers(1, 9)) ** rng.choice([1, 3, 6])
        found = families.adjust(p, method=method)
        assert ((found.p < 0.05) == (p < found.alpha)).all()


def test_another_run_changes_nothing_of_the_first():
    rng = np.random.default_rng(1)
    p, folders = rng.random(20) ** 3, np.repeat(list("abcdefghij"), 2)
    whole, alone = families.adjust(p, folders), families.adjust(p[:2], folders[:2])
    assert all((ours[:2] == theirs).all() for ours, theirs in zip(whole, alone, strict=True))


def test_all_parts_need_no_correction_and_any_part_does():
    assert families.all_hold([0.01, 0.04, 0.03]) == 0.04
    assert families.any_holds([0.01, 0.04, 0.03]) == pytest.approx(0.03)


def test_what_cannot_be_corrected_is_said():
    assert families.adjust([]).p.size == 0 and np.isnan(families.adjust([np.nan]).p).all()
    with pytest.raises(ValueError, match="method is 'none': choose from holm, fdr"):
        families.adjust([0.1], method="none")
    with pytest.raises(ValueError, match="1 labels for 2 p values"):
        families.adjust([0.1, 0.2], ["a"])

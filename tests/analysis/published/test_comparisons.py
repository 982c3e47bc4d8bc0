"""What is claimed of a difference, and what makes it supported, contradicted or inconclusive."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from distill_nb.analysis.published import bounds, comparisons
from distill_nb.analysis.published.comparisons import COMPARISON, against, judge
from distill_nb.analysis.published.rounding import Share


def share(percent, n=500):
    k = percent * n / 100
    return Share(k, n, k, k)


def verdict(claim, first, second, n=500, margin=5.0, **more):
    rows = against("a: b", claim, [share(first, n)], [share(second, n)], **more)
    return judge(rows, margin)["verdict"].item()


@pytest.mark.parametrize(
    ("claim", "first", "second", "n", "expected"),
    [
        ("higher", 60, 50, 500, "supported"),
        ("higher", 54, 50, 500, "inconclusive"),
        ("higher", 40, 50, 500, "contradicted"),
        ("lower", 40, 50, 500, "supported"),
        ("lower", 60, 50, 500, "contradicted"),
        # with many problems, nothing and half a point are shown to be too small to matter
        ("higher", 50, 50, 100_000, "contradicted"),
        ("higher", 50.5, 50, 100_000, "contradicted"),
        ("higher", 56, 50, 100_000, "supported"),
        ("not lower", 50, 50, 100_000, "supported"),
        ("not lower", 49.5, 50, 100_000, "supported"),
        ("not lower", 44, 50, 100_000, "contradicted"),
        ("not lower", 45, 50, 100_000, "inconclusive"),  # the margin itself
        ("not lower", 46, 50, 500, "inconclusive"),
        ("not higher", 50.5, 50, 100_000, "supported"),
        ("not higher", 56, 50, 100_000, "contradicted"),
        ("not higher", 60, 50, 500, "inconclusive"),  # a gain, not shown to be above the margin
    ],
)
def test_verdicts(claim, first, second, n, expected):
    assert verdict(claim, first, second, n) == expected


def test_another_margin_and_a_confounder():
    assert verdict("not lower", 49, 50, 100_000, margin=0.1) == "contradicted"
    assert verdict("higher", 60, 50, confounder=True) == "confounded"
    assert verdict("higher", 40, 50, confounder=True) == "contradicted"


def test_support_is_not_corrected_and_contradiction_is():
    """Ten alike comparisons at p = 0.02 support their claim together; ten that are against it at
    0.02 do not contradict it, and one alone does."""
    up = against("x", "not lower", [share(51.45)], [share(50)])
    (p,) = judge(up)["p_supports"]
    assert 0.015 < p < 0.025 and comparisons.together(judge(up * 10)) == "supported"
    down = against("x", "not lower", [share(38.5)], [share(50)])
    one, ten = judge(down), judge(down * 10)
    assert 0.015 < one["p_contradicts"].item() < 0.025 and one["verdict"].item() == "contradicted"
    assert comparisons.together(ten) == "inconclusive"
    assert ten["p_contradicts"].tolist() == pytest.approx(
        multipletests([one["p_contradicts"].item()] * 10, method="holm")[1]
    )


def test_what_does_not_decide_takes_no_power_from_what_does():
    down = against("x", "not lower", [share(38.5)], [share(50)])
    beside = against("y", "not lower", [share(50)], [share(50)], decides=False)
    table = judge(down + beside * 9)
    assert table["verdict"].tolist()[0] == "contradicted"
    assert list(table) == COMPARISON and table["decides"].tolist() == [True] + [False] * 9


def test_p_values_are_exact_in_both_tails():
    up, down = (judge(against("x", "higher", [share(a)], [share(100 - a)])) for a in (95, 5))
    p = up["p"].item()
    assert 0 < p < 1e-60 and p == pytest.approx(down["p"].item(), rel=1e-6, abs=0)
    assert up["p_supports"].item() == pytest.approx(p / 2, rel=1e-6, abs=0)
    assert 0 < down["p_contradicts"].item() < p


def test_a_missing_number_makes_no_row_and_no_rows_are_not_testable():
    assert against("x", "higher", [None], [share(50)]) == []
    empty = judge([])
    assert list(empty) == COMPARISON and comparisons.together(empty) == "not testable"
    assert comparisons.by_group(empty).empty


def test_changes_and_single_accuracies():
    change = judge(
        against("x", "higher", [share(60), share(70)], [share(50), share(80)], group="g")
    )
    row = change.iloc[0]
    assert (row["first"], row["second"], row["difference"]) == pytest.approx((-10, -30, 20))
    assert row["verdict"] == "supported"
    alone = judge(against("x", "not higher", [share(1)], [])).iloc[0]
    lo, hi = bounds.interval([(1, 5, 500)])
    assert (alone["lo"], alone["hi"]) == pytest.approx((100 * lo, 100 * hi))
    assert alone["verdict"] == "supported" and alone["second"] == 0


def test_groups_are_as_weak_as_their_weakest_and_wordings_decide_nothing():
    rows = against("x", "higher", [share(60)], [share(50)], group="a")
    rows += against("y", "higher", [share(51)], [share(50)], group="a")
    rows += against("x", "higher", [share(60)], [share(50)], group="b")
    rows += [comparisons.wording("it is 0%", [share(0), share(1)], False)]
    table = judge(rows)
    assert comparisons.by_group(table).to_numpy().tolist() == [
        ["a", "inconclusive"],
        ["b", "supported"],
    ]
    said = table.iloc[-1]
    assert (said["verdict"], said["decides"], said["first"]) == ("contradicted", False, 1)
    assert math.isnan(said["p"])
    counts = comparisons.verdict_counts(table[table["decides"]])
    assert counts == "supported in 2, inconclusive in 1 of 3"


@pytest.mark.parametrize(
    ("claim", "side", "edges"),
    [
        ("not lower", 1, (-0.05, -0.05)),
        ("not higher", -1, (-0.05, -0.05)),
        ("higher", 1, (0, 0.05)),
    ],
)
def test_true_differences_are_shown_with_power_08(claim, side, edges):
    """The difference from which on a claim is supported, and that which contradicts it, are found
    in four of five draws."""
    n, rng = 2000, np.random.default_rng(1)
    row = judge(against("x", claim, [share(60, n)], [share(60, n)])).iloc[0]
    for at, edge, sign in (("supported_from", edges[0], 1), ("contradicted_from", edges[1], -1)):
        draws = zip(
            rng.binomial(n, 0.6 + row[at] / 100, 300), rng.binomial(n, 0.6, 300), strict=True
        )
        p = np.array([bounds.p_at_most([(side, a, n), (-side, b, n)], edge) for a, b in draws])
        assert 0.73 < ((p if sign > 0 else 1 - p) < 0.025).mean() < 0.87


def test_problems_needed_settle_the_difference_that_was_seen():
    row = judge(against("x", "not lower", [share(78)], [share(80)])).iloc[0]
    assert row["verdict"] == "inconclusive"
    wide = bounds.standard_error([(1, 390, 500), (-1, 400, 500)])
    expected = 500 * ((1.959964 + 0.841621) * wide / 0.03) ** 2
    assert row["problems"] == math.ceil(expected)
    assert verdict("not lower", 78, 80, n=int(row["problems"])) == "supported"
    at_margin = judge(against("x", "not lower", [share(75)], [share(80)])).iloc[0]
    assert at_margin["problems"] == math.inf
    assert math.isnan(judge(against("x", "higher", [share(80)], [share(60)]))["problems"].item())

"""What a printed percentage allows, and what it does to verdicts."""

import itertools

import pandas as pd
import pytest

from distill_nb.analysis import names, tidy
from distill_nb.analysis.published import accuracies, comparisons, findings, rounding
from distill_nb.analysis.published.lookup import Lookup, other_choices

INSTRUCT, LLAMA = names.NAMES["Qwen Instruct"], names.NAMES["Llama 8B"]


@pytest.fixture(scope="module")
def published():
    return accuracies.load_published()


@pytest.fixture(scope="module")
def found(published):
    return findings.check_all(published)


def cell(accuracy, n=500, decimals=0, flagged=False):
    (row,) = pd.DataFrame(
        [dict(accuracy=accuracy, n=n, decimals=decimals, flagged=flagged)]
    ).itertuples()
    return row


def ends(*args, **more):
    s = rounding.share(cell(*args, **more))
    return s.lowest, s.k, s.highest


def test_printed_numbers_and_what_they_allow():
    assert ends(1) == (3, 5, 7)  # a tie may be rounded either way: 2.5 of 500 is no whole number
    assert ends(80.6, decimals=1) == (403, pytest.approx(403), 403)
    assert ends(78.7, n=164, decimals=1)[::2] == (129, 129)
    # no k of 100 is 78.7%: half a unit of the last digit on each side
    assert ends(78.7, n=100, decimals=1) == pytest.approx((78.65, 78.7, 78.75))
    assert ends(100 * 7 / 48, n=48, decimals=1) == pytest.approx((7, 7, 7))  # ours: not rounded
    share = rounding.share(cell(1))
    assert rounding.printed_k(share) == "3 to 7"
    assert [share.at(end) for end in (-1, 0, 1)] == [3, 5, 7]


def test_a_mean_is_as_uncertain_as_one_of_its_shares():
    mean = rounding.mean([rounding.share(cell(a, flagged=a == 3)) for a in (1, 2, 3)])
    assert (mean.lowest, mean.k, mean.highest, mean.n, mean.flagged) == (8, 10, 12, 500, True)


def at_ends(table, up):
    """The table with every number at the highest (up) or lowest k that is printed so, as an exact
    number."""
    shares = [rounding.share(r) for r in table.itertuples()]
    k = [s.highest if high else s.lowest for s, high in zip(shares, up, strict=True)]
    return table.assign(accuracy=100 * pd.Series(k) / table["n"], decimals=9)


def test_no_published_verdict_flips_at_any_end_of_rounding(published, found):
    """All numbers low or high; the checkpoints, or Sonnet's, low and the rest high, and turned."""
    sides = [published["step"] >= 0, published["step"] > 0, published["teacher"] == "sonnet"]
    expected = [f.verdict for f in found]
    assert "depends on rounding" not in expected
    for side, turned in itertools.product(sides, (False, True)):
        after = findings.check_all(at_ends(published, side != turned))
        assert [f.verdict for f in after] == expected, side.name
    text = findings.rounding_sentence(found)
    assert text.startswith("All 7 verdicts hold for every number")
    assert text.endswith("comparisons behind them 2 depend on it.")


def test_no_end_of_six_numbers_leaves_what_worst_and_best_say():
    """Four gains on two baselines, every number at either end: the verdicts are between those with
    all rounded against the claim and all in its favour."""
    cells = [cell(40), cell(46, n=378), cell(44), cell(39), cell(58, n=378), cell(48, n=378)]
    pairs = [(2, 0), (3, 0), (4, 1), (5, 1)]

    def judged(shares):
        rows = []
        for after, base in pairs:
            rows += comparisons.against("", "not higher", [shares[after]], [shares[base]])
        return comparisons.judge(rows)

    shares = [rounding.share(c) for c in cells]
    printed = judged(shares)
    assert printed["verdict"].tolist() == [
        "inconclusive",
        "depends on rounding",
        "inconclusive",
        "inconclusive",
    ]
    seen = [set() for _ in pairs]
    for ups in itertools.product((-1, 1), repeat=6):
        exact = [
            rounding.Share(s.at(up), s.n, s.at(up), s.at(up))
            for s, up in zip(shares, ups, strict=True)
        ]
        for found, verdict in zip(seen, judged(exact)["verdict"], strict=True):
            found.add(verdict)
    assert seen == [set(r) for r in printed[["worst", "best"]].itertuples(index=False)]


def test_a_verdict_that_rounding_decides_says_so(published):
    """Gains of one point less than nothing: their upper bounds are around 5 points."""
    llama = (published["student"] == LLAMA) & (published["step"] > 0)
    math = llama & (published["benchmark"] == "math500")
    code = llama & (published["benchmark"] == "mbpp_plus")
    table = published.assign(accuracy=published["accuracy"].mask(math, 39).mask(code, 30))
    result = findings.CHECKS[5](Lookup(table, tidy.best_checkpoints(table)))
    assert result.verdict == "depends on rounding"
    worst, best = (set(result.numbers[end]) for end in ("worst", "best"))
    assert worst == {"inconclusive", "supported"} and best == {"supported"}
    exact = findings.CHECKS[5](
        Lookup(table.assign(n=table["n"] * 50), tidy.best_checkpoints(table))
    )
    assert exact.verdict == "supported"


def test_equal_printed_scores_are_two_choices_of_the_best(published):
    best = tidy.best_checkpoints(published)
    (other,) = other_choices(published, best)
    changed = best.reset_index(drop=True)["step"] != other["step"]
    assert best.reset_index(drop=True).loc[
        changed, ["teacher", "domain", "step"]
    ].to_numpy().tolist() == [["sonnet", "code", 200]]
    assert other.loc[changed, "step"].tolist() == [300]
    exact = published.assign(accuracy=published["accuracy"] + 1e-6)
    assert list(other_choices(exact, tidy.best_checkpoints(exact))) == []


def test_a_tie_that_decides_is_said(published):
    """Instruct's math run with a twin of its best checkpoint that lost far more code, printed to
    whole percents."""
    own = (published["student"] == INSTRUCT) & (published["domain"] == "code")
    first, last = own & (published["step"] == 500), own & (published["step"] == 100)
    code = published["benchmark"] == "mbpp_plus"
    table = published.assign(
        accuracy=published["accuracy"].mask(own & code, 70).mask((first | last) & code, 80),
        decimals=published["decimals"].mask(own, 0),
    )
    extra = table[first & ~table["benchmark"].isin(["math500", "mbpp_plus"])]
    table = pd.concat([table, extra.assign(step=100, accuracy=20.0)], ignore_index=True)
    result = findings.check_all(table)[3]
    assert result.verdict == "depends on rounding"
    assert result.sentence.startswith("Two checkpoints have one printed score")
    assert "contradicted and inconclusive" in result.sentence

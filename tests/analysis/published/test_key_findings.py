"""Each finding with other numbers than the published ones: other verdicts, missing numbers, other
learning rates."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency
from statsmodels.stats.multitest import multipletests

from distill_nb.analysis import names, tidy
from distill_nb.analysis.published import accuracies, findings
from distill_nb.analysis.published.lookup import Lookup

QWEN, INSTRUCT, LLAMA = (names.NAMES[n] for n in ("Qwen Base", "Qwen Instruct", "Llama 8B"))


@pytest.fixture(scope="module")
def published():
    return accuracies.load_published()


@pytest.fixture(scope="module")
def found(published):
    return findings.check_all(published)


def change(table, accuracy, **cells):
    """The table with some numbers set; at least one cell must be there."""
    chosen = (table[list(cells)] == list(cells.values())).all(axis=1)
    assert chosen.any()
    return table.assign(accuracy=table["accuracy"].mask(chosen, accuracy))


def check(number, table):
    return findings.CHECKS[number - 1](Lookup(table, tidy.best_checkpoints(table)))


def test_numbers_are_the_tables(found):
    """The comparison of Sonnet with R1 on MATH-500, by hand; Holm over the four of the finding."""
    numbers = found[0].numbers
    row = numbers.iloc[0]
    assert (row["first"], row["second"], row["n"]) == (88, 72, 500)
    assert row["difference"] == pytest.approx(16)
    chi2 = chi2_contingency([[440, 60], [360, 140]], correction=False)
    assert np.log10(row["p"]) == pytest.approx(np.log10(chi2.pvalue), abs=0.2)
    holm = multipletests(numbers["p"], method="holm")[1]
    assert numbers["p_holm"].to_numpy() == pytest.approx(holm)
    verdicts = ["confounded", "confounded", "depends on rounding", "confounded"]
    assert numbers["verdict"].tolist() == verdicts


def test_no_step_is_tested_twice(found):
    """The last step is among the deciding comparisons, and not beside them again."""
    numbers = found[2].numbers
    assert numbers["comparison"].str.split(":").str[0].tolist() == [
        "best checkpoints",
        "last checkpoints",
        "mean of 5 checkpoints",
        *(f"step {step}" for step in (100, 200, 300, 400)),
    ]
    assert numbers["decides"].tolist() == [True] * 3 + [False] * 4


def test_a_step_that_is_the_best_of_both_is_not_tested_twice(published):
    cells = (published["teacher"] == "sonnet") & (published["domain"] == "math")
    best = cells & (published["benchmark"] == "math500") & (published["step"] == 300)
    result = check(3, published.assign(accuracy=published["accuracy"].mask(best, 95)))
    assert "step 300" not in "".join(result.numbers["comparison"]) and len(result.numbers) == 6


# ---- other numbers, other verdicts: (finding, cells to set, accuracy, verdict)


@pytest.mark.parametrize(
    ("number", "cells", "accuracy", "verdict"),
    [
        (
            1,
            dict(student=QWEN, teacher="r1", domain="math", benchmark="math500"),
            96,
            "contradicted",
        ),
        (1, dict(student=QWEN, teacher="r1", step=200), 88, "contradicted"),
        (2, dict(student=LLAMA, teacher="sonnet"), 40, "inconclusive"),
        (
            3,
            dict(student=INSTRUCT, teacher="sonnet", domain="math", benchmark="mbpp_plus"),
            77,
            "supported",
        ),
        (
            3,
            dict(student=INSTRUCT, teacher="sonnet", domain="math", benchmark="mbpp_plus"),
            40,
            "contradicted",
        ),
        (
            4,
            dict(student=INSTRUCT, domain="code", step=500, benchmark="humaneval_plus"),
            60,
            "contradicted",
        ),
        (5, dict(student=LLAMA, step=0, benchmark="math500"), 1, "contradicted"),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500"),
            5,
            "inconclusive",
        ),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500"),
            10,
            "contradicted",
        ),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500"),
            55,
            "contradicted",
        ),
        (6, dict(student=LLAMA, step=0), 62, "supported"),
        (6, dict(student=LLAMA, step=0), 30, "contradicted"),
        (7, dict(student=QWEN, teacher="r1"), 80, "inconclusive"),
    ],
)
def test_a_changed_number_changes_the_verdict(published, found, number, cells, accuracy, verdict):
    changed = check(number, change(published, accuracy, **cells))
    assert changed.verdict == verdict != found[number - 1].verdict
    assert changed.sentence != found[number - 1].sentence


def test_the_wording_has_its_own_verdict(published):
    """0% at all checkpoints: contradicted by any number, of the finding only where math is not
    shown to be gone; the fall stays supported."""
    run = dict(student=LLAMA, teacher="sonnet", domain="code", step=400, benchmark="math500")
    results = {a: check(5, change(published, a, **run)) for a in (0, 1, 5, 10)}
    wording = "MATH-500 is 0% across all checkpoints"
    said = {a: r.numbers.set_index("comparison").loc[wording] for a, r in results.items()}
    assert {a: s["verdict"] for a, s in said.items()} == {
        0: "supported",
        1: "contradicted",
        5: "contradicted",
        10: "contradicted",
    }
    assert not any(s["decides"] for s in said.values())
    assert {a: r.verdict for a, r in results.items()} == {
        0: "supported",
        1: "supported",
        5: "inconclusive",
        10: "contradicted",
    }
    assert "0% across all checkpoints is supported." in results[0].sentence
    assert (
        "5 of 5 checkpoints a fall beyond noise and at 4 shown to be below 5%"
        in results[10].sentence
    )


def test_equal_learning_rates_take_the_confounding_away(published):
    alike = check(
        1,
        published.assign(
            learning_rate=published["learning_rate"].mask(published["step"] > 0, 2e-4)
        ),
    )
    verdicts = ["supported", "supported", "depends on rounding", "supported"]
    assert alike.numbers["verdict"].tolist() == verdicts
    assert alike.verdict == "depends on rounding"
    assert alike.sentence.endswith("at equal learning rates.") and "2e-" not in alike.sentence
    other = check(
        1, published.assign(learning_rate=published["learning_rate"].replace(2e-5, 3.5e-5))
    )
    assert other.verdict == "confounded" and "3.5e-5 (R1)" in other.sentence
    unknown = check(1, published.assign(learning_rate=np.nan))
    assert unknown.verdict == "confounded" and "unknown (R1)" in unknown.sentence


def test_runs_at_an_equal_rate_are_preferred(published):
    """With R1 repeated at Sonnet's rate, as extra runs would, those are compared, and the others
    stay as they are."""
    extra = published[(published["teacher"] == "r1") & (published["student"] == QWEN)]
    both = pd.concat(
        [published, extra.assign(learning_rate=2e-4, accuracy=extra["accuracy"] - 2)],
        ignore_index=True,
    )
    assert len(tidy.best_checkpoints(both)) == 12
    result = check(1, both)
    # two points below the published ones
    assert result.numbers["second"].tolist() == [70, 29, 72, 54]
    assert (result.numbers["verdict"] == "supported").all() and result.verdict == "supported"
    assert check(6, both).sentence == check(6, published).sentence


@pytest.mark.parametrize(
    ("number", "drop", "lacks"),
    [
        (
            1,
            dict(student=QWEN, teacher="r1", domain="math"),
            "there is no Qwen Base distilled from R1 math.",
        ),
        (
            2,
            dict(student=INSTRUCT, domain="code"),
            "there is no Qwen Instruct distilled from Sonnet code.",
        ),
        (
            3,
            dict(student=QWEN, step=0, benchmark="mbpp_plus"),
            "there is no MBPP+ of Qwen Base baseline.",
        ),
        (
            4,
            dict(student=INSTRUCT, step=500, domain="code", benchmark="livecodebench"),
            "there is no LiveCodeBench of Qwen Instruct Sonnet code step 500.",
        ),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code"),
            "there is no Llama 8B distilled from Sonnet code.",
        ),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code", benchmark="math500"),
            "there is no MATH-500 of Llama 8B Sonnet code.",
        ),
        (
            6,
            dict(student=LLAMA, step=0, benchmark="math500"),
            "there is no MATH-500 of Llama 8B baseline",
        ),
    ],
)
def test_missing_numbers_are_named(published, number, drop, lacks):
    gone = (published[list(drop)] == list(drop.values())).all(axis=1)
    assert gone.any()
    kept = published[~gone]
    if number == 2:  # what is left contradicts it; without that, the missing number counts
        first = check(number, kept)
        assert (
            first.verdict == "contradicted"
            and f"Missing: {lacks.removeprefix('there is no ')}" in first.sentence
        )
        kept = kept[~((kept["student"] == LLAMA) & (kept["teacher"] == "sonnet"))]
    result = check(number, kept)
    assert result.verdict == "not testable" and lacks in result.sentence


def test_a_contradicted_number_needs_no_baseline(published):
    """Finding 5 says that math is gone; 55% contradicts that, whatever the base student has."""
    cells = dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500")
    changed = change(published, 55, **cells)
    base = (changed["student"] == LLAMA) & (changed["step"] == 0)
    result = check(5, changed[~(base & (changed["benchmark"] == "math500"))])
    assert result.verdict == "contradicted"
    assert result.sentence.startswith("That it breaks math is contradicted. The wording")
    assert "Missing: MATH-500 of Llama 8B baseline." in result.sentence


@pytest.mark.parametrize(
    ("math", "code", "verdict", "text"),
    [
        (58, 30, "supported", "tanks code is supported: code changes by -30.0 to -30.0 points"),
        (20, 59, "contradicted", "against it Llama 8B R1: math -20.0, code -1.0 points"),
    ],
)
def test_forgetting_by_student(published, math, code, verdict, text):
    """One pair alone decides its own verdict."""
    llama = (published["student"] == LLAMA) & published["teacher"].isin(["none", "r1"])
    own = published[llama]
    base = own["step"] == 0
    math_run, math500 = own["domain"] == "math", own["benchmark"] == "math500"
    accuracy = own["accuracy"].mask(base & math500, 40).mask(base & ~math500, 60)
    accuracy = accuracy.mask(~base & math_run & math500, 50).mask(~base & ~math_run & ~math500, 70)
    accuracy = accuracy.mask(~base & math_run & ~math500, code).mask(
        ~base & ~math_run & math500, math
    )
    result = check(2, own.assign(accuracy=accuracy))
    assert result.verdict == verdict and text in result.sentence
    assert f"By student and teacher: {verdict} for Llama 8B R1." in result.sentence

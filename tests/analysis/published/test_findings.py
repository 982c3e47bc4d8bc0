"""The six findings: what they say of the published numbers, and that verdict and sentence follow
the numbers."""

import re

import numpy as np
import pandas as pd
import pytest

from distill_nb.analysis import names, tidy
from distill_nb.analysis.published import accuracies, findings
from distill_nb.analysis.published.comparisons import COMPARISON, VERDICTS, Lookup

QWEN, INSTRUCT, LLAMA = findings.BASE, findings.INSTRUCT, findings.LLAMA


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


def test_verdicts_of_the_published_study(found):
    assert [f.number for f in found] == [1, 2, 3, 4, 5, 6]
    assert [f.verdict for f in found] == [
        "confounded",
        "contradicted",
        "within noise",
        "within noise",
        "supported",
        "contradicted",
    ]
    for f in found:
        assert list(f.numbers) == COMPARISON and set(f.numbers["verdict"]) <= set(VERDICTS)
    table = findings.findings_table(found)
    assert table["sentence"].tolist() == [f.sentence for f in found]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "Sonnet differs from R1 by +5.0 to +26.0 points, 3 of 4 comparisons beyond noise"),
        (1, "2e-5 (R1) against 2e-4 (Sonnet)"),
        (2, "against it Llama 8B Sonnet: -39.0 against +7.0 points"),
        (
            3,
            "-9.2 against -18.7 points at the best checkpoints, +9.5 points [+0.3, +18.6], within "
            "noise",
        ),
        (3, "-15.4 against -13.9 points at the mean of 5 checkpoints"),
        (3, "least for the claim is step 100: -19.2 points [-28.3, -9.9], contradicted"),
        (4, "HumanEval+ -5.0 points [-14.2, +4.1]"),
        (4, "0 of 4 beyond noise"),
        (
            4,
            "on 100 problems of HumanEval+ a loss is found with 80% power only from 14.5 points on",
        ),
        (
            2,
            "That math distillation tanks code is supported in 4, within noise in 1 of 5: code "
            "changes by -44.7 to +7.0 points.",
        ),
        (
            2,
            "That code distillation tanks math less is supported in 3, contradicted in 1, within "
            "noise in 1 of 5",
        ),
        (
            5,
            "That it breaks math is supported: MATH-500 goes from 40% to 0–1%, 5 of 5 checkpoints "
            "beyond noise.",
        ),
        (
            5,
            "That it is 0% across all checkpoints is contradicted: it is 1% at step 400, which 500 "
            "problems cannot tell from 0%, so that the fall decides.",
        ),
        (
            6,
            "Small or no gains on math: contradicted in 1, within noise in 1 of 2; marginal gains "
            "on code: contradicted in 1",
        ),
        (6, "Sonnet math, MATH-500 +10.0 points [+3.8, +16.1], Sonnet code, MBPP+ +12.0 points"),
        (6, "the others: R1 math, MATH-500 +4.0 points [-2.1, +10.1], R1 code, MBPP+ +2.0 points"),
        (
            6,
            "overstates a gain by up to 3.0 points, and the teachers differ in learning rate too "
            "(R1 2e-5, Sonnet 2e-4)",
        ),
    ],
)
def test_sentences_of_the_published_study(found, number, text):
    assert text in found[number - 1].sentence


def test_numbers_are_the_tables(found, published):
    """The comparison of Sonnet with R1 on MATH-500, by hand; Holm over the four of the finding."""
    from scipy.stats import chi2_contingency
    from statsmodels.stats.multitest import multipletests

    numbers = found[0].numbers
    row = numbers.iloc[0]
    assert (row["first"], row["second"], row["difference"], row["n"]) == (
        88,
        72,
        pytest.approx(16),
        500,
    )
    assert row["p"] == pytest.approx(
        chi2_contingency([[440, 60], [360, 140]], correction=False).pvalue
    )
    assert numbers["p_holm"].to_numpy() == pytest.approx(
        multipletests(numbers["p"], method="holm")[1]
    )
    assert numbers["verdict"].tolist() == ["confounded", "confounded", "within noise", "confounded"]


def test_detectable_differences_are_found_with_power_08(found):
    """The loss of HumanEval+ from 91% on 100 problems, and a contrast: 2.8 standard errors of its
    interval."""
    from distill_nb.analysis import stats

    row = found[3].numbers.set_index("comparison").loc["HumanEval+: not below the baseline"]
    assert row["difference"] < 0 and row["detectable"] < 0
    assert stats.power(0.91 + row["detectable"] / 100, 100, 0.91, 100) == pytest.approx(
        0.8, abs=1e-6
    )
    row = found[2].numbers.iloc[0]
    assert row["detectable"] == pytest.approx(
        (1.95996 + 0.84162) * (row["hi"] - row["difference"]) / 1.95996, rel=1e-4
    )


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
        (
            2,
            dict(student=LLAMA, teacher="sonnet", domain="code", benchmark="math500"),
            39,
            "within noise",
        ),
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
        (5, dict(student=LLAMA, step=0, benchmark="math500"), 1, "within noise"),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500"),
            5,
            "contradicted",
        ),
        (
            5,
            dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500"),
            55,
            "contradicted",
        ),
        (6, dict(student=LLAMA, step=0), 55, "within noise"),
    ],
)
def test_a_changed_number_changes_the_verdict(published, found, number, cells, accuracy, verdict):
    changed = check(number, change(published, accuracy, **cells))
    assert changed.verdict == verdict != found[number - 1].verdict
    assert changed.sentence != found[number - 1].sentence


def test_the_literal_part_has_its_own_verdict(published, found):
    """0% at all checkpoints: contradicted by any number, of the finding only beyond noise; the
    effect stays supported."""
    literal = {
        f: n.loc["MATH-500 is 0% across all checkpoints", ["verdict", "decides"]].tolist()
        for f, n in {
            "published": found[4].numbers.set_index("comparison"),
            "none": check(
                5,
                change(
                    published,
                    0,
                    student=LLAMA,
                    teacher="sonnet",
                    domain="code",
                    step=400,
                    benchmark="math500",
                ),
            ).numbers.set_index("comparison"),
            "five": check(
                5,
                change(
                    published,
                    5,
                    student=LLAMA,
                    teacher="sonnet",
                    domain="code",
                    step=400,
                    benchmark="math500",
                ),
            ).numbers.set_index("comparison"),
        }.items()
    }
    assert literal == {
        "published": ["contradicted", False],
        "none": ["supported", False],
        "five": ["contradicted", True],
    }
    five = check(
        5,
        change(
            published,
            5,
            student=LLAMA,
            teacher="sonnet",
            domain="code",
            step=400,
            benchmark="math500",
        ),
    )
    assert five.verdict == "contradicted" and "That it breaks math is supported" in five.sentence
    assert (
        "0% across all checkpoints is contradicted: it is 5% at step 400, beyond noise."
        in five.sentence
    )


QUOTES = [
    "Sonnet traces >> R1 traces",
    "Catastrophic forgetting on cross-domain",
    "Instruct model is more robust",
    "Code distillation on instruct is a free lunch",
    "Llama Sonnet code distillation breaks math completely",
    "Llama barely learns from either teacher",
    "tanks code",
    "0% MATH-500 across all checkpoints",
    "small/no gains on math, marginal on code",
]


def test_titles_are_the_studys_words(found, data_dir):
    titles = [f.title for f in found]
    assert all(title.startswith(quote) for title, quote in zip(titles, QUOTES, strict=False))
    assert all(any(quote in title for title in titles) for quote in QUOTES)
    file = data_dir.parent / "study" / "results_summary.md"
    if file.is_file():
        text = file.read_text(encoding="utf-8").replace("*", "")
        assert [quote for quote in QUOTES if quote not in text] == []


@pytest.mark.parametrize(
    ("number", "cells"),
    [
        (1, dict(student=QWEN, teacher="r1", domain="math", step=200, benchmark="mbpp_plus")),
        (2, dict(student=QWEN, teacher="r1", domain="math", step=200, benchmark="mbpp_plus")),
        (
            3,
            dict(
                student=INSTRUCT, teacher="sonnet", domain="math", step=200, benchmark="mbpp_plus"
            ),
        ),
        (4, dict(student=INSTRUCT, domain="code", step=500, benchmark="livecodebench")),
        (5, dict(student=LLAMA, teacher="sonnet", domain="code", step=400, benchmark="math500")),
        (6, dict(student=LLAMA, teacher="r1", domain="code", step=400, benchmark="mbpp_plus")),
    ],
)
def test_every_sentence_holds_the_numbers_it_rests_on(published, found, number, cells):
    """One number, one point off: the sentence says something else, the verdict the same."""
    old = published[(published[list(cells)] == list(cells.values())).all(axis=1)]["accuracy"].item()
    changed = check(number, change(published, old + (-1 if old else 1), **cells))
    assert changed.sentence != found[number - 1].sentence
    assert changed.verdict == found[number - 1].verdict


def test_the_csv_itself_is_what_is_read(tmp_path, found):
    """A number changed in the file changes the finding that rests on it, and no other."""
    text = (accuracies.PUBLISHED / "accuracies.csv").read_text(encoding="utf-8")
    line = "Instruct-2507,sonnet,code,500,humaneval_plus,86,"
    assert text.count(line) == 1
    file = tmp_path / "accuracies.csv"
    file.write_text(text.replace(line, line.replace("86", "61")), encoding="utf-8")
    after = findings.check_all(accuracies.load_published(file))
    assert [a.sentence == b.sentence for a, b in zip(after, found, strict=True)] == [True] * 3 + [
        False
    ] + [True] * 2
    assert after[3].verdict == "contradicted" and "HumanEval+ -30.0 points" in after[3].sentence


def test_equal_learning_rates_take_the_confounding_away(published):
    alike = check(
        1,
        published.assign(
            learning_rate=published["learning_rate"].mask(published["step"] > 0, 2e-4)
        ),
    )
    assert (
        set(alike.numbers["verdict"]) == {"supported", "within noise"}
        and alike.verdict == "within noise"
    )
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


# ---- our own runs


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
    if number in (
        2,
        6,
    ):  # what is left contradicts it all the same; without that, the missing number counts
        first = check(number, kept)
        assert (
            first.verdict == "contradicted"
            and f"Missing: {lacks.removeprefix('there is no ')}" in first.sentence
        )
        kept = kept[~((kept["student"] == LLAMA) & (kept["teacher"] == "sonnet"))]
    result = check(number, kept)
    assert result.verdict == "not testable" and lacks in result.sentence


def test_a_contradicted_number_needs_no_baseline(published):
    """Finding 5 says 0% at all checkpoints; 55% contradicts that, whatever the base student has."""
    cells = dict(student=LLAMA, teacher="sonnet", domain="code", step=300, benchmark="math500")
    changed = change(published, 55, **cells)
    base = (changed["student"] == LLAMA) & (changed["step"] == 0)
    result = check(5, changed[~(base & (changed["benchmark"] == "math500"))])
    assert result.verdict == "contradicted"
    assert result.sentence.startswith("That it breaks math is not testable. That it is 0%")
    assert "Missing: MATH-500 of Llama 8B baseline." in result.sentence


def pocket(math_after, code_after):
    """A tidy table of a student distilled from math and from code, evaluated on the pocket
    benchmarks."""
    rows = []
    for teacher, domain, step in [
        ("none", "none", 0),
        ("sonnet", "math", 30),
        ("sonnet", "code", 30),
    ]:
        for benchmark, n, after in (
            ("pocket_math", 480, math_after),
            ("pocket_code", 300, code_after),
        ):
            accuracy = 60 if step == 0 else after[domain]
            rate = np.nan if step == 0 else 1e-3
            rows.append(("s", teacher, domain, step, benchmark, accuracy, 1, n, False, rate, "x"))
    return pd.DataFrame(rows, columns=names.COLUMNS)


def test_forgetting_is_checked_on_any_student():
    fine = check(2, pocket({"math": 70, "code": 58}, {"math": 30, "code": 70}))
    assert (
        fine.verdict == "supported"
        and "tanks code is supported: code changes by -30.0 to -30.0 points" in fine.sentence
    )
    reverse = check(2, pocket({"math": 70, "code": 20}, {"math": 59, "code": 70}))
    assert (
        reverse.verdict == "contradicted"
        and "against it s Sonnet: -40.0 against -1.0 points" in reverse.sentence
    )


def test_nothing_but_findings_two_is_testable_without_the_studys_students():
    result = findings.check_all(pocket({"math": 70, "code": 58}, {"math": 30, "code": 70}))
    assert [f.verdict for f in result] == ["not testable", "supported"] + ["not testable"] * 4
    empty = findings.check_all(pocket({"math": 1, "code": 1}, {"math": 1, "code": 1}).iloc[:0])
    assert {f.verdict for f in empty} == {"not testable"}
    assert all(re.fullmatch(r"Not testable: there is no .+\.", f.sentence) for f in empty)

"""The seven findings: what they say of the published numbers, and that verdict and sentence follow
the numbers."""

import re

import numpy as np
import pandas as pd
import pytest

from bench import verdicts as bench
from distill_nb.analysis import names, tidy
from distill_nb.analysis.published import accuracies, comparisons, findings
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


def test_verdicts_of_the_published_study(found):
    assert [f.number for f in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [f.verdict for f in found] == [
        "confounded",
        "contradicted",
        "inconclusive",
        "inconclusive",
        "supported",
        "inconclusive",
        "contradicted",
    ]
    for f in found:
        assert list(f.numbers) == comparisons.COMPARISON
        assert set(f.numbers["verdict"]) <= set(comparisons.VERDICTS)
    table = findings.findings_table(found)
    assert table["sentence"].tolist() == [f.sentence for f in found]
    assert table["whose"].tolist() == ["the study's"] * 6 + ["ours"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "Sonnet differs from R1 by +5.0 to +26.0 points, 3 of 4 comparisons beyond noise"),
        (1, "2e-5 (R1) against 2e-4 (Sonnet)"),
        (
            2,
            "By student and teacher: supported for Qwen Base R1, Qwen Base Sonnet, Qwen Instruct "
            "Sonnet; contradicted for Llama 8B Sonnet; inconclusive for Llama 8B R1.",
        ),
        (
            2,
            "That math distillation tanks code is supported in 4, contradicted in 1 of 5: code "
            "changes by -44.7 to +7.0 points.",
        ),
        (
            2,
            "That code distillation tanks math less is supported in 3, contradicted in 1, "
            "inconclusive in 1 of 5; against it Llama 8B Sonnet: math -39.0, code +7.0 points.",
        ),
        (
            3,
            "-9.2 against -18.7 points at the best checkpoints, +9.5 points [+0.3, +18.6], depends "
            "on rounding",
        ),
        (3, "-11.6 against -13.7 points at the last checkpoints, +2.1 points [-7.0, +11.2], incon"),
        (3, "-15.4 against -13.9 points at the mean of 5 checkpoints"),
        (3, "least for the claim is step 100: -19.2 points [-28.3, -9.9], contradicted"),
        (4, "free here if no score is lower by 5 points or more. At step 500: MATH-500 +2.6"),
        (4, "MBPP+ +2.7 points [-3.1, +8.5], supported"),
        (
            4,
            "HumanEval+ -5.0 points [-14.2, +4.1], inconclusive (if the true difference is this "
            "one, no number of problems settles it)",
        ),
        (4, "LiveCodeBench -3.0 points [-14.9, +9.0], inconclusive (about 7,626 problems would"),
        (
            5,
            "That it breaks math is supported: MATH-500 goes from 40% to 0–1%, at 5 of 5 "
            "checkpoints a fall beyond noise and at 5 shown to be below 5%.",
        ),
        (
            5,
            "0% across all checkpoints is contradicted: it is 1% at step 400 (1% of 500 problems "
            "may be 3 to 7 of them).",
        ),
        (6, "A gain is small here if it is below 5 points. On math: inconclusive; on code: inconc"),
        (6, "Sonnet math, MATH-500 +10.0 points [+3.8, +16.1], inconclusive (about 2,187 problems"),
        (6, "Sonnet code, MBPP+ +12.0 points [+4.9, +19.0], inconclusive (about 1,121 problems"),
        (6, "The others: R1 math, MATH-500 +4.0 points [-2.1, +10.1], inconclusive"),
        (6, "the best would still be expected to look better than they are, by up to 3.0 points"),
        (6, "the teachers differ in learning rate too (R1 2e-5, Sonnet 2e-4)"),
        (7, "supported in 3, contradicted in 2, inconclusive in 5 of 10 runs."),
        (7, "3 gain beyond noise: Qwen Base Sonnet math +7.4 points [+2.9, +11.9] (p = 0.011)"),
        (
            7,
            "2 lose even there: Qwen Base R1 math -8.6 points [-13.8, -3.3] (p = 0.011); Qwen Base "
            "R1 code -19.7 points [-26.2, -13.0] (p < 0.0001)",
        ),
        (7, "(Qwen Base R1 math: MBPP+ -44.7 points, Qwen Base R1 code: MATH-500 -6.6 points)."),
    ],
)
def test_sentences_of_the_published_study(found, number, text):
    assert text in found[number - 1].sentence


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
    titles = [f.title for f in found if not f.ours]
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
        (7, dict(student=QWEN, teacher="r1", domain="code", step=400, benchmark="mbpp_plus")),
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
    same = [a.sentence == b.sentence for a, b in zip(after, found, strict=True)]
    assert same == [True, True, True, False, True, True, True]
    assert after[3].verdict == "contradicted" and "HumanEval+ -30.0 points" in after[3].sentence


@pytest.mark.parametrize("points", [0.0, 0.5])
def test_a_true_null_is_found(published, points):
    """Every checkpoint at its baseline, or half a point above it, on 100,000 problems: nothing is
    lost, little is gained, and no claimed difference is there."""
    table = bench.alike(published, bench.BIG)
    rng = np.random.default_rng(0)
    verdicts = bench.verdicts(table, bench.shifted(table, points), rng)
    c = "contradicted"
    assert verdicts == [c, c, c, "supported", c, "supported", c]


def test_another_margin_is_another_question(published):
    wide, narrow = (findings.check_all(published, margin) for margin in (20, 1))
    assert [wide[3].verdict, wide[5].verdict] == ["supported", "supported"]
    assert narrow[5].verdict == "contradicted" and "if it is below 1 points" in narrow[5].sentence
    assert set(narrow[0].numbers["margin"]) == {1}


def test_nothing_is_found_on_the_studys_sizes_where_there_is_nothing(published):
    """No difference is called one, no loss or gain of the margin is called shown."""
    table, rng = bench.alike(published), np.random.default_rng(0)
    truth = bench.shifted(table, 0)
    for _ in range(4):
        found = bench.verdicts(table, truth, rng)
        assert "supported" not in [found[i] for i in (0, 1, 2, 6)]
        assert found[3] == found[5] == "inconclusive"


# ---- our own runs


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


def test_two_findings_are_testable_without_the_studys_students():
    result = findings.check_all(pocket({"math": 70, "code": 58}, {"math": 30, "code": 70}))
    verdicts = [f.verdict for f in result]
    assert verdicts == ["not testable", "supported"] + ["not testable"] * 4 + ["supported"]
    empty = findings.check_all(pocket({"math": 1, "code": 1}, {"math": 1, "code": 1}).iloc[:0])
    assert {f.verdict for f in empty} == {"not testable"}
    assert all(re.fullmatch(r"Not testable: there is no .+\.", f.sentence) for f in empty)
    assert findings.rounding_sentence(empty) == "No finding can be tested on these numbers."

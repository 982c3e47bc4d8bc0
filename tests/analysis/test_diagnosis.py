"""Simulated studies whose truth is known: what a change is called, and how often that is wrong.
bench/simulated_studies.py has the same with more studies, all checkpoints and more truths."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from answer_records import N, simulated

from bench.simulated_records import Student, Study
from distill_nb.analysis import change_parts, change_words, diagnosis, paired

STUDIES = 20
BUSY = Student(0.6, cut_off=0.1, unanswered=0.05, unboxed=0.1, timeout=0.03)


def verdicts(base: Student, after: Student, seed: int = 0) -> list[str]:
    """Those of the last checkpoints of STUDIES runs of two benchmarks, each run a study."""
    rng = np.random.default_rng(seed)
    runs = [Study(rng, base=base).run(f"run{i}", after, steps=(500,)) for i in range(STUDIES)]
    return diagnosis.diagnose(pd.concat(runs, ignore_index=True))["verdict"].tolist()


def share(found: list[str], words: str) -> float:
    return sum(words in verdict for verdict in found) / len(found)


@pytest.mark.parametrize("after", [Student(0.6, cut_off=0.12), Student(0.6, cut_off=0.25)])
def test_a_loss_by_length_is_called_so(after):
    found = verdicts(Student(0.6), after)
    assert share(found, "lost to length") >= 0.95 and share(found, "lost skill") <= 0.05
    assert not any(verdict.startswith(("lost skill", "mostly lost skill")) for verdict in found)


def test_a_pure_loss_of_skill_or_of_format_is_called_so():
    skill = verdicts(Student(0.6), Student(0.52))
    assert share(skill, "lost skill") >= 0.9 and share(skill, "format") <= 0.05
    form = verdicts(Student(0.6), Student(0.6, unboxed=0.25))
    assert share(form, "lost format") >= 0.95 and share(form, "skill") <= 0.05


def test_of_a_mixture_no_part_is_called_the_whole():
    """Two thirds skill, one third format."""
    found = verdicts(Student(0.6), Student(0.48, unboxed=0.125))
    assert share(found, "lost skill") >= 0.95
    whole = {"lost skill", "lost format", "mostly lost format"}
    assert sum(verdict in whole for verdict in found) <= 0.05 * len(found)


def test_a_skill_that_fell_under_a_level_score_is_seen():
    found = verdicts(Student(0.6, unboxed=0.1333), Student(0.52))
    assert share(found, "lost skill") >= 0.8 and share(found, "lost skill and gained format") >= 0.7


@pytest.mark.parametrize("student", [Student(0.6), BUSY])
def test_of_nothing_nothing_is_said(student):
    found = verdicts(student, student, seed=1)
    studies = np.array(
        [v in ("equivalent", "no worse", "inconclusive", "undetermined") for v in found]
    )
    assert (~studies.reshape(STUDIES, 2).all(axis=1)).sum() <= 2  # 5% of 20 is 1


def split(**rows: tuple) -> dict:
    """Parts of one checkpoint from name=(change, p_adjusted, share_lo); others did not move."""
    every = {part: (0.0, float("nan"), -5.0) for part in change_parts.PARTS} | rows
    names = ("change", "p_adjusted", "share_lo")
    return {
        part: SimpleNamespace(**dict(zip(names, row, strict=True))) for part, row in every.items()
    }


@pytest.mark.parametrize(
    ("score", "p", "rows", "verdict"),
    [
        ("loss", 0.001, dict(wrong=(-8, 0.001, 80)), "lost skill"),
        ("loss", 0.001, dict(wrong=(-8, 0.001, 60)), "mostly lost skill"),
        ("loss", 0.001, dict(wrong=(-8, 0.001, 40)), "lost skill, in part"),
        (
            "loss", 0.001, dict(wrong=(-8, 0.001, 60), misformatted=(-4, 0.01, 10)),
            "mostly lost skill, also lost format",
        ),
        (
            "loss", 0.001, dict(wrong=(-4, 0.001, 10), cut_off=(-5, 0.01, 40)),
            "lost to length and lost skill",
        ),
        (
            "loss", 0.001, dict(wrong=(-8, 0.001, 90), misformatted=(4, 0.01, -80)),
            "lost skill, less gained format",
        ),
        ("gain", 0.001, dict(unanswered=(8, 0.001, 80)), "gained answers"),
        ("loss", 0.001, dict(wrong=(-4, 0.04, 60)), "an undetermined loss"),
        ("loss", 0.04, {}, "undetermined"),
        ("equivalent", 0.6, {}, "equivalent"),
        (
            "equivalent", 0.6, dict(misformatted=(9, 0.001, 0), wrong=(-8, 0.001, 0)),
            "lost skill and gained format; score equivalent",
        ),
        ("loss", 0.04, dict(timeout=(-3, 0.001, 0)), "lost to time; score undetermined"),
        ("—", float("nan"), dict(wrong=(-8, 0.001, 80)), "no verdict"),
    ],
)  # fmt: skip
def test_what_a_change_is_called(score, p, rows, verdict):
    assert diagnosis.verdict_of(score, p, split(**rows)) == verdict


def test_scores_and_parts_of_a_run_are_one_family():
    rng = np.random.default_rng(0)
    runs = [Study(rng).run(f"run{i}", Student(0.5), steps=(10, 20)) for i in range(2)]
    records = pd.concat(runs, ignore_index=True)
    changes, parts = paired.paired_changes(records), change_parts.parts(records)
    p_scores, adjusted = diagnosis.adjusted(parts, changes)
    alone = changes["folder"] == "run0"
    p_alone, own = diagnosis.adjusted(parts[parts["folder"] == "run0"], changes[alone])
    assert p_scores[alone] == pytest.approx(p_alone)  # another run is another question
    assert own["p_adjusted"].tolist() == pytest.approx(
        adjusted.loc[adjusted["folder"] == "run0", "p_adjusted"].tolist(), nan_ok=True
    )
    assert (p_scores >= changes["p_adjusted"] - 1e-12).all()
    unfinished = records.drop(records.index[-5:])
    assert diagnosis.diagnose(unfinished)["verdict"].iloc[-1] == "no verdict"


def test_bounds_hold_whatever_could_not_be_graded():
    """Of 100 answers 60 and then 50 are right, 10 and then 30 are cut off: between 30 fewer and 20
    more may have been solved... less the 10 that were."""
    records = simulated("run", 0.6, 0.6)
    for step, right, cut in ((0, 180, 30), (10, 150, 90)):
        at = records.index[records["step"] == step]
        words = ["correct"] * right + ["truncated"] * cut + ["wrong"] * (N - right - cut)
        records.loc[at, "outcome"] = records.loc[at, "lenient_outcome"] = words
    row = diagnosis.diagnose(records).iloc[0]
    assert row["change"] == pytest.approx(-10)
    assert (row["skill_least"], row["skill_most"]) == pytest.approx((-20, 20))
    parts = change_parts.parts(records)
    said = change_words.sentences(diagnosis.diagnose(records, split=parts), parts)
    assert "30.0% of its answers were cut off, 10.0 points on problems that the base" in said
    assert "changed by -20.0 to +20.0 points" in said and "higher by 0 to 30.0 points" in said


def test_errors_of_ours_say_nothing_and_nothing_is_no_table():
    records = simulated("run", 0.6, 0.6)
    late = (records["step"] == 10) & (records["task_id"] != "t0")
    records.loc[late, ["outcome", "lenient_outcome"]] = ["sampling_error", "correct"]
    found, parts = diagnosis.diagnose(records), change_parts.parts(records)
    assert found["verdict"].tolist() == ["no verdict"] and parts.empty
    assert (
        change_words.sentences(found, parts) == "" and change_words.for_reading(found, parts).empty
    )
    assert diagnosis.diagnose(records.iloc[:0]).empty and diagnosis.graders(records.iloc[:0]).empty


def test_a_gain_over_answers_that_were_cut_off_is_one_by_length():
    records = simulated("run", 0.4, 0.7)
    failed = (records["step"] == 0) & (records["outcome"] == "wrong")
    readings = {  # outcome, lenient outcome of what the base student failed → verdict
        "gained skill": ("wrong", "wrong", 0),
        "gained by length": ("truncated", "truncated", 100),
        # without a box it knew them all, and now it fails some
        "gained format, less lost skill": ("no_answer", "correct", 100),
    }
    for verdict, (outcome, lenient, unanswered) in readings.items():
        changed = records.copy()
        changed.loc[failed, ["outcome", "lenient_outcome"]] = [outcome, lenient]
        (row,) = diagnosis.diagnose(changed).itertuples()
        assert row.verdict == verdict
        said = paired.change_sentences(paired.paired_changes(changed))
        assert ("but 100% of the base student's answers" in said) == (unanswered == 100)
        parts = change_parts.parts(changed)
        table = change_words.for_reading(diagnosis.diagnose(changed, split=parts), parts)
        assert table.loc[0, "verdict"] == verdict and table.loc[0, "benchmark"] == "math500"


def test_what_another_grader_would_say_is_shown():
    records = simulated("run", 0.4, 0.6)
    numbers = records["task_id"].str[1:].astype(int)
    strict = (records["step"] == 10) & (records["outcome"] == "correct") & (numbers < 150)
    records["second_outcome"] = records["outcome"].mask(strict, "wrong")
    columns = ["outcome", "lenient_outcome", "second_outcome"]
    records.loc[0, columns] = ["grader_error", "correct", "correct"]
    base, last = diagnosis.graders(records).itertuples()
    right = (records["outcome"] == "correct").groupby(records["step"]).mean() * 100
    assert (base.accuracy, last.accuracy) == pytest.approx(tuple(right))
    assert base.second == base.accuracy
    assert (last.only_first, last.only_second, last.n) == (strict.sum(), 0, N)
    assert last.second == pytest.approx(last.accuracy - 100 * strict.sum() / N)
    assert (base.verdict, base.second_verdict, last.verdict) == ("—", "—", "gain")
    assert last.second_verdict != "gain"

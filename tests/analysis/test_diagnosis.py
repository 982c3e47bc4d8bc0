"""Simulated records whose truth is known: the analysis must tell a lost format, a lost skill, a
gain and noise apart."""

import pandas as pd
import pytest
from answer_records import N, simulated

from distill_nb.analysis import diagnosis, paired

CASES = {
    "lost format": (0.6, 0.6, 0.3),
    "lost skill": (0.6, 0.3, 1.0),
    "gain": (0.4, 0.6, 1.0),
    "equivalent": (0.5, 0.5, 1.0),
    "lost format and skill": (0.8, 0.5, 0.5),
}


def test_lost_format_lost_skill_gain_and_noise_are_told_apart():
    every = pd.concat(
        [simulated(kind, *truth, seed=i) for i, (kind, truth) in enumerate(CASES.items())],
        ignore_index=True,
    )
    found = diagnosis.diagnose(every).set_index("folder")
    assert found["kind"].to_dict() == {kind: kind for kind in CASES}
    assert (
        found.loc["lost format", "format_share"] > 0.9
        and found.loc["lost skill", "format_share"] < 0.2
    )
    assert found.loc["lost format", "lost_format"] > 90 and found.loc["lost format", "lost"] < 20
    assert found.loc["lost skill", "lost"] > 70 and found.loc["gain", "gained"] > 50


def test_pure_noise_is_rarely_more_than_noise():
    """Each run is a question of its own: of 40 without a change 2 are expected to show one."""
    noise = pd.concat(
        [simulated(f"run{i}", 0.5, 0.5, seed=i) for i in range(40)], ignore_index=True
    )
    kinds = diagnosis.diagnose(noise)["kind"]
    assert (~kinds.isin(["equivalent", "no worse", "inconclusive"])).sum() <= 5


def test_errors_of_ours_say_nothing_and_nothing_is_no_table():
    records = simulated("run", 0.6, 0.6)
    late = (records["step"] == 10) & (records["task_id"] != "t0")
    records.loc[late, ["outcome", "lenient_outcome"]] = ["sampling_error", "correct"]
    assert diagnosis.diagnose(records)["kind"].tolist() == ["nothing to compare"]
    assert diagnosis.diagnose(records.iloc[:0]).empty and diagnosis.graders(records.iloc[:0]).empty


def test_a_gain_over_answers_that_were_cut_off_is_not_a_plain_gain():
    records = simulated("run", 0.4, 0.7)
    failed = (records["step"] == 0) & (records["outcome"] == "wrong")
    cut = records.assign(
        outcome=records["outcome"].mask(failed, "truncated"),
        lenient_outcome=records["lenient_outcome"].mask(failed, "truncated"),
    )
    # it knew, without a box
    boxless = records.assign(
        outcome=records["outcome"].mask(failed, "no_answer"),
        lenient_outcome=records["lenient_outcome"].mask(failed, "correct"),
    )
    for changed, kind, unanswered in (
        (records, "gain", 0),
        (cut, "gain in format or length", 100),
        (boxless, "gain in format or length", 100),
    ):
        (row,) = diagnosis.diagnose(changed).itertuples()
        assert (row.kind, row.unanswered) == (kind, unanswered)
        said = paired.change_sentences(paired.paired_changes(changed))
        assert ("but 100% of the base student's answers" in said) == (
            unanswered == 100
        ) and ": a gain" in said


def test_what_another_grader_would_say_is_shown():
    records = simulated("run", 0.4, 0.6)
    strict = (
        (records["step"] == 10)
        & (records["outcome"] == "correct")
        & (records["task_id"].str[1:].astype(int) < 150)
    )
    records["second_outcome"] = records["outcome"].mask(strict, "wrong")
    records.loc[0, ["outcome", "lenient_outcome", "second_outcome"]] = [
        "grader_error",
        "correct",
        "correct",
    ]
    base, last = diagnosis.graders(records).itertuples()
    right = (records["outcome"] == "correct").groupby(records["step"]).mean() * 100
    assert (base.accuracy, last.accuracy) == pytest.approx(
        tuple(right)
    ) and base.second == base.accuracy
    assert (last.only_first, last.only_second, last.n) == (strict.sum(), 0, N)
    assert last.second == pytest.approx(last.accuracy - 100 * strict.sum() / N)
    assert (base.verdict, base.second_verdict, last.verdict) == (
        "—",
        "—",
        "gain",
    ) and last.second_verdict != "gain"

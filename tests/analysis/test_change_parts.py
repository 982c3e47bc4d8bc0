"""A change of a score, split by what became of the answers."""

import numpy as np
import pandas as pd
import pytest
from answer_records import records

from bench.simulated_records import Student, Study
from distill_nb.analysis import change_parts, paired
from distill_nb.analysis.change_parts import KEYS, PARTS

BUSY = Student(0.6, 0.1, 0.05, 0.03, 0.1, 0.02)


def made(before: str, after: str, samples: int = 1) -> pd.DataFrame:
    """Records of step 0 and 10 from a letter an answer: c correct, l cut off, u unanswered, m
    misformatted, w wrong, t timeout, e error; `.` is no record."""
    outcomes = dict(c="correct", l="truncated", u="no_answer", m="no_answer", w="wrong")
    outcomes |= {"t": "timeout", "e": "grader_error", ".": None}
    rows = [[outcomes[letter] for letter in side] for side in (before, after)]
    found = records(rows, samples)
    letters = [letter for letter in before + after if letter != "."]
    lenient = found["outcome"].mask(np.array(letters) == "m", "correct")
    return found.assign(lenient_outcome=lenient)


def test_what_became_of_an_answer():
    cases = [  # outcome, lenient, finish_reason → class
        ("correct", "correct", "length", "correct"),
        ("truncated", "correct", "length", "cut_off"),  # a last number of an unfinished answer
        ("wrong", "wrong", "length", "cut_off"),  # it boxed something and went on to the limit
        ("no_answer", "correct", "stop", "misformatted"),
        ("wrong", "correct", "stop", "misformatted"),
        ("no_answer", "wrong", "stop", "unanswered"),
        ("no_answer", "no_answer", "stop", "unanswered"),
        ("wrong", "wrong", "stop", "wrong"),
        ("timeout", "timeout", "stop", "timeout"),
        ("grader_error", "correct", "stop", "error"),
        ("sampling_error", "", None, "error"),
    ]
    table = pd.DataFrame(cases, columns=["outcome", "lenient_outcome", "finish_reason", "expected"])
    assert change_parts.classes(table).tolist() == table["expected"].tolist()
    early = table[["outcome"]].iloc[[0, 1, 3, 7]]  # records without the other columns
    assert change_parts.classes(early).tolist() == ["correct", "cut_off", "unanswered", "wrong"]


def test_each_flip_belongs_to_what_it_is_where_it_is_not_correct():
    found = change_parts.parts(made("ccccwwlmuc", "lmuwcwccct")).set_index("part")
    lost, gained = found["lost"], found["gained"]
    assert lost.to_dict() == pytest.approx(dict.fromkeys(PARTS, 10.0))
    assert gained.to_dict() == pytest.approx(dict.fromkeys(PARTS, 10.0) | {"timeout": 0})
    assert found["change"].to_dict() == pytest.approx(dict.fromkeys(PARTS, 0.0) | {"timeout": -10})
    assert found["before"].to_dict() == pytest.approx(
        dict.fromkeys(PARTS, 10.0) | {"wrong": 20, "timeout": 0}
    )
    assert (found["n"] == 10).all() and found["p"].isna().all()  # too few flips
    one = made("c", "w")
    assert change_parts.parts(one).empty and change_parts.parts(one.iloc[:0]).empty


@pytest.mark.parametrize("samples", [1, 3])
def test_the_parts_add_up_to_the_change_of_the_score(samples):
    study = Study(np.random.default_rng(0), {"math500": 80, "mbpp_plus": 50}, BUSY, 0.8, samples)
    found = study.run(after=Student(0.5, 0.2, 0.1, 0.1, 0.3, 0.03), steps=(10, 20))
    found = found.drop(found.index[-7:])  # the last step is not finished
    changes = paired.paired_changes(found).set_index(KEYS)
    parts = change_parts.parts(found)
    assert parts.groupby(KEYS)["change"].sum().to_dict() == pytest.approx(
        changes["change"].to_dict()
    )
    assert parts.groupby(KEYS)["n"].first().to_dict() == changes["n"].to_dict()
    assert changes["errors"].min() > 0 and changes["missing"].max() > 0
    assert (parts["change"] - (parts["gained"] - parts["lost"])).abs().max() < 1e-9
    inside = (parts["lo"] < parts["change"]) & (parts["change"] < parts["hi"])
    assert inside.all()


def test_a_part_moves_only_where_its_own_share_of_the_answers_moves():
    """Fewer answers are solved, and one in five is cut off as before: of the solved ones fewer are
    cut off and more of the cut off ones would not have been solved. That is no loss to length."""
    same = Student(0.7, cut_off=0.2), Student(0.4, cut_off=0.2)
    study = Study(np.random.default_rng(2), {"a": 6000}, same[0], correlation=0.3)
    found = change_parts.parts(study.run(after=same[1], steps=(10,))).set_index("part")
    assert found.loc["cut_off", "change"] < -2 and found.loc["cut_off", "hi"] < 0
    assert found.loc["cut_off", "p"] > 0.05 > found.loc["wrong", "p"]


def test_a_student_that_never_stops_loses_nothing_to_length():
    """All of its answers are at the limit, right ones as well: what it fails more is not cut off
    more, and whether it is skill cannot be said."""
    study = Study(np.random.default_rng(7), {"a": 500}, Student(0.7))
    endless = study.run(after=Student(0.5), steps=(10,)).assign(finish_reason="length")
    found = change_parts.parts(endless).set_index("part")
    assert found.loc["cut_off", "hi"] < -10 and found.loc["cut_off", "p"] == 1
    assert found.loc["wrong", ["lost", "gained"]].tolist() == [0, 0]


def test_no_loss_of_format_is_one_of_skill():
    """Where a misplaced answer is graded as wrong, the wrong ones that lose their place stay wrong
    while the right ones flip: the flips of `wrong` alone would show a loss."""
    study = Study(np.random.default_rng(3), {"a": 6000}, Student(0.5), correlation=0.6)
    found = study.run(after=Student(0.5, unboxed=0.4), steps=(10,))
    found["outcome"] = found["outcome"].replace("no_answer", "wrong")
    part = change_parts.parts(found).set_index("part")
    assert part.loc["wrong", "hi"] < 0 and part.loc["wrong", "p"] > 0.05
    assert part.loc["misformatted", "p"] < 1e-20


def test_intervals_are_near_those_of_resampled_problems_and_never_without_width():
    study = Study(np.random.default_rng(4), {"a": 500}, Student(0.6))
    (pair,) = change_parts.pairs(study.run(after=Student(0.5, cut_off=0.15), steps=(10,)))
    found = pd.DataFrame(change_parts.split(pair), list(PARTS))
    flips, rng = change_parts.flips_of(pair.before, pair.after), np.random.default_rng(5)
    kinds, counts = np.unique(flips, axis=0, return_counts=True)
    drawn = 100 * rng.multinomial(500, counts / 500, 4000) @ kinds / 500
    drawn = pd.DataFrame(drawn, columns=list(PARTS))
    shares = 100 * drawn.div(drawn.sum(axis=1), axis=0)
    for part in ("cut_off", "wrong"):
        ends = found.loc[part, ["lo", "hi"]].to_list()
        assert ends == pytest.approx(np.percentile(drawn[part], [2.5, 97.5]), abs=0.5)
        ends = found.loc[part, ["share_lo", "share_hi"]].to_list()
        assert ends == pytest.approx(np.percentile(shares[part], [2.5, 97.5]), abs=6)
    assert drawn["timeout"].std() == 0 and found.loc["timeout", "hi"] == pytest.approx(
        0.56, abs=0.01
    )
    assert found["share"].sum() == pytest.approx(100)
    level = change_parts.split(pair._replace(after=pair.before))
    assert np.isnan(level["share"]).all() and np.isnan(level["p"]).all()


def test_several_samples_are_tested_by_problem():
    """Ten copies of each answer are no more evidence than one."""
    study = Study(np.random.default_rng(6), {"a": 200}, Student(0.6))
    (pair,) = change_parts.pairs(study.run(after=Student(0.52), steps=(10,)))
    flips = change_parts.flips_of(pair.before, pair.after)
    once = change_parts.p_of(flips)
    halves = change_parts.p_of(flips * 0.999)  # no longer whole: the t test
    assert halves[3] == pytest.approx(once[3], abs=0.02) and 0 < once[3] < 0.2
    assert change_parts.p_of(np.full((20, 1), 0.5))[0] < 1e-6  # all by the same

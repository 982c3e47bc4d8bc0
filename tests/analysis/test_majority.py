"""majority@k, against all choices of samples."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from distill_nb.analysis import majority


def by_hand(votes, correct, k):
    """The mean over all choices of k samples, a tie counted as its expectation."""
    scores = []
    for chosen in combinations(range(len(votes)), k):
        answers = [votes[i] for i in chosen if votes[i]]
        counts = {a: answers.count(a) for a in answers}
        best = [a for a, n in counts.items() if n == max(counts.values())]
        scores.append(sum(correct[a] for a in best) / len(best) if best else 0.0)
    return np.mean(scores)


@pytest.mark.parametrize(
    "votes", ["aab", "aabbcc", "abcd", "aaab--", "bbba", "----a", "---", "aabbb-cc"]
)
def test_it_is_the_mean_over_all_choices_of_samples(votes):
    given = ["" if v == "-" else v for v in votes]
    right = {"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.0}
    answers = sorted(set(given) - {""})
    counts, shares = tuple(given.count(a) for a in answers), tuple(right[a] for a in answers)
    for k in range(1, len(given) + 1):
        found = majority.majority_at_k(counts, shares, given.count(""), k)
        assert found == pytest.approx(by_hand(given, right, k))


def test_two_samples_with_ties_by_lot_are_the_accuracy_and_it_is_unbiased_for_new_samples():
    assert majority.majority_at_k((5, 3), (1.0, 0.0), 2, 1) == pytest.approx(0.5)
    assert majority.majority_at_k((5, 3), (1.0, 0.0), 0, 2) == pytest.approx(5 / 8)
    rng, shares = np.random.default_rng(0), (0.4, 0.3, 0.3)
    counts = rng.multinomial(9, shares, 4000)
    of_nine = [majority.majority_at_k(tuple(map(int, c)), (1.0, 0, 0), 0, 3) for c in counts]
    of_three = [
        majority.majority_at_k(tuple(map(int, c)), (1.0, 0, 0), 0, 3)
        for c in rng.multinomial(3, shares, 4000)
    ]
    assert np.mean(of_nine) == pytest.approx(np.mean(of_three), abs=0.02)
    with pytest.raises(ValueError, match="majority@4: there are 3 samples"):
        majority.majority_at_k((2,), (1.0,), 1, 4)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.5", r"\frac{1}{2}", True),
        ("58,500", "58500", True),
        (r"24\text{ ft}", "24", True),
        ("x = 4", "4", True),
        (r"15\%", "15", True),
        (r"0.15\%", "0.15", False),
        ("(1,2)", "(2,1)", False),
        ("", "0", False),
        ("7" * 5000, "7" * 5001, False),
    ],
)
def test_equal_answers_are_one_vote(one, other, same):
    assert (majority.vote(one) == majority.vote(other)) == same


def test_the_majority_of_each_problem_from_records():
    rows = [
        ("t1", ["4", "4.0", "5", "6"], ["correct", "correct", "wrong", "wrong"]),
        ("t2", ["5", "5", "4", ""], ["wrong", "wrong", "correct", "truncated"]),
        ("t3", ["", "", "", ""], ["no_answer", "sampling_error", "truncated", "no_answer"]),
    ]
    records = pd.DataFrame(
        [
            dict(task_id=task, sample=i, answer=a, outcome=o)
            for task, answers, outcomes in rows
            for i, (a, o) in enumerate(zip(answers, outcomes, strict=True))
        ]
    )
    found = majority.by_problem(records, (3, 4))
    assert found[4].to_dict() == {"t1": 1, "t2": 0, "t3": 0}
    # of four choices of three, two of t1 have a majority and two a tie of three; two of t2 a tie
    assert found[3].to_dict() == pytest.approx({"t1": (2 + 2 / 3) / 4, "t2": 1 / 4, "t3": 0})

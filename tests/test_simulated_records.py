"""The simulated studies have the truth that they were given."""

import numpy as np
import pytest

from bench.simulated_records import Student, Study


def test_shares_and_correlations_are_those_asked_for():
    base, after = Student(0.6, unboxed=0.15), Student(0.6, cut_off=0.2, timeout=0.05, error=0.02)
    study = Study(np.random.default_rng(0), {"a": 20_000}, {"a": base}, samples=2)
    records = study.run(after={10: after, 20: Student(0.5)}, steps=(10, 20))
    assert len(records) == 120_000 and set(records["folder"]) == {"r1_math"}
    shares = records.groupby("step")["outcome"].value_counts(normalize=True).unstack(fill_value=0)
    rest = 0.8 * 0.95 * 0.98
    expected = {
        0: {"correct": 0.6 * 0.85, "no_answer": 0.15, "wrong": 0.4 * 0.85},
        10: {"correct": 0.6 * rest, "wrong": 0.4 * rest, "truncated": 0.2 * 0.98}
        | {"sampling_error": 0.02, "timeout": 0.05 * 0.8 * 0.98},
        20: {"correct": 0.5, "wrong": 0.5},
    }
    for step, truth in expected.items():
        found = {k: v for k, v in shares.loc[step].items() if v}
        assert found == pytest.approx(truth, abs=0.012)
    solved = records.assign(solved=(records["lenient_outcome"] == "correct").astype(float))
    answers = solved.pivot(index="task_id", columns=["step", "sample"], values="solved")
    correlation = answers.corr()
    assert answers[0].mean().mean() == pytest.approx(0.6, abs=0.01)  # the lenient reading finds it
    assert correlation.loc[(0, 0), (0, 1)] == pytest.approx(0.8, abs=0.02)
    assert correlation.loc[(20, 0), (20, 1)] == pytest.approx(0.8, abs=0.02)
    assert correlation.loc[(0, 0), (20, 1)] == pytest.approx(0.7, abs=0.1)


def test_cutting_may_lean_to_hard_problems_and_seeds_differ():
    study = Study(np.random.default_rng(1), {"a": 5000}, Student(0.6))
    lean = study.run(after=Student(0.6, cut_off=0.25, cut_leans=0.7), steps=(10,))
    accuracy = (lean["outcome"] == "correct").groupby(lean["step"]).mean()
    assert 0.5 < accuracy[10] < 0.57  # 0.45 were it blind
    runs = [study.run(f"run_seed{i}", steps=(10, 20), seed_sd=0.05) for i in range(12)]
    means = np.array(
        [
            [(r.loc[r["step"] == s, "outcome"] == "correct").mean() for s in (0, 10, 20)]
            for r in runs
        ]
    )
    assert np.ptp(means[:, 0]) == 0 and set(runs[1]["run_name"]) == {"run"}  # one base student
    assert 0.03 < means[:, 1].std(ddof=1) < 0.08
    assert abs(means[:, 1] - means[:, 2]).max() < 0.03  # a seed keeps its shift over its steps

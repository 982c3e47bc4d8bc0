import pandas as pd
import pytest

from distill_nb.analysis import stats, teacher_comparison

NAMES = {1: "correct", 0: "wrong"}


def run(folder, teacher, correct, benchmark="math500", samples=1, student="s", domain="math"):
    """Records of steps 100, 200, … from [steps][problems × samples]."""
    return pd.DataFrame(
        [
            dict(
                folder=folder,
                teacher=teacher,
                student=student,
                domain=domain,
                benchmark=benchmark,
                step=100 * (i + 1),
                task_id=f"t{j // samples}",
                sample=j % samples,
                outcome=NAMES.get(ok, ok),
            )
            for i, row in enumerate(correct)
            for j, ok in enumerate(row)
            if ok is not None
        ]
    )


def test_the_last_finished_checkpoints_are_compared_problem_by_problem():
    r1 = run("a", "r1", [[0] * 12, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]])
    # step 300 is unfinished
    sonnet = run("b", "sonnet", [[1] * 12, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1], [1, None]])
    (row,) = teacher_comparison.compare(pd.concat([r1, sonnet])).itertuples()
    assert (row.first, row.second, row.steps, row.n) == ("r1", "sonnet", "200 / 200", 12)
    assert (row.accuracy_first, row.accuracy_second) == (
        pytest.approx(100 * 2 / 12),
        pytest.approx(100 * 10 / 12),
    )
    assert (row.only_first, row.only_second, row.left_out, row.method) == (1, 9, 0, "paired")
    expected = stats.paired(1, 9, 1, 1)
    assert (row.change, row.lo, row.hi) == pytest.approx(
        (100 * 8 / 12, 100 * expected.lo, 100 * expected.hi)
    )
    assert row.p == row.p_adjusted == pytest.approx((2 * (1 + 10) - 10) / 2**10)  # mid-p
    assert row.verdict == "the second is better"


def test_only_runs_of_one_student_domain_and_seed_are_compared():
    parts = [
        run("a", "r1", [[1, 0] * 4]),
        run("b", "sonnet", [[1, 0] * 4]),
        run("c", "sonnet", [[1] * 8], student="t"),
        run("d", "sonnet", [[1] * 8], domain="code"),
        run("b_seed1", "sonnet", [[0] * 8]),
        run("a", "r1", [[1] * 8], benchmark="mbpp_plus"),
        run("b", "sonnet", [[0] * 8], benchmark="mbpp_plus"),
        run("a2", "r1", [[1] * 8]),
    ]
    table = teacher_comparison.compare(pd.concat(parts))
    assert table["benchmark"].tolist() == ["math500", "math500", "mbpp_plus"] and set(
        table["n"]
    ) == {8}
    assert (
        table["verdict"].tolist()[0] == "inconclusive"
        and table["verdict"].tolist()[2] == "the first is better"
    )
    # a and b on two benchmarks are one family, and a2 and b are another
    p, adjusted = table["p"], table["p_adjusted"]
    assert adjusted.iloc[2] == pytest.approx(2 * p.iloc[2]) and adjusted.iloc[1] == p.iloc[1]


def test_errors_are_left_out_and_samples_are_clustered():
    r1 = run("a", "r1", [["sampling_error", 1, 1, 0, 0, 0, 1, 0]])
    sonnet = run("b", "sonnet", [[1, 1, 0, "grader_error", 0, 1, 1, 1]])
    (row,) = teacher_comparison.compare(pd.concat([r1, sonnet])).itertuples()
    assert (row.n, row.left_out) == (6, 2)
    many = [
        run("a", "r1", [[1, 0, 0, 0, 1, 1, 0, 0]], samples=2),
        run("b", "sonnet", [[1, 1, 1, 0, 1, 1, 0, 1]], samples=2),
    ]
    (row,) = teacher_comparison.compare(pd.concat(many)).itertuples()
    assert (row.n, row.method, row.accuracy_first, row.accuracy_second) == (
        4,
        "clustered",
        37.5,
        75,
    )


def test_what_else_differs_is_said():
    both = pd.concat([run("a", "r1", [[1, 0] * 4]), run("b", "sonnet", [[1, 0] * 4])])
    given = {
        "a": {"learning_rate": 2e-5, "max_steps": 500},
        "b": {"learning_rate": 2e-4, "max_steps": 500},
    }
    assert teacher_comparison.compare(both, given)["also_differs"].tolist() == [
        "learning rate 2e-05 / 0.0002"
    ]
    assert teacher_comparison.compare(both)["also_differs"].tolist() == [""]


def test_without_records_or_a_second_teacher_there_is_no_row():
    assert (
        teacher_comparison.compare(pd.DataFrame()).empty
        and list(teacher_comparison.compare(pd.DataFrame())) == teacher_comparison.COLUMNS
    )
    assert teacher_comparison.compare(run("a", "r1", [[1, 0]])).empty

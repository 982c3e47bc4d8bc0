import numpy as np
import pandas as pd
import pytest

from bench import simulated_seeds
from distill_nb.analysis import replicates, stats, teacher_comparison

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


def seeds(name, teacher, shares, n=100, **more):
    """One run a share, of which that share of n problems is solved, the first ones."""
    folders = [name if i == 0 else f"{name}_seed{i}" for i in range(len(shares))]
    return [
        run(folder, teacher, [[int(j < round(share * n)) for j in range(n)]], **more)
        for folder, share in zip(folders, shares, strict=True)
    ]


def test_one_run_each_is_compared_problem_by_problem_and_calls_no_teacher_better():
    r1 = run("a", "r1", [[0] * 12, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]])
    # step 300 is unfinished
    sonnet = run("b", "sonnet", [[1] * 12, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1], [1, None]])
    (row,) = teacher_comparison.compare(pd.concat([r1, sonnet])).itertuples()
    assert (row.first, row.second, row.steps, row.seeds) == ("r1", "sonnet", "200 / 200", "1 / 1")
    shares = (100 * 2 / 12, 100 * 10 / 12)
    assert (row.accuracy_first, row.accuracy_second) == pytest.approx(shares)
    assert (row.n, row.left_out, row.method) == (12, 0, "paired")
    expected = stats.paired(1, 9, 1, 1)
    found = (100 * 8 / 12, 100 * expected.lo, 100 * expected.hi)
    assert (row.change, row.lo, row.hi) == pytest.approx(found)
    assert row.p == row.p_adjusted == expected.p < 0.05
    differences = [-1] + [1] * 9 + [0, 0]
    enough = replicates.enough(row.change, 100 * np.std(differences, ddof=1) / 12**0.5)
    assert row.enough == pytest.approx(enough) and enough > teacher_comparison.POSSIBLE_SD
    assert row.verdict == teacher_comparison.BEYOND and np.isnan(row.seed_sd)


def test_a_spread_of_seeds_that_is_possible_separates_no_two_runs():
    """5.6 points of 500 problems are far beyond what problems give, and not beyond seeds."""
    parts = seeds("a", "r1", [0.6], n=500) + seeds("b", "sonnet", [0.656], n=500)
    table = teacher_comparison.compare(pd.concat(parts))
    (row,) = table.itertuples()
    assert row.p_adjusted < 1e-6 and row.verdict == teacher_comparison.ALONE
    # with that spread, such a difference comes in one study of twenty
    rng, n = np.random.default_rng(0), 200_000
    se = 100 * np.std([1] * 28 + [0] * 472, ddof=1) / 500**0.5
    noise = row.enough * 2**0.5 * rng.standard_normal(n) + se * rng.standard_normal(n)
    assert np.mean(abs(noise) >= row.change) == pytest.approx(0.05, abs=0.002)
    assert teacher_comparison.sentences(table) == (
        "s, math, MATH-500, Sonnet against R1: 60.0% → 65.6%, +5.6 points "
        f"[{row.lo:+.1f}, {row.hi:+.1f} at 95%] on 500 problems, seeds 1 / 1: not separable from "
        f"seed noise. A seed noise of {row.enough:.1f} points sd would make this difference in one "
        "study of twenty."
    )


def test_teachers_without_any_difference_are_never_called_better_from_one_run_each():
    """With a spread of 2 points between seeds, where problems alone would name one in three."""
    rng, problems = np.random.default_rng(0), {"math500": 500}
    found = np.array([simulated_seeds.null_study(rng, 1, 2.0, problems) for _ in range(30)])
    better, beyond, by_problems = found.mean(0)
    assert better == 0 and beyond <= 0.05 and by_problems >= 0.15


def test_with_seeds_of_each_the_unit_is_the_run():
    better = seeds("a", "r1", [0.60, 0.61, 0.62]) + seeds("b", "sonnet", [0.71, 0.70, 0.72])
    (row,) = teacher_comparison.compare(pd.concat(better)).itertuples()
    assert (row.seeds, row.method, row.n) == ("3 / 3", "runs", 100) and np.isnan(row.enough)
    assert (row.accuracy_first, row.accuracy_second) == pytest.approx((61, 71))
    assert row.p < 0.01 and row.verdict == teacher_comparison.SECOND
    # as far apart, but each spreads as far
    spread = seeds("a", "r1", [0.55, 0.60, 0.68]) + seeds("b", "sonnet", [0.65, 0.70, 0.78])
    table = teacher_comparison.compare(pd.concat(spread))
    assert table["verdict"].tolist() == ["inconclusive"] and table["change"][0] == pytest.approx(10)
    assert table["seed_sd"][0] == pytest.approx(100 * np.std([0.55, 0.60, 0.68], ddof=1), rel=0.1)
    found = teacher_comparison.compare(pd.concat(better))
    assert "Sonnet is better" in teacher_comparison.sentences(found)
    # in short, that sentence and how many others there are
    short = teacher_comparison.counted(pd.concat([found, table]))
    assert short.splitlines() == [
        teacher_comparison.sentences(found),
        "Teacher against teacher, 2 comparisons: 1 inconclusive.",
    ]
    assert teacher_comparison.counted(found) == teacher_comparison.sentences(found)


def test_teachers_whose_runs_agree_are_equivalent_within_the_margin():
    alike = seeds("a", "r1", [0.60, 0.61, 0.60]) + seeds("b", "sonnet", [0.61, 0.60, 0.61])
    found = [teacher_comparison.compare(pd.concat(alike), margin=m)["verdict"][0] for m in (5, 0.2)]
    assert found == ["equivalent", "inconclusive"]


def test_a_replicate_that_is_not_as_far_waits():
    parts = seeds("a", "r1", [0.6, 0.61]) + seeds("b", "sonnet", [0.7])
    late = [int(j < 70) for j in range(100)]
    parts += [run("b_seed1", "sonnet", [late[:60]]), run("a_seed2", "r1", [late, late])]
    table = teacher_comparison.compare(pd.concat(parts))
    # a_seed2 alone has come to step 200, and b_seed1 answered 60 of 100 problems in its only step
    assert table[["seeds", "steps", "n"]].to_numpy().tolist() == [["1 / 2", "200 / 100", 60]]


def test_only_runs_of_one_student_and_domain_are_compared_each_pair_in_its_family():
    parts = [
        run("a", "r1", [[1, 0] * 4]),
        run("b", "sonnet", [[1, 0] * 4]),
        run("c", "sonnet", [[1] * 8], student="t"),
        run("d", "sonnet", [[1] * 8], domain="code"),
        run("a", "r1", [[1] * 8], benchmark="mbpp_plus"),
        run("b", "sonnet", [[0] * 8], benchmark="mbpp_plus"),
        run("a2", "r1", [[1] * 8]),
        *seeds("e", "r1", [0.6, 0.61], student="u"),
        *seeds("f", "sonnet", [0.8, 0.81], student="u"),
    ]
    table = teacher_comparison.compare(pd.concat(parts))
    assert table["benchmark"].tolist() == ["math500", "math500", "mbpp_plus", "math500"]
    assert table["n"].tolist() == [8, 8, 8, 100]
    # a and b on two benchmarks are one family, and a2 and b are another
    assert table["p_adjusted"].tolist() == pytest.approx(table["p"].to_numpy() * [1, 1, 2, 1])
    assert table["verdict"][0] == teacher_comparison.ALONE
    assert table["level"].tolist() == pytest.approx([95, 95, 97.5, 95])


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
    assert (row.n, row.method) == (4, "clustered")
    assert (row.accuracy_first, row.accuracy_second) == (37.5, 75)
    failed = [run("a", "r1", [["sampling_error", 1]]), run("b", "sonnet", [[1, "grader_error"]])]
    table = teacher_comparison.compare(pd.concat(failed))
    assert table["verdict"].tolist() == ["—"] and "nothing can be said" in (
        teacher_comparison.sentences(table)
    )


def test_what_else_differs_is_said():
    parts = seeds("a", "r1", [0.5, 0.5], n=8) + seeds("b", "sonnet", [0.5], n=8)
    given = {
        "a": {"learning_rate": 2e-5, "max_steps": 500},
        "a_seed1": {"learning_rate": 2e-5, "max_steps": 400},
        "b": {"learning_rate": 2e-4, "max_steps": 500},
    }
    assert teacher_comparison.compare(pd.concat(parts), given)["also_differs"].tolist() == [
        "learning rate 2e-05 / 0.0002, max steps 500 / 400"
    ]
    assert teacher_comparison.compare(pd.concat(parts))["also_differs"].tolist() == [""]


def test_without_records_or_a_second_teacher_there_is_no_row():
    empty = teacher_comparison.compare(pd.DataFrame())
    assert empty.empty and list(empty) == teacher_comparison.COLUMNS
    assert teacher_comparison.compare(run("a", "r1", [[1, 0]])).empty
    assert teacher_comparison.sentences(empty) == ""

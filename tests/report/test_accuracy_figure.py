"""The figure of all runs: what it draws of one, two and ten runs, and what it leaves out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bench.simulated_records import Student, Study
from distill_nb.analysis import results
from distill_nb.report import accuracy_figure

LLAMA, QWEN = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def study(seed=0, problems=None):
    problems = problems or {"math500": 100, "mbpp_plus": 80}
    return Study(np.random.default_rng(seed), problems, Student(0.5))


def drawn(*runs):
    table = results.accuracy_of(pd.concat(runs))
    figure, data = accuracy_figure.accuracy_by_step(table)
    figure.draw_without_rendering()
    return figure, data, table


def lines(ax):
    """Lines through more than one point, as arrays of y."""
    return [line.get_ydata() for line in ax.lines if len(line.get_ydata()) > 1
            and line.get_linestyle() != "None"]  # fmt: skip


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_run_is_a_line_from_its_base_student_with_intervals():
    figure, data, table = drawn(study().run("a_run", Student(0.7), steps=(10, 20)))
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["MATH-500 (n = 100)", "MBPP+ (n = 80)"]
    own = table[table["benchmark"] == "math500"].sort_values("step")
    (line,) = lines(panels[0])
    assert line == pytest.approx(own["accuracy"].to_numpy())
    assert list(panels[0].get_xticks()) == [0, 10, 20]
    bars = panels[0].collections[0].get_segments()
    assert sorted(bar[0][1] for bar in bars) == pytest.approx(sorted(own["lo"]))
    assert list(data.columns) == accuracy_figure.COLUMNS and len(data) == 6
    assert legend(figure) == ["a_run"] and "a_run on MATH-500: " in figure.alt_text


def test_runs_of_other_teachers_and_domains_are_named_by_them():
    made = study()
    runs = [
        made.run(f"{teacher}_{domain}", Student(0.6), teacher=teacher, domain=domain, steps=(10,))
        for teacher in ("r1", "sonnet")
        for domain in ("math", "code")
    ]
    figure, *_ = drawn(*runs)
    assert sorted(legend(figure)) == ["R1 code", "R1 math", "Sonnet code", "Sonnet math"]


def test_runs_that_are_alike_have_their_names_and_a_look_each():
    made = study()
    figure, *_ = drawn(*(made.run(name, Student(0.6), steps=(10,)) for name in ("one", "two")))
    assert legend(figure) == ["one", "two"]
    looks = {(line.get_linestyle(), line.get_marker()) for line in figure.axes[0].lines
             if len(line.get_ydata()) == 2 and line.get_linestyle() != "None"}  # fmt: skip
    assert len(looks) == 2


def test_several_students_have_a_column_each_and_their_baselines_are_not_drawn_twice():
    runs = []
    for seed, student in enumerate((LLAMA, QWEN)):
        made = study(seed)
        kind = {"student": student, "steps": (10, 20)}
        runs += [made.run(f"r1_{seed}", Student(0.6), **kind),
                 made.run(f"sonnet_{seed}", Student(0.6), teacher="sonnet", **kind),
                 made.run(f"base_{seed}", teacher="none", domain="none", student=student,
                          steps=())]  # fmt: skip
    figure, data, _ = drawn(*runs)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:2] == ["Llama 8B\nMATH-500 (n = 100)", "Qwen Base\nMATH-500 (n = 100)"]
    assert titles[2:] == ["MBPP+ (n = 80)"] * 2
    assert set(data["run"]) == {"r1_0", "r1_1", "sonnet_0", "sonnet_1"}
    assert all(len(lines(ax)) == 2 for ax in figure.axes)


def test_baselines_alone_are_points():
    figure, data, _ = drawn(study().run("base", teacher="none", domain="none", steps=()))
    assert legend(figure) == ["base student"] and data["step"].tolist() == [0, 0]


def test_what_is_unfinished_is_left_out_and_named():
    run = study().run("a_run", Student(0.7), steps=(10, 20))
    answered = run["task_id"].str.split("/").str[1].astype(int) < 30
    cut = run[(run["step"] < 20) | answered]
    figure, data, _ = drawn(cut)
    assert set(data["step"]) == {0, 10}
    assert "not finished are left out: of a_run." in figure.alt_text

"""Labels beside points."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from distill_nb.analysis import results
from distill_nb.report import point_labels, run_figures, style


def drawn(points, lines=()):
    """The boxes of the labels of points, with lines in the panel, and the panel's frame."""
    figure, axes = style.grid(1, 1, 2)
    ax = axes[0, 0]
    ax.set(xlim=(0, 10), ylim=(0, 100))
    ax.plot(*points.T, ls="", marker="o")
    for line in lines:
        ax.plot(*np.array(line).T)
    figure.draw_without_rendering()
    point_labels.label_points(ax, points, [f"{i}00" for i in range(len(points))])
    boxes = [text.get_window_extent() for text in ax.texts]
    frame = ax.get_window_extent()
    plt.close(figure)
    return boxes, frame


def test_labels_of_points_that_lie_together_do_not_cover_each_other():
    points = np.array([[0.5, 5], [9, 90], [5, 50], [5.05, 50.5], [4.95, 50], [5, 51]])
    boxes, _ = drawn(points)
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_labels_stay_in_their_panel():
    corners = np.array([[0, 0], [10, 0], [0, 100], [10, 100.0]])
    boxes, frame = drawn(corners)
    for box in boxes:
        assert box.x0 > frame.x0 - 1 and box.x1 < frame.x1 + 1, (box, frame)
        assert box.y0 > frame.y0 - 1 and box.y1 < frame.y1 + 3, (box, frame)


def test_a_label_gives_way_to_a_line():
    point = np.array([[5.0, 50.0]])
    (free,), _ = drawn(point)
    through = (free.x0 + free.x1) / 2, (free.y0 + free.y1) / 2  # of the place that it takes
    figure, axes = style.grid(1, 1, 2)
    axes[0, 0].set(xlim=(0, 10), ylim=(0, 100))
    figure.draw_without_rendering()
    at = axes[0, 0].transData.inverted().transform(through)
    plt.close(figure)
    (moved,), _ = drawn(point, [[(at[0] - 1, at[1]), (at[0] + 1, at[1])]])
    assert not moved.y0 < through[1] < moved.y1 and abs(moved.x0 - free.x0) < 100


def test_of_many_checkpoints_only_the_last_of_each_run_is_named():
    rows = [
        dict(
            folder=f"run{i}", benchmark="math500", step=step, teacher="r1",
            accuracy=40.0 + i, lo=35.0, hi=50.0, mean_tokens=900.0 + 10 * i + step,
        )
        for i in range(2)
        for step in range(0, 800, 100)
    ]  # fmt: skip
    figure = run_figures.accuracy_against_tokens(pd.DataFrame(rows))
    assert [text.get_text() for text in figure.axes[0].texts] == ["700", "700"]
    few = run_figures.accuracy_against_tokens(pd.DataFrame(rows[:3]))
    assert [text.get_text() for text in few.axes[0].texts] == ["0", "100", "200"]
    assert few.axes[0].get_title() == "MATH-500"
    plt.close("all")


def test_bars_of_outcomes_have_a_row_a_run_whose_name_stands_above_it():
    def score(folder, benchmark, step):
        counts = dict(correct=3, wrong=5, no_answer=1, truncated=1, timeout=0)
        return dict(folder=folder, benchmark=benchmark, step=step, n=10, **counts) | dict.fromkeys(
            ["looping", "sampling_error", "grader_error"], 0
        )

    cells = [("a_run", "math500"), ("a_run", "mbpp_plus"), ("other", "math500")]
    steps = range(0, 600, 100)
    table = pd.DataFrame([score(*cell, step) for cell in cells for step in steps])
    figure = run_figures.outcome_bars(table)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["a_run\nMATH-500", "\nMBPP+", "other\nMATH-500", ""]
    assert [ax.axison for ax in figure.axes] == [True, True, True, False]
    figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(labels))
    assert "no answer" in [text.get_text() for text in figure.legends[0].get_texts()]
    empty = run_figures.outcome_bars(results.accuracy_of(pd.DataFrame()))
    assert "empty" in empty.alt_text
    plt.close("all")


def test_a_long_label_is_wrapped():
    assert style.wrapped("Llama 8B", 18) == "Llama 8B"
    wrapped = style.wrapped("meta-llama/Llama-3.1-8B-Instruct", 18)
    assert wrapped == "meta-llama/Llama-\n3.1-8B-Instruct"
    assert style.wrapped("a very long name of it", 10) == "a very\nlong name\nof it"
    assert style.wrapped("x" * 30, 10) == "x" * 30  # nowhere to break

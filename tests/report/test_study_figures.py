import platform
import re
import zlib

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from distill_nb.analysis.published import accuracies, comparisons
from distill_nb.report import change_figures, study_figures, training_figures
from distill_nb.report import style as plots
from distill_nb.runtime import paths

NAMES = [
    "best_checkpoints",
    "findings",
    "forgetting",
    "gains",
    "learning_curves",
    "learning_curves_code",
    "own_domain",
]


@pytest.fixture(scope="module")
def table():
    return accuracies.load_published()


@pytest.fixture(scope="module")
def made(table):
    return study_figures.study(table)


def as_drawn() -> bool:
    """Whether this machine draws as the one that drew the committed figures: matplotlib as pinned,
    and the processor, whose rounding may shift a line by a hair."""
    pinned = re.search(
        r"^matplotlib==(.+)$", (paths.ROOT / "constraints.txt").read_text(), re.MULTILINE
    )[1]
    return mpl.__version__ == pinned and platform.machine() == "x86_64"


def drawing(file):
    """What a PNG or PDF shows, whichever zlib packed it: its pixels, or its streams unpacked."""
    if file.suffix == ".png":
        pixels = mpl.image.imread(file)
        return pixels.shape, pixels.tobytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file.read_bytes(), re.DOTALL)
    assert streams
    return [zlib.decompressobj().decompress(s) if s[:1] == b"x" else s for s in streams]


def test_another_drawing_is_told_apart(table, tmp_path):
    """The comparison sees a point that moved by one percent, in both formats."""
    other = table.assign(accuracy=table["accuracy"].mask(table["accuracy"] == 72, 73))
    old, new = (
        study_figures.save("gains", change_figures.gains(t), tmp_path / str(i))
        for i, t in enumerate((table, other))
    )
    assert all(
        drawing(a) == drawing(a) != drawing(b) for a, b in zip(old[:2], new[:2], strict=True)
    )


def test_no_teachers_colour_means_anything_else():
    own = [plots.TEACHER_COLOURS[name] for name in ("qwq", "glm", "qwq")]
    assert own[0] == own[2] != own[1]
    known = ("r1", "sonnet", "none", "generator", "generator, thinking")
    teachers = {plots.TEACHER_COLOURS[t] for t in known} | set(plots.TEACHER_COLOURS.FREE)
    assert len(teachers) == 5 + len(plots.TEACHER_COLOURS.FREE)
    for colours in (
        plots.OUTCOME_COLOURS,
        plots.PART_COLOURS,
        plots.VERDICT_COLOURS,
        plots.LOSS_COLOURS,
    ):
        assert not teachers & set(colours.values()) and len(set(colours.values())) == len(colours)
    verdicts = set(comparisons.VERDICTS) - {"not testable"}
    assert set(plots.VERDICT_COLOURS) == set(plots.VERDICT_MARKERS) == verdicts
    assert len(set(plots.VERDICT_MARKERS.values())) == len(verdicts)
    metrics = pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0], "heldout_loss": [np.nan, 1.5]})
    lines = training_figures.loss(metrics)[0].axes[0].lines
    assert [mpl.colors.to_hex(line.get_color()).upper() for line in lines[1:]] == list(
        plots.LOSS_COLOURS.values()
    )


def test_the_committed_figures_are_those_of_the_published_numbers(made, tmp_path):
    assert sorted(made) == NAMES
    for name, figure_and_data in made.items():
        for new in study_figures.save(name, figure_and_data, tmp_path):
            committed = paths.ROOT / "figures" / new.name
            assert committed.is_file(), f"{committed.name} is not there: make figures"
            if new.suffix == ".csv":
                assert committed.read_text() == new.read_text(), (
                    f"{committed.name} is out of date: make figures"
                )
            elif as_drawn():
                assert drawing(committed) == drawing(new), (
                    f"{committed.name} is out of date: make figures"
                )
    assert sorted(f.stem for f in (paths.ROOT / "figures").glob("*.png")) == NAMES


def test_every_figure_says_what_it_shows(made, table):
    words = {name: figure.alt_text for name, (figure, _) in made.items()}
    assert len(set(words.values())) == len(words)
    assert (
        "go from −40.0" in words["learning_curves"]
        and "on MATH-500 from 40% to 0%" in words["learning_curves"]
    )
    assert "finding 5, supported 10; finding 6, inconclusive 4." in words["findings"]
    assert "finding 7, inconclusive 8, supported 5, contradicted 4." in words["own_domain"]
    assert "in the other domain the changes go from −44.7 to +7.0 points" in words["forgetting"]
    assert "empty" in change_figures.gains(table[:0])[0].alt_text
    metrics = pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0], "heldout_loss": [np.nan, 1.5]})
    assert (
        "from 2.00 at step 1 to 1.00 nats per token at step 2"
        in training_figures.loss(metrics)[0].alt_text
    )


def test_the_same_numbers_give_the_same_bytes(table, tmp_path):
    first, second = (
        study_figures.save("gains", change_figures.gains(table), tmp_path / str(i)) for i in (1, 2)
    )
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]
    assert [f.read_bytes()[:4] for f in first[:2]] == [b"\x89PNG", b"%PDF"]


def test_learning_curves_hold_every_sweep_cell_and_each_teacher_its_colour(table):
    figure, data = study_figures.learning_curves(table, ("math500", "mbpp_plus"))
    assert len(data) == len(table[table["benchmark"].isin(["math500", "mbpp_plus"])]) == 106
    assert ((data["lo"] <= data["accuracy"]) & (data["accuracy"] <= data["hi"])).all()
    ax = figure.axes[0]
    shown = {line.get_label(): line for line in ax.containers}
    assert list(shown) == ["R1 math", "R1 code", "Sonnet math", "Sonnet code"]
    colours = {label: bars[0].get_color() for label, bars in shown.items()}
    assert (
        colours["R1 math"] == colours["R1 code"] != colours["Sonnet math"] == colours["Sonnet code"]
    )
    assert list(shown["R1 math"][0].get_ydata()) == [58, 72, 65, 65, 67]


def test_gains_are_differences_to_the_baseline(table):
    _, data = change_figures.gains(table)
    assert len(data) == 50  # ten runs, five checkpoints
    row = data[
        (data["student"].str.contains("Llama"))
        & (data["teacher"] == "sonnet")
        & (data["domain"] == "math")
        & (data["step"] == 500)
    ].iloc[0]
    assert (row["math_change"], row["code_change"]) == (10, 7)
    assert row["math_lo"] < 10 < row["math_hi"] and row["math_lo"] > 0


def test_best_checkpoints_show_the_baseline_and_flag_what_the_study_flags(table):
    _, data = study_figures.best_checkpoints(table)
    instruct = data[data["student"].str.contains("Instruct-2507")]
    flagged = instruct[instruct["flagged"]]
    assert set(flagged["benchmark"]) == {"humaneval_plus", "livecodebench"} and set(
        flagged["step"]
    ) == {200}
    assert len(data[data["step"] == 0]) == 4 + 4 + 2


def test_runs_that_differ_in_learning_rate_alone_are_told_apart(table):
    twin = table[(table["teacher"] == "r1") & (table["domain"] == "math")].assign(
        learning_rate=2e-4
    )
    figure, _ = study_figures.learning_curves(
        pd.concat([table, twin], ignore_index=True), ("math500",)
    )
    labels = [c.get_label() for c in figure.axes[0].containers]
    assert "R1 math, 2e-5" in labels and "R1 math, 2e-4" in labels


def test_runs_of_one_teacher_and_domain_have_lines_of_their_own(table):
    one = table[
        (table["benchmark"] == "math500")
        & table["student"].str.contains("Base")
        & (table["teacher"] != "sonnet")
        & (table["domain"] != "code")
    ]
    both = pd.concat(
        [one, one[one["step"] > 0].assign(learning_rate=1e-3, run="other", folder="other")]
    )
    labels, styles = zip(
        *((label, line) for label, _, _, line, _ in plots.labelled_runs(both)), strict=True
    )
    assert len(labels) == 2 == len(set(labels)) == len({str(style) for style in styles})
    figure, _ = study_figures.learning_curves(both)
    drawn = [
        str(line.get_linestyle()) + str(line._unscaled_dash_pattern)
        for line in figure.axes[0].lines
        if line.get_marker() == "o" and len(line.get_xdata()) == 5
    ]
    assert len(drawn) == 2 == len(set(drawn))


def test_our_own_runs_draw_too(table):
    ours = table.replace({"benchmark": {"math500": "pocket_math", "mbpp_plus": "pocket_code"}})
    ours = ours[
        ours["benchmark"].isin(["pocket_math", "pocket_code"])
        & ours["student"].str.contains("Base")
    ]
    for draw in (
        study_figures.learning_curves,
        change_figures.forgetting,
        change_figures.gains,
        study_figures.best_checkpoints,
    ):
        figure, data = draw(ours)
        assert len(data) and set(data.get("benchmark", ["pocket_math"])) <= {
            "pocket_math",
            "pocket_code",
        }
        assert figure.axes

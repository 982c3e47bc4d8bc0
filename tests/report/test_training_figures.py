"""The figures of a training: what they draw is what is on disk."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from distill_nb.report import training_figures

GIB = 2**30


@pytest.fixture
def metrics():
    """40 steps, of which the second half is half as fast."""
    steps = np.arange(1, 41)
    return pd.DataFrame({
        "step": steps,
        "loss": 2.0 - steps / 40,
        "heldout_loss": [1.5 if step % 20 == 0 else np.nan for step in steps],
        "learning_rate": 1e-3 * (1 - steps / 40),
        "grad_norm": np.where(steps == 7, 5.0, 1.0),
        "tokens": 100 * steps,
        "tokens_per_second": np.where(steps <= 20, 200.0, 100.0),
        "seconds": np.where(steps <= 20, 0.5, 1.0),
        "data_seconds": 0.1,
        "memory_bytes": np.where(steps <= 20, 1, 3) * GIB,
        "memory_peak_bytes": np.where(steps <= 20, 2, 4) * GIB,
        "micro_batch_sequences": np.where(steps <= 20, 4, 2),
        "micro_batch_tokens_least": 40,
        "micro_batch_tokens_most": 60 + steps,
    })  # fmt: skip


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("steps", "wide"), [(1, 1), (4, 1), (19, 1), (30, 3), (100, 5), (120, 5), (500, 25), (9000, 25)]
)
def test_a_smoothed_curve_is_the_mean_of_an_odd_number_of_steps(steps, wide):
    assert training_figures.window(steps) == wide


def test_the_loss_is_drawn_raw_and_smoothed(metrics):
    metrics.loc[9, "loss"] = 5.0
    figure, data = training_figures.loss(metrics, "mine")
    raw, mean, heldout = figure.axes[0].lines
    assert raw.get_ydata().tolist() == metrics["loss"].tolist() and raw.get_alpha() < 1
    assert mean.get_ydata()[9] == pytest.approx(metrics["loss"][8:11].mean())
    assert heldout.get_xdata().tolist() == [20, 40]
    assert data["loss_smoothed"].tolist() == mean.get_ydata().tolist()
    assert "mean of 3 steps" in figure.axes[0].get_legend().get_texts()[0].get_text()
    assert "from 1.98 at step 1 to 1.00 nats per token at step 40" in figure.alt_text


def test_the_mean_of_the_whole_run_stands_beside_the_last_value(metrics):
    # 4,000 tokens in 20 x 0.5 s and 20 x 1 s: not the mean of 200 and 100
    assert training_figures.mean_speed(metrics) == pytest.approx(4000 / 30)
    figure, data = training_figures.speed_and_memory(metrics)
    speed, memory = figure.axes
    assert speed.get_title() == "tokens/s: mean 133, last 100"
    assert memory.get_title() == "memory: mean 2.00 GiB, last 3.00 GiB"
    assert figure.alt_text.endswith("memory in GiB: mean 2.00, last 3.00, at most 4.00.")
    assert data["memory_peak_gib"].tolist() == [2.0] * 20 + [4.0] * 20


def test_gradient_norm_learning_rate_and_micro_batches(metrics):
    figure, data = training_figures.optimiser(metrics)
    assert "from 1 to 1, 5 at most" in figure.alt_text and data["grad_norm"].max() == 5
    figure, data = training_figures.micro_batches(metrics)
    assert figure.alt_text.endswith("2 to 4 sequences, and 40 to 100 tokens.")
    most, least = figure.axes[0].lines
    assert most.get_ydata()[-1] == 100 and least.get_ydata()[-1] == 40
    assert data["micro_batch_sequences"].tolist() == [4] * 20 + [2] * 20


def test_the_parts_of_the_time_add_up():
    seconds = {"data": 10.0, "load": 5.0, "steps": 80.0, "held-out loss": 2.0, "saving": 3.0}
    figure, data = training_figures.time_split(seconds)
    bars = figure.axes[0].patches
    assert [bar.get_width() * 60 for bar in bars] == pytest.approx(list(seconds.values()))
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(100 / 60)
    assert data["percent"].tolist() == pytest.approx(list(seconds.values()))
    assert "steps 80 seconds (80%)" in figure.alt_text
    assert training_figures.time_split({}) is None


def test_the_histogram_of_lengths_marks_the_limit():
    ledger = {
        "length_bins": {"width": 10, "counts": [0, 3, 2, 1]}, "max_length": 20, "traces": 6,
        "over_max_length": 3, "tokens_p50": 20, "longest": 39,
    }  # fmt: skip
    figure, data = training_figures.lengths(ledger, "mine")
    (ax,) = figure.axes
    within, over = ax.containers
    assert [bar.get_height() for bar in within] == [0, 3]
    assert [bar.get_height() for bar in over] == [2, 1]
    assert ax.lines[0].get_xdata() == [20, 20]
    assert "3 (50.0%) are over it" in figure.alt_text and data["traces"].sum() == 6
    assert training_figures.lengths({"max_length": 20}) is None


def test_what_an_earlier_version_did_not_record_is_left_out(metrics):
    old = metrics[["step", "loss", "heldout_loss", "learning_rate", "grad_norm", "tokens",
                   "tokens_per_second"]]  # fmt: skip
    figure, data = training_figures.speed_and_memory(old)
    assert len(figure.axes) == 1 and list(data) == ["step", "tokens_per_second"]
    assert training_figures.micro_batches(old) is None

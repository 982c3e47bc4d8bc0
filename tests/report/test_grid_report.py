"""The heat map of a grid, and what the notebook shows."""

import json

import numpy as np
import pandas as pd

from distill_nb.analysis import grid_choice
from distill_nb.report import grid_figures, grid_report
from tests.analysis.test_grid import TRAINED, records
from tests.analysis.test_grid_effects import HIGH, LOW, simulated, truth


def test_the_heat_map_has_each_setting_at_its_place_and_marks_the_best():
    shares = truth(rate=0.2)
    found = simulated(np.random.default_rng(0), shares, n=2000, seed_sd=0)
    ranked = [
        s._replace(values=(s.values[0], rank), shares=s.shares * (rank == 32))
        for s in found.settings
        for rank in (8, 32)
    ]
    two = found._replace(keys=("learning_rate", "lora_rank"), settings=ranked)
    choice = grid_choice.choose(two)
    figure, data = grid_figures.heat_map([choice])
    assert len(data) == 8 and data["best"].sum() == 1
    panels = [ax for ax in figure.axes if ax.get_title()]
    titles = ["s, math\nR1", "s, math\nSonnet"]
    assert [ax.get_title() for ax in panels] == titles
    for ax, teacher in zip(panels, ("r1", "sonnet"), strict=True):
        assert [t.get_text() for t in ax.get_xticklabels()] == ["2e-5", "2e-4"]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["8", "32"]
        image = np.asarray(ax.images[0].get_array())
        expected = [[0, 0], [100 * shares[teacher, LOW], 100 * shares[teacher, HIGH]]]
        assert abs(image - expected).max() < 5
        assert {f"{v:.1f}" for v in image.ravel()} == {
            t.get_text().removesuffix(" ★") for t in ax.texts
        }
    starred = [t for ax in panels for t in ax.texts if "★" in t.get_text()]
    assert len(starred) == 1 and starred[0].get_text().startswith(f"{choice.rest[choice.best]:.1f}")
    assert tuple(starred[0].get_position()) == (1, 1)  # the high rate, rank 32
    nothing, empty = grid_figures.heat_map([])
    assert empty.empty and not nothing.axes[0].images


def test_the_notebook_shows_a_grid_or_says_that_there_is_none(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *parts, **_: shown.extend(parts))
    found = records("a", "b", n=40)
    for name, rank in (("a", 8), ("b", 32)):
        (tmp_path / name).mkdir()
        record = {"parameters": TRAINED | {"lora_rank": rank}}
        (tmp_path / name / "provenance_train.json").write_text(json.dumps(record))
    grid_report.show(found, tmp_path)
    whose, best, figure, table, folded = (getattr(part, "data", part) for part in shown)
    assert whose == "<p>No two teachers were tried at two values of one setting.</p>"
    assert best.startswith("<p>s, math, MATH-500: of 2 settings the best by ")
    assert "lora rank" in best and "the best by dev" in table and "<details>" in folded
    assert "the best" in figure["text/plain"] and "<svg" in figure["image/svg+xml"]
    (tmp_path / "b" / "provenance_train.json").unlink()
    for records_now in (found, pd.DataFrame()):
        shown.clear()
        grid_report.show(records_now, tmp_path)
        assert [part.data for part in shown] == [f"<p>{grid_report.NOTHING}</p>"]

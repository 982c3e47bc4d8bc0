"""What a change is made of, as a figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bench.simulated_records import Student, Study
from distill_nb.analysis import change_parts, diagnosis
from distill_nb.report import part_figures, style


@pytest.fixture(scope="module")
def drawn():
    study = Study(np.random.default_rng(0), {"math500": 300}, Student(0.6, unboxed=0.1))
    runs = [study.run("long", Student(0.6, cut_off=0.3), steps=(10, 20))]
    runs.append(study.run("boxed", Student(0.7), steps=(10, 20)))
    records = pd.concat(runs, ignore_index=True)
    split = change_parts.parts(records)
    found = diagnosis.diagnose(records, split=split)
    return found, split, part_figures.parts(found, split)


def test_the_bars_of_a_checkpoint_are_its_parts_and_end_where_they_add_up(drawn):
    found, split, (figure, data) = drawn
    last = diagnosis.last_checkpoints(found)
    assert len(figure.axes) == len(last) == 2 and set(data["step"]) == {20}
    for ax, r in zip(figure.axes, last.itertuples(), strict=True):
        own = split[(split["folder"] == r.folder) & (split["step"] == 20)].set_index("part")
        own = own[(own["gained"] > 0) | (own["lost"] > 0)]
        bars = [bar for bar in ax.patches if bar.get_width()]
        assert sorted(b.get_width() for b in bars) == pytest.approx(sorted(own["change"]))
        ends = [b.get_x() + b.get_width() for b in bars]
        assert min(0, *ends) + max(0, *ends) == pytest.approx(r.change)
        labels = [text.get_text() for text in ax.get_yticklabels()]
        assert labels == [
            "all",
            *(p.replace("_", " ") for p in change_parts.PARTS if p in own.index),
        ]
        assert r.verdict in " ".join(ax.get_title(loc="left").split())
        marker = {"loss": "v", "gain": "^"}.get(r.score, "D")
        assert marker in [line.get_marker() for line in ax.lines]
        assert r.verdict in figure.alt_text
    plt.close(figure)


def test_each_part_has_a_hatch_a_marker_and_a_colour_of_its_own(drawn):
    looks = list(part_figures.LOOKS.values())
    assert part_figures.LOOKS.keys() == style.PART_COLOURS.keys() == change_parts.PARTS.keys()
    assert len({hatch for hatch, _ in looks}) == len({marker for _, marker in looks}) == len(looks)


def test_without_a_verdict_there_is_nothing_to_draw(drawn):
    found, split, _ = drawn
    figure, data = part_figures.parts(found.iloc[:0], split.iloc[:0])
    assert data.empty and "no checkpoint with the data" in figure.alt_text
    plt.close(figure)


def test_a_comparison_names_no_step(drawn):
    found, split, (figure, _) = drawn
    plain, _ = part_figures.parts(found, split, steps=False)
    titles = [[ax.get_title(loc="left") for ax in f.axes] for f in (figure, plain)]
    assert any(", step " in title for title in titles[0])
    assert not any("step" in title for title in titles[1])

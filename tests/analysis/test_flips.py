import numpy as np
import pandas as pd
import pytest

from bench.simulated_records import Student, Study
from distill_nb.analysis import change_parts, flips
from distill_nb.benchmarks import Task
from distill_nb.report import flips_view


def rows(*entries):
    """Records from (task_id, step, outcome, lenient_outcome)."""
    return pd.DataFrame(
        [
            {
                "benchmark": "math500",
                "task_id": t,
                "sample": 0,
                "step": s,
                "outcome": o,
                "lenient_outcome": lo,
                "answer": "7" if o in ("correct", "wrong") else "",
                "completion": f"<b>{t}</b> at {s}",
            }
            for t, s, o, lo in entries
        ]
    )


RECORDS = rows(
    ("gain", 0, "wrong", "wrong"),
    ("gain", 9, "correct", "correct"),
    ("loss", 0, "correct", "correct"),
    ("loss", 9, "wrong", "wrong"),
    ("box", 0, "correct", "correct"),
    ("box", 9, "wrong", "correct"),
    ("cut", 0, "correct", "correct"),
    ("cut", 9, "truncated", "truncated"),
    ("found", 0, "truncated", "truncated"),
    ("found", 9, "correct", "correct"),
    ("same", 0, "correct", "correct"),
    ("same", 9, "correct", "correct"),
    ("failed", 0, "correct", "correct"),
    ("failed", 9, "sampling_error", "sampling_error"),
    ("ours", 0, "grader_error", "wrong"),
    ("ours", 9, "correct", "correct"),
    ("only", 0, "correct", "correct"),
    ("gain", 5, "wrong", "wrong"),
)
TASKS = {
    ("math500", t): Task(t, f"What is {t} & more?", "math", gold="<7>")
    for t in set(RECORDS["task_id"])
}


def test_a_flip_is_named_by_what_it_is_where_it_is_not_correct_and_errors_are_none():
    found = flips.flips(RECORDS)
    assert dict(zip(found["task_id"], found["kind"], strict=True)) == {
        "gain": "gained skill",
        "found": "gained by length",
        "loss": "lost skill",
        "box": "lost format",
        "cut": "lost to length",
    }
    assert flips.counts(found).loc["math500"].to_dict() == dict.fromkeys(found["kind"], 1)
    assert list(flips.counts(found)) == [kind for kind in flips.KINDS if kind in set(found["kind"])]
    assert flips.flips(RECORDS, step=5).empty and flips.flips(RECORDS[RECORDS["step"] > 0]).empty
    assert flips.flips(RECORDS.head(0)).empty and flips.counts(flips.flips(RECORDS, 5)).empty


def test_flips_are_the_parts_of_the_change():
    study = Study(np.random.default_rng(0), {"a": 200}, Student(0.6, 0.1, 0.1, 0.05, 0.1))
    records = study.run(after=Student(0.5, 0.2, 0.1, 0.1, 0.2), steps=(10,))
    found = flips.flips(records)["kind"].value_counts()
    for r in change_parts.parts(records).itertuples():
        counts = [found.get(word, 0) for word in change_parts.WORDS[r.part]]
        assert [r.lost, r.gained] == pytest.approx([c / 2 for c in counts])


def test_the_view_shows_both_sides_and_escapes_what_a_student_wrote():
    html = flips_view.view(flips.flips(RECORDS), TASKS, 9).data
    assert (
        html.count("<details") == 5
        and "<b>gain</b>" not in html
        and "&lt;b&gt;gain&lt;/b&gt; at 0" in html
    )
    assert "What is box &amp; more?" in html and "&lt;7&gt;" in html and "step 9: truncated" in html
    assert 'data-kind="lost format"' in html and "5 shown" in html and "http" not in html
    assert "No answer flipped" in flips_view.view(flips.flips(RECORDS, 5), TASKS, 5).data


def test_a_long_view_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(flips_view, "SHOWN", 3)
    twice = rows(("loss again", 0, "correct", "correct"), ("loss again", 9, "wrong", "wrong"))
    found = flips.flips(pd.concat([RECORDS, twice], ignore_index=True))
    html = flips_view.view(found, TASKS, 9).data
    assert html.count("<details") == 3 and "3 more flips are in the records" in html
    # kinds are taken in turn
    assert len({k for k in flips.KINDS if f'data-kind="{k}"' in html}) == 3
    assert flips_view._short("a" * 7000).startswith("a" * 3000 + "\n[… 1000 characters …]\n")

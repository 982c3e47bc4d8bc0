import pandas as pd

from distill_nb.analysis import flips
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


def test_a_lost_format_is_told_from_a_lost_skill_and_errors_are_no_flips():
    found = flips.flips(RECORDS)
    assert dict(zip(found["task_id"], found["kind"], strict=True)) == {
        "gain": "gained",
        "loss": "lost",
        "box": "lost format",
        "cut": "lost format",
    }
    assert flips.counts(found).loc["math500"].to_dict() == {
        "gained": 1,
        "lost": 1,
        "lost format": 2,
    }
    assert (
        len(flips.flips(RECORDS, step=5)) == 0
        and len(flips.flips(RECORDS[RECORDS["step"] > 0])) == 0
    )
    assert len(flips.flips(RECORDS.head(0))) == 0


def test_the_view_shows_both_sides_and_escapes_what_a_student_wrote():
    html = flips_view.view(flips.flips(RECORDS), TASKS, 9).data
    assert (
        html.count("<details") == 4
        and "<b>gain</b>" not in html
        and "&lt;b&gt;gain&lt;/b&gt; at 0" in html
    )
    assert "What is box &amp; more?" in html and "&lt;7&gt;" in html and "step 9: truncated" in html
    assert 'data-kind="lost format"' in html and "4 shown" in html and "http" not in html
    assert "No answer flipped" in flips_view.view(flips.flips(RECORDS, 5), TASKS, 5).data


def test_a_long_view_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(flips_view, "SHOWN", 3)
    html = flips_view.view(flips.flips(RECORDS), TASKS, 9).data
    assert html.count("<details") == 3 and "1 more flips are in the records" in html
    # kinds are taken in turn
    assert {k for k in flips.KINDS if f'data-kind="{k}"' in html} == set(flips.KINDS)
    assert flips_view._short("a" * 7000).startswith("a" * 3000 + "\n[… 1000 characters …]\n")

"""Which comparisons the landing page offers, and that a page is made again only where it must."""

import numpy as np
import pytest
from simulated_runs import POCKET, given_of, write_run

from bench.simulated_records import Student, Study
from distill_nb.analysis import results
from distill_nb.report import compare_page, run_pairs
from distill_nb.report.run_pairs import Pair

RISES_AND_FALLS = {10: Student(0.5), 20: Student(0.95), 30: Student(0.6)}


@pytest.fixture
def scale(tmp_path):
    """Two math runs, one code run and a baseline of one student; the best checkpoint of `one` is
    not its last, and `unfinished` has only finished step 10."""
    study = Study(np.random.default_rng(5), POCKET, Student(0.4))
    kinds = {"one": "run09.yaml", "two": "run07.yaml", "code": "run10.yaml",
             "unfinished": "run09.yaml"}  # fmt: skip
    for name, file in kinds.items():
        how = {"evaluated_to": 20, "keep": 0.5} if name == "unfinished" else {}
        after = RISES_AND_FALLS if name == "one" else Student(0.6)
        write_run(tmp_path, given_of(file, "pocket.yaml", run_name=name), study, after, **how)
    write_run(tmp_path, given_of("baseline_llama.yaml", "pocket.yaml"), study)
    return tmp_path


def found_in(scale):
    return run_pairs.pairs(results.load_records(scale, texts=False))


def test_every_two_runs_of_one_student_in_one_domain_at_their_last_finished_checkpoint(scale):
    runs = [pair for pair in found_in(scale) if pair.first[1]]
    assert runs == [
        Pair(("one", 30), ("two", 30)),
        Pair(("one", 30), ("unfinished", 10)),
        Pair(("two", 30), ("unfinished", 10)),
    ]


def test_base_students_with_the_last_checkpoint_and_the_best(scale):
    bases = {pair[:2]: pair.note for pair in found_in(scale) if not pair.first[1]}
    assert bases[("one", 0), ("one", 30)] == ""
    assert bases[("one", 0), ("one", 20)] == (
        "Step 20 is the best of 3 checkpoints on pocket_math, chosen on these problems: it looks "
        "better than it is."
    )
    assert (("code", 0), ("code", 30)) in bases
    assert (("unfinished", 0), ("unfinished", 10)) in bases
    assert not [pair for pair in bases if "baseline_llama" in pair[0]]


def test_pages_are_made_and_stay_until_something_changes(scale, monkeypatch):
    made = []
    write = compare_page.write
    monkeypatch.setattr(compare_page, "write", lambda *a: made.append(a[1].name) or write(*a))
    pairs = found_in(scale)[:1]
    before = run_pairs.offered(scale, pairs)
    assert [(row.file, row.command) for row in before] == [("", "distill-nb compare one@30 two@30")]
    for _ in range(2):
        run_pairs.make(scale, pairs, 5.0)
    assert made == ["compare_one_30_and_two_30.html"]
    (row,) = run_pairs.offered(scale, pairs)
    assert row.file == made[0] and row.title == "one, step 30, and two, step 30"
    assert row.short.count(" points, ") == 2 and "pocket code" in row.short
    run_pairs.make(scale, pairs, 1.0)  # another margin
    file = scale / "two" / "provenance_train.json"
    file.write_text(file.read_text().replace('"lora_rank": 32', '"lora_rank": 8'))
    run_pairs.make(scale, pairs, 1.0)
    assert len(made) == 3


def test_the_page_says_how_its_checkpoint_was_chosen(scale):
    (pair,) = [pair for pair in found_in(scale) if pair.note and pair.first[0] == "one"]
    run_pairs.make(scale, [pair], 5.0)
    page = (scale / "report" / "compare_one_0_and_one_20.html").read_text(encoding="utf-8")
    assert pair.note in page


def test_comparisons_that_were_made_by_hand_follow(scale):
    (scale / "report").mkdir()
    page = scale / "report" / "compare_x_1_and_y_2.html"
    page.write_text(
        '<meta content="MATH-500 &lt;b&gt;" name="description"/><title>Compare · x</title>'
    )
    (row,) = run_pairs.offered(scale, [])
    assert row == ("x", page.name, "MATH-500 <b>", "", "", False)


def test_more_pairs_than_are_made_are_offered_with_the_command(scale, monkeypatch):
    monkeypatch.setattr(run_pairs, "MOST", 1)
    pairs = found_in(scale)[:3]
    run_pairs.make(scale, pairs, 5.0)
    assert [bool(row.file) for row in run_pairs.offered(scale, pairs)] == [True, False, False]


def test_a_pair_that_cannot_be_made_keeps_no_other_from_it(scale, caplog):
    pairs = [Pair(("one", 30), ("one", 77)), *found_in(scale)[:1]]
    run_pairs.make(scale, pairs, 5.0)
    assert "Not compared: " in caplog.text
    assert [bool(row.file) for row in run_pairs.offered(scale, pairs)] == [False, True]

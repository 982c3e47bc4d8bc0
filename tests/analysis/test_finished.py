"""Which evaluations are finished, by the records and by what their provenance asked for."""

import json

import pandas as pd
from answer_records import records

from distill_nb.analysis import finished, results, tidy

ROWS = [[1, 0, 1, 0], [1, 1, 1, 1], [1, 0, None, None]]


def test_an_evaluation_is_finished_when_every_problem_has_all_its_answers():
    found = finished.progress(records(ROWS)).loc[("run", "pocket_math")]
    assert found["answered"].tolist() == [4, 4, 2] and set(found["of"]) == {4}
    assert found["finished"].tolist() == [True, True, False]
    # two samples: the third problem has one of its two
    half = [[1, 0] * 4, [1, 1, 1, 0, 0, None, None, None]]
    found = finished.progress(records(half, samples=2)).loc[("run", "pocket_math")]
    assert found["answered"].tolist() == [4, 2]
    assert finished.progress(records(ROWS).iloc[:0]).empty


def test_each_run_and_benchmark_is_counted_by_itself():
    both = pd.concat([records(ROWS), records([[1] * 9] * 2, benchmark="math500")])
    of = finished.progress(both)["of"].groupby("benchmark").first()
    assert of.to_dict() == {"math500": 9, "pocket_math": 4}


def test_what_provenance_asked_for_counts(tmp_path):
    """Three answers at each step are all that there is, of four: nothing is finished."""
    columns = dict(run_name="run", student="s", teacher="r1", completion_tokens=1)
    for step, answers in records([[1, 0, 1], [1, 1, 1]]).groupby("step"):
        file = tmp_path / "run" / "eval" / f"step_{step:05d}" / "pocket_math.jsonl"
        file.parent.mkdir(parents=True)
        answers = answers.assign(**columns, lenient_outcome="wrong", second_outcome="wrong")
        answers.drop(columns="folder").to_json(file, orient="records", lines=True)
    assert set(results.load_records(tmp_path)["asked"]) == {0}
    assert finished.progress(results.load_records(tmp_path))["finished"].all()
    provenance = tmp_path / "run" / "provenance_eval.json"
    provenance.write_text(json.dumps({"benchmarks": {"pocket_math": {"taken": 4}}}))
    loaded = results.load_records(tmp_path)
    assert finished.asked(tmp_path) == {("run", "pocket_math"): 4}
    assert finished.progress(loaded)["answered"].tolist() == [3, 3]
    assert not finished.progress(loaded)["finished"].any()
    table = results.accuracy_of(loaded)
    assert tidy.table(table).empty
    assert results.wide_table(table).iloc[0, 0].endswith(" of 3/4")
    provenance.write_text("{")  # damaged: it says nothing
    assert finished.asked(tmp_path) == {}


def test_a_choice_needs_two_finished_checkpoints():
    (choice,) = finished.choices(records([*ROWS, [1, 1, 0, 1]]))
    assert (choice.steps, choice.why_not) == ([10, 30], "")
    assert set(choice.records["step"]) == {10, 30}
    (choice,) = finished.choices(records(ROWS))
    assert choice.why_not == "only step 10 is finished on pocket_math"
    (choice,) = finished.choices(records([*ROWS[:1], *ROWS[2:]]))
    assert choice.why_not == "no checkpoint is finished on pocket_math"
    assert list(finished.choices(records(ROWS[:1]))) == []

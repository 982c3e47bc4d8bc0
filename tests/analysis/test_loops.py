import pandas as pd

from distill_nb.analysis import change_parts, loops, results


def record(step, i, outcome, reason, tokens, **more):
    return dict(
        folder="run", run_name="run", student="s", teacher="r1", domain="math",
        benchmark="math500", step=step, task_id=f"t{i}", sample=0, outcome=outcome,
        lenient_outcome=outcome, second_outcome=outcome, finish_reason=reason,
        completion_tokens=tokens, **more,
    )  # fmt: skip


RECORDS = pd.DataFrame(
    [
        *(record(0, i, "correct", "stop", 100) for i in range(4)),  # before loops were named
        record(10, 0, "looping", "length", 1000, loop_tokens=700),
        record(10, 1, "looping", "loop", 400, loop_tokens=256, not_generated=600),
        record(10, 2, "correct", "loop", 500, loop_tokens=256, not_generated=500),
        record(10, 3, "truncated", "length", 1000, loop_tokens=0),
    ]
)


def test_loops_are_counted_with_the_tokens_they_took_and_those_that_were_left_out():
    table = loops.table(RECORDS)
    assert table.to_dict("records") == [
        {
            "folder": "run", "benchmark": "math500", "step": 10, "answers": 4, "looping": 2,
            "percent": 50.0, "tokens": 2900, "in_loops": 1212, "not_generated": 1100,
        }
    ]  # fmt: skip
    assert loops.sentence(table) == (
        "2 answers loop to their end without an answer; 1,212 of 2,900 tokens in the rows below "
        "belong to loops. stop_on_loop left up to 1,100 tokens out."
    )
    without = loops.table(RECORDS.iloc[[0, 4]])
    assert loops.sentence(without).endswith("stop_on_loop would leave most of them out.")
    old = RECORDS[RECORDS["step"] == 0].drop(columns=["loop_tokens", "not_generated"])
    assert loops.table(old).empty and loops.table(pd.DataFrame()).empty
    assert loops.sentence(loops.table(old)) == "No answer ended in a loop."


def test_an_answer_that_loops_is_not_correct_and_counts_as_cut_off():
    table = results.accuracy_of(RECORDS).set_index("step")
    assert table.loc[10, "looping"] == 2 and table.loc[10, "truncated"] == 1
    assert table.loc[10, "accuracy"] == 25 and table.loc[0, "looping"] == 0
    kinds = change_parts.classes(RECORDS[RECORDS["step"] == 10])
    assert kinds.tolist() == ["cut_off", "cut_off", "correct", "cut_off"]
    assert change_parts.at_limit(RECORDS).tolist() == [False] * 4 + [True] * 4
    split = change_parts.parts(RECORDS).set_index("part")
    assert split.loc["cut_off", "change"] == -75 and split["change"].sum() == -75

"""Our own records → accuracy table, tidy table, and the table for reading."""

import json

import numpy as np
import pytest

from bench import simulated_seeds
from distill_nb.analysis import baseline_changes, results, stats, tidy
from distill_nb.analysis import names as analysis_names
from distill_nb.analysis.published import accuracies


def write(scale, folder, step, outcomes, benchmark="pocket_math", student="s", domain="math"):
    """One file of records. outcomes: [problems][samples]; True, False or the outcome's name."""
    file = scale / folder / "eval" / f"step_{step:05d}" / f"{benchmark}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    names = {True: "correct", False: "wrong"}
    lines = [
        json.dumps(
            dict(
                run_name=folder,
                student=student,
                teacher="sonnet",
                domain=domain,
                step=step,
                benchmark=benchmark,
                task_id=f"t{i}",
                sample=j,
                outcome=names.get(o, o),
                lenient_outcome=names.get(o, o),
                second_outcome=names.get(o, o),
                completion_tokens=5,
            )
        )
        for i, samples in enumerate(outcomes)
        for j, o in enumerate(samples)
    ]
    file.write_text("".join(line + "\n" for line in lines))
    return file


def single(k, n):
    return [[i < k] for i in range(n)]


def test_one_sample_has_wilsons_interval(tmp_path):
    write(tmp_path, "a", 0, single(23, 48))
    row = results.accuracy_table(tmp_path).iloc[0]
    assert (row["accuracy"], row["n"], row["problems"], row["k"]) == (100 * 23 / 48, 48, 48, 23)
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(100 * x for x in stats.wilson(23, 48)))


def test_problems_count_and_not_samples(tmp_path):
    """Skills of problems uniform on 0..1: samples of one problem are alike."""
    rng = np.random.default_rng(0)
    write(tmp_path, "a", 0, (rng.random((60, 8)) < rng.random((60, 1))).tolist())
    row = results.accuracy_table(tmp_path).iloc[0]
    assert (row["n"], row["problems"]) == (480, 60)
    assert row["accuracy"] == pytest.approx(100 * row["k"] / 480)
    lo, hi = stats.wilson(row["k"], row["n"])
    assert row["hi"] - row["lo"] > 1.4 * 100 * (hi - lo)
    ours = tidy.load_runs(tmp_path).iloc[0]
    # so that differences rest on problems
    assert ours["n"] == 60 and ours["accuracy"] == row["accuracy"]


def test_accuracy_is_the_mean_over_problems_and_bounds_hold_errors(tmp_path):
    write(tmp_path, "a", 0, [[True, True, True, True], [False], ["grader_error"], [False, True]])
    row = results.accuracy_table(tmp_path).iloc[0]
    assert row["accuracy"] == pytest.approx(100 * (1 + 0 + 0 + 0.5) / 4) and row["flagged"]
    assert (row["bounds_lo"], row["bounds_hi"]) == pytest.approx((37.5, 62.5))
    # samples that agree are worth no more
    write(tmp_path, "a", 0, [[True, True], [False, False], [False, False]])
    row = results.accuracy_table(tmp_path).iloc[0]
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(100 * x for x in stats.wilson(1, 3)))
    # without variance between problems it is Wilson's for the answers
    write(tmp_path, "a", 0, [[True, False]] * 5)
    assert results.accuracy_table(tmp_path).iloc[0]["lo"] == pytest.approx(
        100 * stats.wilson(5, 10)[0]
    )


def test_the_interval_of_several_samples_holds_near_0_and_1():
    """Where the t interval of the problems' means misses the truth in one study of ten or more."""
    rng = np.random.default_rng(0)
    for p, samples, n in ((0.02, 16, 90), (0.98, 8, 164), (0.1, 8, 30)):
        found = simulated_seeds.coverage(rng, "mixed", p, samples, n, 400)
        assert found["covered"] >= 93 and found["t_covered"] < 90, (p, found)
    # in the middle it is as narrow as the t interval
    shares = rng.binomial(8, rng.random(500)) / 8
    c, (lo, hi) = stats.clustered(shares, range(500)), results.interval(shares, 4000)
    assert hi - lo == pytest.approx(c.hi - c.lo, rel=0.02)


def test_the_interval_of_several_samples_lies_between_those_of_answers_and_of_problems():
    shares = np.array([0.0, 0.25, 0.25, 0.5, 1.0] * 8)
    lo, hi = results.interval(shares, 160)
    (least, most), mean = stats.wilson(16, 40), shares.mean()
    assert mean == pytest.approx(0.4) and least < lo < stats.wilson(64, 160)[0] < mean < hi < most
    assert results.interval(shares) == pytest.approx((least, most))
    assert results.interval(np.zeros(30), 480) == pytest.approx(stats.wilson(0, 30))
    assert results.interval(np.ones(30), 480) == pytest.approx(stats.wilson(30, 30))


def test_a_record_that_is_there_twice_counts_once(tmp_path):
    file = write(tmp_path, "a", 0, [[True], [True], [False]])
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, lines[0].replace("correct", "wrong"), lines[2]]))
    records = results.load_records(tmp_path)
    assert records["outcome"].tolist() == ["correct", "correct", "wrong"] and set(
        records["folder"]
    ) == {"a"}
    assert results.load_records(tmp_path / "none").empty


def test_load_runs_has_the_columns_of_load_published(tmp_path):
    write(tmp_path, "a", 0, single(10, 48))
    write(tmp_path, "a", 10, single(20, 48))
    (tmp_path / "a" / "provenance_train.json").write_text(
        '{"parameters": {"learning_rate": 0.001}}'
    )
    runs = tidy.load_runs(tmp_path)
    assert list(runs) == list(accuracies.load_published()) == analysis_names.COLUMNS
    assert runs["step"].tolist() == [0, 10] and runs["learning_rate"].tolist()[1] == 1e-3
    assert list(tidy.load_runs(tmp_path / "none")) == analysis_names.COLUMNS


def test_a_pocket_run_of_an_earlier_name_keeps_it_and_has_no_teacher(tmp_path):
    write(tmp_path, "sonnet_math_llama_4k", 10, single(20, 48))
    given = {"run_name": "sonnet_math_llama_4k", "teacher": "sonnet", "dataset": "pocket"}
    file = tmp_path / "sonnet_math_llama_4k" / "provenance_train.json"
    file.write_text(json.dumps({"parameters": given | {"scale": "pocket"}}))
    records = results.load_records(tmp_path)
    assert set(records["folder"]) == {"sonnet_math_llama_4k"}
    assert set(records["teacher"]) == {"generator"}
    assert list(results.accuracy_table(tmp_path)["k"]) == [20]


def test_generated_traces_are_not_called_the_teachers(tmp_path):
    for folder, dataset in (("a", "pocket"), ("b", "sonnet_math")):
        write(tmp_path, folder, 10, single(20, 48), student=folder)
        text = json.dumps({"parameters": {"learning_rate": 0.001, "dataset": dataset}})
        (tmp_path / folder / "provenance_train.json").write_text(text)
    assert tidy.load_runs(tmp_path)["teacher"].tolist() == ["generator", "sonnet"]
    assert analysis_names.name_of("generator") == "Generator"


def test_an_unfinished_cell_is_marked_and_left_out(tmp_path, caplog):
    for step, (k, n) in {0: (10, 56), 10: (30, 56), 20: (4, 20)}.items():
        write(tmp_path, "a", step, single(k, n))
    write(tmp_path, "a", 0, single(3, 30), "pocket_code")
    table = results.accuracy_table(tmp_path)
    wide = results.wide_table(table)
    assert list(wide) == ["pocket_code (n = 30)", "pocket_math (n = 56)"]
    assert wide.loc[("a", 20), "pocket_math (n = 56)"] == "20.0 [8, 42] of 20/56"
    assert (
        wide.loc[("a", 10), "pocket_math (n = 56)"] == "53.6 [41, 66]"
        and wide.loc[("a", 20)].iloc[0] == "—"
    )
    assert tidy.table(table)["step"].tolist() == [0, 0, 10]
    assert caplog.messages == ["Left out, as they are not finished: a step 20 pocket_math."]


def test_samples_are_in_the_head_of_the_table(tmp_path):
    write(tmp_path, "a", 0, [[True, False]] * 4)
    assert list(results.wide_table(results.accuracy_table(tmp_path))) == [
        "pocket_math (n = 4 × 2 samples)"
    ]


def test_no_run_is_compared_with_a_baseline_of_another_n(tmp_path, caplog):
    """a was evaluated on 20 problems, b on 56; a comes first by name."""
    for folder, n, base, after in (("a", 20, 2, 4), ("b", 56, 28, 50)):
        write(tmp_path, folder, 0, single(base, n), domain="code" if folder == "a" else "math")
        write(tmp_path, folder, 10, single(after, n), domain="code" if folder == "a" else "math")
    ours = tidy.load_runs(tmp_path)
    assert set(ours["source"]) == {"b"} and ours["accuracy"].tolist() == [
        50,
        pytest.approx(100 * 50 / 56),
    ]
    assert caplog.messages == [
        "pocket_math of a is left out: the base student s has other answers there than in b (n = "
        "56, 50.0%); evaluate them with the same settings, or look at runs of one kind at a time."
    ]
    caplog.clear()
    assert baseline_changes.forgetting_matrix(ours)["base"].unique().tolist() == [50]
    write(tmp_path, "a", 0, single(30, 56))  # as many problems, another score
    write(tmp_path, "a", 10, single(30, 56))
    assert len(set(tidy.load_runs(tmp_path)["source"])) == 1 and "is left out" in caplog.text


def test_runs_that_share_their_baseline_all_stay(tmp_path, caplog):
    for folder, domain in (("a", "math"), ("b", "code")):
        write(tmp_path, folder, 0, single(20, 56), domain=domain)
        write(tmp_path, folder, 10, single(30, 56), domain=domain)
    assert len(tidy.load_runs(tmp_path)) == 3 and caplog.messages == []


def test_replicates_leave_their_run_its_baseline(tmp_path, caplog):
    """With sampling each seed has a baseline of its own: that of the run itself stands, whatever
    the others have."""
    for i, base in enumerate((30, 20, 20)):
        for step, k in ((0, base), (10, 40)):
            file = write(tmp_path, f"a_seed{i}" if i else "a", step, single(k, 56))
            file.write_text(file.read_text().replace(f'"run_name": "a_seed{i}"', '"run_name": "a"'))
    ours = tidy.load_runs(tmp_path)
    assert set(ours["source"]) == {"a"} and ours["accuracy"][0] == pytest.approx(100 * 30 / 56)
    assert caplog.messages == [] and len(results.accuracy_table(tmp_path)) == 6


def test_a_run_without_a_baseline_of_its_own_needs_the_same_n(tmp_path, caplog):
    write(tmp_path, "a", 10, single(5, 20), domain="code")
    write(tmp_path, "b", 0, single(20, 56))
    assert set(tidy.load_runs(tmp_path)["source"]) == {"b"} and "pocket_math of a" in caplog.text


def test_what_a_partial_file_gave_says_so(tmp_path):
    write(tmp_path, "a", 0, single(1, 3), benchmark="math500")
    file = write(tmp_path, "a", 0, single(2, 4), benchmark="aime")
    file.write_text(file.read_text().replace('"task_id": "t', '"task_id": "part/t'))
    table = results.accuracy_table(tmp_path).set_index("benchmark")
    assert table["part"].to_dict() == {"aime": True, "math500": False}
    assert sorted(results.wide_table(results.accuracy_table(tmp_path))) == [
        "aime, part (n = 4)",
        "math500 (n = 3)",
    ]

"""The published study as data: cell by cell against the study's own text where that is at hand."""

import re

import numpy as np
import pandas as pd
import pytest

from distill_nb import params
from distill_nb.analysis import baseline_changes, names, tidy
from distill_nb.analysis.published import accuracies
from distill_nb.runtime import paths

STUDENTS = {
    "Qwen Base": "Qwen/Qwen3-30B-A3B-Base",
    "Qwen Instruct": "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "Llama 8B": "meta-llama/Llama-3.1-8B-Instruct",
}


@pytest.fixture(scope="module")
def table():
    return accuracies.load_published()


@pytest.fixture
def study(data_dir):
    file = data_dir.parent / "study" / "results_summary.md"
    if not file.is_file():
        pytest.skip("the published study is not beside the data")
    return file.read_text(encoding="utf-8")


def cells_of(text: str) -> dict:
    """(student, teacher, domain, step, benchmark) → (printed number, asterisk) of the baselines and
    sweeps."""
    found, student, distilled, benchmarks, run = {}, None, False, [], None
    for line in text.splitlines():
        if line.startswith("## "):
            name, _, rest = line[3:].partition(" — ")
            student, distilled, benchmarks = STUDENTS.get(name), "Distilled" in rest, []
        if student is None or not line.startswith("|") or set(line) <= set("|-"):
            continue
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not benchmarks:
            benchmarks = cells
        elif not distilled and benchmarks[0] == "Benchmark":
            found[student, "none", "none", 0, names.NAMES[cells[0]]] = cells[1]
        elif not distilled:
            found |= {
                (student, "none", "none", 0, names.NAMES[b]): c
                for b, c in zip(benchmarks, cells, strict=True)
            }
        else:
            *name, step = cells[0].replace("*", "").split()
            run = (names.NAMES[name[0]], name[1]) if name else run
            for b, c in zip(benchmarks[1:], cells[1:], strict=True):
                found[student, *run, 500 if step == "final" else int(step), names.NAMES[b]] = c
    return {
        k: (c.strip("*\\").rstrip("%"), c.endswith(r"\*")) for k, c in found.items() if c != "—"
    }


def test_every_cell_is_as_the_study_prints_it(study, table):
    printed = cells_of(study)
    ours = {
        (r.student, r.teacher, r.domain, r.step, r.benchmark): (
            f"{r.accuracy:.{r.decimals}f}",
            r.flagged,
        )
        for r in table.itertuples()
    }
    assert len(printed) == len(ours) == 129
    assert {k: (ours.get(k), v) for k, v in printed.items() if ours.get(k) != v} == {}


def test_sizes_and_rates_are_those_the_study_states(study, table):
    stated = {
        names.NAMES[b]: int(n) for b, n in re.findall(r"\*\*(.+?)\*\* \((\d+) problems", study)
    }
    assert stated.pop("aime") == 90  # run but not reported
    other = table[table["n"] != table["benchmark"].map(stated)]
    # 78.7% is no k of 100, and 129 of the full 164
    assert other[["student", "step", "benchmark", "n"]].to_numpy().tolist() == [
        [STUDENTS["Qwen Base"], 0, "humaneval_plus", 164]
    ]
    rates = {
        (names.NAMES[s], names.NAMES[t], d): float(r)
        for t, d, s, r in re.findall(r"\| \d+ \| (\w+) \| (\w+) \| ([\w ]+) \| (2e-\d) \|", study)
    }
    runs = table[table["step"] > 0].drop_duplicates(["student", "teacher", "domain"])
    assert {
        (r.student, r.teacher, r.domain): r.learning_rate for r in runs.itertuples()
    } == rates and len(rates) == 10


def test_sums_that_any_changed_number_changes(table):
    """Holds without the study at hand: the sum of the printed numbers of each run and benchmark,
    and the asterisks."""
    sums = table.groupby(["teacher", "domain", "benchmark"])["accuracy"].sum().round(1).to_dict()
    assert sums == {
        ("none", "none", "humaneval_plus"): 169.7,
        ("none", "none", "livecodebench"): 39.0,
        ("none", "none", "math500"): 207.4,
        ("none", "none", "mbpp_plus"): 199.2,
        ("r1", "code", "math500"): 530.0,
        ("r1", "code", "mbpp_plus"): 442.0,
        ("r1", "math", "math500"): 511.0,
        ("r1", "math", "mbpp_plus"): 338.0,
        ("sonnet", "code", "humaneval_plus"): 504.0,
        ("sonnet", "code", "livecodebench"): 50.0,
        ("sonnet", "code", "math500"): 843.2,
        ("sonnet", "code", "mbpp_plus"): 1037.2,
        ("sonnet", "math", "humaneval_plus"): 496.0,
        ("sonnet", "math", "livecodebench"): 49.0,
        ("sonnet", "math", "math500"): 1095.2,
        ("sonnet", "math", "mbpp_plus"): 852.4,
    }
    flagged = table[table["flagged"]]
    assert sorted(flagged["accuracy"]) == [16, 60, 75.7, 85]


def test_every_run_is_complete(table):
    runs = table[table["benchmark"].isin(["math500", "mbpp_plus"])].groupby(
        names.RUN, dropna=False
    )["step"]
    assert len(runs) == 13
    for (_, teacher, *_), steps in runs:
        assert sorted(steps) == (
            [0, 0] if teacher == "none" else sorted([100, 200, 300, 400, 500] * 2)
        )


def test_learning_rates_are_those_of_the_parameter_files(table):
    files = [params.read_files(f) for f in sorted(paths.PARAMS_DIR.glob("run??.yaml"))]
    ours = {(f["student"], f["teacher"], f["domain"]): f["learning_rate"] for f in files}
    runs = table[table["step"] > 0].drop_duplicates(["student", "teacher", "domain"])
    assert {
        (r.student, r.teacher, r.domain): r.learning_rate for r in runs.itertuples()
    } == ours and len(ours) == 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            ",r1,math,100,math500,58,",
            ",r1,math,100,math500,580,",
            "line 6: accuracy is '580': write percent from 0 to 100",
        ),
        (
            ",80.6,1,",
            ",80.65,1,",
            "line 2: decimals is '1': write the digits after the point of accuracy 80.65",
        ),
        (
            ",r1,math,200,math500,",
            ",r1,math,100,math500,",
            "line 8: benchmark 'math500' repeats the cell of line 6",
        ),
        (",r1,math,100,", ",r2,math,100,", "line 6: teacher is 'r2': write r1, sonnet, or none"),
        ("Base,none,none,0,", "Base,none,none,100,", "line 2: step is '100': write 0"),
        (
            "r1,math,100,math500,58,0,500",
            "r1,math,100,math500,58,0,499",
            "line 6: n is '499', but 500 in other lines of math500, and 58 can be k of 500: write",
        ),
        (",false,2.0e-5,", ",no,2.0e-5,", "line 6: flagged is 'no': write true or false"),
        (",false,2.0e-5,", ",false,,", "line 6: learning_rate is '': write a rate like 2.0e-5"),
        (
            "Qwen Base — R1 Distilled; R1 math 100",
            "R1, math",
            "line 6: source is 'R1': the line does not have 11 columns",
        ),
        (
            "humaneval_plus,78.7,1,164",
            "humaneval_plus,79.0,1,164",
            "line 4: n is '164', but 100 in other lines of humaneval_plus, and 79.0 can be k of",
        ),
        ("decimals,n,", "n,decimals,", "line 1: the columns are"),
        ("mbpp_plus", "mbpp", "line 3: benchmark is 'mbpp': write one of math500"),
    ],
)
def test_a_line_that_cannot_be_is_refused(tmp_path, old, new, message):
    file = tmp_path / "accuracies.csv"
    text = (accuracies.PUBLISHED / "accuracies.csv").read_text(encoding="utf-8")
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        accuracies.load_published(file)
    assert message in str(error.value) and str(error.value).startswith("accuracies.csv, ")
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")


# ---- our own runs in the same columns


@pytest.fixture
def own():
    """accuracy_table of two alike runs, a replicate and a run at another rate; the base student is
    in each."""
    rows = []
    for folder, domain, shift in [
        ("a_math", "math", 0),
        ("a_math_seed1", "math", 1),
        ("b_math", "math", 2),
        ("c_code", "code", 3),
    ]:
        for step in (0, 10, 20):
            for benchmark, n in (("pocket_math", 48), ("pocket_code", 30)):
                k = 10 if step == 0 else 12 + step // 10 + shift
                rows.append(
                    dict(
                        run_name=folder,
                        student="s",
                        teacher="sonnet",
                        domain=domain,
                        folder=folder,
                        step=step,
                        benchmark=benchmark,
                        accuracy=100 * k / n,
                        n=n,
                        problems=n,
                        k=k,
                        flagged=False,
                    )
                )
    return pd.DataFrame(rows)


def test_tidy_has_the_same_columns_and_counts_no_problem_twice(own, table):
    out = tidy.table(own, {"a_math": 1e-3, "a_math_seed1": 1e-3, "b_math": 2e-3, "c_code": 1e-3})
    assert list(out) == list(table) == names.COLUMNS
    assert {c: str(t) for c, t in out.dtypes.items()} == {
        c: str(t) for c, t in table.dtypes.items()
    }
    base = out[out["step"] == 0]
    assert (
        len(base) == 2
        and set(base["teacher"]) == set(base["domain"]) == {"none"}
        and base["learning_rate"].isna().all()
    )
    assert sorted(out[out["step"] > 0]["source"].unique()) == ["a_math", "b_math", "c_code"]
    row = out[
        (out["source"] == "b_math") & (out["step"] == 20) & (out["benchmark"] == "pocket_math")
    ].iloc[0]
    assert (row["accuracy"], row["learning_rate"]) == (pytest.approx(100 * 16 / 48), 2e-3)


def test_tidy_without_rates_and_without_runs(own):
    out = tidy.table(own)
    assert out["learning_rate"].isna().all() and sorted(out["source"].unique()) == [
        "a_math",
        "c_code",
    ]
    assert list(tidy.table(own.iloc[:0])) == names.COLUMNS


# ---- the study's rule and the forgetting matrix


def test_best_checkpoints_follow_the_rule(table):
    best = tidy.best_checkpoints(table).set_index(["student", "teacher", "domain"])
    assert len(best) == 10
    qwen, llama = STUDENTS["Qwen Base"], STUDENTS["Llama 8B"]
    assert (
        best.loc[(qwen, "sonnet", "math"), "step"],
        best.loc[(qwen, "sonnet", "math"), "benchmark"],
    ) == (300, "math500")
    assert best.loc[(qwen, "sonnet", "code"), ["step", "accuracy", "ties"]].tolist() == [
        200,
        74,
        [300],
    ]
    assert best.loc[(qwen, "r1", "code"), ["step", "benchmark"]].tolist() == [400, "mbpp_plus"]
    assert best.loc[(llama, "r1", "math"), ["step", "last_step"]].tolist() == [500, 500]


def test_forgetting_matrix_of_the_published_study(table):
    from statsmodels.stats.proportion import confint_proportions_2indep

    matrix = baseline_changes.forgetting_matrix(table)
    assert len(matrix) == 10 * 2 * 2 and matrix.notna().all().all()
    key = ["student", "teacher", "domain", "evaluated", "checkpoint"]
    row = matrix.set_index(key).loc[(STUDENTS["Qwen Base"], "sonnet", "math", "code", "best")]
    assert (row["step"], row["base"], row["accuracy"]) == (300, 75.7, 57) and row[
        "change"
    ] == pytest.approx(-18.7)
    counts = (0.57 * 378, 378, 0.757 * 378, 378)
    expected = np.array(confint_proportions_2indep(*counts, method="newcomb")) * 100
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(expected))
    assert row["relative"] == pytest.approx(100 * (57 / 75.7 - 1))
    assert row["relative_lo"] < row["relative"] < row["relative_hi"] < 0
    llama = matrix.set_index(key).loc[(STUDENTS["Llama 8B"], "sonnet", "code", "math", "last")]
    assert (llama["change"], llama["relative"], llama["step"]) == (-40, -100, 500)
    instruct = baseline_changes.forgetting_matrix(
        table.assign(accuracy=table["accuracy"].mask(table["step"] == 400, 99))
    )
    assert set(instruct[instruct["checkpoint"] == "best"]["step"]) == {400}


def test_forgetting_matrix_of_our_own_runs(own):
    own.loc[(own["step"] == 0) & (own["benchmark"] == "pocket_math"), ["accuracy", "k"]] = 0
    matrix = baseline_changes.forgetting_matrix(tidy.table(own))
    assert set(matrix["benchmark"]) == {"pocket_math", "pocket_code"} and set(matrix["step"]) == {
        20
    }
    zero = matrix[matrix["evaluated"] == "math"]
    # nothing to be relative to
    assert zero["relative"].isna().all() and (zero["change"] == zero["accuracy"]).all()

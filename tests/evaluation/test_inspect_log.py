"""A run's records as logs of Inspect, read by Inspect itself where it is installed beside us."""

import json
import subprocess

import pytest
from answer_records import inspected
from click.testing import CliRunner

from distill_nb.__main__ import main
from distill_nb.benchmarks import Task
from distill_nb.evaluation import foreign, inspect_log
from distill_nb.runtime import jsonl

TASKS = {
    ("math500", f"t/{i}"): Task(f"t/{i}", f"{i} + {i}?", "math", gold=str(2 * i)) for i in range(3)
}
OUTCOMES = {  # step → of each problem, of both samples
    0: [("correct", "wrong"), ("wrong", "wrong"), ("no_answer", "sampling_error")],
    20: [("correct", "correct"), ("truncated", "looping"), ("correct", "correct")],
}


@pytest.fixture
def run(tmp_path):
    for step, problems in OUTCOMES.items():
        made = [
            inspected(step, f"t/{i}", sample, outcome)
            for i, outcomes in enumerate(problems)
            for sample, outcome in enumerate(outcomes)
        ]
        jsonl.write(tmp_path / "run" / "eval" / f"step_{step:05d}" / "math500.jsonl", made)
    return tmp_path / "run"


def test_a_log_has_what_the_records_have(run):
    base, tuned = inspect_log.export(run, TASKS)
    log = json.loads(base.read_text())
    assert log["eval"]["model"] == "distill_nb/run/base" and log["eval"]["task"] == "math500"
    assert log["eval"]["config"]["epochs"] == 2 and log["status"] == "cancelled"
    scores = {s["name"]: s["metrics"] for s in log["results"]["scores"]}
    assert scores["outcome"]["accuracy"]["value"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    # of 1/2, 0, 0: their standard deviation over the root of 3
    assert scores["outcome"]["stderr"]["value"] == pytest.approx((1 / 12) ** 0.5 / 3**0.5)
    assert scores["lenient"]["accuracy"]["value"] == 1
    first = log["samples"][0]
    assert (first["id"], first["epoch"], first["target"]) == ("t/0", 1, "0")
    assert first["messages"][1]["content"][0] == {"type": "reasoning", "reasoning": "hm"}
    assert log["samples"][5]["error"]["message"] == "detail of sampling_error"
    assert json.loads(tuned.read_text())["samples"][2]["output"]["choices"][0]["stop_reason"] == (
        "max_tokens"
    )
    assert inspect_log.export(run, TASKS) == [base, tuned]  # the same places again


def test_what_is_exported_comes_back(run):
    for file in inspect_log.export(run, TASKS):
        (log,) = foreign.read(file)
        step = 0 if log.model.endswith("base") else 20
        ours = jsonl.read(run / "eval" / f"step_{step:05d}" / "math500.jsonl")
        keys = ["task_id", "sample", "outcome", "lenient_outcome", "second_outcome", "answer"]
        keys += ["seed", "completion_tokens", "finish_reason"]
        for was, now in zip(ours, log.records, strict=True):
            if was["outcome"] != "sampling_error":
                assert {k: now[k] for k in keys} == {k: was[k] for k in keys}


READ = """
import json, sys
from inspect_ai.analysis import evals_df, samples_df
from inspect_ai.log import bundle_log_dir, read_eval_log
folder, bundle = sys.argv[1:]
evals = evals_df(folder).sort_values("model")
samples = samples_df(folder)
bundle_log_dir(folder, bundle)
logs = [read_eval_log(log) for log in evals["log"]]
print(json.dumps({
    "accuracy": dict(zip(evals["model"], evals["score_outcome_accuracy"])),
    "values": sorted(samples["score_outcome"]),
    "texts": [s.output.completion for log in logs for s in log.samples],
    "reasons": [s.output.stop_reason for log in logs for s in log.samples],
}))
"""


def test_inspect_reads_them(run, inspect_python, tmp_path):
    inspect_log.export(run, TASKS)
    words = [inspect_python, "-c", READ, str(run / "inspect"), str(tmp_path / "bundle")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["accuracy"] == pytest.approx(
        {"distill_nb/run/base": 1 / 6, "distill_nb/run/step_20": 2 / 3}
    )
    assert found["values"].count("C") == 5 and len(found["values"]) == 12
    assert len(set(found["texts"])) == 12 and found["reasons"].count("max_tokens") == 1
    assert (tmp_path / "bundle" / "index.html").is_file()


def test_the_command_exports_a_run_and_says_where_there_is_none(run, tmp_path):
    words = ["export", str(run), "--inspect", "--to", str(tmp_path / "logs")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and done.output.startswith("2 logs in ")
    assert len(list((tmp_path / "logs").iterdir())) == 2
    refused = CliRunner().invoke(main, ["export", str(tmp_path), "--inspect"])
    assert "has no records to export" in refused.output and refused.exit_code == 1

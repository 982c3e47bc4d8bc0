"""One stage: the call of Papermill, refusals, and the stand-in teacher."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import asdict

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from conftest import snakemake
from nbformat.v4 import new_code_cell, new_notebook

from distill_nb import params
from distill_nb.__main__ import main
from distill_nb.report import failures, index_page
from distill_nb.runtime import lock, paths
from distill_nb.runtime.shard import Shard
from distill_nb.study import (
    commands,
    graph,
    ingredients,
    notebooks,
    shard_stamps,
    stage,
    stamps,
    stand_in,
    tiny,
)
from distill_nb.study.graph import Stage
from distill_nb.traces import pocket
from tests.study.test_stamps import finish

TRAIN, EVAL = (Stage("tiny", "llama8b_math_4k", name) for name in ("train", "eval"))


def kept(which):
    """What is kept of a stage's failure; None where nothing is."""
    file = which.dir() / f"failure_{which.name}.json"
    return json.loads(file.read_text()) if file.is_file() else None


@pytest.fixture
def instead(monkeypatch, runs_dir):
    """What a stage runs in place of Papermill: Python code, in a process; `out` in it is the
    notebook's place."""

    def run(code, which=TRAIN, **options):
        def command(name, out, values, shown=False):
            start = f"import os, sys; out, folder = {str(out)!r}, {str(out.parent)!r}\n"
            return [sys.executable, "-c", start + code]

        monkeypatch.setattr(notebooks, "command", command)
        return stage.run(which, **options)

    return run


def given(name, values, runs_dir):
    """What a notebook gets of parameters, by the call of Papermill."""
    words = notebooks.command(name, runs_dir / "out.ipynb", values)
    place = [str(notebooks.notebook_of(name)), str(runs_dir / "out.ipynb")]
    assert words[1:5] == ["-m", "papermill", *place] and "--stdout-file" not in words
    return yaml.safe_load(words[words.index("-y") + 1])


def test_a_notebook_gets_the_parameters_that_it_declares_and_the_rest_in_one(runs_dir):
    values = params.read_files("pocket_math.yaml")
    for name in ("train", "eval"):
        got = given(name, values, runs_dir)
        assert set(got) == notebooks.declared(name)
        others = got.pop("other_parameters")
        assert got | others == values and not set(got) & set(others)
    assert "learning_rate" in others and others["learning_rate"] == 1e-3  # a number, no text
    assert given("analyze", values, runs_dir) == {"scale": "pocket", "select_on": "test"}


@pytest.mark.parametrize("name", ["train", "eval"])
@pytest.mark.parametrize(
    ("files", "changes"),
    [
        (("run07.yaml",), {}),
        (("run07.yaml",), {"domain": "code", "dataset": "r1_code", "temperature": "0.5"}),
        (("pocket_math.yaml",), {"max_steps": "15", "save_every": "5"}),
        (("run09.yaml", "pocket.yaml"), {"learning_rate": "2.0e-4", "lora_rank": "8"}),
        (("baseline_llama.yaml", "tiny.yaml"), {"benchmarks": "[pocket_math]"}),
        ((), {"seed": "3"}),
    ],
)
def test_a_notebook_reads_the_run_that_the_command_has_checked(name, files, changes, runs_dir):
    p = commands.run_params(files, tuple(changes.items()))
    assert params.from_notebook(given(name, asdict(p), runs_dir)) == p


def test_a_stage_hands_on_all_parameters_of_its_run(runs_dir):
    evaluation = Stage("tiny", "math_4k_lr5", "eval")
    for benchmark in params.STUDY:
        tiny.write(benchmark, tiny.folder())
    p = params.from_notebook(given("eval", graph.parameters(evaluation), runs_dir))
    assert p.dataset == "r1_math" and p.benchmarks == list(params.STUDY)


def test_a_stage_says_the_call_of_papermill_that_does_the_same(runs_dir):
    files = "-f papermill_params/run07.yaml -f papermill_params/tiny.yaml"
    replicate = Stage("tiny", "llama8b_math_4k_seed2", "train")
    said = stage.as_command(replicate, overwrite=True)
    out = replicate.dir() / "train.ipynb"
    assert said.startswith(f"papermill notebooks/train.ipynb {out} {files} -y '{{\"seed\": 2}}' ")
    assert """ -y '{"dataset": "r1_math"}' """ in said
    assert said.endswith(""" -y '{"overwrite": true}'""")
    evaluation = Stage("pocket", "pocket_code", "eval")
    assert stage.as_command(evaluation) == (
        f"papermill notebooks/eval.ipynb {evaluation.dir() / 'eval.ipynb'} "
        "-f papermill_params/pocket_code.yaml"
    )


def test_a_second_attempt_goes_on_with_what_the_first_has_overwritten(runs_dir):
    record = TRAIN.dir() / "provenance_train.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    os.utime(record, (1, 1))
    # the first never got as far as that
    assert stage.to_overwrite(TRAIN, 1) and stage.to_overwrite(TRAIN, 2)
    record.unlink()
    assert stage.to_overwrite(TRAIN, 2)  # or was cut off in the middle of it
    record.write_text("{}")
    later = (TRAIN.dir() / "made" / "overwriting-train").stat().st_mtime + 1
    os.utime(record, (later, later))
    assert not stage.to_overwrite(TRAIN, 2) and not stage.to_overwrite(TRAIN, 3)
    assert stage.to_overwrite(TRAIN, 1)  # of another start of the study


def test_a_stage_that_changed_since_it_was_planned_is_refused(runs_dir):
    with pytest.raises(
        ValueError,
        match=r"llama8b_math_4k/train: what it is made of has changed since it was planned",
    ):
        stage.run(TRAIN, planned="0" * 16)
    assert (
        "has changed since it was planned" in kept(TRAIN)["said"][-1]
        and len(list(TRAIN.dir().iterdir())) == 1
    )
    assert failures.failures(runs_dir / "tiny")[TRAIN.dir() / "train.ipynb"]["error"].startswith(
        "llama8b_math_4k/train: what"
    )


def call(*words):
    """The command line, in this process: (exit status, what it said)."""
    ran = CliRunner().invoke(main, ["stage", *words])
    return ran.exit_code, ran.output


def test_the_fixtures_are_a_stage(runs_dir):
    fixtures = Stage("tiny", "fixtures", "fixtures")
    assert call("tiny", "fixtures/fixtures", "--made", ingredients.hash_of(fixtures)) == (0, "")
    assert stamps.is_done(fixtures) and len(list(fixtures.dir().glob("*.part.jsonl"))) == 5
    (fixtures.dir() / "aime.part.jsonl").unlink()
    assert not stamps.is_done(fixtures) and not stamps.has_results(fixtures)
    assert call("tiny")[0] == 2
    assert call("tiny", "train") == (
        1,
        "train: name a stage by folder and name, as in llama8b_math_4k/train.\n",
    )
    status, said = call("tiny", "nothing/train")
    assert status == 1 and "no run of published.yaml has the run_name nothing" in said
    assert not (runs_dir / "tiny" / "nothing").exists()


def test_more_gpus_than_there_are_are_refused_before_anything_starts(runs_dir, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status, said = call("tiny", "llama8b_math_4k/train", "--gpus", "1")
    assert status == 1 and "1 are wanted and 0 are here" in said
    assert not list(runs_dir.rglob("*.ipynb"))
    assert "1 are wanted and 0 are here" in kept(TRAIN)["said"][0]


def test_fewer_gpus_than_the_parameters_ask_for_are_refused(runs_dir, tmp_path, monkeypatch):
    shutil.copytree(paths.PARAMS_DIR, tmp_path / "papermill_params")
    monkeypatch.setattr(paths, "PARAMS_DIR", tmp_path / "papermill_params")
    file = tmp_path / "papermill_params" / "run07.yaml"
    for key, n in (("train_processes", 4), ("tensor_parallel", 2), ("data_parallel", 3)):
        assert f"{key}: 1" in file.read_text()
        file.write_text(file.read_text().replace(f"{key}: 1", f"{key}: {n}"))
    full = [Stage("full", "llama8b_math_4k", name) for name in ("train", "eval")]
    says = (
        "train_processes is 4 in run07.yaml, and its job has 1 GPU; write 4 in the profile's "
        "config.yaml (set-resources: train: gpu), or lower train_processes."
    )
    with pytest.raises(ValueError) as error:
        stage.run(full[0], n_gpus=1)
    assert str(error.value) == f"llama8b_math_4k/train: {says}" and kept(full[0])["said"] == [
        str(error.value)
    ]
    with pytest.raises(
        ValueError,
        match=r"tensor_parallel × data_parallel is 6 .* has 2 GPUs; write 6 .*resources: eval: g",
    ):
        stage.run(full[1], n_gpus=2)
    stage.refuse_too_few(full[0], 0)  # on the CPU
    stage.refuse_too_few(full[0], 4)


def test_a_stage_that_ends_without_finished_results_fails(instead, capfd):
    assert instead("pass") == 1
    says = (
        "llama8b_math_4k/train has run and is not done: there is no provenance_train.json. What it "
        "has made is kept, and the next start goes on there."
    )
    assert (
        capfd.readouterr().err == says + "\n"
        and kept(TRAIN)["said"] == [says]
        and not stamps.stamps(TRAIN)
    )
    record = "open(folder + '/provenance_train.json', 'w').write('{\"finished\": %s}')"
    assert instead(record % "false") == 1 and not stamps.stamps(TRAIN)
    assert instead(record % "true") == 0 and stamps.is_done(TRAIN) and kept(TRAIN) is None


def test_what_was_made_from_a_stage_is_not_done_before_it_is_made_anew(instead):
    replicate = Stage("tiny", "llama8b_math_4k_seed1", "train")
    for other in (TRAIN, EVAL, replicate):
        finish(other)
        stamps.write_stamp(other)
    set_ = Stage("tiny", "traces/r1_math", "traces")
    # it is kept: nothing was made anew
    assert instead("sys.exit(3)", EVAL) == 3 and len(stamps.on_disk("tiny")) == 3
    said = (
        "print(os.listdir(folder + '/../../llama8b_math_4k/made'), file=sys.stderr); "
        "os.kill(os.getpid(), 9)"
    )
    assert instead(said, set_, overwrite=True) == -9 and stamps.on_disk("tiny") == set()
    assert kept(set_)["said"] == ["[]"] and kept(set_)["status"] == -9


def test_what_another_process_is_at_is_refused_and_its_notebook_left_alone(instead):
    notebook = TRAIN.dir() / "train.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_text("the other's")
    with (
        lock.alone(TRAIN.dir(), "being trained"),
        pytest.raises(
            ValueError,
            match=rf"^run_name: llama8b_math_4k is being trained by process {os.getpid()} .*; wait "
            rf"for its end",
        ),
    ):
        instead("open(out, 'w').write('this one')")
    assert notebook.read_text() == "the other's" and "is being trained by" in kept(TRAIN)["said"][0]
    instead("open(out, 'w').write('this one')")
    assert notebook.read_text() == "this one"


def test_the_last_that_is_said_is_passed_on_and_kept(instead, capfd):
    assert (
        instead(
            "print('x' * 40000, file=sys.stderr)\nfor i in range(50): print(i, "
            "file=sys.stderr)\nsys.exit(5)"
        )
        == 5
    )
    assert capfd.readouterr().err == "x" * 40000 + "\n" + "".join(f"{i}\n" for i in range(50))
    found = kept(TRAIN)
    assert found["status"] == 5 and found["said"] == [str(i) for i in range(10, 50)]


def test_a_kernel_that_dies_is_a_failure_on_the_index_until_the_stage_is_started_again(
    runs_dir, tmp_path, monkeypatch
):
    def notebook(source):
        cell = new_code_cell("scale = 'tiny'", metadata={"tags": ["parameters"]})
        nbformat.write(
            new_notebook(
                cells=[cell, new_code_cell(source)],
                metadata={
                    "kernelspec": {
                        "name": "python3",
                        "display_name": "python3",
                        "language": "python",
                    }
                },
            ),
            tmp_path / "dies.ipynb",
        )

    made = notebooks.notebook_of
    monkeypatch.setattr(notebooks, "notebook_of", lambda name: tmp_path / "dies.ipynb")
    monkeypatch.setattr(ingredients, "hash_of", lambda which: "0" * 16)
    notebooks.declared.cache_clear()
    notebook("import os; os.kill(os.getpid(), 9)")
    which = Stage("tiny", "report", "analyze")
    try:
        assert stage.run(which) == 138
        assert failures.failure(which.dir() / "analyze.ipynb") is None
        page = index_page.index(runs_dir / "tiny").read_text()
        assert (
            ">Failed <" in page
            and "report/analyze</a>: exit status 138, " in page
            and "Kernel died" in page
        )
        notebook("print(1)")
        assert stage.run(which) == 0 and kept(which) is None
        assert "Failed" not in index_page.index(runs_dir / "tiny").read_text()
    finally:
        monkeypatch.setattr(notebooks, "notebook_of", made)
        for function in (notebooks.declared, ingredients.ingredients, ingredients._hash):
            function.cache_clear()


FULL = """
import os, subprocess, sys
from distill_nb.runtime import disk, paths
from distill_nb.study import notebooks, stage
from distill_nb.study.graph import Stage
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(paths.runs())], check=True)
train, fixtures = Stage("tiny", "llama8b_math_4k", "train"), Stage("tiny", "fixtures", "fixtures")
program = "open({!r}, 'w').write('{{' + 'x' * 2**21)"
notebooks.command = lambda name, out, *_: [sys.executable, "-c", program.format(str(out))]
print(stage.run(train), list(train.dir().glob("*.ipynb")), flush=True)
print("next", file=sys.stderr, flush=True)
with open(paths.runs() / "ballast", "wb", buffering=0) as f:
    try:
        while f.write(bytes(4096)): pass
    except OSError:
        pass
try:
    stage.run(fixtures)
except disk.DiskFull as full:
    sys.exit(str(full))
"""


def test_a_full_disk_under_papermill_is_said_and_leaves_no_torn_notebook(tmp_path):
    probe = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f"mount -t tmpfs tmpfs {tmp_path}",
    ]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("mounting a small disk of its own is not allowed here (unshare --user --mount)")
    small = tmp_path / "small"
    small.mkdir()
    ran = subprocess.run(
        [*probe[:4], sys.executable, "-c", FULL],
        capture_output=True,
        text=True,
        cwd=paths.ROOT,
        env=os.environ | {"DISTILL_NB_RUNS": str(small)},
    )
    first, _, second = ran.stderr.partition("next\n")
    assert ran.stdout.splitlines()[-1] == "1 []", ran.stdout + ran.stderr
    says = ": the disk is full, or a quota is used up ("
    assert (
        first.splitlines()[-1].startswith(f"{small}/tiny/llama8b_math_4k{says}")
        and "No space left on device" in first
    )
    assert (
        second.startswith(f"{small}")
        and says in second
        and len(second.splitlines()) == 1
        and ran.returncode == 1
    )


def test_snakemake_takes_no_stamp_for_what_is_not_finished(runs_dir):
    pytest.importorskip("snakemake", reason="Snakemake is not installed: make setup-study")
    runs_dir.mkdir()
    assert stage.run(Stage("tiny", "fixtures", "fixtures")) == 0
    for which in (TRAIN, EVAL):
        finish(which, finished=which == TRAIN)
        stamps.write_stamp(which)
    page = runs_dir / "tiny" / "llama8b_math_4k" / "eval.html"
    ran = snakemake(paths.ROOT, runs_dir, "-n", "--config", "scale=pocket", "--", page)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    text = ran.stdout + ran.stderr
    assert (
        "rule eval:" in text
        and "rule page:" in text
        and "rule train:" not in text
        and "rule fixtures:" not in text
    )
    assert {str(which) for which in stamps.on_disk("tiny")} == {str(TRAIN), "fixtures/fixtures"}


def test_an_evaluation_by_shards_waits_for_them_and_is_not_divided_once_it_is_done(runs_dir):
    pytest.importorskip("snakemake", reason="Snakemake is not installed: make setup-study")
    runs_dir.mkdir()
    assert stage.run(Stage("tiny", "fixtures", "fixtures")) == 0
    finish(TRAIN)
    stamps.write_stamp(TRAIN)
    page = runs_dir / "tiny" / "llama8b_math_4k" / "eval.html"

    def planned(*config):
        ran = snakemake(paths.ROOT, runs_dir, "-n", "--config", *config, "scale=tiny", "--", page)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        text = ran.stdout + ran.stderr
        return sorted(re.findall(r"rule (\w+):", text)), text

    rules, text = planned("shards=3")
    assert rules == ["eval", *["eval_shard"] * 3, "page"]
    (waits,) = re.findall(r"rule eval:\n    input: (.*)", text)
    assert [f"eval_shard_{number}_of_3-" in waits for number in (1, 2, 3)] == [True] * 3
    # made anew, a shard that another start has left is no reason to keep it
    left = shard_stamps.stamp(EVAL, Shard(1, 3))
    left.write_text("{}")
    assert planned("shards=3")[0] == ["eval", *["eval_shard"] * 2, "page"]
    assert planned("shards=3", "overwrite=llama8b_math_4k/eval")[0] == rules and not left.exists()
    assert planned("shards=1")[0] == ["eval", "page"]
    finish(EVAL)
    stamps.write_stamp(EVAL)
    assert planned("shards=3")[0] == ["page"]


def test_the_stand_in_answers_its_own_problems_in_the_other_teachers_words():
    for domain, mark in (("math", r"\boxed{"), ("code", "```python")):
        for row in pocket.pocket_traces("r1", domain, 27, 0)[:3]:
            answer = stand_in.answer(f"Please: {row['problem']}", 27)
            assert (
                mark in answer
                and "<think>" not in answer
                and (not row["answer"] or f"{{{row['answer']}}}" in answer)
            )
    assert stand_in.answer("What is the capital of France?", 27) == ""


def test_the_stand_in_speaks_messages_and_nothing_else():
    row = pocket.pocket_traces("r1", "math", 27, 0)[0]
    with stand_in.serving(27) as url:

        def post(path):
            body = {
                "model": "m",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": row["problem"]}],
            }
            return urllib.request.urlopen(
                urllib.request.Request(url + path, json.dumps(body).encode()), timeout=30
            )

        made = json.loads(post("/v1/messages").read())
        assert (
            made["content"][0]["text"] == stand_in.answer(row["problem"], 27)
            and made["stop_reason"] == "end_turn"
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post("/v1/messages/batches")


def test_only_tiny_sets_of_the_api_teacher_ask_the_stand_in():
    assert graph.asks_the_stand_in(Stage("tiny", "traces/sonnet_math", "traces"))
    for other in (
        Stage("full", "traces/sonnet_math", "traces"),
        Stage("tiny", "traces/r1_math", "traces"),
        Stage("tiny", "sonnet_math_llama_4k", "train"),
    ):
        assert not graph.asks_the_stand_in(other)

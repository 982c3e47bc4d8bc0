"""When a stage of the study is done, and when it is not any more."""

import json

import pytest

from distill_nb import params
from distill_nb.evaluation import records
from distill_nb.study import graph, ingredients, stamps
from distill_nb.study.graph import Stage
from tests.study import test_ingredients
from tests.study.test_ingredients import EVAL, TRAIN, edit, forget

# its fixture: parameter files of a test's own, and an empty runs folder
folder = test_ingredients.folder
SET = Stage("full", "traces/r1_math", "traces")
ANALYZE, PAPER = Stage("full", "report", "analyze"), Stage("full", "report", "paper")
REPLICATE = [Stage("full", "llama8b_math_4k_seed1", name) for name in ("train", "eval")]


def finish(stage, **record):
    """The results of a stage, as far as they say that it is finished."""
    file = stage.dir() / stamps.RECORD[stage.name]
    file.parent.mkdir(parents=True, exist_ok=True)
    if stage.name == "traces":
        (stage.dir() / "train.parquet").touch()
    file.write_text(json.dumps({"finished": True} | record))
    return file


def done(*stages):
    for stage in stages:
        finish(stage)
        stamps.write_stamp(stage)


def stamped(scale="full"):
    return {str(stage) for stage in stamps.on_disk(scale)}


def test_a_stamp_says_that_a_stage_is_done_and_later_what_has_changed(folder):
    assert (
        not stamps.has_results(TRAIN)
        and stamps.changes(TRAIN) == []
        and stamps.state(TRAIN) == "not done"
    )
    finish(TRAIN)
    stamps.write_stamp(TRAIN, gpus=["0"])
    assert stamps.has_results(TRAIN) and stamps.is_done(TRAIN) and stamps.state(TRAIN) == ""
    assert json.loads(stamps.stamp(TRAIN).read_text())["gpus"] == ["0"]
    edit(folder / "run07.yaml", "weight_decay: 0.0", "weight_decay: 0.1")
    forget()
    assert (
        not stamps.has_results(TRAIN)
        and stamps.changes(TRAIN) == ["parameter weight_decay"]
        and not stamps.is_done(TRAIN)
    )
    stamps.write_stamp(TRAIN)
    assert list(stamps.stamps(TRAIN)) == [stamps.stamp(TRAIN)]  # in place of the earlier one
    stamps.remove_false_stamps("full")
    assert stamps.is_done(TRAIN)
    stamps.stamp(TRAIN).write_text('{"made_of": ')  # torn: it proves nothing
    assert not stamps.has_results(TRAIN) and stamps.changes(TRAIN) == []
    stamps.remove_false_stamps("full")
    assert not stamps.stamp(TRAIN).exists()


@pytest.mark.parametrize("stage", [SET, TRAIN, EVAL, ANALYZE, PAPER], ids=str)
def test_a_stamp_without_finished_results_is_none(stage, folder):
    done(stage)
    record = stage.dir() / stamps.RECORD[stage.name]
    assert stamps.is_done(stage) and stamps.has_results(stage)
    if stage in (TRAIN, EVAL):
        proof = [
            {"step": 100, "passed": False, "why": "the adapter changes nothing"},
            {"step": 200, "passed": True},
        ]
        finish(stage, finished=False, adapter_proof=proof)
        says = (
            f"{record.name} does not say that it is finished (step 100: the adapter changes "
            "nothing)"
        )
        assert stamps.unfinished(stage) == says and stamps.state(stage) == f"not done: {says}"
        assert not stamps.is_done(stage) and not stamps.has_results(stage)
        finish(stage, finished=False, adapter_proof=proof[1:], failed_requests=3)
        assert stamps.unfinished(stage).endswith(
            "finished (3 requests failed, and are asked again at the next start)"
        )
        finish(stage)
        assert stamps.is_done(stage)
    if stage in (SET, TRAIN, EVAL):
        record.write_text("{")
        assert not stamps.is_done(stage)
    record.unlink()
    assert stamps.unfinished(stage) == f"there is no {record.name}" and not stamps.is_done(stage)
    assert not stamps.has_results(stage)
    other = Stage("full", "llama8b_code_4k", "train")
    done(other)
    stamps.remove_false_stamps("full")
    assert stamped() == {str(other)}


def test_a_stamp_does_not_outlive_its_results(folder):
    done(SET, TRAIN, EVAL)
    (SET.dir() / "train.parquet").unlink()
    assert stamps.unfinished(
        SET
    ) == "train.parquet is not there as it was finished" and not stamps.has_results(SET)
    finish(TRAIN, adapters_sha256={"100": "a", "200": "b"})
    for step in (100, 200):
        weights = TRAIN.dir() / "checkpoints" / f"step_{step:05d}" / "adapter_model.safetensors"
        weights.parent.mkdir(parents=True)
        weights.touch()
    assert stamps.is_done(TRAIN)
    weights.unlink()
    assert stamps.unfinished(
        TRAIN
    ) == "the adapter of step 200 is not there as it was finished" and not stamps.is_done(TRAIN)
    names = [f"step_{step:05d}/math500.jsonl" for step in (0, 100)]
    for name in names:
        (EVAL.dir() / "eval" / name).parent.mkdir(parents=True)
        (EVAL.dir() / "eval" / name).write_text("{}\n")
    finish(EVAL, files=records.sizes(EVAL.dir()))
    assert stamps.is_done(EVAL) and records.sizes(EVAL.dir()) == dict.fromkeys(names, 3)
    for name in names:
        (EVAL.dir() / "eval" / name).write_text("{")  # torn
    assert stamps.unfinished(EVAL) == f"{names[0]} is not there as it was finished, and 1 more"
    stamps.remove_false_stamps("full")
    assert stamped() == set()


def test_a_baseline_that_is_made_anew_takes_along_the_runs_with_copies_of_its_records(folder):
    base, other = (Stage("full", f"baseline_{name}", "eval") for name in ("llama", "qwen_base"))
    qwen = Stage("full", "math_4k_lr5", "eval")
    assert graph.baselines(EVAL) == (base,) and graph.baselines(qwen) == (other,)
    assert graph.baselines(base) == graph.baselines(TRAIN) == () and base not in graph.needs(EVAL)
    done(TRAIN, EVAL, qwen, base, other, ANALYZE)
    stamps.remove_stamps_from(base)
    assert stamped() == {str(TRAIN), str(qwen), str(other)}


def test_what_has_read_what_is_made_anew_is_not_done_any_more(folder):
    name = params.read_files(folder / "extra" / "run07_lr4.yaml")["run_name"]
    beyond = [Stage("full", name, "train"), Stage("full", name, "eval")]
    gone = Stage("full", "own", "eval")  # its parameter file is there no more
    code = [Stage("full", "llama8b_code_4k", name) for name in ("train", "eval")]
    done(
        SET,
        TRAIN,
        EVAL,
        *REPLICATE,
        *beyond,
        *code,
        Stage("full", "traces/sonnet_math", "traces"),
        ANALYZE,
        PAPER,
    )
    finish(gone).parent.joinpath("made").mkdir()
    (gone.dir() / "made" / f"eval-{'0' * 16}").write_text(
        json.dumps({"made_of": {f"result of {TRAIN}": "x"}})
    )
    before = stamped()
    stamps.remove_stamps_from(EVAL)
    assert before - stamped() == {str(EVAL), "report/analyze", "report/paper"}
    stamps.remove_stamps_from(TRAIN)
    assert stamped() == before - {
        str(EVAL),
        "report/analyze",
        "report/paper",
        str(TRAIN),
        str(gone),
    }
    stamps.remove_stamps_from(SET)
    assert stamped() == {str(stage) for stage in code}
    done(Stage("full", "traces/sonnet_math", "traces"), EVAL)  # its training's stamp is not there
    stamps.remove_stamps_from(SET)
    assert stamped() == {str(stage) for stage in code}


def test_a_stamp_keeps_the_code_that_made_the_results(folder):
    now = ingredients.modules(TRAIN)
    assert {"distill_nb/training/train.py", "distill_nb/training/step.py"} < set(now)
    finish(TRAIN, code=now | {"notebooks/train.ipynb": "0"})
    stamps.write_stamp(TRAIN)
    assert (
        stamps.state(TRAIN) == ""
        and json.loads(stamps.stamp(TRAIN).read_text())["code"]["notebooks/train.ipynb"] == "0"
    )
    finish(TRAIN, code=now | {"distill_nb/training/step.py": "0" * 16})
    stamps.write_stamp(TRAIN)
    assert stamps.is_done(TRAIN) and stamps.state(TRAIN) == (
        "done; its results are of an earlier version of step.py; OVERWRITE=llama8b_math_4k/train "
        "makes them anew"
    )
    # made in parts
    finish(TRAIN, code=now, sessions=[{"code": now | {"distill_nb/gone.py": "1"}}, {"seconds": 3}])
    stamps.write_stamp(TRAIN)
    assert stamps.earlier_code(TRAIN) == ["gone.py"]


def test_the_analysis_is_done_as_long_as_there_are_no_other_evaluations_to_read(folder):
    done(EVAL, ANALYZE, PAPER)
    place = stamps.stamp(ANALYZE)
    finish(Stage("full", "baseline_llama", "eval"))  # of the study: an ingredient anyway
    file = finish(REPLICATE[1], finished=False)
    assert stamps.is_done(ANALYZE) and stamps.is_done(PAPER) and stamps.beyond_study(ANALYZE) == {}
    finish(REPLICATE[1])
    forget()
    says = "result of llama8b_math_4k_seed1/eval, beyond the study"
    for stage in (ANALYZE, PAPER):
        assert (
            not stamps.is_done(stage)
            and not stamps.has_results(stage)
            and stamps.state(stage) == says
        )
    assert stamps.stamp(ANALYZE) == place and stamps.is_done(EVAL)  # the plan's name for it stays
    began = stamps.beyond_study(ANALYZE)
    finish(Stage("full", "own", "eval"))  # came while it ran: read at the next start
    stamps.write_stamp(ANALYZE, began)
    assert stamps.state(ANALYZE) == "result of own/eval, beyond the study"
    stamps.remove_false_stamps("full")
    assert stamped() == {str(EVAL)}
    stamps.write_stamp(ANALYZE)
    stamps.write_stamp(PAPER)
    for _ in range(2):
        stamps.remove_false_stamps("full")
        assert stamps.is_done(ANALYZE) and stamps.is_done(PAPER)
    file.write_text(file.read_text() + " ")
    assert not stamps.is_done(ANALYZE) and stamps.beyond_study(EVAL) == {}

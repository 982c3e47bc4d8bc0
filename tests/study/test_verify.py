"""A run that is run again is the same; what is not the same is named."""

import json
import shutil
from dataclasses import replace

import pytest
from helpers import tiny

from distill_nb.__main__ import main
from distill_nb.evaluation import evaluate
from distill_nb.runtime import paths
from distill_nb.study import verify
from distill_nb.training import train


def call(words):
    """The command line, in this process: its exit status; a sentence that ends it is raised."""
    try:
        main(["verify", *words], standalone_mode=False)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise
        return int(ended.code)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of runs with a finished one."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(folder))
        p = tiny(benchmark_limit=2, max_steps=2, save_every=1)
        train.train(p)
        for name, limit in (("pocket_math", 2), ("pocket_code", 1)):
            evaluate.evaluate(replace(p, benchmarks=[name], benchmark_limit=limit))
        return paths.run_dir(p)


@pytest.fixture
def tamper(made):
    """Change something of the run, for one test."""
    before = {f: f.read_bytes() for f in made.rglob("*") if f.is_file()}

    def change(name, edit):
        file = made / name
        file.write_text(edit(file.read_text()))

    yield change
    for file, content in before.items():
        file.write_bytes(content)


def edited(**changes):
    """An edit of a provenance: keys like packages.torch → value."""

    def edit(text):
        record = json.loads(text)
        for key, value in changes.items():
            *way, last = key.split("__")
            place = record
            for name in way:
                place = place[name]
            place[last] = value
        return json.dumps(record)

    return edit


def found(made, tmp_path):
    results, around = verify.verify(made, tmp_path / "again")
    return (
        {c.what: c.differs for c in results if c.differs},
        {c.what: c.differs for c in around if c.differs},
        verify.report(results, around),
    )


def test_a_run_is_the_same_again(made, tmp_path, capsys, monkeypatch):
    assert call([str(made), "--into", str(tmp_path / "kept")]) == 0
    said = capsys.readouterr().out
    assert (
        "15 of 15 results are the same:" in said
        and "differs" not in said
        and "may be why" not in said
    )
    assert "same     adapter of step 2" in said and "same     losses of 2 steps" in said
    assert (tmp_path / "kept" / "tiny" / made.name / "provenance_eval.json").exists()
    for folder in (
        tmp_path / "kept",
        made.parents[1],
    ):  # compared with what is there, it would be the same without a run
        with pytest.raises(SystemExit, match=rf"^into: {made.name} is in {folder.name} already"):
            call([str(made), "--into", str(folder)])


def test_other_parameters_change_losses_and_adapters(made, tamper, tmp_path):
    tamper("provenance_train.json", edited(parameters__learning_rate=0.01))
    wrong, around, said = found(made, tmp_path)
    assert {"losses", "adapter of step 1", "adapter of step 2"} <= set(wrong) and not around
    assert not any(what.endswith("of training") for what in wrong)
    assert (
        wrong["losses"]
        == "2 of 2 steps differ, the first is step 1: learning_rate 0.001 is recorded, and it is "
        "0.01 now"
    )
    assert wrong["adapter of step 2"].startswith("its weights differ by up to 0.0")
    assert "Code, versions, device and threads are as recorded" in said


def test_what_was_tampered_with_is_named_and_so_is_what_else_is_other(made, tamper, tmp_path):
    code = {"distill_nb/students/chat.py": "0" * 16}
    tamper(
        "provenance_train.json",
        lambda text: edited(
            data_sha256="0" * 64,
            packages__torch="1.0",
            threads=64,
            code=json.loads(text)["code"] | code,
        )(text),
    )
    tamper("metrics.jsonl", lambda text: text.replace('"loss": ', '"loss": 1', 1))
    tamper(
        "eval/step_00002/pocket_math.jsonl",
        lambda text: (
            "\n".join(
                json.dumps(json.loads(line) | {"outcome": "correct"}) for line in text.splitlines()
            )
            + "\n"
        ),
    )
    wrong, around, said = found(made, tmp_path)
    assert set(wrong) == {"data_sha256 of training", "losses", "outcomes of step_00002/pocket_math"}
    assert wrong["losses"].startswith("1 of 2 steps differ, the first is step 1: loss 1")
    assert wrong["outcomes of step_00002/pocket_math"].startswith(
        "2 of 2 differ, such as pocket_math/"
    )
    assert set(around) == {
        "package torch of training",
        "threads of training",
        "code distill_nb/students/chat.py of training",
    }
    assert (
        around["package torch of training"].startswith("1.0 is recorded, and it is 2.")
        and "may be why:" in said
    )


def test_an_adapter_that_was_replaced_is_named(made, tamper, tmp_path):
    file = made / "checkpoints" / "step_00001" / "adapter_model.safetensors"
    file.write_bytes(
        (made / "checkpoints" / "step_00002" / "adapter_model.safetensors").read_bytes()
    )
    wrong, _, _ = found(made, tmp_path)
    assert (
        set(wrong) == {"adapter of step 1"}
        and "another one than is recorded" in wrong["adapter of step 1"]
    )


def test_there_must_be_a_finished_run(made, tamper, tmp_path, capsys):
    tamper("provenance_eval.json", edited(finished=False))
    with pytest.raises(
        SystemExit, match=r"provenance_eval\.json in \S+: there is no finished run to verify"
    ):
        call([str(made)])
    tamper("provenance_train.json", edited(parameters__learning_rate="fast"))
    tamper("provenance_eval.json", edited(finished=True))
    with pytest.raises(
        SystemExit, match=r"^provenance_train\.json in \S+: learning_rate is the text 'fast'"
    ):
        call([str(made)])


def test_records_that_are_on_one_side_only_are_named(made, tmp_path, capsys):
    extra = made / "eval" / "step_00002" / "math500.jsonl"
    shutil.copytree(made / "eval", tmp_path / "eval")
    try:
        (made / "eval" / "step_00001" / "pocket_code.jsonl").unlink()
        extra.write_bytes((made / "eval" / "step_00002" / "pocket_math.jsonl").read_bytes())
        wrong, _, _ = found(made, tmp_path)
        assert wrong == {
            "outcomes of step_00001/pocket_code": "they are not on disk",
            "outcomes of step_00002/math500": "they are on disk, and no repetition makes them",
        }
        shutil.rmtree(made / "eval")
        assert call([str(made)]) == 1
        said = capsys.readouterr().out
        assert "9 of 15 results are the same:" in said and said.count("they are not on disk") == 6
    finally:
        shutil.rmtree(made / "eval", ignore_errors=True)
        shutil.copytree(tmp_path / "eval", made / "eval")


def test_an_evaluation_on_nothing_is_not_the_same(made, tamper):
    tamper("provenance_eval.json", edited(settings__tasks_sha256={}))
    with pytest.raises(SystemExit, match=r"^provenance_eval\.json in \S+ names no benchmark"):
        call([str(made)])

"""A run on a hub of our own: what arrives, byte for byte, and in one sentence why nothing does."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from helpers import tiny

from distill_nb.__main__ import main
from distill_nb.analysis import results
from distill_nb.runtime import paths
from distill_nb.study.publishing import licences, of_run, upload
from distill_nb.study.publishing.licences import Answers

TO = "org/tiny-run"
SAID = Answers(licence="apache-2.0", data_licence="mit")
STEPS = ("step_00002", "step_00004")


def call(*words):
    """The command line, in this process: (exit status, what it said)."""
    ran = CliRunner().invoke(main, list(words))
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.output
    return ran.exit_code, ran.output


def publish(run, answers=SAID, private=False, **how):
    """Send a run; returns what was said of each revision."""
    said = []
    upload.send(of_run.publication(str(run), TO, answers, **how), private, said.append)
    return said


def commits(hub):
    return [call for call in hub.calls if "/commit/" in call]


def change(file, **values):
    """Change values of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_dry_run_says_what_would_go_where_and_what_is_to_be_answered(run, hub):
    status, said = call("publish", run.name, "--to", TO)
    assert status == 0 and hub.calls == [] and "nothing was sent. --yes sends it." in said
    assert f"{hub.url}/{TO} (model)" in said and "3 revisions" in said
    for name in (*STEPS, "main"):
        assert f"\n{name}: " in said
    size = (run / "checkpoints" / "step_00002" / "adapter_model.safetensors").stat().st_size
    line = next(row for row in said.splitlines() if "adapter_model.safetensors" in row)
    assert line.split()[1:] == [f"{size / 1000:.1f}", "kB"]
    assert "--licence ID: under which licence do you publish this?" in said

    # the same with --yes sends nothing, and says so in one sentence
    status, said = call("publish", run.name, "--to", TO, "--yes")
    assert status == 1 and hub.calls == []
    assert said.splitlines()[-1].startswith("Nothing was sent; answer first: --licence ID")
    assert call("publish", run.name, "--to", TO, "--licence", "mit")[1].count("answered") == 0


def test_what_arrives_is_what_was_made_byte_for_byte_on_one_branch_a_checkpoint(run, hub):
    said = publish(run)
    assert [line.partition(":")[0] for line in said] == [*STEPS, "main"]
    assert set(hub.repositories["model", TO]["branches"]) == {*STEPS, "main"}
    table = results.accuracy_table(run.parent).set_index(["step", "benchmark"])
    for name in (*STEPS, "main"):
        found = hub.files("model", TO, name)
        step = 2 if name == "step_00002" else 4
        checkpoint = run / "checkpoints" / f"step_{step:05d}"
        for path in ("adapter_model.safetensors", "adapter_config.json", "proof.json"):
            assert found[path] == (checkpoint / path).read_bytes(), path
        for path in ("provenance_train.json", "provenance_eval.json"):
            assert found[f"distill_nb/{path}"] == (run / path).read_bytes(), path
        judged = json.loads((run / "eval" / f"step_{step:05d}" / "proof.json").read_text())
        assert json.loads(found["distill_nb/adapter_proof.json"]) == judged and judged["passed"]
        manifest = json.loads(found["distill_nb/published.json"])
        assert manifest["run"] == f"tiny/{run.name}"
        assert manifest["files"] == {
            path: hashlib.sha256(data).hexdigest()
            for path, data in found.items()
            if path != "distill_nb/published.json"
        }

        card = found["README.md"].decode()
        _, front, text = card.split("---\n", 2)
        metadata = yaml.safe_load(front)
        assert metadata["license"] == "apache-2.0" and "base_model" not in metadata
        scores = {
            one["dataset"]["name"]: one["metrics"][0]["value"]
            for one in metadata["model-index"][0]["results"]
        }
        assert scores == {
            bench: round(table.loc[(step, bench), "accuracy"], 2) for bench in tiny().benchmarks
        }
        assert "Not finished" not in text and "Not proved" not in text
        assert f"of the adapter's shift on {judged['tokens']} tokens" in text
        assert "| `step_00004`, `main` |" in text and "is for is on no hub" in text
        assert str(paths.runs()) not in card and "None" not in card
    assert (
        hub.files("model", TO, "main")["README.md"] == hub.files("model", TO, STEPS[1])["README.md"]
    )


def test_the_command_sends_it_through_the_real_client_in_a_process_of_its_own(run, hub):
    words = ("publish", str(run), "--to", TO, "--licence", "mit", "--private", "--yes")
    done = subprocess.run(
        [sys.executable, "-m", "distill_nb", *words],
        cwd=paths.ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(f"published: {hub.url}/{TO}")
    assert hub.private == {("model", TO)}
    weights = run / "checkpoints" / "step_00004" / "adapter_model.safetensors"
    assert hub.files("model", TO, "main")[weights.name] == weights.read_bytes()


def test_what_is_there_already_is_not_sent_again(run, hub):
    publish(run)
    before, uploaded = len(commits(hub)), list(hub.uploaded)
    # main has the last checkpoint's weights, which went once
    assert before == 3 and len(uploaded) == 2
    said = publish(run)
    assert len(commits(hub)) == before and hub.uploaded == uploaded
    assert all("nothing sent" in line for line in said)

    # what changes is sent alone: another licence changes the card and the list of files
    said = publish(run, dataclasses.replace(SAID, licence="mit"))
    assert hub.uploaded == uploaded and all("2 files sent" in line for line in said)
    front = hub.files("model", TO, "main")["README.md"].decode().split("---\n")[1]
    assert yaml.safe_load(front)["license"] == "mit"


def test_an_interrupted_publication_goes_on_where_it_stopped(run, hub):
    call_of = f"POST /api/models/{TO}/commit/step_00004"
    hub.fails[call_of] = [500]
    with pytest.raises(ValueError, match="the same command goes on later"):
        publish(run)
    assert hub.files("model", TO, "main") == {} and hub.files("model", TO, STEPS[1]) == {}
    sent = list(hub.uploaded)
    said = publish(run)
    assert "nothing sent" in said[0] and "files sent" in said[1]
    # the weights were there before the commit failed
    assert hub.uploaded == sent and commits(hub).count(call_of) == 2
    weights = run / "checkpoints" / "step_00004" / "adapter_model.safetensors"
    assert hub.files("model", TO, "main")[weights.name] == weights.read_bytes()


def test_a_file_that_is_no_longer_published_goes_and_others_files_stay(run, hub):
    text = run.parent / "LICENCE.txt"
    text.write_text("as you like")
    publish(run, dataclasses.replace(SAID, licence_file=text))
    assert hub.files("model", TO, "main")["LICENSE"] == b"as you like"
    tree = hub.repositories["model", TO]["branches"]["main"]
    tree.append(tree[-1] | {"notes.md": b"by hand"})
    said = publish(run)
    assert said[2].startswith("main: 1 file sent") and "1 removed" in said[2]
    found = hub.files("model", TO, "main")
    assert "LICENSE" not in found and found["notes.md"] == b"by hand"


def test_a_repository_of_another_run_or_from_elsewhere_is_left_alone(run, hub):
    publish(run)
    change(run / "provenance_train.json", data_sha256="0" * 64)
    with pytest.raises(ValueError, match=r"--to: org/tiny-run holds another run: its data_sha256"):
        publish(run)
    hub.create("model", "org/other")["branches"]["main"].append({"weights.bin": b"1"})
    with pytest.raises(ValueError, match=r"holds files that were not .* \(weights.bin, on main\)"):
        upload.send(of_run.publication(str(run), "org/other", SAID), False, print)
    assert hub.files("model", "org/other", "main") == {"weights.bin": b"1"}


def test_a_public_repository_is_not_taken_for_a_private_one(run, hub):
    publish(run)
    with pytest.raises(ValueError, match="--private: org/tiny-run is there already, and public"):
        publish(run, private=True)


def test_each_refusal_of_the_hub_is_one_sentence(run, hub, monkeypatch):
    hub.fails[f"POST /api/models/{TO}/branch/"] = [500]
    with pytest.raises(ValueError, match="the hub has an error of its own"):
        publish(run)
    hub.readable = False
    with pytest.raises(ValueError, match=r"may not write to org/tiny-run .*rights to do this"):
        publish(run)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(ValueError, match="the hub knows no such token; log in again"):
        publish(run)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ValueError, match="There is no token of the hub: log in"):
        publish(run)


def test_a_hub_that_is_away_is_one_sentence(run, hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match="could not be reached to ask for your account"):
        publish(run)


def test_what_is_not_proved_or_not_finished_is_refused_or_said_in_the_card(run, hub):
    file = run / "provenance_eval.json"
    proofs = json.loads(file.read_text())["adapter_proof"]
    proofs[0] |= {"passed": False, "why": "the engine answers as its base does"}
    change(file, adapter_proof=proofs, finished=False)
    records = run / "eval" / "step_00004" / "pocket_math.jsonl"
    records.write_text("".join(records.read_text().splitlines(True)[:-1]))
    with pytest.raises(ValueError) as refused:
        publish(run)
    assert str(refused.value) == (
        f"{run.name}, step 2: The adapter's proof failed: the engine answers as its base does (and "
        "1 more like it); finish it with `distill-nb eval`, or publish it as it is with "
        "--unfinished, and its card says so."
    )
    assert hub.calls == []

    publish(run, unfinished=True)
    unproved, cut = (hub.files("model", TO, name)["README.md"].decode() for name in STEPS)
    assert "**Not finished.** The adapter's proof failed: the engine answers as" in unproved
    assert "**Not proved.**" in unproved and "model-index" not in unproved
    assert "**Not finished.** pocket_math: 2 of 3 problems are answered." in cut
    measured = yaml.safe_load(cut.split("---\n")[1])["model-index"][0]["results"]
    assert [one["dataset"]["name"] for one in measured] == ["pocket_code"]


def test_a_run_without_any_answer_is_published_only_where_that_is_asked(run):
    for file in run.glob("eval/step_*/*.jsonl"):
        file.unlink()
    with pytest.raises(ValueError, match=r"pocket_math was not answered \(and 3 more like it\)"):
        of_run.publication(str(run), TO, SAID)
    what = of_run.publication(str(run), TO, SAID, unfinished=True)
    card = next(f.content for f in what.revisions[0].files if f.path == "README.md").decode()
    assert "**Not finished.** pocket_code was not answered." in card and "model-index" not in card


def test_a_run_without_checkpoints_of_its_own_is_refused(run):
    (run / "provenance_train.json").rename(run / "was.json")
    with pytest.raises(ValueError, match="nothing was trained here"):
        of_run.publication(str(run), TO, SAID)
    (run / "was.json").rename(run / "provenance_train.json")
    weights = run / "checkpoints" / "step_00002" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"0")
    with pytest.raises(ValueError, match=r"step 2 of .* is not the one that its training wrote"):
        of_run.publication(str(run), TO, SAID)
    shutil.rmtree(weights.parent)
    with pytest.raises(ValueError, match=r"step 2 of .* is not on disk"):
        of_run.publication(str(run), TO, SAID)
    with pytest.raises(ValueError, match="write organisation/name"):
        of_run.publication(str(run), "no-name", SAID)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name one of the two"),
        (("a", "--set", "b"), "name one of the two"),
        (("no_such_run",), "there is no run no_such_run with answers"),
        (("x", "--licence", "apache2"), "--licence: the hub knows no licence 'apache2'; write apa"),
        (("x", "--licence", "other"), "needs --licence-name and --licence-link"),
        (("x", "--base-model", "mine"), "'mine' is no id of the hub"),
        (("x", "--licence-file", "no.txt"), "there is no file no.txt"),
    ],
)
def test_bad_words_are_one_sentence(words, said, runs_dir):
    status, output = call("publish", *words, "--to", TO)
    assert status == 1 and said in output and len(output.strip().splitlines()) == 1


def test_main_is_another_step_where_that_is_asked(run, hub):
    publish(run, main=2)
    weights = run / "checkpoints" / "step_00002" / "adapter_model.safetensors"
    found = hub.files("model", TO, "main")
    assert found[weights.name] == weights.read_bytes()
    assert b"`main` is step 2." in found["README.md"]
    with pytest.raises(ValueError, match="has no checkpoint 3; choose from 2, 4"):
        publish(run, main=3)


# ---- licences


@pytest.fixture
def llama(run):
    """The run as if its student were the study's Llama, taught by R1."""
    parameters = json.loads((run / "provenance_train.json").read_text())["parameters"]
    parameters |= {"student_size": "full", "scale": "full", "dataset": "r1_math", "teacher": "r1"}
    change(run / "provenance_train.json", parameters=parameters)
    return run


def test_a_llama_is_named_so_and_its_licence_goes_along(llama, hub, tmp_path):
    with pytest.raises(ValueError, match="begin with Llama; write org/Llama-tiny-run"):
        of_run.publication(str(llama), TO, SAID)
    to = "org/Llama-3.1-8B-tiny"
    asked = of_run.publication(str(llama), to, Answers(licence="llama3.1")).questions
    assert [question.partition(":")[0] for question in asked] == [
        "--teacher-terms-checked",
        "--licence-file FILE",
    ]
    assert "DeepSeek-R1" in asked[0]
    text = tmp_path / "LICENSE"
    text.write_text("the community licence")
    answers = Answers(licence="llama3.1", licence_file=text, teacher_terms_checked=True)
    what = of_run.publication(str(llama), to, answers)
    assert what.questions == []
    upload.send(what, False, print)
    found = hub.files("model", to, "main")
    assert found["LICENSE"] == b"the community licence"
    assert found["NOTICE"].decode().startswith("Llama 3.1 is licensed under the Llama 3.1 Com")
    card = found["README.md"].decode()
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["base_model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert metadata["base_model_relation"] == "adapter" and "Built with Llama." in card
    assert f'PeftModel.from_pretrained(base, "{to}", revision="step_00004")' in card
    assert metadata["datasets"] == ["open-r1/OpenR1-Math-220k"]
    row = "| traces | open-r1/OpenR1-Math-220k | apache-2.0 | as its page on the hub says |"
    assert row in card and "have read the licence and terms of DeepSeek-R1" in card


def test_what_no_one_knows_is_asked_for_and_never_guessed(llama, tmp_path):
    folder = tmp_path / "my-student"
    folder.mkdir()
    file = llama / "provenance_train.json"
    parameters = json.loads(file.read_text())["parameters"]
    more = {"student": str(folder), "dataset": str(tmp_path / "mine.jsonl"), "teacher": "qwq"}
    change(file, parameters=parameters | more)
    what = of_run.publication(str(llama), TO, Answers())
    assert [question.split(":")[0] for question in what.questions] == [
        "--base-model ID",
        "--licence ID",
        "--base-licence ID",
        "--data-licence ID",
        "--teacher-terms-checked",
    ]
    assert any(str(folder) in note for note in what.notes)
    (folder / "README.md").write_text("---\nlicense: gemma\n---\n# mine\n")
    answers = Answers(base_model="org/my-base")
    what = of_run.publication(str(llama), TO, answers)
    assert len(what.questions) == 3  # the card in the student's folder says its licence
    files = {file.path: file for file in what.revisions[0].files}
    config = json.loads(files["adapter_config.json"].content)
    assert config["base_model_name_or_path"] == "org/my-base"
    card = files["README.md"].content.decode()
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "org/my-base"
    assert "| base model | org/my-base | gemma | as its own card says |" in card
    assert "| traces | mine.jsonl | not answered | not on record |" in card


def test_the_licences_on_record_are_ids_of_the_hub():
    assert set(licences.KNOWN.values()) <= licences.HUB_LICENCES
    assert len(licences.HUB_LICENCES) == 82 and "unknown" not in licences.HUB_LICENCES

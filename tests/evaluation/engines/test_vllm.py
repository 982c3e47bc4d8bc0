"""vLLM on tiny students: it says what Transformers says, in both modes, whatever becomes of its
processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import torch
from helpers import needs_vllm, tiny
from safetensors.torch import load_file, save_file

from distill_nb.evaluation import evaluate
from distill_nb.evaluation.engines import start, vllm, vllm_client
from distill_nb.evaluation.engines.types import EngineFailed, Request
from distill_nb.evaluation.engines.vllm import VllmEngine
from distill_nb.evaluation.proofs import proved
from distill_nb.runtime import paths
from distill_nb.students import chat, proof, student
from distill_nb.training import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose checkpoints differ much, and their folders by step; 6 is another run's last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("trained")))
        p = tiny(learning_rate=0.05, engine="vllm", max_new_tokens=12)
        other = replace(p, run_name="other", seed=1, save_every=4)
        train.train(p)
        train.train(other)
        adapters = {step: paths.checkpoint_dir(p, step) for step in (2, 4)}
        yield p, adapters | {6: paths.checkpoint_dir(other, 4)}


def everything(p, adapters, requests, references=None):
    """({number: answer}, proofs) of one engine over all steps."""
    found, proofs = {}, []
    references = references or {step: proof.read(folder) for step, folder in adapters.items()}
    prompts, texts = [r.prompt for r in requests], [r["tokens"] for r in references.values()]
    with start.start(p, adapters, prompts, texts) as engine:
        for steps, made in proved(p, engine, sorted(adapters), references):
            proofs += made
            for batch in engine.answers([r for r in requests if r.step in steps]):
                found |= {a.number: a for a in batch}
    return found, proofs


@needs_vllm
def test_both_modes_say_what_transformers_says_and_an_adapter_that_is_ignored_is_found_out(
    trained, tmp_path
):
    p, adapters = trained
    references = {step: proof.read(folder) for step, folder in adapters.items()}
    idle = tmp_path / "idle"
    shutil.copytree(adapters[6], idle)
    weights = load_file(idle / "adapter_model.safetensors")
    save_file(
        {k: torch.zeros_like(w) if "lora_B" in k else w for k, w in weights.items()},
        idle / "adapter_model.safetensors",
    )
    prompts = [[(7 * k + j) % 250 for j in range(5 + k)] for k in range(8)]
    requests = [
        Request(i, step, prompt, i)
        for i, (step, prompt) in enumerate((s, x) for s in (0, 2, 4) for x in prompts)
    ]
    real = {step: adapters[step] for step in (2, 4)}
    expected, proofs = everything(replace(p, engine="hf"), real, requests)
    assert all(made.passed for made in proofs) and [made.step for made in proofs] == [2, 4]
    assert len({tuple(a.tokens) for a in expected.values()}) > 15  # the checkpoints do differ
    for mode, engines, served in (("merged", 1, real), ("multi", 2, real | {6: idle})):
        how = replace(p, adapters=mode, data_parallel=engines)
        found, proofs = everything(how, served, requests, {s: references[s] for s in served})
        assert {n: (a.tokens, a.text, a.finish_reason) for n, a in found.items()} == {
            n: (a.tokens, a.text, a.finish_reason) for n, a in expected.items()
        }, mode
        assert [made.step for made in proofs] == list(served)
        assert all(made.passed and made.error < 1e-4 < made.moved for made in proofs[:2]), proofs
    bad = proofs[2]
    assert not bad.passed and bad.moved < 1e-4 < bad.effect
    assert "not applied as trained" in bad.why


@needs_vllm
def test_an_engine_that_runs_out_of_slots_is_found_out_and_all_of_it_ends(trained):
    p, adapters = trained
    references = {step: proof.read(adapters[step]) for step in (2, 4)}
    full = VllmEngine(replace(p, adapters="multi"), {s: adapters[s] for s in (2, 4)}, "multi", 300)
    full._settings["engine"] |= {"max_loras": 2, "max_cpu_loras": 2}
    with full:
        ((_, proofs),) = proved(p, full, [2, 4], references)
        process = psutil.Process(full._processes[0]._process.pid)
        below = [process, *process.children(recursive=True)]
        assert len(below) == 2  # and the one that watches over it
    assert not any(made.passed for made in proofs) and "the engine's base " in proofs[0].why
    assert not psutil.wait_procs(below, timeout=10)[1]


@pytest.fixture(scope="module")
def serving(trained):
    """An engine with the merged checkpoint 4, six requests, and what Transformers answers them."""
    p, adapters = trained
    requests = [Request(i, 4, [i + 1, 5, 6], i) for i in range(6)]
    expected, _ = everything(replace(p, engine="hf"), {4: adapters[4]}, requests)
    with start.start(p, {4: adapters[4]}, [r.prompt for r in requests]) as engine:
        served = engine.serve([4])
        assert (next(served), next(served)) == ([0], [4])
        yield engine, requests, {n: a.tokens for n, a in expected.items()}
        folder = engine._merged.name
        assert os.path.exists(folder)
    assert not os.path.exists(folder)


@needs_vllm
def test_an_engine_that_hangs_is_started_again_and_owes_the_rest(serving, caplog):
    caplog.set_level("INFO", "distill_nb")
    engine, requests, expected = serving
    engine._processes[0].silence = 2
    os.kill(engine._processes[0]._process.pid, signal.SIGSTOP)
    found = {a.number: a.tokens for batch in engine.answers(requests) for a in batch}
    assert found == expected
    assert "said nothing for 2 seconds; starting it again for 6 requests" in caplog.text
    too_long = Request(0, 4, [1] * 300, 0)
    (refused,) = [a for batch in engine.answers([too_long]) for a in batch]
    assert "maximum context length" in refused.error and not refused.tokens


@needs_vllm
def test_a_request_that_kills_the_engine_is_found_and_the_others_are_answered(
    serving, monkeypatch, caplog
):
    caplog.set_level("INFO", "distill_nb")
    engine, (*requests, _, _, _), expected = serving
    deadly, send = {1}, vllm_client.Process.send

    def send_and_die(process, message):
        if deadly & {number for number, *_ in message.get("requests", ())}:
            process._process.kill()
            process._process.wait()
        send(process, message)

    monkeypatch.setattr(vllm_client.Process, "send", send_and_die)
    found = {a.number: a for batch in engine.answers(requests) for a in batch}
    assert found[1].final and "the engine died with this request alone: vLLM" in found[1].error
    assert {n: found[n].tokens for n in (0, 2)} == {n: expected[n] for n in (0, 2)}
    said = [line.rpartition("starting it again for ")[2] for line in caplog.messages]
    assert said == ["3 requests.", "1 requests.", "1 requests.", "1 requests."]
    monkeypatch.setattr(vllm, "LONE_DEATHS", 1)
    # whatever it is asked, it dies: that is no request's fault
    with pytest.raises(EngineFailed, match="vLLM"):
        list(engine.answers(requests[1:2]))


@needs_vllm
def test_an_engine_that_cannot_start_says_why(trained, monkeypatch):
    p, _ = trained
    engine = VllmEngine(p, {}, "merged", 100)
    engine._settings["engine"]["no_such_setting"] = 1
    with pytest.raises(EngineFailed, match=r"vLLM failed: TypeError.*no_such_setting"), engine:
        pass


def test_what_an_engine_failed_of_is_found_in_what_it_said_before(tmp_path):
    process = vllm_client.Process.__new__(vllm_client.Process)
    failed = "RuntimeError: Engine core initialization failed. See root cause above."
    with open(tmp_path / "said", "w+b") as process._errors:
        assert process._cause(failed) == ""
        process._errors.write(
            b"(MainProcess pid=5) WARNING 11-29 [base.py:380] ValueError: Tokenizer not available "
            b"when `skip_tokenizer_init=True`\n"
        )
        process._errors.flush()
        assert process._cause(failed) == ""  # it says so at every start
        process._errors.write(
            "(EngineCore pid=7) ERROR 10-07 [core.py:9] ValueError: no room for the "
            f"cache\nmore\n{failed}\n".encode()
        )
        process._errors.flush()
        assert process._cause(failed) == " (before that: ValueError: no room for the cache)"


@needs_vllm
def test_a_mixture_of_experts_is_evaluated_merged(runs_dir, monkeypatch):
    """Merged, it says token by token what the unmerged adapter says in Transformers and PEFT."""
    from peft import PeftModel

    p = tiny(
        student="Qwen/Qwen3-30B-A3B-Base",
        learning_rate=0.01,
        engine="vllm",
        benchmarks=["pocket_math"],
        benchmark_limit=3,
        save_every=4,
    )
    train.train(p)
    monkeypatch.setattr(evaluate.tuned, "record", lambda _, mode: {"moe_config": f"lent, {mode}"})
    record = evaluate.evaluate(p)
    assert record["adapters"] == "merged" and record["engine"] == "vllm" and record["finished"]
    assert record["moe_config"] == "lent, merged"
    (made,) = record["adapter_proof"]
    assert made["passed"] and made["error"] < 1e-4 and made["effect"] > 0.01
    served = {
        r["task_id"]: r
        for r in map(json.loads, paths.records_file(p, 4, "pocket_math").read_text().splitlines())
    }
    adapter, tokenizer = paths.checkpoint_dir(p, 4), student.load_tokenizer(p)
    with torch.no_grad():
        base = student.load(p)
        kept = {
            name: w
            for name, w in load_file(adapter / "adapter_model.safetensors").items()
            if ".experts" in name
        }
        model = PeftModel.from_pretrained(student.load(p), str(adapter)).eval()
        assert kept and len(served) == 3
        for (_, task_id), task in evaluate.tasks_of(p).items():
            prompt = chat.prompt_ids(
                tokenizer, chat.TEMPLATES["qwen3"], [{"role": "user", "content": task.prompt}]
            )
            said, without = (
                greedy(model, prompt, p.max_new_tokens),
                greedy(base, prompt, p.max_new_tokens),
            )
            assert tokenizer.decode(said, skip_special_tokens=True) == served[task_id]["completion"]
            assert said != without


def greedy(model, prompt, count):
    """The most likely tokens, one after another, without a cache."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@needs_vllm
def test_nothing_that_vllm_started_outlives_it(monkeypatch):
    """A process that has started vLLM is killed: what is below goes, too."""
    # as on a GPU: the weights are in a process below
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from helpers import tiny\n"
        "from distill_nb.evaluation.engines.vllm import VllmEngine\n"
        "engine = VllmEngine(tiny(engine='vllm'), {}, 'merged', 60).__enter__()\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(paths.ROOT / "tests")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as other:
        assert other.stdout.readline() == "ready\n"
        below = psutil.Process(other.pid).children(recursive=True)
        other.kill()
    _, alive = psutil.wait_procs(below, timeout=10)
    # vLLM's own process, the watcher, and what holds the weights
    assert len(below) > 2 and not [process for process in alive if process.status() != "zombie"]

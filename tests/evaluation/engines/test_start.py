"""Both engines on tiny students: the same tokens, whatever shares a batch and however an adapter
gets in."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers import tiny

from distill_nb.evaluation import evaluate
from distill_nb.evaluation.engines import hf, hf_generate, start, types
from distill_nb.evaluation.engines.types import Request
from distill_nb.evaluation.engines.vllm import VllmEngine
from distill_nb.runtime import paths
from distill_nb.students import merge, proof, student
from distill_nb.students.adapters import adapter_folder
from distill_nb.training import train


def test_merged_adapter_changes_what_the_student_says_as_peft_does(runs_dir):
    from peft import PeftModel

    p = tiny(learning_rate=0.05)
    train.train(p)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        base = student.load(p)(ids).logits
        merged = student.load_for_generation(p, paths.checkpoint_dir(p, 4))(ids).logits
        served = (
            PeftModel.from_pretrained(student.load(p), str(paths.checkpoint_dir(p, 4)))
            .eval()(ids)
            .logits
        )
    torch.testing.assert_close(merged, served, rtol=1e-4, atol=1e-4)
    assert (merged - base).abs().max() > 0.01


def run_generate(p, prompts, seeds, stop_ids=(), **changes):
    """{number: answer} of the base student, in batches of 3."""
    engine = hf.HfEngine(replace(p, **dict(max_new_tokens=12, eval_batch_size=3) | changes), {})
    engine.stop_ids = stop_ids or engine.stop_ids
    next(engine.serve([]))
    requests = [
        Request(i, 0, ids, seed) for i, (ids, seed) in enumerate(zip(prompts, seeds, strict=True))
    ]
    return {a.number: a for batch in engine.answers(requests) for a in batch}


def test_generation_stops_on_both_end_tokens_and_says_why(runs_dir, monkeypatch):
    p = tiny()
    free = run_generate(p, [[1, 2, 3]], [0])[0]
    assert free.finish_reason == "length" and len(free.tokens) == 12
    for stop in (free.tokens[4], free.tokens[7]):
        cut = run_generate(p, [[1, 2, 3]], [0], stop_ids=[stop, 300])[0]
        assert (
            cut.finish_reason == "stop" and cut.tokens == free.tokens[: free.tokens.index(stop) + 1]
        )


def test_greedy_does_not_depend_on_the_batch(runs_dir):
    prompts = [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10], [11], [12, 13]]
    together = run_generate(tiny(), prompts, [0] * 5)
    alone = {i: run_generate(tiny(), [ids], [0])[0].tokens for i, ids in enumerate(prompts)}
    assert {i: c.tokens for i, c in together.items()} == alone


def test_out_of_memory_halves_the_batch_and_a_prompt_that_is_too_much_alone_is_an_error(
    runs_dir, caplog, monkeypatch
):
    caplog.set_level("INFO", "distill_nb")
    from transformers import LlamaForCausalLM

    prompts, sizes, generated = (
        [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10], [11], [12, 13]],
        [],
        LlamaForCausalLM.generate,
    )
    expected = run_generate(tiny(), prompts, [0] * 5)

    def small(
        model, input_ids, **settings
    ):  # a GPU with room for two prompts, and for none of five tokens
        sizes.append(len(input_ids))
        if len(input_ids) > 2 or input_ids.shape[1] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generated(model, input_ids=input_ids, **settings)

    monkeypatch.setattr(LlamaForCausalLM, "generate", small)
    found = run_generate(tiny(), prompts, [0] * 5, eval_batch_size=5)
    # the longest prompt comes first, and drives it down to one
    assert sizes == [5, 2, 1, 1, 1, 1, 1]
    assert "with 5 prompts at once: from here on 2" in caplog.text
    assert (
        found[2].final
        and "memory with this prompt alone (5 tokens, and up to 12 new ones); set max"
        in found[2].error
    )
    assert {n: a.tokens for n, a in found.items() if n != 2} == {
        n: a.tokens for n, a in expected.items() if n != 2
    }
    sizes.clear()
    assert len(run_generate(tiny(), prompts[:2], [0] * 2, eval_batch_size=5)) == 2 and sizes == [2]


def test_sampling_is_seeded_per_sample_and_follows_the_distribution(runs_dir):
    p = tiny()
    prompts = [[1, 2, 3]] * 6
    one = run_generate(p, prompts, [1, 2, 3, 4, 5, 1], temperature=1.0)
    other = run_generate(p, prompts, [1, 2, 3, 4, 5, 1], temperature=1.0, eval_batch_size=6)
    assert {i: c.tokens for i, c in one.items()} == {i: c.tokens for i, c in other.items()}
    assert one[0].tokens == one[5].tokens and len({tuple(one[i].tokens) for i in range(5)}) == 5
    scores = torch.log(torch.tensor([[0.6, 0.3, 0.1]])).repeat(4000, 1)
    drawn = hf_generate._GumbelNoise(list(range(4000)))(None, scores).argmax(-1)
    share = torch.bincount(drawn, minlength=3) / 4000
    torch.testing.assert_close(share, torch.tensor([0.6, 0.3, 0.1]), rtol=0, atol=0.03)


def test_auto_takes_vllm_where_it_is_installed_and_merges_on_a_cpu(monkeypatch):
    moe = tiny(student="Qwen/Qwen3-30B-A3B-Base", engine="vllm", adapters="multi")
    monkeypatch.setattr(types, "installed_vllm", lambda: False)
    assert (
        start.engine_name(tiny(engine="auto")) == "hf"
        and start.adapter_mode(tiny(engine="auto")) == "merged"
    )
    with pytest.raises(ValueError, match=r"engine: vllm is not installed.*set engine to hf"):
        start.engine_name(tiny(engine="vllm"))
    monkeypatch.setattr(types, "installed_vllm", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (
        start.engine_name(tiny(engine="auto")) == "vllm"
        and start.adapter_mode(tiny(engine="auto")) == "merged"
    )
    assert start.adapter_mode(tiny(engine="vllm", adapters="multi")) == "multi"
    with pytest.raises(ValueError, match=r"mixture of experts on a CPU.*merged"):
        start.adapter_mode(moe)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    about = SimpleNamespace(total_memory=2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    assert start.adapter_mode(tiny(engine="auto")) == start.adapter_mode(moe) == "multi"
    assert start.adapter_mode(replace(moe, adapters="auto")) == "multi"
    alone = replace(moe, adapters="auto", teacher="none", domain="none")
    assert start.adapter_choice(alone) == ("merged", "a baseline has no adapters")
    about.total_memory = 2**20
    mode, why = start.adapter_choice(replace(moe, adapters="auto"))
    assert mode == "merged" and "3 slots for adapters of rank 8 take 0.0 GiB, more than" in why
    with pytest.raises(ValueError, match="adapters: multi needs the engine vllm"):
        start.adapter_mode(tiny(engine="hf", adapters="multi"))


def test_an_evaluation_goes_on_as_it_began_where_that_is_possible(monkeypatch):
    monkeypatch.setattr(types, "installed_vllm", lambda: True)
    moe = tiny(student="Qwen/Qwen3-30B-A3B-Base", engine="vllm", adapters="auto")
    assert start.decided(moe, "multi")[0].adapters == "merged"  # impossible on a CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    about = SimpleNamespace(total_memory=2**20)  # a smaller GPU than before
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    p, why = start.decided(moe, "multi")
    assert (p.adapters, why) == ("multi", "it began so") and moe.adapters == "auto"
    p, why = start.decided(moe)
    assert p.adapters == "merged" and "of rank 8 take" in why
    explicit = replace(moe, adapters="merged")
    assert start.decided(explicit, "multi")[0].adapters == "merged"


def test_each_engine_gets_gpus_of_its_own(runs_dir, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    engine = VllmEngine(tiny(engine="vllm", tensor_parallel=2, data_parallel=2), {}, "merged", 100)
    assert [e["CUDA_VISIBLE_DEVICES"] for e in engine._environments()] == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with pytest.raises(
        ValueError, match="data_parallel: 2 engines of 2 GPUs need 4, and 2 can be seen"
    ):
        engine._environments()
    one = VllmEngine(tiny(engine="vllm", data_parallel=2), {}, "merged", 100)
    assert [e["CUDA_VISIBLE_DEVICES"] for e in one._environments()] == ["5", "7"]


def test_only_a_gpu_gets_a_share_of_memory_and_the_size_of_batches(runs_dir, monkeypatch):
    p = tiny(engine="vllm", gpu_memory=0.8, max_num_seqs=7, max_num_batched_tokens=70)
    ours = dict(gpu_memory_utilization=0.8, max_num_seqs=7, max_num_batched_tokens=70)
    monkeypatch.delenv("VLLM_USE_FLASHINFER_SAMPLER", raising=False)
    for on_gpu in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)  # noqa: B023
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        engine = VllmEngine(p, {}, "merged", 100)
        settings, (environment,) = engine._settings["engine"], engine._environments()
        assert {k: settings[k] for k in ours if k in settings} == (ours if on_gpu else {})
        assert settings.get("enforce_eager", False) is not on_gpu
        # its sampler knows no seeds
        assert environment.get("VLLM_USE_FLASHINFER_SAMPLER") == ("0" if on_gpu else None)


@pytest.fixture
def trained(runs_dir):
    p = tiny(learning_rate=0.05, engine="vllm", max_new_tokens=12)
    train.train(p)
    return p, {step: paths.checkpoint_dir(p, step) for step in (2, 4)}


def test_an_adapter_from_elsewhere_and_a_merged_export(trained, tmp_path):
    p, adapters = trained
    away = tmp_path / "away"
    shutil.copytree(adapters[4], away)
    (away / proof.FILE).unlink()
    q = tiny(
        run_name="elsewhere",
        adapter=str(away),
        max_new_tokens=12,
        max_steps=4,
        benchmarks=["pocket_math"],
    )
    record = evaluate.evaluate(q)
    (made,) = record["adapter_proof"]
    assert made["step"] == 4 and made["passed"] and made["effect"] > 0.01
    evaluate.evaluate(tiny(learning_rate=0.05, max_new_tokens=12, benchmarks=["pocket_math"]))

    def said(folder):
        file = paths.runs() / "tiny" / folder / "eval" / "step_00004" / "pocket_math.jsonl"
        return {
            r["task_id"]: r["completion"] for r in map(json.loads, file.read_text().splitlines())
        }

    assert said("elsewhere") == said(p.run_name) and len(said("elsewhere")) == 3
    merge.write_merged(p, adapters[4], tmp_path / "merged")
    exported = student.load(
        tiny(student=str(tmp_path / "merged"), chat_template="llama3", student_size="full")
    )
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(
        exported(ids).logits, student.load_for_generation(p, adapters[4])(ids).logits
    )
    for wrong, words in (
        (str(tmp_path), "no adapter_config.json"),
        ("no/such-adapter", "no folder here, and on the hub it "),
    ):
        with pytest.raises(ValueError, match=words):
            adapter_folder(wrong)

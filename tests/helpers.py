"""Shared by the tests: parameters of a tiny run, what needs which package, and what a killed
process leaves running."""

import contextlib
import hashlib
import importlib.util
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest
from safetensors.torch import load_file

from distill_nb import params
from distill_nb.evaluation.engines import types
from distill_nb.grading import sandbox
from distill_nb.students import chat

needs_vllm = pytest.mark.skipif(
    not types.installed_vllm(), reason="vLLM is not installed: make setup-ci installs it"
)


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip where one of these is not installed; make setup-study installs them."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(
        bool(absent), reason=f"{', '.join(absent)} not installed: make setup-study"
    )


def best() -> str:
    """The strongest level of the sandbox that works here; skips where there is none."""
    try:
        return sandbox.strongest_level()
    except RuntimeError as error:
        pytest.skip(str(error))


needs_teachers = needs("anthropic", "openai")


def tiny(**changes):
    """Params of a tiny run (random 2-layer Llama, 4 steps of 4 examples), with changes."""
    from distill_nb.runtime import paths

    files = [paths.PARAMS_DIR / "run09.yaml", paths.PARAMS_DIR / "tiny.yaml"]
    return params.validate(params.read_files(*files) | changes)


def encode_example(tokenizer, template, messages):
    """{"input_ids": [L], "labels": [L]} of a conversation; only the last message is trained on."""
    ((ids, n_prompt),) = chat.encode_many(tokenizer, template, [messages])
    return {"input_ids": ids, "labels": [chat.IGNORE] * n_prompt + ids[n_prompt:]}


def adapter(p, step=4):
    """The tensors of a run's adapter of a step."""
    from distill_nb.runtime import paths

    return load_file(paths.checkpoint_dir(p, step) / "adapter_model.safetensors")


def random_adapter(p, folder, **how):
    """The folder of a random adapter of PEFT's for a run's student, saved; how: of LoraConfig."""
    import torch
    from peft import LoraConfig, get_peft_model

    from distill_nb.students import student

    torch.manual_seed(0)
    config = LoraConfig(**dict(r=8, lora_alpha=16, init_lora_weights=False) | how)
    adapted = get_peft_model(student.load(p, where="cpu"), config)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    adapted.save_pretrained(folder)
    return folder


def assert_the_same_training(found, expected, weights, start, reference):
    """Two runs' metrics and last adapters agree but for rounding; start: an earlier adapter."""
    assert (
        found["step"].tolist() == list(range(1, len(expected) + 1))
        and found["tokens"].tolist() == expected["tokens"].tolist()
    )
    for column in ("loss", "grad_norm", "learning_rate"):
        assert found[column].tolist() == pytest.approx(expected[column].tolist(), rel=2e-4), column
    assert found["heldout_loss"].dropna().tolist() == pytest.approx(
        expected["heldout_loss"].dropna().tolist(), rel=2e-4
    )
    for key, weight in weights.items():
        moved = (reference[key] - start[key]).abs().max()
        assert moved > 1e-5 and (weight - reference[key]).abs().max() < 0.02 * moved, key


def adapter_hashes(p):
    """sha256 of the adapter's weights at every checkpoint of a run."""
    from distill_nb.runtime import paths

    return adapter_hashes_of(paths.run_dir(p))


def adapter_hashes_of(folder):
    """As adapter_hashes, of a run's folder."""
    return {
        f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.glob("checkpoints/step_*/adapter_model.safetensors"))
    }


@contextlib.contextmanager
def killed_with_all_below(script, says, within):
    """Run a script until it prints a line, yield the processes below it, kill it: none may run
    `within` seconds later."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == f"{says}\n"
    descendants = psutil.Process(process.pid).children(recursive=True)
    yield descendants
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(descendants, timeout=within)
    assert not alive

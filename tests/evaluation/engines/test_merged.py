"""Where merged checkpoints are written: one place for a run, at each evaluation, never shared."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers import needs_vllm, tiny

from distill_nb.evaluation.engines import vllm
from distill_nb.evaluation.engines.vllm import VllmEngine
from distill_nb.runtime import paths
from distill_nb.students import merge
from distill_nb.training import train


@pytest.fixture
def trained(runs_dir):
    p = tiny(learning_rate=0.05, engine="vllm", max_new_tokens=12)
    train.train(p)
    return p, {step: paths.checkpoint_dir(p, step) for step in (2, 4)}


@pytest.fixture
def own_cache(runs_dir, tmp_path, monkeypatch):
    """A cache that other processes do not clean, nor write to."""
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "cache"))


def engine_of(p, adapters=None):
    return VllmEngine(p, adapters or {}, "merged", 60)


def test_a_run_has_one_place_and_shares_it_with_no_other(own_cache):
    p = tiny(engine="vllm")
    first = engine_of(p)
    place = first._place()
    assert place == first._place() and place.parent.parent == paths.cache()
    other, second = engine_of(tiny(engine="vllm", seed=1)), engine_of(p)
    # another run's, and the same run's from a process that does not respect its lock
    assert len({place, other._place(), second._place()}) == 3
    for engine in (first, other, second):
        engine.__exit__()
    assert not list(paths.cache().glob("merged_*"))
    again = engine_of(p)
    assert again._place() == place
    again.__exit__()


def test_what_a_killed_evaluation_left_is_removed_and_its_place_is_used_again(own_cache):
    p = tiny(engine="vllm")
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); from helpers import tiny\n"
        "from distill_nb.evaluation.engines.vllm import VllmEngine\n"
        "engine = VllmEngine(tiny(engine='vllm'), {}, 'merged', 60); place = engine._place()\n"
        "place.mkdir(); (place / 'half').touch(); print(place, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    words = [sys.executable, "-c", program, str(paths.ROOT / "tests")]
    done = subprocess.run(words, capture_output=True, text=True, env=paths.child_environment())
    place = Path(done.stdout.strip())
    assert (place / "half").exists()
    engine = engine_of(p)
    assert engine._place() == place and not place.exists()
    engine.__exit__()


def test_one_checkpoint_is_on_disk_at_a_time_and_stays_until_the_next(trained, monkeypatch):
    p, adapters = trained
    started, written = [], []

    class Process:
        def __init__(self, settings, environment):
            started.append(settings["engine"]["model"])

        def send(self, message):
            started.append(message["load"])

        def receive(self):
            return {}

        def close(self):
            pass

    def write(p, adapter, folder):
        assert not folder.exists()  # that of the step before
        folder.mkdir()
        written.append((adapter.name, folder))

    monkeypatch.setattr(vllm, "Process", Process)
    monkeypatch.setattr(merge, "write_merged", write)
    with engine_of(p, adapters) as engine:
        for steps in engine.serve([2, 4]):
            engine._restart(0)  # it died: what is loaded now
            assert steps == [engine._loaded]
        place = engine._place()
    assert written == [("step_00002", place), ("step_00004", place)]
    base = started[0]
    assert started == [base, base] + 4 * [str(place)] and base != str(place)
    assert not place.parent.exists()


HASHES = """
    import gc, os, sys
    gc.disable()  # of thousands of modules none is garbage
    from vllm.config import ModelConfig
    for folder, place in zip(sys.argv[1::2], sys.argv[2::2]):
        os.rename(folder, place)
        print("HASH", ModelConfig(model=place, skip_tokenizer_init=True).compute_hash())
        os.rename(place, folder)
"""


@needs_vllm
def test_vllm_compiles_once_for_the_checkpoints_in_one_place(trained, tmp_path):
    """Its compilations are kept by a hash with the model's path, and not with its weights."""
    p, adapters = trained
    written = [str(tmp_path / f"step {step}") for step in adapters]
    for folder, adapter in zip(written, adapters.values(), strict=True):
        merge.write_merged(p, adapter, Path(folder))
    one, other = str(tmp_path / "model"), str(tmp_path / "other")
    moves = [written[0], one, written[1], one, written[1], other]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HASHES), *moves],
        env=paths.child_environment() | vllm.QUIET,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second, elsewhere = [
        line for line in done.stdout.splitlines() if line.startswith("HASH")
    ]
    assert second == first != elsewhere

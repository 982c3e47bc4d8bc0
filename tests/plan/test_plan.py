"""The plan against real training on the CPU, each in a process of its own."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace

import pytest
from helpers import tiny

from distill_nb import params
from distill_nb.plan import architectures, estimate, evaluation_estimate, memory, plan
from distill_nb.plan import devices as plan_devices
from distill_nb.plan.devices import Device
from distill_nb.report import train_report
from distill_nb.runtime import devices, durations, paths
from distill_nb.runtime.devices import GIB
from distill_nb.students import student
from distill_nb.training import train

COMMON = dict(
    student_size="full",
    n_examples=8,
    n_heldout=0,
    batch_size=4,
    micro_batch_size=4,
    max_steps=2,
    save_every=1,
    lora_rank=16,
    lora_experts=True,
)
CPU = Device("a CPU", "cpu", 100 * GIB, 1e11, "made up", (0.3, 1.0), (0.1, 0.8))

MEASURE = """
    import json, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb import params
    from distill_nb.runtime import paths
    from distill_nb.training import train

    def memory(key):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if key in line)

    def loaded(model, *args, **kwargs):
        # training begins here: forget the peak of loading, and pages of the weights' file
        global before
        for weight in model.parameters():
            weight.data = weight.data.clone()
        before += memory("RssFile") - files
        Path("/proc/self/clear_refs").write_text("5")
        return make_trainer(model, *args, **kwargs)

    train.train(tiny(run_name="first", student={warm!r}))  # all libraries are in memory now
    p = params.validate(json.loads(sys.argv[1]))
    data, make_trainer = train.prepare(p), train.make_trainer
    train.make_trainer, before, files = loaded, memory("VmRSS"), memory("RssFile")
    train.train(p, data)

    def size(name):
        return sum(f.stat().st_size for f in (paths.run_dir(p) / name).rglob("*") if f.is_file())

    found = dict(peak=memory("VmHWM") - before)
    found |= dict(checkpoints=size("checkpoints"), states=size("state"))
    found["tokens"] = int(train.load_metrics(p)["tokens"].iloc[-1])
    print("FOUND", json.dumps(found))
"""


def written(name, folder, **sizes):
    """A student with random weights of given sizes, and the tiny student's tokenizer, as a
    folder."""
    from transformers import AutoConfig, AutoModelForCausalLM

    like = tiny(
        student={
            "llama": "meta-llama/Llama-3.1-8B-Instruct",
            "qwen3_moe": "Qwen/Qwen3-30B-A3B-Base",
        }[name]
    )
    config = AutoConfig.for_model(
        name, max_position_embeddings=4096, tie_word_embeddings=False, **sizes
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    student.load_tokenizer(like).save_pretrained(folder)
    return dict(student=str(folder), chat_template={"llama": "llama3", "qwen3_moe": "qwen3"}[name])


STUDENTS = {
    "14M, Llama": (
        dict(
            name="llama",
            vocab_size=2048,
            hidden_size=512,
            intermediate_size=1376,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=4,
        ),
        dict(max_length=384),
    ),
    "14M, Llama, recomputing": (
        dict(
            name="llama",
            vocab_size=2048,
            hidden_size=512,
            intermediate_size=1376,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=4,
        ),
        dict(max_length=384, recompute="on"),
    ),
    "30M, Qwen3's mixture of experts": (
        dict(
            name="qwen3_moe",
            vocab_size=2048,
            hidden_size=256,
            intermediate_size=512,
            moe_intermediate_size=128,
            num_experts=32,
            num_experts_per_tok=4,
            num_hidden_layers=8,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=32,
        ),
        dict(max_length=384),
    ),
    "135M, Llama": (
        None,
        dict(student=params.POCKET_STUDENT, max_length=128, batch_size=2, micro_batch_size=2),
    ),
}


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="peaks of memory are read from Linux's /proc",
)
@pytest.mark.parametrize("which", STUDENTS)
def test_memory_tokens_and_disk_are_what_training_takes(which, runs_dir, tmp_path):
    """Memory is what the process has at its peak, training, over what it had before the student was
    loaded, without pages of the file of weights, which the system takes back at will. The C library
    is told to give freed tensors back."""
    sizes, changes = STUDENTS[which]
    made = written(folder=tmp_path / "student", **sizes) if sizes else {}
    p = tiny(run_name="measured", **COMMON | made | changes)
    warm = "Qwen/Qwen3-30B-A3B-Base" if "Qwen" in which else "meta-llama/Llama-3.1-8B-Instruct"
    script = textwrap.dedent(MEASURE).format(tests=str(paths.ROOT / "tests"), warm=warm)
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(asdict(p))],
        capture_output=True,
        text=True,
        env=paths.child_environment() | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.split("FOUND ")[1])

    expected = plan.estimate(p, CPU, train.prepare(p))
    activations, peak = expected.memory["activations"] + expected.memory["loss"], expected.peak
    other = {"on": "off", "off": "on", "auto": "on"}[p.recompute]
    assert plan.estimate(replace(p, recompute=other), CPU).recompute == (other == "on")
    assert expected.recompute == (p.recompute == "on")
    print(
        which,
        f"peak {found['peak'] / 2**20:.0f} MiB, planned {peak / 2**20:.0f}; without activations",
        f"{(peak - activations) / 2**20:.0f}; checkpoints {found['checkpoints']:,} "
        f"{expected.disk['checkpoints']:,};",
        f"states {found['states']:,} {expected.disk['states']:,}",
    )
    assert activations > 0.2 * peak  # else this would compare weights alone
    assert found["peak"] == pytest.approx(peak, rel=0.1)
    assert found["checkpoints"] == pytest.approx(expected.disk["checkpoints"], rel=0.1)
    assert found["states"] == pytest.approx(expected.disk["states"], rel=0.1)
    assert expected.tokens == (found["tokens"], found["tokens"])
    low, high = plan.estimate(p, CPU).tokens
    assert low <= found["tokens"] <= high == p.max_steps * p.batch_size * p.max_length


@pytest.mark.parametrize(
    ("file", "parameters", "adapters"),
    [
        (
            "run07.yaml",
            8_030_261_248,
            83_886_080,
        ),  # 32 layers; rank 32 x (in + out) of its seven matrices
        ("run01.yaml", 30_532_122_624, 272_105_472),
    ],
)
def test_the_studys_students_are_counted_from_their_sizes(file, parameters, adapters):
    p = params.validate(params.read_files(file))
    config, _ = architectures.config_of(p)
    counts = architectures.count(config, p)
    assert (counts["parameters"], counts["adapter_parameters"]) == (parameters, adapters)
    if file == "run07.yaml":
        assert adapters == 32 * 32 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
        # less embeddings and norms
        assert counts["active_parameters"] == parameters - 2 * 128256 * 4096 - (2 * 32 + 1) * 4096
    else:
        # on each of 128 experts rank 32 / 8, twice that where gate_proj and up_proj are one tensor
        inside = 128 * (8 * (2048 + 1536) + 4 * (768 + 2048))
        assert adapters == 48 * (inside + 32 * (2 * (2048 + 4096) + 2 * (2048 + 512)))
        assert counts["active_parameters"] == 48 * (
            8 * 3 * 2048 * 768 + 2 * 2048 * (4096 + 512) + 128 * 2048
        )
    quantised = architectures.count(config, replace(p, load_in_4bit=True))["bytes_of_weights"]
    assert quantised < (0.4 if file == "run07.yaml" else 1) * counts["bytes_of_weights"]
    assert quantised > 0.2 * counts["bytes_of_weights"]


def test_operations_are_those_that_torch_counts(runs_dir):
    from torch.utils.flop_counter import FlopCounterMode

    p = tiny(lora_rank=16)
    config, _ = architectures.config_of(p)
    for checkpointing in (False, True):
        made = replace(p, recompute="on" if checkpointing else "off")
        model = student.attach_lora(student.load(made), made).train()
        train.patch(model)
        batch = train_batch(200)
        with FlopCounterMode(display=False) as counter:
            model(**batch).loss.backward()
        counts = architectures.count(config, p)
        # torch does not count this attention
        expected = estimate.flops(counts, config, 200, 0, checkpointing=checkpointing)
        # the first layer passes no gradient on
        assert counter.get_total_flops() == pytest.approx(expected, rel=0.12)


def train_batch(tokens):
    from distill_nb.training import step

    ids = [i % 250 for i in range(tokens)]
    return step.collate([{"input_ids": ids, "labels": ids}])


def test_the_largest_micro_batch_that_fits_is_found_and_named(runs_dir):
    p = tiny(batch_size=12, micro_batch_size=12, n_examples=12, max_length=700)
    needs = {m: plan.estimate(replace(p, micro_batch_size=m), CPU).peak for m in (1, 4)}
    room = replace(CPU, memory=needs[4] + memory.LIBRARIES + 1000)
    for m in (1, 12):
        made = plan.estimate(replace(p, micro_batch_size=m), room)
        assert (made.best_micro_batch_size, made.fits) == (4, m < 12)
    with pytest.raises(
        ValueError, match=r"^micro_batch_size: \w+ needs about .* and a CPU has .*set it to 4,"
    ):
        plan.refuse(p, made)
    small = replace(CPU, memory=int(0.8 * needs[1]) + memory.LIBRARIES)
    with pytest.raises(
        ValueError, match=r"^recompute: .*set micro_batch_size to 1 and recompute to on, or take"
    ):
        plan.refuse(p, plan.estimate(p, small))
    with pytest.raises(
        ValueError, match=r"^max_length: .*set micro_batch_size to 1 and max_length to 350, or take"
    ):
        p = replace(p, recompute="on")
        needed = plan.estimate(replace(p, micro_batch_size=1), CPU).peak
        small = replace(CPU, memory=int(0.9 * needed) + memory.LIBRARIES)
        plan.refuse(p, plan.estimate(p, small))
    with pytest.raises(
        ValueError,
        match=r"^student: .*take a larger device, such as rtx4090-24gb, with micro_batch_size 1",
    ):
        plan.refuse(p, plan.estimate(p, replace(CPU, memory=memory.LIBRARIES + 2**20)))


def test_rank_32_on_every_expert_does_not_fit_80_gb_and_the_plan_says_what_does():
    p = params.validate(
        params.read_files("run01.yaml") | {"lora_expert_rank": 32, "max_length": 1024}
    )
    made = plan.estimate(p, "h100-80gb")
    assert (
        not made.fits
        and made.memory["adapters"] + made.memory["gradients"] + made.memory["optimiser"] > 29 * GIB
    )
    with pytest.raises(
        ValueError,
        match=r"^lora_expert_rank: .*set micro_batch_size to 1 and lora_expert_rank to 0",
    ):
        plan.refuse(p, made)


@pytest.mark.parametrize(
    ("file", "recompute", "size", "larger"),
    [("run01.yaml", "on", 5, 10), ("run07.yaml", "off", 2, 5)],
)
def test_the_studys_micro_batches_are_the_largest_that_fit_80_gb_with_room_for_the_plans_error(
    file, recompute, size, larger
):
    p, made = params.validate(params.read_files(file)), {}
    for n in (size, larger):
        changed = replace(p, micro_batch_size=n, recompute=recompute)
        plan_of_n = plan.estimate(changed, "h100-80gb")
        made[n] = plan_of_n.peak + 0.2 * plan_of_n.memory["activations"] <= plan_of_n.available
    assert p.micro_batch_size == size and made == {size: True, larger: False}
    decided = plan.estimate(p, "h100-80gb")
    assert decided.recompute == (recompute == "on")
    assert decided.best_micro_batch_size == size


def test_a_grid_is_summed_over_runs_and_traces(runs_dir):
    files = [
        "run01.yaml",
        "run09.yaml",
        "baseline_llama.yaml",
        "tiny.yaml",
        "traces_claude_math.yaml",
        "traces_r1_math.yaml",
        "traces_tiny.yaml",
    ]
    said, every_run_fits = plan.plan_files(files, "h100-80gb", {"save_every": 4})
    assert every_run_fits
    p = [
        params.validate(params.read_files(f, "tiny.yaml") | {"save_every": 4})
        for f in ("run01.yaml", "run09.yaml")
    ]
    plans = [plan.estimate(x, "h100-80gb") for x in p]
    hours = [sum(made.gpu_hours[i] for made in plans) for i in (0, 1)]
    disk = sum(made.disk["checkpoints"] + made.disk["states"] for made in plans)
    evaluations = [made.evaluation for made in plans]
    baseline = params.validate(
        params.read_files("baseline_llama.yaml", "tiny.yaml") | {"save_every": 4}
    )
    device = plan_devices.device_named("h100-80gb")
    evaluations.append(evaluation_estimate.estimate(baseline, device))
    assert all(made.hours for made in evaluations) is ("evaluation " in said.splitlines()[-1])
    disk += sum(made.disk["records"] for made in evaluations)
    dollars = 25200 * 8192 * 10 / 1e6 / 2  # batches, half the price
    time = durations.range_in_words(*(3600 * h for h in hours))
    assert (
        f"2 runs: training takes {time} of h100-80gb" in said
        and f"; at most {plan._gib(disk)} of disk stay" in said
    )
    assert (
        f"at most ${dollars:,.0f} for the answers" in said
        and f"API: at most ${dollars:,.0f}." in said
    )
    assert "traces_tiny.yaml: no run, no overlay for runs and no set of traces; left out." in said
    assert "a baseline, nothing is trained" in said and "r1_math: from the hub, no API cost" in said
    with pytest.raises(
        ValueError, match=r"^device: h999 is not known; choose from this, a100-40gb"
    ):
        plan.plan_files(["run09.yaml", "tiny.yaml"], "h999")


def test_files_say_which_run_does_not_fit(runs_dir):
    """Exit status 1 of `distill-nb plan`."""
    changes = {"lora_expert_rank": 32, "max_length": 1024}
    said, every_run_fits = plan.plan_files(["run01.yaml"], "h100-80gb", changes)
    assert not every_run_fits and "Does not fit: lora_expert_rank: " in said


def test_the_plan_of_a_run_is_shown_and_again_when_it_is_finished(runs_dir, capsys):
    p = tiny()
    data = train.prepare(p)
    made = plan.estimate(p, data=data)
    kept = train_report.show_plan(p, data)
    assert kept["recompute"] == "off"  # a CPU has room
    assert "HTML" in capsys.readouterr().out and made.fits
    shown = plan.table(made)[p.run_name]
    assert shown["tokens"] == f"{sum(len(e['input_ids']) for e in data.train):,}"
    assert shown["training"].endswith("TFLOP/s measured here)") and "of " in shown["memory: peak"]
    record = train.train(p, data, plan=kept)
    assert record["plan"] == kept and record["recompute"] == "off"
    assert train_report.show_plan(p, data) == kept
    assert "It was trained with this plan:" in capsys.readouterr().out
    file = paths.run_dir(p) / "provenance_train.json"
    del record["plan"]
    file.write_text(json.dumps(record))
    assert train_report.show_plan(p, data) == {}
    assert "which did not keep its plan" in capsys.readouterr().out


def test_beside_unsloth_the_plan_is_the_same(runs_dir, monkeypatch):
    """It changes the models' code, so another process tries the step."""
    p = tiny()
    data = train.prepare(p)
    expected = plan.estimate(p, CPU, data)
    monkeypatch.setitem(sys.modules, "unsloth", sys)
    monkeypatch.setattr(estimate, "_estimate", None)  # not here
    assert plan.estimate(p, CPU, data) == expected
    with pytest.raises(
        ValueError, match=r"^lora_targets: .* has no module named nothing; correct or remove it\.$"
    ):
        plan.estimate(replace(p, lora_targets=["nothing"]), CPU)


def test_a_student_that_the_hub_does_not_give_is_named(monkeypatch):
    from transformers import AutoConfig

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(
        ValueError, match=r"^student: the hub did not give the config of some/student \(OSError\)"
    ):
        plan.estimate(
            tiny(student="some/student", student_size="full", chat_template="llama3"), CPU
        )
    known = tiny(student_size="full", max_length=64, micro_batch_size=1)
    assert plan.estimate(known, CPU).memory["weights"] == 4 * 8_030_261_248


def test_rates_are_measured():
    assert 1e8 < plan_devices.measured_flops("cpu", "float32", size=256, seconds=0.1) < 1e15
    assert devices.free_memory() > 2**27


@pytest.mark.parametrize(
    ("threads", "processes", "share"),
    [("", 2, 1 / 4), ("", 8, 1 / 8), ("2", 2, 1 / 2), ("2", 8, 1 / 8)],
)
def test_processes_share_a_cpu(threads, processes, share, monkeypatch):
    """Of a CPU of 4 cores that 4 threads, or as many as are set, were measured on."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr("torch.get_num_threads", lambda: int(threads or 4))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    rate = 100.0 * int(threads or 4)  # 100 a thread
    found = plan_devices.shared(
        replace(plan_devices.device_named("a100-80gb"), kind="cpu", memory=800, flops=rate),
        processes,
    )
    assert (found.memory, found.flops) == (800 // processes, 400 * share)

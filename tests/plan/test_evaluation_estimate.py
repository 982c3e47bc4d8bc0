"""The evaluation's hours and disk, by hand."""

import re
from dataclasses import replace

import pytest
from helpers import tiny

from distill_nb import params
from distill_nb.benchmarks import loading
from distill_nb.plan import devices, evaluation_estimate, plan, trace_lengths
from distill_nb.runtime import durations

H100 = devices.device_named("h100-80gb")


def run(file, **changes):
    return params.validate(params.read_files(file) | changes)


def test_problems_are_counted():
    for name in ("pocket_math", "pocket_code"):
        assert len(loading.load(name)) == evaluation_estimate.PROBLEMS[name]
    study = [evaluation_estimate.PROBLEMS[name] for name in run("run01.yaml").benchmarks]
    assert study == [500, 378, 164, 100] and evaluation_estimate.PROBLEMS["aime"] == 90


def test_answers_of_all_steps_and_samples():
    p = run("run07.yaml", n_samples=2, benchmark_limit=200)
    made = evaluation_estimate.estimate(p, H100)
    assert made.answers == {
        "math500": 200 * 2 * 6,
        "mbpp_plus": 200 * 2 * 6,
        "humaneval_plus": 164 * 2 * 6,
        "livecodebench": 100 * 2 * 6,
    }
    one = evaluation_estimate.estimate(run("baseline_llama.yaml"), H100)
    assert one.answers["math500"] == 500
    elsewhere = evaluation_estimate.estimate(replace(p, adapter="org/adapter"), H100)
    assert elsewhere.answers["math500"] == 200 * 2 * 2


def test_hours_are_those_of_weights_and_cache_by_the_memorys_bandwidth():
    made = evaluation_estimate.estimate(run("run07.yaml"), H100)
    lengths = trace_lengths.r1_lengths(8192)
    mean, square = (sum(n**k for n in lengths) / 200 for k in (1, 2))
    context = 300 + square / mean / 2
    cache = 2 * 32 * 8 * 128 * 2  # keys and values of a token
    # a slot's in + out of each matrix, embedding and head among them
    each = 32 * (2 * 8192 + 2 * 5120 + 3 * 18432) + 2 * (128256 + 4096)
    slots = 6 * 32 * 2 * each  # five adapters of rank 32 and one more
    room = 0.9 * H100.memory - 2 * 2**30 - 2 * 8_030_261_248 - slots
    at_once = int(room / (context * cache))
    read = 2 * (8_030_261_248 - 128256 * 4096 - 65 * 4096) + at_once * context * cache
    seconds = read / 3.35e12 / 0.7
    hours = 3000 * mean * seconds / at_once / 3600
    assert 100 < at_once < 256 and made.hours["math500"][0] == pytest.approx(hours, rel=1e-3)
    assert made.tokens[0] == pytest.approx(6 * 1142 * mean, rel=1e-6)
    assert made.tokens[1] == pytest.approx(6 * 1142 * (mean + 8192) / 2, rel=1e-6)
    few = evaluation_estimate.estimate(run("run07.yaml", max_num_seqs=8), H100)
    assert few.at_once == 8 and few.hours["math500"][0] > 4.5 * made.hours["math500"][0]
    halves = evaluation_estimate.estimate(run("run07.yaml", data_parallel=2), H100)
    assert halves.gpus == 2
    assert halves.hours["math500"][0] == pytest.approx(made.hours["math500"][0] / 2)


def test_a_mixture_is_merged_and_its_disk_and_loading_count():
    made = evaluation_estimate.estimate(run("run01.yaml"), H100)
    whole = 2 * 30_532_122_624
    assert made.disk["merged"] == whole
    assert made.disk["records"] == 6 * 1142 * (8192 * 4 + 1000)
    # six engines, of which five read what was read and written before
    least = 6 * 60 + whole * (6 + 2 * 5) / 2e9
    assert least < 3600 * made.hours["loading"][0] < 1.5 * least
    assert made.total[0] == pytest.approx(sum(h[0] for h in made.hours.values()))
    assert evaluation_estimate.estimate(run("run07.yaml"), H100).disk["merged"] == 0
    # on an H200 all adapters fit side by side
    larger = evaluation_estimate.estimate(run("run01.yaml"), devices.device_named("h200-141gb"))
    assert larger.disk["merged"] == 0 and larger.hours["loading"][0] < 600 / 3600


def test_a_step_reads_the_experts_that_its_answers_meet():
    from distill_nb.plan import architectures

    p = run("run01.yaml")
    config, _ = architectures.config_of(p)
    counts = architectures.count(config, p)
    read = [evaluation_estimate._read(config, counts, n) for n in (1, 1000)]
    head = counts["head_parameters"]
    assert read[0] == pytest.approx(counts["active_parameters"] + head)
    assert read[1] == pytest.approx(counts["parameters"] - head, rel=1e-3)  # less embeddings


def test_where_it_is_not_planned_it_says_so(runs_dir):
    cpu = replace(H100, kind="cpu", name="a CPU")
    made = evaluation_estimate.estimate(tiny(), cpu)
    assert made.hours == {} and "with vLLM on a GPU" in made.notes[-1]
    assert made.disk["records"] > 0
    assert evaluation_estimate.estimate(run("run07.yaml", engine="hf"), H100).hours == {}
    small = devices.device_named("a100-40gb")
    made = evaluation_estimate.estimate(run("run01.yaml"), small)
    assert made.hours == {} and made.notes[-1].endswith("raise tensor_parallel")
    both = evaluation_estimate.estimate(run("run01.yaml", tensor_parallel=4), small)
    assert both.gpus == 4 and both.hours


def test_a_baseline_and_a_run_are_summed(runs_dir):
    said, fits = plan.plan_files(["run07.yaml", "baseline_llama.yaml"], "h100-80gb")
    assert fits and "baseline_llama: a baseline, nothing is trained" in said
    rows = re.findall(r"^evaluation: math500 +(.*)$", said, re.M)
    assert [row.rpartition(", ")[2] for row in rows] == ["3,000 answers", "500 answers"]
    made = [
        evaluation_estimate.estimate(run(file), H100).total
        for file in ("run07.yaml", "baseline_llama.yaml")
    ]
    least, most = (sum(total[i] for total in made) for i in (0, 1))
    said, _ = plan.plan_files(["run07.yaml", "run08.yaml", "baseline_llama.yaml"], "h100-80gb")
    time = durations.range_in_words(3600 * (least + made[0][0]), 3600 * (most + made[0][1]))
    assert f"of h100-80gb, evaluation {time};" in said

"""What is expected of lengths and rates before anything has run."""

import json

import pytest

from distill_nb import params
from distill_nb.plan import architectures, devices, estimate, plan, trace_lengths
from distill_nb.runtime import paths


def test_the_spread_is_that_of_the_ledger():
    file = paths.ROOT / "bench" / "results" / "ledger.json"
    book = json.loads(file.read_text())["ledgers"]["pcmb_traces_filtered, Llama 3"]
    shares = {0.05: "tokens_p5", 0.25: "tokens_p25", 0.5: "tokens_p50", 0.75: "tokens_p75"}
    shares |= {0.95: "tokens_p95", 1.0: "longest"}
    assert dict(trace_lengths.R1[1:]) == {k: book[name] for k, name in shares.items()}
    lengths = trace_lengths.r1_lengths(4096)
    assert sum(n == 4096 for n in lengths) == pytest.approx(book["over_max_length"], abs=5)
    trained = book["trained_if_cut"] / book["traces"]  # without the prompts
    assert trained < sum(lengths) / 200 < 1.1 * trained


def test_only_a_teachers_set_has_its_lengths():
    p = params.validate(params.read_files("run07.yaml"))
    lengths, said = trace_lengths.of_examples(p)
    assert said == "2,242 (as 200 traces of R1, cut) to 4,096 tokens" and len(lengths) == 200
    assert trace_lengths.of_examples(params.pocket()) == ([128], "128 to 512 tokens")


@pytest.mark.parametrize("file", ["run01.yaml", "run07.yaml"])
def test_hours_span_four_times_at_the_most(file):
    made = plan.estimate(params.validate(params.read_files(file)), "h100-80gb")
    assert made.tokens[0] == pytest.approx(500 * 50 * 2242, rel=1e-3)
    assert made.tokens[1] == 500 * 50 * 4096
    assert made.hours[0] > 1 and made.hours[1] < 4 * made.hours[0]


def test_shares_are_those_of_published_rates():
    """Tokens a second on an H100 that devices.py names, as our count of operations has them."""
    p = params.validate(params.read_files("run07.yaml"))
    config, _ = architectures.config_of(p)
    counts = architectures.count(config, p)
    a_token = estimate.flops(counts, config, 4096, 4096**2, checkpointing=False) / 4096
    assert a_token / 1e9 == pytest.approx(34.3, abs=0.05)
    assert 12473 * a_token / 989e12 == pytest.approx(devices.DENSE[1], abs=0.005)
    assert devices.EXPERTS[1] == pytest.approx(277 / 989, abs=0.005)
    assert devices.DENSE[0] / devices.DENSE[1] == pytest.approx(3 / 5, abs=0.01)
    assert devices.EXPERTS[0] / devices.EXPERTS[1] == pytest.approx(1 / 2)

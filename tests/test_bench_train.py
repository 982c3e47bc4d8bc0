import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import tiny

from distill_nb.runtime import paths
from distill_nb.students import chat, student

sys.path.insert(0, str(paths.ROOT / "bench"))
import training


def test_lengths_are_spread_as_those_of_r1():
    lengths = training.r1_lengths(2000, 4096)
    known = json.loads((paths.ROOT / "bench/results/ledger.json").read_text())["ledgers"][
        "pcmb_traces_filtered, Llama 3"
    ]
    assert np.percentile(lengths, [25, 50]) == pytest.approx(
        [known["tokens_p25"], known["tokens_p50"]], rel=0.01
    )
    assert max(lengths) == 4096 and np.mean(np.equal(lengths, 4096)) == pytest.approx(
        known["over_max_length"] / 200, abs=0.03
    )
    few = training.r1_lengths(10, 512)
    # few have the spread already, scaled
    assert np.mean(few) * 8 == pytest.approx(np.mean(lengths), rel=0.05)
    assert few != sorted(few) and few == training.r1_lengths(10, 512)


def test_examples_have_exactly_the_wanted_lengths():
    p = tiny()
    made = training.examples(
        student.load_tokenizer(p), chat.template_for(p.student, p.chat_template), [300, 1000, 4096]
    )
    assert [len(e["input_ids"]) for e in made] == [300, 1000, 4096]
    assert all((e["labels"] != chat.IGNORE).sum() >= len(e["input_ids"]) // 2 for e in made)


def test_padding_of_the_peer():
    batch = training.pad(
        [
            {"input_ids": np.array([5, 6, 7]), "labels": np.array([-100, 6, 7])},
            {"input_ids": np.array([8]), "labels": np.array([8])},
        ],
        pad_id=9,
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]] and batch[
        "attention_mask"
    ].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]


def test_the_flops_of_a_step_are_those_of_its_matrices():
    p = tiny(lora_rank=4)
    layers = 2 * (64 * (128 + 64 + 64) + 128 * 64 + 3 * 64 * 128)
    adapters = 2 * 4 * ((64 + 128) + 2 * (64 + 64) + (128 + 64) + 3 * (64 + 128))
    vocabulary = len(student.load_tokenizer(p))
    # layers x heads' dimension x 2 L^2, for each of forward and 2.5 backward
    attention = 2 * 128 * 2 * (50**2 + 30**2)
    expected = 80 * (4 * layers + 6 * adapters) + 3.5 * attention + 4 * 64 * vocabulary * 70
    assert training.step_flops(p, [50, 30], 70, recomputed=False) == pytest.approx(expected)
    again = 80 * (2 * layers + 2 * adapters) + attention
    assert training.step_flops(p, [50, 30], 70, recomputed=True) == pytest.approx(expected + again)


def test_all_ways_of_the_bench_learn_the_same(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            paths.ROOT / "bench" / "train.py",
            "--student-size",
            "tiny",
            "--rounds",
            "1",
            "--batch",
            "4",
            "--micro",
            "2",
            "--max-length",
            "400",
            "--threads",
            "1",
            "--out",
            tmp_path,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("train_*-tiny-float32.json")
    result = json.loads(file.read_text())
    assert list(result["losses"]) == ["ours", "plain", "plain grouped"]
    assert len(result["losses"]["ours"]) == 2 and result["largest_loss_difference"] < 1e-4
    assert sum(result["profile_of_ours"].values()) == pytest.approx(1, abs=0.01)
    assert result["profile_of_ours"]["matrix products"] > 0
    made = result["medians"]
    assert made["ours"]["tokens"] == made["plain"]["tokens"] == sum(training.r1_lengths(8, 400))
    assert result["ours_by_way"]["tokens_per_second"]["plain"] == pytest.approx(
        made["ours"]["tokens_per_second"] / made["plain"]["tokens_per_second"], abs=0.01
    )

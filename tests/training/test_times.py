"""What is measured while a run trains, also by one that is interrupted."""

import shutil

import pytest
from helpers import tiny

from distill_nb.runtime import jsonl, paths
from distill_nb.training import callbacks, resume, times, train


def test_a_run_records_micro_batches_memory_and_times(runs_dir):
    p = tiny()
    data = train.prepare(p)
    train.train(p, data)
    metrics = train.load_metrics(p)
    for step in (1, 4):
        examples = data.train[(step - 1) * 4 : step * 4]
        first, second = (sum(len(e["input_ids"]) for e in examples[i : i + 2]) for i in (0, 2))
        assert callbacks.micro_batch_tokens(p, data, step) == [first, second]
        row = metrics[metrics["step"] == step].iloc[0]
        assert row["micro_batch_tokens_least"] == min(first, second)
        assert row["micro_batch_tokens_most"] == max(first, second)
    assert set(metrics["micro_batch_sequences"]) == {2}
    assert (metrics["memory_peak_bytes"] >= metrics["memory_bytes"]).all()
    assert metrics["memory_bytes"].min() > 50 * 2**20  # torch alone is more
    assert (metrics["data_seconds"] < metrics["seconds"]).all()
    rate = metrics["tokens"].diff()[1:] / metrics["seconds"][1:]
    assert rate.tolist() == pytest.approx(metrics["tokens_per_second"][1:].tolist(), rel=0.01)
    lines = [(x["step"], x["part"]) for x in jsonl.read(paths.run_dir(p) / times.FILE)]
    assert lines == [
        (0, "data"), (0, "load"), (2, "held-out loss"), (2, "saving"), (4, "held-out loss"),
        (4, "saving"),
    ]  # fmt: skip
    split = times.split(p, metrics)
    assert list(split) == list(times.PARTS) and all(seconds > 0 for seconds in split.values())
    whole = metrics["seconds"].sum()
    assert split["steps"] + metrics["data_seconds"].sum() == pytest.approx(whole)
    assert split["data"] == pytest.approx(data.seconds + metrics["data_seconds"].sum(), abs=0.01)


def test_of_a_resumed_run_each_step_counts_once_and_each_start_is_told(runs_dir):
    p = tiny()
    train.train(p)
    folder = paths.run_dir(p)
    file = folder / "provenance_train.json"
    record = train.provenance.read(file, "")
    train.provenance.write(file, {k: v for k, v in record.items() if k != "finished"})
    for later in ("state/checkpoint-4", "checkpoints/step_00004"):
        shutil.rmtree(folder / later)
    train.train(p)
    lines = [(x["step"], x["part"]) for x in jsonl.read(folder / times.FILE)]
    assert lines == [
        (0, "data"), (0, "load"), (2, "held-out loss"), (2, "saving"), (2, "data"), (2, "load"),
        (4, "held-out loss"), (4, "saving"),
    ]  # fmt: skip
    assert train.load_metrics(p)["step"].tolist() == [1, 2, 3, 4]
    said = (folder / resume.LOG).read_text()
    assert said.count("is trained: 4 steps") == 2 and "resuming at step 2 of 4" in said
    assert said.splitlines()[0][:2] == "20" and "  Training " in said.splitlines()[0]


def test_what_ends_a_start_is_in_its_log(runs_dir):
    p = tiny()
    p = train.replace(p, learning_rate=1e30)  # more than a parameter file may ask for
    with pytest.raises(ValueError, match="diverged"):
        train.train(p)
    said = (paths.run_dir(p) / resume.LOG).read_text()
    assert "learning_rate: the loss of step 2 is nan, so training has diverged" in said
    assert times.split(tiny(run_name="another"), None) == {}

"""Shards of a set of traces: the set is what one process makes."""

import pytest
from trace_rows import settings, write_source

from distill_nb.runtime import lock, provenance
from distill_nb.runtime.shard import Shard, shards
from distill_nb.traces import build, files
from distill_nb.traces import shards as trace_shards


def test_shards_judge_each_row_group_once_and_make_the_same_set(tmp_path, runs_dir, monkeypatch):
    p = settings(write_source(tmp_path))
    folder = files.folder_of(p.dataset, p.scale)
    trace_shards.make(p, Shard(2, 3))
    assert len(list(folder.glob("parts/*/*.parquet"))) == 3  # of 8 row groups
    trace_shards.make(p, Shard(1, 3))
    trace_shards.make(p, Shard(3, 3))
    parts = {f: f.stat().st_mtime_ns for f in folder.glob("parts/*/*.parquet")}
    assert len(parts) == 8 and not (folder / "train.parquet").exists()
    funnel = build.build(p)
    assert {f: f.stat().st_mtime_ns for f in parts} == parts
    made = [provenance.sha256_of_file(folder / f) for f in ("train.parquet", "rejected.parquet")]

    monkeypatch.setenv("DISTILL_NB_RUNS", str(tmp_path / "other"))
    assert build.build(p) == funnel
    folder = files.folder_of(p.dataset, p.scale)
    assert made == [
        provenance.sha256_of_file(folder / f) for f in ("train.parquet", "rejected.parquet")
    ]


def test_a_shard_is_one_processes_and_generated_traces_have_none(tmp_path, runs_dir):
    p = settings(write_source(tmp_path))
    place = files.folder_of(p.dataset, p.scale) / "parts" / "1_of_2"
    with (
        lock.locked(place, doing="being made"),
        pytest.raises(ValueError, match="1_of_2 is being made by"),
    ):
        trace_shards.make(p, Shard(1, 2))
    for shard in shards(2):
        with pytest.raises(ValueError, match="source: pocket is generated"):
            trace_shards.make(settings("pocket", dataset="generator_math"), shard)

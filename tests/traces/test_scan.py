import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import killed_with_all_below
from trace_rows import MATH, math, settings, write_source

from distill_nb.runtime import paths
from distill_nb.traces import build, files, row_group, workers


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path)


def test_a_killed_scan_goes_on_where_it_was(source, runs_dir):
    script = (
        "from distill_nb.traces import build, params as trace_params\n"
        "if __name__ == '__main__':\n"
        f"    build.build(trace_params.pocket(source={str(source)!r}, processes=1, "
        "dataset='r1_math', n_examples=40))\n"
    )
    file = paths.runs().parent / "build.py"
    file.write_text(script)
    child = subprocess.Popen(
        [sys.executable, str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=paths.child_environment(),
    )
    folder = files.folder_of("r1_math", "pocket")
    limit = time.monotonic() + 60
    while not list(folder.glob("parts/*/*.parquet")) and time.monotonic() < limit:
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    before = {f.name: f.stat().st_mtime_ns for f in folder.glob("parts/*/*.parquet")}
    assert before and not (folder / "train.parquet").exists()
    assert build.build(settings(source))["kept"] == 40
    after = {f.name: f.stat().st_mtime_ns for f in folder.glob("parts/*/*.parquet")}
    assert len(after) == 8 and {name: after[name] for name in before} == before


def test_other_files_or_evaluation_sets_are_scanned_anew(source, runs_dir):
    parts = runs_dir / "pocket" / "traces" / "r1_math" / "parts"
    for changes in ({}, {"seed": 3}, {"decontaminate": ["pocket_math"]}, {"pick": "shortest"}):
        build.build(settings(source, overwrite=True, **changes))
    assert len(list(parts.iterdir())) == 3  # the seed does not matter to what a row is worth
    (source / "train-0.parquet").unlink()
    assert (
        build.build(settings(source, overwrite=True))["rows"] == 33
        and len(list(parts.iterdir())) == 4
    )


def test_workers_are_not_forked_from_this_process(source):
    with workers.pool(1, []) as pool:
        assert pool._mp_context.get_start_method() in ("forkserver", "spawn")


class Dying(ProcessPoolExecutor):
    """Its fourth piece of work kills the worker that takes it."""

    submitted = 0

    def submit(self, work, *arguments):
        self.submitted += 1
        return (
            super().submit(os._exit, 1) if self.submitted == 4 else super().submit(work, *arguments)
        )


def test_a_worker_that_is_killed_is_one_sentence_and_what_is_judged_stays(
    source, runs_dir, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(workers, "ProcessPoolExecutor", Dying)
        with pytest.raises(
            RuntimeError,
            match=r"^processes: a worker was killed.* fewer processes than 1, and .*judged\.$",
        ):
            build.build(settings(source))
    folder = files.folder_of("r1_math", "pocket")
    before = {f.name: f.stat().st_mtime_ns for f in folder.glob("parts/*/*.parquet")}
    assert len(before) in (2, 3) and not (folder / "provenance.json").exists()
    assert build.build(settings(source))["kept"] == 40
    after = {f.name: f.stat().st_mtime_ns for f in folder.glob("parts/*/*.parquet")}
    assert len(after) == 8 and {name: after[name] for name in before} == before


class Slow:
    """A worker whose work is done when it is asked for; counts what is under way."""

    def __init__(self):
        self.open, self.most = 0, 0

    def submit(self, work, *arguments):
        self.open += 1
        self.most = max(self.most, self.open)
        return self

    def result(self):
        self.open -= 1
        return 7


def test_only_a_few_groups_are_under_way_at_once():
    pool = Slow()
    assert (
        list(workers.results(pool, 3, ((len, "") for _ in range(100)))) == [7] * 100
        and pool.most == 6
    )


def test_workers_end_with_the_process_that_started_them():
    script = f"""
        import sys, time
        sys.path.insert(0, {str(paths.ROOT)!r})
        from distill_nb.traces import workers
        if __name__ == "__main__":
            with workers.pool(2, []) as pool:
                list(pool.map(len, ["a", "b"]))
                print("ready", flush=True)
                time.sleep(60)
        """
    with killed_with_all_below(script, says="ready", within=20) as below:
        assert len([p for p in below if p.is_running()]) >= 2


def test_parts_are_of_one_code_and_left_overs_of_killed_processes_go(source, runs_dir, monkeypatch):
    read = {name.removeprefix("distill_nb/") for name in row_group.CODE}
    assert {"rensa", "python", "grading/extract.py"} <= read
    assert {f"traces/{name}.py" for name in ("hub_rows", "row_group", "files")} <= read
    assert {
        f"traces/decontamination/{name}.py"
        for name in ("examples", "masked", "match", "short_problems", "statements", "words")
    } <= read
    # what does not decide on a row leaves the parts as they are
    assert (
        not {"traces/build.py", "traces/selection.py", "traces/scan.py", "grading/math.py"} & read
    )
    folder = files.folder_of("r1_math", "pocket")
    build.build(settings(source))
    (parts,) = (folder / "parts").iterdir()
    left = [
        parts / "00000_00000.77.partial",
        folder / "train.77.partial",
        folder / "rejected.77.partial",
    ]
    for file in left:
        file.touch()
    build.build(settings(source, overwrite=True))
    assert not any(file.exists() for file in left) and list((folder / "parts").iterdir()) == [parts]
    # the workers, started before or after, have the real one
    monkeypatch.setitem(row_group.CODE, "rensa", "0.0.1")
    with pytest.raises(
        RuntimeError, match=r"processes: files of distill_nb have changed.*restart the kernel"
    ):
        build.build(settings(source, overwrite=True))
    assert len(list((folder / "parts").iterdir())) == 2  # another version's parts are not taken


def test_a_copy_of_the_hub_is_read_by_config(tmp_path, runs_dir):
    for name, n in (("data", 3), ("extended", 4)):
        (tmp_path / name).mkdir()
        rows = [
            math(f"How many {name} are there in house {i} of {i + 7}?", uuid=f"{name}{i}")
            for i in range(n)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=MATH), tmp_path / name / "a.parquet")
    for config, n in (("default", 3), ("extended", 4), ("all", 7)):
        assert build.build(settings(tmp_path, config=config, overwrite=True))["rows"] == n

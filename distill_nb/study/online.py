"""`distill-nb doctor --online`: every source that runs and sets of traces need, asked, and compared
with what the code expects.

Sources are asked at the same time, each for its own seconds at the most, so that one that hangs
stops no other. In all it takes less than five minutes, and at most 200 MB are downloaded. It was
tested against a hub and APIs of our own on loopback, and never run against the real ones."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module, util

from distill_nb import params
from distill_nb.params import BENCHMARKS, POCKET_STUDENT, Params
from distill_nb.runtime import paths
from distill_nb.runtime.text import one_line
from distill_nb.study import (
    doctor,
    online_apis,
    online_benchmarks,
    online_budget,
    online_datasets,
    online_disk,
    online_students,
    study_file,
)
from distill_nb.study.doctor import Finding
from distill_nb.study.online_budget import Budget, Spent
from distill_nb.study.online_hub import Needs
from distill_nb.traces import params as trace_params
from distill_nb.traces.params import TraceParams

SECONDS, LAST_SECONDS = 180.0, 60.0  # of all sources, asked together; then of the disk
LIBRARIES = (
    "huggingface_hub", "transformers", "peft", "pyarrow.parquet", "evalplus.data", "anthropic",
    "openai",
)  # fmt: skip
SLOW = "it hangs or is slow: try again later"


@dataclass
class Source:
    """One source: what asks it, and what was found so far."""

    name: str
    look: Callable[[], Iterator[Finding]]
    found: list[Finding] = field(default_factory=list)


def check(files: list[str], say: Callable[[str], object]) -> bool:
    """Ask all sources of parameter files, or else of the study's; `say` takes the lines of the
    table as they come. Returns whether nothing differs. Raises ValueError for a file that cannot
    stand."""
    runs, sets = read(files)
    _prepare()
    needs, budget = Needs(), Budget()
    asked = sources(runs, sets, needs, budget)
    for p in _teachers(sets):
        if line := online_apis.announcement(p):
            say(line)

    def disk() -> Iterator[Finding]:
        unknown = [name for name in _large(runs, sets) if name not in needs]
        yield from online_disk.look([p for p in runs if _asks_hub(p)], needs, unknown)

    found = []
    # what libraries print, such as evalplus of a download, is no part of the table
    with online_budget.counted(budget), redirect_stdout(io.StringIO()):
        for together, seconds in ((asked, SECONDS), ([Source("disk", disk)], LAST_SECONDS)):
            for source in answers(together, seconds, budget):
                say(f"\n{source.name}\n{doctor.as_text(source.found, indent=2)}")
                found += source.found
    differ = sum(bool(finding.lack) for finding in found)
    many = f"{differ} of {len(found)} differ or are not there" if differ else "Nothing differs"
    say(f"\n{many}. {budget.used / 1e6:,.1f} MB were downloaded.")
    return not differ


def read(files: list[str]) -> tuple[list[Params], list[TraceParams]]:
    """(runs, sets of traces) of parameter files, or else of the study at its own scale. Raises
    ValueError for a file that is neither."""
    if not files:
        study = study_file.current()
        every, sets = study_file.check(study)
        return [p for p in every if p.scale == study.scale] or every, sets
    runs, sets = [], []
    for file in files:
        values = params.read_files(file)
        if {"run_name", "teacher"} <= set(values):
            runs.append(params.validate(values, file))
        elif {"dataset", "decontaminate"} <= set(values):
            sets.append(trace_params.validate(values, file))
        else:
            raise ValueError(
                f"{file}: this is no whole run and no whole set of traces; give files such as "
                "run07.yaml and traces_r1_math.yaml."
            )
    return runs, sets


def _prepare() -> None:
    """Import what all sources use, so that none spends its seconds on that. Raises ValueError where
    the hub may not be asked."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    if constants.is_offline_mode():
        raise ValueError(
            "HF_HUB_OFFLINE: it is set, so that the hub is not asked; unset it, and "
            "TRANSFORMERS_OFFLINE."
        )
    for name in LIBRARIES:
        if util.find_spec(name.partition(".")[0]):
            import_module(name)
    disable_progress_bars()


def sources(
    runs: list[Params], sets: list[TraceParams], needs: Needs, budget: Budget
) -> list[Source]:
    """What is asked: each data set, benchmark, student and API once."""
    found = [
        Source(p.dataset, partial(online_datasets.look, p, needs))
        for p in sets
        if p.source == "hub"
    ]
    benchmarks = {(b, p.benchmark_files.get(b, "")) for p in runs for b in p.benchmarks}
    benchmarks |= {(b, p.benchmark_files.get(b, "")) for p in sets for b in p.decontaminate}
    for name, file in sorted(benchmarks):
        if name in BENCHMARKS and not name.startswith("pocket"):
            look = partial(online_benchmarks.look, name, file, needs, budget)
            found.append(Source(name, look))
    students = {p.student: p for p in reversed(runs) if _asks_hub(p)}
    for name in sorted(students):
        found.append(Source(name, partial(online_students.look, students[name], needs)))
    for p in _teachers(sets):
        found.append(Source(online_apis.name(p), partial(online_apis.look, p)))
    return found


def _asks_hub(p: Params) -> bool:
    """Whether a run's student comes from the hub."""
    made_here = p.student_size == "tiny" or p.student == POCKET_STUDENT
    return not made_here and not paths.resolve(p.student).is_dir()


def _teachers(sets: list[TraceParams]) -> list[TraceParams]:
    """A set for each API, model and address."""
    found = {
        (p.teacher_api, p.teacher_model, p.teacher_url): p
        for p in reversed(sets)
        if p.teacher_api != "none"
    }
    return list(found.values())


def _large(runs: list[Params], sets: list[TraceParams]) -> list[str]:
    """The sources of gigabytes."""
    students = {p.student for p in runs if _asks_hub(p)}
    return [*(p.dataset for p in sets if p.source == "hub"), *sorted(students)]


def answers(asked: list[Source], seconds: float, budget: Budget) -> Iterator[Source]:
    """Yield each source when it has been asked, or has not answered in time."""
    end = time.monotonic() + seconds
    # daemons: one that hangs does not keep the command from ending
    threads = [threading.Thread(target=_ask, args=(s, budget), daemon=True) for s in asked]
    for thread in threads:
        thread.start()
    for source, thread in zip(asked, threads, strict=True):
        thread.join(max(0.0, end - time.monotonic()))
        found = list(source.found)
        if thread.is_alive():
            found.append(Finding("answer", f"not within {seconds:.0f} s", SLOW))
        yield Source(source.name, source.look, found)


def _ask(source: Source, budget: Budget) -> None:
    """Ask one source; whatever it raises is a finding too."""
    try:
        for finding in source.look():
            source.found.append(finding)
    except Spent:
        said = f"not read: {budget.most / 1e6:,.1f} MB are all that this command downloads"
        lack = "give fewer parameter files, so that each source is read"
        source.found.append(Finding("fault", said, lack))
    except ImportError as error:
        source.found.append(Finding("fault", str(error), "make setup-study installs it"))
    except Exception as error:  # of many libraries
        said = f"{type(error).__name__}: {one_line(error, 200)}"
        lack = "try again; if it stays, what the source gives is not as the code expects"
        source.found.append(Finding("fault", said, lack))

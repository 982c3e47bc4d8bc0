"""Run again what a provenance records, into a fresh folder, and compare: data and tokens, losses,
adapters, outcomes.

    distill-nb verify [runs/pocket/pocket_math] [--into FOLDER]

On the machine that made the run, with the same versions, losses and adapters are equal bit by bit.
Where they are not, what is recorded of code, versions and device is compared too, and named: it may
be why."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill_nb import params
from distill_nb.evaluation import evaluate
from distill_nb.runtime import jsonl, paths, provenance
from distill_nb.training import train

DATA = ("data_sha256", "tokens_sha256", "student_version", "template")
LOSSES = ("tokens", "learning_rate", "loss", "grad_norm", "heldout_loss")  # causes first
AROUND = (
    "python", "platform", "device", "threads", "backend", "recompute", "adapters", "moe_config",
    "grader",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One thing that was compared: `differs` in words, "" where it is the same."""

    what: str
    differs: str = ""


@contextlib.contextmanager
def _runs_in(folder: Path) -> Iterator[None]:
    """This process writes its runs below another folder; the sets of traces are those that there
    are."""
    before = os.environ.get("DISTILL_NB_RUNS")
    for traces in paths.runs().glob("*/traces"):
        linked = folder / traces.parent.name / "traces"
        linked.parent.mkdir(parents=True, exist_ok=True)
        if not linked.exists():
            linked.symlink_to(traces)
    os.environ["DISTILL_NB_RUNS"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("DISTILL_NB_RUNS")
        if before is not None:
            os.environ["DISTILL_NB_RUNS"] = before


def verify(run_dir: Path, into: Path) -> tuple[list[Compared], list[Compared]]:
    """Train and evaluate a finished run again below `into`; (results, circumstances) as they
    compare.

    Raises ValueError where the run is not finished or evaluated on nothing, its provenance is
    damaged, its parameters are none of today's, or it is below `into` already."""
    run_dir = Path(run_dir)
    trained, evaluated = (_finished(run_dir, stage) for stage in ("train", "eval"))
    if not evaluated["settings"]["tasks_sha256"]:
        raise ValueError(
            f"provenance_eval.json in {run_dir.name} names no benchmark, so that there is no "
            "answer to compare; run eval.ipynb again."
        )
    p = _parameters(trained, run_dir / "provenance_train.json")
    q = _parameters(evaluated, run_dir / "provenance_eval.json")
    if paths.run_dir(p).name != run_dir.name:
        raise ValueError(
            f"provenance_train.json in {run_dir.name} is of the run {paths.run_dir(p).name}; put "
            "its own back."
        )
    with _runs_in(into):
        fresh = paths.run_dir(p)
        if fresh.exists():  # it would be left alone, or gone on with, and not made again
            raise ValueError(f"into: {fresh.name} is in {into.name} already; name a fresh folder.")
        recompute = trained.get("recompute", "auto")  # as it was decided then
        again = train.train(replace(p, overwrite=False), recompute=recompute)
        for changes in _calls(evaluated):
            then = evaluate.evaluate(replace(q, **changes, overwrite=False, regrade=False))
    results = [Compared(f"{k} of training", _other(trained.get(k), again.get(k))) for k in DATA]
    tasks, tasks_now = (record["settings"]["tasks_sha256"] for record in (evaluated, then))
    results += [Compared(f"tasks of {k}", _other(v, tasks_now.get(k))) for k, v in tasks.items()]
    results.append(_losses(run_dir, fresh))
    recorded = trained.get("adapters_sha256", {})
    results += [_adapter(run_dir, fresh, step, recorded) for step in params.steps(p)[1:]]
    files = {f.relative_to(run_dir) for f in run_dir.glob("eval/step_*/*.jsonl")}
    files |= {f.relative_to(fresh) for f in fresh.glob("eval/step_*/*.jsonl")}
    results += [_outcomes(run_dir / file, fresh / file) for file in sorted(files)]
    return results, _around(trained, again, "training") + _around(evaluated, then, "evaluation")


def _calls(evaluated: dict) -> list[dict]:
    """The parameters of the fewest evaluations that make all records again: a run may have been
    evaluated in several calls."""
    found: dict[tuple[int, int], dict] = {}
    for name, n in evaluated["settings"]["n_samples"].items():
        about = evaluated["benchmarks"][name]
        limit = about["taken"] if about["taken"] < about["found"] else 0
        call = found.setdefault(
            (n, limit),
            {"n_samples": n, "benchmark_limit": limit, "benchmarks": [], "benchmark_files": {}},
        )
        entry = about.get("module", name)  # of one's own benchmark, its file
        call["benchmarks"].append(entry)
        if (
            about["source"] != entry and paths.resolve(about["source"]).is_file()
        ):  # else it is a default source
            call["benchmark_files"][name] = about["source"]
    return list(found.values())


def _finished(run_dir: Path, stage: str) -> dict:
    record = provenance.read(run_dir / f"provenance_{stage}.json", f"run {stage}.ipynb again")
    if not record.get("finished"):
        raise ValueError(
            f"provenance_{stage}.json in {run_dir.name}: there is no finished run to verify; run "
            f"{stage}.ipynb first (make demo, for the pocket run)."
        )
    return record


def _parameters(record: dict, file: Path) -> params.Params:
    """The recorded parameters; those that came later have their value in the pocket run."""
    return params.validate(
        params.pocket_values() | record["parameters"], f"{file.name} in {file.parent.name}"
    )


def _other(before: Any, now: Any) -> str:
    if before == now:
        return ""
    if before is None:
        return "it was not recorded"
    return f"{_short(before)} is recorded, and it is {_short(now)} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"


def _losses(run_dir: Path, fresh: Path) -> Compared:
    """metrics.jsonl, value by value."""
    before, now = (jsonl.read(folder / "metrics.jsonl") for folder in (run_dir, fresh))
    if len(before) != len(now):
        return Compared("losses", f"{len(before)} steps are recorded, and it is {len(now)} now")
    found = [
        (a["step"], key, a.get(key), b.get(key))
        for a, b in zip(before, now, strict=True)
        for key in LOSSES
        if a.get(key) != b.get(key)
    ]
    if not found:
        return Compared(f"losses of {len(now)} steps")
    (step, key, a, b), steps = found[0], len({step for step, *_ in found})
    where = f"{steps} of {len(now)} steps differ, the first is step {step}: {key}"
    return Compared("losses", f"{where} {_other(a, b)}")


def _adapter(run_dir: Path, fresh: Path, step: int, recorded: dict) -> Compared:
    """One checkpoint's weights, bit by bit."""
    what, folder = f"adapter of step {step}", Path("checkpoints") / paths.step_name(step)
    before, now = (next((root / folder).glob("adapter_model.*"), None) for root in (run_dir, fresh))
    if before is None or now is None:
        return Compared(what, "it is not on disk")
    a, b = provenance.sha256_of_file(before), provenance.sha256_of_file(now)
    if recorded.get(str(step), a) != a:
        return Compared(
            what,
            f"on disk is another one than is recorded (sha256 {a[:12]}…, not "
            f"{recorded[str(step)][:12]}…)",
        )
    return Compared(what, "" if a == b else f"its weights differ by up to {_furthest(before, now)}")


def _furthest(before: Path, now: Path) -> str:
    """The largest difference between two files of weights, in words."""
    from safetensors.numpy import load_file

    a, b = load_file(before), load_file(now)
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        return "their shapes"
    return f"{max(float(abs(a[k].astype(float) - b[k].astype(float)).max()) for k in a):.2g}"


def _outcomes(before: Path, now: Path) -> Compared:
    """One file of records, answer by answer."""
    what = f"outcomes of {before.parent.name}/{before.stem}"
    if not before.exists():
        return Compared(what, "they are not on disk")
    if not now.exists():
        return Compared(what, "they are on disk, and no repetition makes them")
    a, b = ({(r["task_id"], r["sample"]): r for r in jsonl.read(file)} for file in (before, now))
    if set(a) != set(b):
        return Compared(what, f"{len(set(a) ^ set(b))} answers are there only once")
    outcomes = [k for k in a if a[k]["outcome"] != b[k]["outcome"]]
    words = sum(a[k]["completion"] != b[k]["completion"] for k in a)
    if outcomes:
        first, (was, is_now) = outcomes[0], (found[outcomes[0]]["outcome"] for found in (a, b))
        differs = (
            f"{len(outcomes)} of {len(a)} differ, such as {first[0]}: {was} is recorded, and it is "
            f"{is_now} now; {words} answers have other words"
        )
        return Compared(what, differs)
    return Compared(
        what, f"all {len(a)} are equal, but {words} answers have other words" * bool(words)
    )


def _around(before: dict, now: dict, stage: str) -> list[Compared]:
    """Code, versions and device of a record and of its repetition."""
    found = []
    for key in AROUND:
        if before.get(key) or now.get(key):
            found.append(Compared(f"{key} of {stage}", _other(before.get(key), now.get(key))))
    a, b = (record.get("packages") or {} for record in (before, now))
    for name in sorted({*a, *b}):
        found.append(Compared(f"package {name} of {stage}", _other(a.get(name), b.get(name))))
    a, b = (record.get("code") or {} for record in (before, now))
    for name in sorted({*a, *b}):
        changed = "" if a.get(name) == b.get(name) else "it has changed"
        found.append(Compared(f"code {name} of {stage}", changed))
    sessions, sessions_now = before.get("sessions", []), now.get("sessions", [])
    if len(sessions) != len(sessions_now):
        others = sorted({key for session in sessions for key in session.get("parameters", {})})
        said = (
            f"the recorded run was made in {len(sessions) + 1}, this one in {len(sessions_now) + 1}"
        )
        if others:
            said += f"; some of those had another {', '.join(others)}"
        found.append(Compared(f"sessions of {stage}", said))
    return found


def report(results: list[Compared], around: list[Compared]) -> str:
    """What `verify` found, as text."""
    wrong, other = [c for c in results if c.differs], [c for c in around if c.differs]
    lines = [f"{len(results) - len(wrong)} of {len(results)} results are the same:"]
    for c in results:
        lines.append(f"  differs  {c.what}: {c.differs}" if c.differs else f"  same     {c.what}")
    if other:
        why = ", any of which may be why" if wrong else ""
        lines.append(f"Recorded with the run, and other now{why}:")
        lines += [f"  {c.what}: {c.differs}" for c in other]
    elif wrong:
        lines.append(
            "Code, versions, device and threads are as recorded: what is recorded or on disk may "
            "have been changed since, the hardware differ in what is not recorded, or a GPU's "
            "kernels add in another order."
        )
    return "\n".join(lines)

"""A study that is killed again and again comes to the results of one that was not.

    # the graph of the whole tiny study, by Snakemake
    python bench/chaos.py [--kills 20] [--seed 0]
    # some runs, notebook after notebook, without Snakemake
    python bench/chaos.py --runs run01 run09

Runs a tiny study twice in folders of its own: once unbroken, once with SIGKILLs at seeded random
moments of training, evaluation and analysis: of a notebook's kernel, of Papermill, of the command
that runs the study with all that it started, or of the command alone, whose notebooks run on. It is
started again at once. Compares sets, adapters, losses, records (but for seconds), the tables of the
analysis and the paper's generated files, looks whether all that was on disk at a kill is there at
the end as it was, seconds and all, and writes bench/results/chaos.json (with --runs:
chaos_runs.json). A moment is a number of steps, records or cells on disk, so that it does not
depend on the machine's speed."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("train", "eval", "analyze")
VICTIMS = ("kernel", "papermill", "command", "command alone")
PATIENCE = 1800  # seconds for a study to end
SCALE = "tiny"


def study(runs: list[str], changes: dict) -> int:
    """Train and evaluate runs of papermill_params/ at tiny size, then analyse them; what is done
    already is left out."""
    from distill_nb import params
    from distill_nb.runtime import paths

    folder, files = paths.runs() / SCALE, [f"{ROOT}/papermill_params/tiny.yaml"]
    stages = [
        (
            name,
            params.read_files(f"{run}.yaml")["run_name"],
            [f"{ROOT}/papermill_params/{run}.yaml", *files],
        )
        for name in ("train", "eval")
        for run in runs
    ]
    for name, run_name, given in [*stages, ("analyze", "report", [])]:
        out = folder / run_name / f"{name}.ipynb"
        done = out.with_suffix(".done")
        if done.exists():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        values = changes | {"dataset": "pocket"} if given else {"scale": SCALE}
        words = [word for f in given for word in ("-f", f)]
        words += [
            word for key, value in values.items() for word in ("-y", json.dumps({key: value}))
        ]
        status = subprocess.call(
            [
                sys.executable,
                "-m",
                "papermill",
                f"{ROOT}/notebooks/{name}.ipynb",
                str(out),
                *words,
                "--no-progress-bar",
                "--log-level",
                "ERROR",
            ]
        )
        if status:
            return status
        done.touch()
    return 0


def progress(runs: Path, phase: str) -> int:
    """How far a study is: steps trained, records made, or cells of the analysis executed."""

    def lines(pattern):
        return sum(
            f.read_bytes().count(b"\n") for f in runs.glob(f"{SCALE}/{pattern}") if f.exists()
        )

    if phase == "train":
        return lines("*/metrics.jsonl")
    if phase == "eval":
        return lines("*/eval/step_*/*.jsonl") + lines("_base/*/*.jsonl")
    file = runs / SCALE / "report" / "analyze.ipynb"
    return len(re.findall(rb'"execution_count": [0-9]', file.read_bytes())) if file.exists() else 0


def draw(kills: int, seed: int, totals: dict[str, int]) -> list[tuple[str, int, str]]:
    """[(phase, progress at which to kill, victim)] in order: kills are shared out among phases, and
    among victims."""
    rng = random.Random(seed)
    who = [VICTIMS[k % len(VICTIMS)] for k in range(kills)]
    rng.shuffle(who)
    phases = [PHASES[k * len(PHASES) // kills] for k in range(kills)]
    moments = [rng.uniform(0.0, 0.9) for _ in range(kills)]
    order = sorted(range(kills), key=lambda k: (PHASES.index(phases[k]), moments[k]))
    drawn = [(phases[k], int(moments[k] * totals[phases[k]]), who[i]) for i, k in enumerate(order)]
    # the analysis that a killed command leaves behind ends it all, and later moments never come
    return [
        (phase, at, "command" if phase == "analyze" and victim == "command alone" else victim)
        for phase, at, victim in drawn
    ]


def below(process: subprocess.Popen) -> list[psutil.Process]:
    """All processes under a command."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def working(
    family: list[psutil.Process], runs: Path, phase: str, at: int
) -> list[tuple[psutil.Process, Path]]:
    """The Papermills of a phase's notebook, with their folders, that left something on disk since
    they began (at 0: any)."""
    found = []
    for process in family:
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            out = [
                Path(word)
                for word in words
                if word.startswith(str(runs)) and word.endswith(f"{phase}.ipynb")
            ]
            if "papermill" not in words or not out:
                continue
            made = (
                [out[0]]
                if phase == "analyze"
                else out[0].parent.glob(
                    "metrics.jsonl" if phase == "train" else "eval/step_*/*.jsonl"
                )
            )
            if at == 0 or any(
                file.exists() and file.stat().st_mtime > process.create_time() for file in made
            ):
                found.append((process, out[0].parent))
    return found


def victim_of(
    moment: tuple[str, int, str], runs: Path, totals: dict[str, int], process: subprocess.Popen
):
    """(process to kill, the run that it works on), if the study is as far as a moment says; else
    None. An analysis counts when everything is evaluated."""
    phase, at, victim = moment
    if progress(runs, phase) < at or (
        phase == "analyze" and progress(runs, "eval") < totals["eval"]
    ):
        return None
    for papermill, folder in reversed(working(below(process), runs, phase, at)):
        with contextlib.suppress(psutil.Error):
            kernels = [
                k for k in papermill.children() if "ipykernel_launcher" in " ".join(k.cmdline())
            ]
            chosen = {"kernel": kernels, "papermill": [papermill]}.get(
                victim, [psutil.Process(process.pid)]
            )
            if chosen:
                return chosen[0], folder.name
    return None


def whole_lines(file: Path) -> list[str]:
    """The lines of a file that may be written to just now."""
    return [
        line
        for line in file.read_text(errors="replace").splitlines(keepends=True)
        if line.endswith("\n")
    ]


def on_disk(runs: Path) -> dict[str, set[str]]:
    """What must not be lost: file → whole lines, of all records and of the losses up to the last
    state that counts."""
    from distill_nb.runtime import disk, provenance

    found = {}
    for file in [
        *runs.glob(f"{SCALE}/*/eval/step_*/*.jsonl"),
        *runs.glob(f"{SCALE}/_base/*/*.jsonl"),
    ]:
        found[str(file)] = set(whole_lines(file))
    for file in runs.glob(f"{SCALE}/*/metrics.jsonl"):
        states = [
            folder
            for folder in (file.parent / "state").glob("checkpoint-*")
            if not disk.broken(folder)
        ]
        last = max((int(folder.name.partition("-")[2]) for folder in states), default=0)
        if provenance.read(file.parent / "provenance_train.json", "").get("finished"):
            last = 10**9
        found[str(file)] = {line for line in whole_lines(file) if json.loads(line)["step"] <= last}
    return found


def killed(
    start, moments: list[tuple[str, int, str]], runs: Path, totals: dict[str, int]
) -> tuple[list[dict], list[dict]]:
    """Run a study that is killed at moments, until none is left or it has ended well: (what was
    killed, what was on disk).

    start: starts the command, which goes on where it was. Raises RuntimeError where it fails thrice
    without having been killed in between, or does not end in PATIENCE."""
    left, done, kept, process, started, failed, orphans = list(moments), [], [], None, 0.0, 0, []
    while left:
        if process is None or process.poll() is not None:
            if process is not None and process.returncode == 0:
                break
            if failed:  # not at once after a kill: it must bear with what still runs
                psutil.wait_procs(orphans, timeout=PATIENCE)
            failed += 1
            process, started = start(), time.monotonic()
        if failed > 3 or time.monotonic() > started + PATIENCE:
            raise RuntimeError(
                "The study fails or hangs though nothing was killed; see "
                f"{runs.with_suffix('.log')}."
            )
        for moment in left:
            if found := victim_of(moment, runs, totals, process):
                (target, run), family = found, below(process)
                kept.append(on_disk(runs))
                end = [target, *(family if moment[2] == "command" else [])]
                for one in end:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
                if moment[2].startswith("command"):
                    process.wait()
                psutil.wait_procs(end, timeout=120)
                orphans = [p for p in family if p.is_running()]
                left.remove(moment)
                done.append(
                    {
                        "phase": moment[0],
                        "at": moment[1],
                        "of": totals[moment[0]],
                        "victim": moment[2],
                        "run": run,
                    }
                )
                failed = 0
                break
        time.sleep(0.05)
    process.wait(PATIENCE)
    psutil.wait_procs(orphans, timeout=PATIENCE)
    return done, kept


def lost(kept: list[dict[str, set[str]]]) -> list[str]:
    """Lines that were on disk at a kill, and are not there now, by file."""
    found = set()
    for then in kept:
        for name, lines in then.items():
            file = Path(name)
            if lines.difference(whole_lines(file) if file.exists() else ()):
                found.add(file.name)
    return sorted(found)


def results_of(runs: Path) -> dict:
    """What a study came to: adapters, losses, records, tables, each in a form that can be
    compared."""
    from distill_nb.runtime import jsonl
    from distill_nb.training import callbacks

    found, folder = (
        {"sets": {}, "adapters": {}, "losses": {}, "records": {}, "paper": {}},
        runs / SCALE,
    )
    for kind, pattern in (
        ("sets", "traces/*/train.parquet"),
        ("adapters", "*/checkpoints/*/adapter_model.safetensors"),
        ("paper", "report/latex/paper/generated/*.tex"),
    ):
        for file in sorted(folder.glob(pattern)):
            found[kind][str(file.relative_to(folder))] = hashlib.sha256(
                file.read_bytes()
            ).hexdigest()
    for file in sorted(folder.glob("*/metrics.jsonl")):
        found["losses"][file.parent.name] = [
            {k: v for k, v in json.loads(line).items() if k not in callbacks.MEASURED}
            for line in file.read_text().splitlines()
        ]
    for file in sorted([*folder.glob("*/eval/step_*/*.jsonl"), *folder.glob("_base/*/*.jsonl")]):
        # of the base student's records it is chance which run made them
        apart = {"seconds", *(("run_name", "teacher", "domain") if "_base" in file.parts else ())}
        found["records"][str(file.relative_to(folder))] = sorted(
            json.dumps({k: v for k, v in r.items() if k not in apart}, sort_keys=True)
            for r in jsonl.read(file)
        )
    cells = json.loads((folder / "report" / "analyze.ipynb").read_text())["cells"]
    found["tables"] = [
        "".join(o["data"]["text/html"])
        for c in cells
        for o in c.get("outputs", [])
        if "text/html" in o.get("data", {})
    ]
    return found


def differing(one: dict, other: dict) -> list[str]:
    """The names of what two studies differ in."""
    found = [kind for kind in one if isinstance(one[kind], list) and one[kind] != other[kind]]
    return found + [
        f"{kind}: {name}"
        for kind in one
        if isinstance(one[kind], dict)
        for name in sorted({*one[kind], *other[kind]})
        if one[kind].get(name) != other[kind].get(name)
    ]


def chaos(folder: Path, command: list[str], kills: int, seed: int) -> dict:
    """The unbroken and the killed study below a folder; what was killed, and what differs."""
    places = {name: folder / name / "runs" for name in ("unbroken", "killed")}
    environment = {
        name: os.environ
        | {
            "DISTILL_NB_RUNS": str(place),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        for name, place in places.items()
    }
    for place in places.values():
        place.mkdir(parents=True)
    starts = 0

    def start(name: str = "killed") -> subprocess.Popen:
        nonlocal starts
        starts += name == "killed"
        options = {"env": environment[name], "cwd": places[name].parent}
        with open(places[name].with_suffix(".log"), "ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **options
            )

    def finish(name: str) -> None:
        if start(name).wait(PATIENCE):
            text = places[name].with_suffix(".log").read_text(errors="replace")
            raise RuntimeError(f"The {name} study fails though nothing was killed:\n{text[-3000:]}")

    finish("unbroken")
    totals = {phase: progress(places["unbroken"], phase) for phase in PHASES}
    done, kept = killed(start, draw(kills, seed, totals), places["killed"], totals)
    finish("killed")
    one, other = results_of(places["unbroken"]), results_of(places["killed"])
    return {
        "seed": seed,
        "starts": starts,
        "kills": done,
        "compared": {kind: len(v) for kind, v in one.items()},
        "kept": {"lines": sum(map(len, kept[-1].values())) if kept else 0, "lost": lost(kept)},
        "differing": differing(one, other),
    }


def study_command(runs: list[str], changes: dict) -> list[str]:
    """What runs some runs' notebooks, one after another."""
    return [
        sys.executable,
        str(ROOT / "bench" / "chaos.py"),
        "study",
        "--runs",
        *runs,
        "--changes",
        json.dumps(changes),
    ]


def graph_command() -> list[str]:
    """What runs the graph of the whole tiny study, with Snakemake's own files in the current
    folder."""
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--workflow-profile",
        str(ROOT / "profiles" / "default"),
        "--directory",
        ".",
        "--config",
        f"scale={SCALE}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", nargs="?", choices=("study",), help="only run the study, where DISTILL_NB_RUNS says"
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        help="parameter files, as run01 run09; without them the whole tiny study",
    )
    parser.add_argument(
        "--changes",
        type=json.loads,
        default={"max_steps": 8, "save_every": 4},
        help="to the runs, as JSON",
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what:
        return study(given.runs, given.changes)
    from distill_nb.runtime import provenance

    if given.runs:
        how, command = (
            {"runs": given.runs, "changes": given.changes},
            study_command(given.runs, given.changes),
        )
    else:
        how, command = {"command": "snakemake --config scale=tiny"}, graph_command()
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        report = chaos(Path(folder), command, given.kills, given.seed)
    report = {
        "device": provenance.device(),
        **how,
        "minutes": round((time.time() - started) / 60, 1),
    } | report
    file = ROOT / "bench" / "results" / f"chaos{'_runs' if given.runs else ''}.json"
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return (
        len(report["kills"]) < given.kills
        or bool(report["differing"] or report["kept"]["lost"])
        or not all(report["compared"][kind] for kind in ("adapters", "losses", "records", "tables"))
    )


if __name__ == "__main__":
    sys.exit(main())

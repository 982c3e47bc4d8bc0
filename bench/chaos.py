"""A study that is killed again and again comes to the results of one that was not.

    python bench/chaos.py [--kills 20] [--seed 0]            # the graph of the whole tiny study, by Snakemake
    python bench/chaos.py --runs run01 run09                 # some runs, notebook after notebook, without Snakemake

Runs a tiny study twice in folders of its own: once unbroken, once with SIGKILLs at seeded random moments of training,
evaluation and analysis, of a notebook's kernel, of Papermill, or of the command that runs the study, which is then started
again as README.md says. Compares sets, adapters, losses, records (but for seconds), the tables of the analysis and the paper's
generated files, and writes bench/results/chaos.json (with --runs: chaos_runs.json). A moment is a number of steps, records or
cells on disk, so that it does not depend on the machine's speed.
"""
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
VICTIMS = ("kernel", "papermill", "command")
SCALE = "tiny"


def study(runs: list[str], changes: dict) -> int:
    """Train and evaluate runs of papermill_params/ at tiny size, then analyse them; what is done already is left out."""
    from distill_nb import params, paths

    folder, files = paths.runs() / SCALE, [f"{ROOT}/papermill_params/tiny.yaml"]
    stages = [(name, params.read_files(f"{run}.yaml")["run_name"], [f"{ROOT}/papermill_params/{run}.yaml", *files])
              for name in ("train", "eval") for run in runs]
    for name, run_name, given in [*stages, ("analyze", "report", [])]:
        out = folder / run_name / f"{name}.ipynb"
        done = out.with_suffix(".done")
        if done.exists():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        values = changes | {"dataset": "pocket"} if given else {"scale": SCALE}
        words = [word for f in given for word in ("-f", f)]
        words += [word for key, value in values.items() for word in ("-y", json.dumps({key: value}))]
        status = subprocess.call([sys.executable, "-m", "papermill", f"{ROOT}/notebooks/{name}.ipynb", str(out), *words,
                                  "--no-progress-bar", "--log-level", "ERROR"])
        if status:
            return status
        done.touch()
    return 0


def progress(runs: Path, phase: str) -> int:
    """How far a study is: steps trained, records made, or cells of the analysis executed."""
    def lines(pattern):
        return sum(f.read_bytes().count(b"\n") for f in runs.glob(f"{SCALE}/{pattern}") if f.exists())

    if phase == "train":
        return lines("*/metrics.jsonl")
    if phase == "eval":
        return lines("*/eval/step_*/*.jsonl") + lines("_base/*/*.jsonl")
    file = runs / SCALE / "report" / "analyze.ipynb"
    return len(re.findall(rb'"execution_count": [0-9]', file.read_bytes())) if file.exists() else 0


def draw(kills: int, seed: int, totals: dict[str, int]) -> list[tuple[str, int, str]]:
    """[(phase, progress at which to kill, victim)] in order: kills are shared out among phases, and among victims."""
    rng = random.Random(seed)
    who = [VICTIMS[k % len(VICTIMS)] for k in range(kills)]
    rng.shuffle(who)
    phases = [PHASES[k * len(PHASES) // kills] for k in range(kills)]
    moments = [rng.uniform(0.0, 0.9) for _ in range(kills)]
    order = sorted(range(kills), key=lambda k: (PHASES.index(phases[k]), moments[k]))
    return [(phases[k], int(moments[k] * totals[phases[k]]), who[i]) for i, k in enumerate(order)]


def below(process: subprocess.Popen) -> list[psutil.Process]:
    """All processes under a command."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def victims(family: list[psutil.Process], phase: str, victim: str) -> list[psutil.Process]:
    """The Papermills of a phase's notebook, or their kernels."""
    found = []
    for process in family:
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if "-m papermill" in words and f"{phase}.ipynb" in words:
                found += [process] if victim == "papermill" else [
                    kernel for kernel in process.children() if "ipykernel_launcher" in " ".join(kernel.cmdline())]
    return found


def is_due(moment: tuple[str, int, str], runs: Path, totals: dict[str, int], running: list[psutil.Process]) -> bool:
    """Whether the study is as far as a moment says. The analysis of a study in which something failed does not count, nor does
    what an earlier one left."""
    phase, at, _ = moment
    if progress(runs, phase) < at or not running:
        return False
    if phase != "analyze":
        return True
    file = runs / SCALE / "report" / "analyze.ipynb"
    with contextlib.suppress(psutil.Error):
        return (progress(runs, "eval") >= totals["eval"] and file.exists()
                and file.stat().st_mtime > min(process.create_time() for process in running))
    return False


def kill(process: subprocess.Popen, victim: str, chosen: list[psutil.Process]) -> None:
    """Kill a victim, and wait until it is gone. The notebooks of a command run on: whoever starts it again ends them first."""
    family = below(process)
    gone = [process] if victim == "command" else chosen[-1:]
    for one in [*gone, *(family if victim == "command" else [])]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    if victim == "command":
        process.wait()
        gone = family
    if alive := psutil.wait_procs(gone, timeout=120)[1]:
        raise RuntimeError(f"These live on after the {victim} was killed: {alive}")


def killed(start, moments: list[tuple[str, int, str]], runs: Path, totals: dict[str, int]) -> list[tuple[str, int, str]]:
    """Run a study that is killed at moments, until none is left or it has ended well; the moments at which it was.

    start: starts the command, which goes on where it was. Raises RuntimeError where it fails thrice without having been
    killed in between."""
    left, done, process, family, failed = list(moments), [], None, [], 0
    while left:
        if process is None or process.poll() is not None:
            if process is not None and process.returncode == 0:
                break
            failed += 1
            psutil.wait_procs(family, timeout=120)
            if failed > 3:
                raise RuntimeError(f"The command fails though nothing was killed; see {runs.with_suffix('.log')}.")
            process = start()
        family = below(process)
        running = {phase: victims(family, phase, "papermill") for phase in PHASES}
        for moment in left:
            phase, _, victim = moment
            chosen = victims(running[phase], phase, victim)
            if (chosen or victim == "command") and is_due(moment, runs, totals, running[phase]):
                kill(process, victim, chosen)
                left.remove(moment)
                done.append(moment)
                failed = 0
                break
        time.sleep(0.05)
    process.wait()
    return done


def results_of(runs: Path) -> dict:
    """What a study came to: adapters, losses, records, tables, each in a form that can be compared."""
    from distill_nb import records

    found, folder = {"sets": {}, "adapters": {}, "losses": {}, "records": {}, "paper": {}}, runs / SCALE
    for kind, pattern in (("sets", "traces/*/train.parquet"), ("paper", "report/latex/paper/generated/*.tex")):
        for file in sorted(folder.glob(pattern)):
            found[kind][str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    for file in sorted(folder.glob("*/checkpoints/*/adapter_model.safetensors")):
        found["adapters"][str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    for file in sorted(folder.glob("*/metrics.jsonl")):
        found["losses"][file.parent.name] = [{k: v for k, v in json.loads(line).items() if k != "tokens_per_second"}
                                             for line in file.read_text().splitlines()]
    for file in sorted([*folder.glob("*/eval/step_*/*.jsonl"), *folder.glob("_base/*/*.jsonl")]):
        key = "run_name" if "_base" in file.parts else ""  # who made the base student's records is chance
        found["records"][str(file.relative_to(folder))] = sorted(json.dumps(
            {k: v for k, v in r.items() if k not in ("seconds", key)}, sort_keys=True) for r in records.read(file))
    cells = json.loads((folder / "report" / "analyze.ipynb").read_text())["cells"]
    found["tables"] = ["".join(o["data"]["text/html"]) for c in cells for o in c.get("outputs", [])
                       if "text/html" in o.get("data", {})]
    return found


def differing(one: dict, other: dict) -> list[str]:
    """The names of what two studies differ in."""
    found = [kind for kind in one if isinstance(one[kind], list) and one[kind] != other[kind]]
    return found + [f"{kind}: {name}" for kind in one if isinstance(one[kind], dict)
                    for name in sorted({*one[kind], *other[kind]}) if one[kind].get(name) != other[kind].get(name)]


def chaos(folder: Path, command: list[str], kills: int, seed: int, before: list[str] | None = None) -> dict:
    """The unbroken and the killed study below a folder; what was killed, and what differs. before: runs before the command is
    started again."""
    places = {name: folder / name / "runs" for name in ("unbroken", "killed")}
    environment = {name: os.environ | {"DISTILL_NB_RUNS": str(place), "PYTHONPATH": os.pathsep.join(
        [str(ROOT), os.environ.get("PYTHONPATH", "")])} for name, place in places.items()}
    for place in places.values():
        place.mkdir(parents=True)
    starts = 0

    def start(name: str = "killed") -> subprocess.Popen:
        nonlocal starts
        starts += name == "killed"
        options = {"env": environment[name], "cwd": places[name].parent}
        with open(places[name].with_suffix(".log"), "ab") as log:
            if before and starts > 1:
                subprocess.run(before, check=True, stdout=log, stderr=log, **options)
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **options)

    def finish(name: str) -> None:
        if start(name).wait():
            text = places[name].with_suffix(".log").read_text(errors="replace")
            raise RuntimeError(f"The {name} study fails though nothing was killed:\n{text[-3000:]}")

    finish("unbroken")
    totals = {phase: progress(places["unbroken"], phase) for phase in PHASES}
    done = killed(start, draw(kills, seed, totals), places["killed"], totals)
    finish("killed")
    one, other = results_of(places["unbroken"]), results_of(places["killed"])
    return {"seed": seed, "starts": starts,
            "kills": [{"phase": phase, "at": at, "of": totals[phase], "victim": victim} for phase, at, victim in done],
            "compared": {kind: len(v) for kind, v in one.items()}, "differing": differing(one, other)}


def study_command(runs: list[str], changes: dict) -> list[str]:
    """What runs some runs' notebooks, one after another."""
    return [sys.executable, str(ROOT / "bench" / "chaos.py"), "study", "--runs", *runs, "--changes", json.dumps(changes)]


def graph_command() -> list[str]:
    """What runs the graph of the whole tiny study, with Snakemake's own files in the current folder."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--workflow-profile",
            str(ROOT / "profiles" / "default"), "--directory", ".", "--config", f"scale={SCALE}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("study",), help="only run the study, where DISTILL_NB_RUNS says")
    parser.add_argument("--runs", nargs="+", help="parameter files, as run01 run09; without them the whole tiny study")
    parser.add_argument("--changes", type=json.loads, default={"max_steps": 8, "save_every": 4}, help="to the runs, as JSON")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what:
        return study(given.runs, given.changes)
    from distill_nb import provenance

    if given.runs:
        how, command, before = {"runs": given.runs, "changes": given.changes}, study_command(given.runs, given.changes), None
    else:
        how, command = {"command": "snakemake --config scale=tiny"}, graph_command()
        before = [*command, "--unlock"]
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        report = chaos(Path(folder), command, given.kills, given.seed, before)
    report = {"device": provenance.device(), **how, "minutes": round((time.time() - started) / 60, 1)} | report
    file = ROOT / "bench" / "results" / f"chaos{'_runs' if given.runs else ''}.json"
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return len(report["kills"]) < given.kills or bool(report["differing"])


if __name__ == "__main__":
    sys.exit(main())

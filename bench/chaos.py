"""A study that is killed again and again comes to the results of one that was not.

    python bench/chaos.py [--kills 20] [--seed 0] [--runs run01 … run10]
    python bench/chaos.py --command "snakemake --config scale=tiny" --before "snakemake --config scale=tiny --unlock"

Runs a tiny study twice in folders of its own: once unbroken, once with SIGKILLs at seeded random moments of training,
evaluation and analysis, of a notebook's kernel, of Papermill, or of the command that runs the study, which is then started
again. Compares adapters, losses, records (but for seconds) and the tables of the analysis, and writes
bench/results/chaos.json. A moment is a number of steps, records or cells on disk, so that it does not depend on the
machine's speed. --command is what runs the study, by default this file (`study`), which runs the notebooks one after another;
--before runs before it is started again.
"""
from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("train", "eval", "analyze")
VICTIMS = {"kernel": "ipykernel_launcher", "papermill": "-m papermill", "command": ""}
RUNS = [f"run{i:02d}" for i in range(1, 11)]
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
    victims = [list(VICTIMS)[k % len(VICTIMS)] for k in range(kills)]
    rng.shuffle(victims)
    phases = [PHASES[k * len(PHASES) // kills] for k in range(kills)]
    moments = [rng.uniform(0.0, 0.9) for _ in range(kills)]
    order = sorted(range(kills), key=lambda k: (PHASES.index(phases[k]), moments[k]))
    return [(phases[k], int(moments[k] * totals[phases[k]]), victims[i]) for i, k in enumerate(order)]


def below(process: subprocess.Popen) -> list[psutil.Process]:
    """All processes under a command."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def called(process: psutil.Process, words: str) -> bool:
    """Whether the process's command line has these words."""
    try:
        return words in " ".join(process.cmdline())
    except psutil.Error:
        return False


def kill_at(command: list[str], environment: dict, runs: Path, phase: str, at: int, victim: str) -> bool:
    """Start the command, and kill one of its processes when the study is so far; wait until nothing of it runs. False where it
    ended before."""
    with open(runs.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    while process.poll() is None:
        if progress(runs, phase) >= at:
            family = below(process)
            chosen = [p for p in family if called(p, VICTIMS[victim])] if victim != "command" else [process]
            if chosen and family:
                os.kill(chosen[-1].pid, signal.SIGKILL)
                break
        time.sleep(0.02)
    else:
        return False
    if victim == "command":  # its notebooks run on: whoever starts it again ends them first
        for left in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=120)
    if alive:
        raise RuntimeError(f"{len(alive)} processes live on after the {victim} was killed in {phase}: {alive}")
    return True


def results_of(runs: Path) -> dict:
    """What a study came to: adapters, losses, records, tables, each in a form that can be compared."""
    from distill_nb import records

    found, folder = {"adapters": {}, "losses": {}, "records": {}}, runs / SCALE
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
    """The unbroken and the killed study below a folder; what was killed, and what differs."""
    environment = {name: os.environ | {"DISTILL_NB_RUNS": str(folder / name), "PYTHONPATH": os.pathsep.join(
        [str(ROOT), os.environ.get("PYTHONPATH", "")])} for name in ("unbroken", "killed")}
    subprocess.run(command, env=environment["unbroken"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    totals = {phase: progress(folder / "unbroken", phase) for phase in PHASES}
    done = []
    for phase, at, victim in draw(kills, seed, totals):
        if before and done:
            subprocess.run(before, env=environment["killed"], cwd=ROOT, check=True)
        if kill_at(command, environment["killed"], folder / "killed", phase, at, victim):
            done.append({"phase": phase, "at": at, "of": totals[phase], "victim": victim})
    if before and done:
        subprocess.run(before, env=environment["killed"], cwd=ROOT, check=True)
    subprocess.run(command, env=environment["killed"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    one, other = results_of(folder / "unbroken"), results_of(folder / "killed")
    return {"seed": seed, "kills": done, "compared": {k: len(v) for k, v in one.items()}, "differing": differing(one, other)}


def study_command(runs: list[str], changes: dict) -> list[str]:
    """What runs the study by default."""
    return [sys.executable, str(ROOT / "bench" / "chaos.py"), "study", "--runs", *runs, "--changes", json.dumps(changes)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("study",), help="only run the study, where DISTILL_NB_RUNS says")
    parser.add_argument("--runs", nargs="+", default=RUNS)
    parser.add_argument("--changes", type=json.loads, default={"max_steps": 8, "save_every": 4})
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", type=shlex.split)
    parser.add_argument("--before", type=shlex.split)
    given = parser.parse_args()
    if given.what:
        return study(given.runs, given.changes)
    from distill_nb import provenance

    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        report = chaos(Path(folder), given.command or study_command(given.runs, given.changes), given.kills, given.seed,
                       given.before)
    report = {"device": provenance.device(), "runs": given.runs, "changes": given.changes,
              "command": shlex.join(given.command) if given.command else "bench/chaos.py study",
              "minutes": round((time.time() - started) / 60, 1)} | report
    file = ROOT / "bench" / "results" / "chaos.json"
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return len(report["kills"]) < given.kills or bool(report["differing"])


if __name__ == "__main__":
    sys.exit(main())

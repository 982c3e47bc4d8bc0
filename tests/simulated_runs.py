"""The folders of runs as training and evaluation leave them, with simulated answers: for tests of
what is made of many runs."""

import math

import numpy as np

from bench.simulated_records import Student, Study
from distill_nb import params
from distill_nb.runtime import files, jsonl, paths

POCKET = {"pocket_math": 56, "pocket_code": 30}
FULL = {"math500": 500, "mbpp_plus": 378, "humaneval_plus": 164, "livecodebench": 100}
THREE = {"max_steps": 30, "save_every": 10, "n_examples": 180}
OWN = {"math500": "math", "pocket_math": "math"}


def given_of(*names, **changes) -> dict:
    """The parameters of a run's files below papermill_params/; a trained run of pocket scale has
    three checkpoints here, however short the demo is."""
    found = params.read_files(*(paths.PARAMS_DIR / name for name in names))
    three = found["scale"] == "pocket" and found["max_steps"] > 0
    return found | (THREE if three else {}) | changes


def write_run(
    scale_dir,
    given,
    study,
    after=None,
    *,
    trained_to=None,
    evaluated_to=None,
    keep=1.0,
    speed=180.0,
):
    """Write the folder of a run. given: its parameters; study: a simulated Study that has its base
    student; after: what training made of it. trained_to: the last step with metrics, None = all;
    evaluated_to: the last evaluated step, -1 = no evaluation; keep: the share of the last one's
    problems that are answered. speed: tokens a second."""
    folder = scale_dir / given["run_name"]
    folder.mkdir(parents=True, exist_ok=True)
    baseline = given["teacher"] == "none"
    steps = [] if baseline else list(range(given["save_every"], given["max_steps"] + 1,
                                           given["save_every"]))  # fmt: skip
    if not baseline:
        to = given["max_steps"] if trained_to is None else trained_to
        tokens = given["batch_size"] * 90
        lines = [
            {
                "step": step,
                "loss": 0.05 + math.exp(-6 * step / given["max_steps"]),
                "heldout_loss": None,
                "learning_rate": given["learning_rate"],
                "grad_norm": 1.0,
                "tokens": step * tokens,
                "tokens_per_second": speed,
            }
            for step in range(1, to + 1)
        ]
        jsonl.write(folder / "metrics.jsonl", lines)
        done = to == given["max_steps"]
        record = {"parameters": given} | ({"finished": True, "seconds": 115.0} if done else {})
        files.write_json(folder / "provenance_train.json", record)
        if not done:
            return folder
    if evaluated_to == -1:
        return folder
    evaluated = [step for step in steps if evaluated_to is None or step <= evaluated_to]
    names = {"student": given["student"], "teacher": given["teacher"], "domain": given["domain"]}
    records = study.run(given["run_name"], after or Student(), steps=tuple(evaluated), **names)
    tokens = records["completion_tokens"]
    seconds = np.where(records["step"] == 0, tokens / 100, tokens / 80)
    known = {"prompt_tokens": 90, "engine": "hf", "grader": "5", "seed": 0, "detail": ""}
    records = records.assign(**known, seconds=seconds)
    last = max(evaluated, default=0)
    for (step, benchmark), rows in records.groupby(["step", "benchmark"]):
        own = rows.drop(columns="folder")
        if step == last:
            own = own.head(round(keep * len(own)))
        place = folder / "eval" / f"step_{step:05d}" / f"{benchmark}.jsonl"
        jsonl.write(place, own.to_dict("records"))
    whole = keep == 1 and evaluated == steps
    sizes = {name: {"taken": n} for name, n in study.problems.items()}
    record = {"parameters": given, "benchmarks": sizes,
              "settings": {"tasks_sha256": dict.fromkeys(sizes, "0")}}  # fmt: skip
    record |= {"finished": True, "seconds": 61.0} if whole else {}
    files.write_json(folder / "provenance_eval.json", record)
    return folder


def pocket(scale_dir, *runs) -> None:
    """Two runs like those of a pocket study: (file, name, changes of write_run) each. The math run
    learns a format, from 0 to about 90%."""
    base = {"pocket_math": Student(0.02, unboxed=0.9), "pocket_code": Student(0.6)}
    study = Study(np.random.default_rng(1), POCKET, base)
    for file, name, how in runs:
        after = {"pocket_math": Student(0.9), "pocket_code": Student(0.55)}
        write_run(scale_dir, given_of(file, "pocket.yaml", run_name=name), study, after, **how)


def ten(scale_dir, **how) -> None:
    """The study's ten runs and three baselines, at full size; how: run_name → changes."""
    rng = np.random.default_rng(2)
    solved = {"Qwen/Qwen3-30B-A3B-Base": 0.55, "Qwen/Qwen3-30B-A3B-Instruct-2507": 0.8,
              "meta-llama/Llama-3.1-8B-Instruct": 0.45}  # fmt: skip
    studies = {student: Study(rng, FULL, Student(share)) for student, share in solved.items()}
    names = [f"run{i:02d}.yaml" for i in range(1, 11)]
    names += [f"baseline_{name}.yaml" for name in ("qwen_base", "qwen_instruct", "llama")]
    for name in names:
        given = given_of(name)
        share = solved[given["student"]]
        after = {
            b: Student(share + (0.1 if OWN.get(b, "code") == given["domain"] else -0.04))
            for b in FULL
        }
        write_run(scale_dir, given, studies[given["student"]], after,
                  **how.get(given["run_name"], {}))  # fmt: skip

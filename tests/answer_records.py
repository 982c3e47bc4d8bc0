"""Records of answers for tests of the analysis: written out, or simulated with a known truth."""

import numpy as np
import pandas as pd

N = 300  # problems of a simulated run
NAMES = {1: "correct", 0: "wrong"}  # outcomes


def records(correct, samples=1, benchmark="pocket_math", folder="run"):
    """Records of steps 0, 10, … from [steps][problems × samples]: 1, 0 or an outcome's name; None =
    no record."""
    return pd.DataFrame(
        [
            dict(
                folder=folder,
                domain="math",
                benchmark=benchmark,
                step=10 * i,
                task_id=f"t{j // samples}",
                sample=j % samples,
                outcome=NAMES.get(ok, ok),
            )
            for i, row in enumerate(correct)
            for j, ok in enumerate(row)
            if ok is not None
        ]
    )


def simulated(folder, base, after, boxed=1.0, seed=0, steps=(0, 10)):
    """Records of one run: problems are solved with probability base or after, and a solved one is
    boxed with `boxed`."""
    rng = np.random.default_rng(seed)
    hardness, rows = rng.random(N), []
    for step in steps:
        solved = hardness < (after if step else base)
        solved ^= rng.random(N) < 0.03  # a little noise of sampling
        box = rng.random(N) < (boxed if step else 1.0)
        rows += [
            dict(
                folder=folder,
                domain="math",
                benchmark="math500",
                step=step,
                task_id=f"t{i}",
                sample=0,
                outcome="no_answer" if not box[i] else "correct" if solved[i] else "wrong",
                lenient_outcome="correct" if solved[i] else "wrong",
                answer="",
                completion="",
            )
            for i in range(N)
        ]
    return pd.DataFrame(rows)


def inspected(step: int, task_id: str, sample: int, outcome: str) -> dict:
    """A whole record of an answer with thinking, as an evaluation writes it."""
    return {
        "run_name": "run", "student": "s", "teacher": "r1", "domain": "math", "step": step,
        "benchmark": "math500", "task_id": task_id, "sample": sample, "seed": 7 + sample,
        "outcome": outcome, "answer": "" if outcome == "no_answer" else "1",
        "detail": f"detail of {outcome}", "lenient_outcome": "correct", "second_outcome": outcome,
        "sandbox_level": "",
        "finish_reason": {"truncated": "length", "looping": "loop"}.get(outcome, "stop"),
        "prompt_tokens": 9, "completion_tokens": 20 + sample, "seconds": 0.5,
        "completion": f"<think>hm</think>It is {task_id} at {step}, {sample}.",
        "engine": "hf", "grader": "5",
    }  # fmt: skip

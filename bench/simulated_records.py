"""Records of simulated studies whose truth is known, in the columns of
`analysis.results.load_records`. bench/simulated_studies.py and tests of the statistics use them.

    study = Study(np.random.default_rng(0), {"math500": 500, "mbpp_plus": 378}, Student(0.6))
    records = study.run("r1_math", after=Student(0.6, cut_off=0.12))

An answer is solved or not, and that is correlated over all answers to one problem. Then it may be
cut off, hold nothing to grade, run out of time or stand outside its box; for each of these a
problem has a difficulty of its own. The model is a probit with a random intercept: answer i to
problem j fails where sqrt(t) z_j + sqrt(1 - t) e_ij is above a threshold, with z and e standard
normal. t is chosen for each share so that two 0/1 answers to one problem have the correlation that
was asked for (exact where both have the same share)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import pandas as pd

PROBLEMS = {"math500": 500, "mbpp_plus": 378}
STEPS = (100, 200, 300, 400, 500)


@dataclass(frozen=True)
class Student:
    """The true shares of a student's answers, between 0 and 1. Each but `solved` is drawn
    independently of whether the answer is solved, unless `cut_leans` says otherwise.

    A solved answer that is not boxed is no_answer, and correct to the lenient reading; one that is
    not solved and not boxed is no_answer, and wrong to the lenient reading."""

    solved: float = 0.6
    cut_off: float = 0.0  # truncated, finish_reason length
    unanswered: float = 0.0  # no_answer to both readings
    timeout: float = 0.0
    unboxed: float = 0.0  # misformatted, of the answers that are none of the above
    error: float = 0.0  # sampling_error
    cut_leans: float = 0.0  # correlation of an answer's length with its difficulty, -1 to 1


@cache
def loading(share: float, correlation: float) -> float:
    """t of the probit: two answers of this share have this correlation. Owen's T (1956, doi
    10.1214/aoms/1177728074) gives the bivariate normal probability."""
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri, owens_t

    if not 0 < share < 1 or not 0 < correlation < 1:
        return float(correlation)
    h = ndtri(share)

    def excess(t: float) -> float:
        both = ndtr(h) - 2 * owens_t(h, np.sqrt((1 - t) / (1 + t)))
        return both - share**2 - correlation * share * (1 - share)

    return float(brentq(excess, 0, 1))


class Study:
    """Students' answers to the same problems. rng: numpy's Generator.

    problems: benchmark → how many. base: the base student, answered once and in the records of
    every run, as in a real study. correlation: of two 0/1 answers to one problem, at any two steps
    and of any two samples. samples: answers a problem and step."""

    def __init__(
        self,
        rng: np.random.Generator,
        problems: Mapping[str, int] = PROBLEMS,
        base: Student | Mapping[str, Student] = Student(),
        correlation: float = 0.8,
        samples: int = 1,
    ):
        self.rng, self.problems = rng, dict(problems)
        self.correlation, self.samples = correlation, samples
        self.difficulty = {
            name: {f.name: rng.standard_normal(n) for f in fields(Student)}
            for name, n in self.problems.items()
        }
        self.base = pd.concat(
            [self._answers(name, _of(base, name), 0) for name in self.problems], ignore_index=True
        )

    def run(
        self,
        folder: str = "r1_math",
        after: Student | Mapping[str, Student] | Mapping[int, Student] = Student(),
        *,
        steps: tuple[int, ...] = STEPS,
        student: str = "meta-llama/Llama-3.1-8B-Instruct",
        teacher: str = "r1",
        domain: str = "math",
        seed_sd: float = 0.0,
    ) -> pd.DataFrame:
        """Records of one run: the base student at step 0, and one row a problem, sample and step.

        after: the student that training made, the same at all steps and benchmarks, or by step, or
        by benchmark. seed_sd: standard deviation, over runs, of the solved share of a run on a
        benchmark, one draw for all its steps; call it again with the folder `{folder}_seed1` and on
        for replicates."""
        parts = [self.base]
        for name in self.problems:
            shift = seed_sd * self.rng.standard_normal()
            for step in steps:
                truth = _of(_of(after, step), name)
                if seed_sd:
                    solved = float(np.clip(truth.solved + shift, 1e-3, 1 - 1e-3))
                    truth = replace(truth, solved=solved)
                parts.append(self._answers(name, truth, step))
        made = pd.concat(parts, ignore_index=True)
        run_name = folder.split("_seed")[0]
        columns = dict(folder=folder, run_name=run_name, student=student, teacher=teacher)
        return made.assign(**columns, domain=domain)

    def _answers(self, benchmark: str, truth: Student, step: int) -> pd.DataFrame:
        """Answers of one student to one benchmark."""
        n, k = self.problems[benchmark], self.samples
        hard = {name: z.repeat(k) for name, z in self.difficulty[benchmark].items()}

        def latent(name: str, share: float) -> np.ndarray:
            t = loading(round(share, 6), self.correlation)
            return np.sqrt(t) * hard[name] + np.sqrt(1 - t) * self.rng.standard_normal(n * k)

        def happens(name: str) -> np.ndarray:
            share = getattr(truth, name)
            return latent(name, share) > _threshold(share) if share > 0 else np.zeros(n * k, bool)

        difficulty = latent("solved", truth.solved)
        solved = difficulty < -_threshold(truth.solved)
        cut = happens("cut_off")
        if truth.cut_leans and truth.cut_off:
            lean = truth.cut_leans
            length = lean * difficulty + np.sqrt(1 - lean**2) * latent("cut_off", truth.cut_off)
            cut = length > _threshold(truth.cut_off)
        outcome = np.where(solved, "correct", "wrong").astype(object)
        lenient = outcome.copy()
        outcome[happens("unboxed")] = "no_answer"
        for name, word in (("timeout", "timeout"), ("unanswered", "no_answer")):
            hit = happens(name)
            outcome[hit] = lenient[hit] = word
        outcome[cut] = lenient[cut] = "truncated"
        failed = happens("error")
        outcome[failed] = lenient[failed] = "sampling_error"
        finished = np.where(cut, "length", "stop").astype(object)
        ids = np.array([f"{benchmark}/{j}" for j in range(n)], object).repeat(k)
        return pd.DataFrame(
            {
                "benchmark": benchmark,
                "step": step,
                "task_id": ids,
                "sample": np.tile(np.arange(k), n),
                "outcome": outcome,
                "lenient_outcome": lenient,
                "second_outcome": outcome,
                "finish_reason": finished,
                "completion_tokens": np.where(cut, 4096, 1000),
                "answer": "",
                "completion": "",
            }
        )


def _threshold(share: float) -> float:
    """The point above which a standard normal has this share."""
    from scipy.special import ndtri

    return float(-ndtri(share))


def _of(students: Student | Mapping, key: str | int) -> Student | Mapping:
    """The entry of a mapping that has this key; anything else as it is."""
    return students[key] if isinstance(students, Mapping) and key in students else students

"""How often are the statistics of seeds and samples wrong? Simulated studies of known truth.

    python bench/simulated_seeds.py [--studies 500] [--only null compare interval sizes draws]

null      Two teachers without any difference, one run or three of each, from records to verdicts:
          how often one is called better, and how often an adjusted p value is below 5% (with one
          run it is that of a test over problems).
compare   Runs of two ways: rates of error, coverage and power of `replicates.compare`, beside a
          mixed model's z test and, for power, what `sample_size.power` expects.
interval  Coverage of the interval of an accuracy from several samples a problem, beside the t
          interval of the problems' means. The skill of problems is the same for all, beta
          distributed (beta 0.2: correlation 0.2 of two samples), a half for some and none for
          others (half), sure for some and slight for others (mixed), or sure or none (sure).
sizes     Power at the seeds and problems that sample_size.py asks for.
draws     Coverage of the intervals of pass@k and majority@k.

Answers follow the probit of simulated_records.py, with a correlation between ways, one between
seeds of a way, and one between samples of a run. Seeded; writes bench/results/simulated_seeds.json.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bench.simulated_records import PROBLEMS as PROBLEMS_OF
from bench.simulated_records import Study, loading
from distill_nb.analysis import (
    majority,
    paired,
    replicates,
    results,
    sample_size,
    stats,
    teacher_comparison,
)

FILE = Path(__file__).resolve().parent / "results" / "simulated_seeds.json"
SEED_SDS = (0.0, 1.0, 2.0, 3.0)  # points
SKILLS = ("same", "beta 0.05", "beta 0.2", "beta 0.5", "beta 0.8", "half", "mixed", "sure")
SHARES, SAMPLES, PROBLEMS = (0.02, 0.1, 0.5, 0.9, 0.98), (2, 4, 8, 16), (30, 90, 164, 500)


def runs(
    rng: np.random.Generator,
    r1: int,
    r2: int,
    problems: int = 500,
    seed_sd: float | tuple[float, float] = 0.0,
    difference: float = 0.0,
    accuracy: float = 0.6,
    ways: float = 0.8,
    seeds: float | None = None,
    samples: tuple[int, float] = (1, 0.9),
) -> tuple[np.ndarray, np.ndarray]:
    """[runs × problems] shares of correct answers of two ways.

    seed_sd (of each way) and difference (the second less the first): points. ways, seeds (None: as
    ways): correlations. samples: how many, and their correlation."""
    m, between = samples
    t = [loading(accuracy, c) for c in (ways, ways if seeds is None else seeds)]
    t.append(max(t[1], loading(accuracy, between)) if m > 1 else t[1])
    own = (seed_sd, seed_sd) if isinstance(seed_sd, (int, float)) else seed_sd
    common, made = rng.standard_normal(problems) * t[0] ** 0.5, []
    for r, sd, shift in ((r1, own[0], -difference / 2), (r2, own[1], difference / 2)):
        truth = accuracy + (shift + sd * rng.standard_normal((r, 1, 1))) / 100
        hard = common + rng.standard_normal(problems) * (t[1] - t[0]) ** 0.5
        hard = hard + rng.standard_normal((r, 1, problems)) * (t[2] - t[1]) ** 0.5
        latent = hard + rng.standard_normal((r, m, problems)) * (1 - t[2]) ** 0.5
        made.append((latent < ndtri(np.clip(truth, 1e-3, 1 - 1e-3))).mean(1))
    return made[0], made[1]


def skills(rng: np.random.Generator, kind: str, p: float, n: int) -> np.ndarray:
    """The chance of a correct answer to each of n problems, p in the mean."""
    if kind.startswith("beta"):
        r = float(kind.split()[1])
        return rng.beta(p * (1 - r) / r, (1 - p) * (1 - r) / r, n)
    rare = min(p, 1 - p)
    few = {
        "same": lambda: np.full(n, rare),
        "half": lambda: np.where(rng.random(n) < 2 * rare, 0.5, 0.0),
        "mixed": lambda: np.where(rng.random(n) < rare / 2, 1.0, rare / 2 / (1 - rare / 2)),
        "sure": lambda: (rng.random(n) < rare).astype(float),
    }[kind]()
    return few if p <= 0.5 else 1 - few


def null_study(
    rng: np.random.Generator, seeds: int, seed_sd: float, problems: dict[str, int] = PROBLEMS_OF
) -> tuple[bool, bool, bool]:
    """(a teacher is called better; BEYOND is said; an adjusted p value is below 5%), from records
    of two teachers that are the same, on two benchmarks."""
    study = Study(rng, problems)
    parts = [
        study.run(f"{t}_math_seed{i}", steps=(500,), teacher=t, seed_sd=seed_sd / 100)
        for t in ("r1", "sonnet")
        for i in range(seeds)
    ]
    table = teacher_comparison.compare(pd.concat(parts, ignore_index=True))
    verdicts = set(table["verdict"])
    better = not verdicts.isdisjoint({teacher_comparison.FIRST, teacher_comparison.SECOND})
    return better, teacher_comparison.BEYOND in verdicts, bool((table["p_adjusted"] < 0.05).any())


def null(rng: np.random.Generator, studies: int) -> list[dict]:
    rows = []
    for seeds in (1, 3):
        for sd in SEED_SDS:
            found = np.mean([null_study(rng, seeds, sd) for _ in range(studies)], axis=0)
            words = ("called_better", "beyond_problem_noise", "p_below_5")
            rows.append({"seeds": seeds, "seed_sd": sd, **_percent(words, found)})
    return rows


def mixed_model_p(first: np.ndarray, second: np.ndarray, blocks: int = 25) -> float:
    """The p value that statsmodels gives for a linear mixed model with a random intercept a run. To
    save time, of means over blocks of problems, less the block's mean over all runs; runs and ways
    have the same means in all of them."""
    import statsmodels.api as sm

    both = np.concatenate([first, second])
    both = np.stack([block.mean(1) for block in np.array_split(both, blocks, axis=1)], axis=1)
    y = (both - both.mean(0)).ravel()
    run = np.arange(len(both)).repeat(blocks)
    x = sm.add_constant((run >= len(first)).astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sm.MixedLM(y, x, run).fit(reml=True).pvalues[1])


def compare(rng: np.random.Generator, studies: int) -> list[dict]:
    rows = []
    designs = [(r, r, {}) for r in (2, 3, 4, 5)] + [(2, 3, {}), (2, 5, {}), (3, 5, {})]
    designs += [(r, r, {"ways": 0.7, "seeds": 0.8}) for r in (2, 3, 5)]
    cases = [(design, (sd, sd)) for design in designs for sd in SEED_SDS]
    cases += [(design, sds) for design in designs[:7] for sds in ((1.0, 3.0), (3.0, 1.0))]
    for (r1, r2, more), sds in cases:
        for difference in (0, 2, 3, 5) if sds[0] == sds[1] else (0,):
            made = [
                runs(rng, r1, r2, seed_sd=sds, difference=difference, **more)
                for _ in range(studies)
            ]
            found = [replicates.compare(*pair) for pair in made]
            row = {"runs": f"{r1} / {r2}", "seed_sd": f"{sds[0]:g} / {sds[1]:g}", **more}
            row |= {"difference": difference}
            row |= _percent(
                ("significant", "covered"),
                [
                    np.mean([f.p < 0.05 for f in found]),
                    np.mean([f.lo <= difference <= f.hi for f in found]),
                ],
            )
            if difference == 0 and not more and r1 == r2 and sds[0] == sds[1]:
                few = made[: min(len(made), 200)]
                rate = np.mean([mixed_model_p(*pair) < 0.05 for pair in few])
                row |= {"mixed_model": round(100 * float(rate), 1), "mixed_model_studies": len(few)}
            if difference and r1 == r2:
                known = sample_size.Setting(seed_sd=sds[0], **more)
                row["expected"] = round(
                    100 * sample_size.power(difference, 500, r1, setting=known), 1
                )
            rows.append(row)
    return rows


def interval(rng: np.random.Generator, studies: int) -> list[dict]:
    """Four times as many studies: one in a hundred intervals matters here."""
    rows = []
    for p in SHARES:
        for m in SAMPLES:
            for n in PROBLEMS:
                row = {"p": p, "samples": m, "problems": n}
                for kind in SKILLS:
                    row |= {kind: coverage(rng, kind, p, m, n, 4 * studies)}
                rows.append(row)
    return rows


def coverage(
    rng: np.random.Generator, kind: str, p: float, m: int, n: int, studies: int
) -> dict[str, float]:
    """Percent of the intervals that hold p, of `results.interval` and of the t interval; the mean
    width of the former in points."""
    ours, t_interval, widths = 0, 0, []
    for _ in range(studies):
        shares = rng.binomial(m, skills(rng, kind, p, n)) / m
        lo, hi = results.interval(shares, n * m)
        ours += lo - 1e-9 <= p <= hi + 1e-9
        widths.append(hi - lo)
        c = stats.clustered(shares, range(n))
        t_interval += c.lo - 1e-9 <= p <= c.hi + 1e-9
    return _percent(
        ("covered", "t_covered", "width"), [ours / studies, t_interval / studies, np.mean(widths)]
    )


def sizes(rng: np.random.Generator, studies: int) -> list[dict]:
    """Power at what is asked for: about 80 by construction, less with one seed fewer."""
    rows = []
    for difference in (2, 3, 5):
        for sd in sample_size.SEED_SDS:
            known = sample_size.Setting(seed_sd=sd)
            seeds = sample_size.seeds_needed(difference, setting=known)
            row = {"question": "two ways", "difference": difference, "seed_sd": sd, "seeds": seeds}
            for name, r in (("power", seeds), ("power_one_less", seeds - 1)):
                if r > 1:
                    hits = [
                        replicates.compare(*runs(rng, r, r, seed_sd=sd, difference=difference)).p
                        < 0.05
                        for _ in range(studies)
                    ]
                    row |= _percent((name,), [np.mean(hits)])
            rows.append(row)
        for correlation in (0.5, 0.8):
            for m in (1, 4):
                known = sample_size.Setting(checkpoint=correlation)
                n = sample_size.problems_needed(difference, None, m, known)
                hits = [
                    checkpoint_p(rng, difference, n, m, correlation) < 0.05 for _ in range(studies)
                ]
                row = {"question": "checkpoint", "difference": difference, "problems": n}
                row |= {"correlation": correlation, "samples": m}
                rows.append(row | _percent(("power",), [np.mean(hits)]))
    return rows


def checkpoint_p(
    rng: np.random.Generator, difference: float, n: int, m: int, correlation: float
) -> float:
    """The p value of one checkpoint against its base student."""
    one, other = runs(
        rng,
        1,
        1,
        n,
        difference=difference,
        ways=correlation,
        samples=(m, sample_size.Setting.samples),
    )
    return paired.compare(one[0], other[0], m > 1).p


def draws(rng: np.random.Generator, studies: int) -> list[dict]:
    """8 samples a problem, of which 4 are drawn; a wrong answer is one of four."""
    rows = []
    for p in (0.1, 0.5, 0.9):
        for kind in ("beta 0.2", "beta 0.5", "half"):
            truth = skills(rng, kind, p, 400_000)
            expected = {"pass@4": float((1 - (1 - truth) ** 4).mean())}
            expected["majority@4"] = float(_majority(_answers(rng, truth, 4), 4).mean())
            for n in (90, 500):
                hits = {name: 0 for name in expected}
                for _ in range(studies):
                    skill = skills(rng, kind, p, n)
                    given = _answers(rng, skill, 8)
                    correct = (given == 0).sum(1)
                    values = {
                        "pass@4": stats.pass_at_k(8, correct, 4),
                        "majority@4": _majority(given, 4),
                    }
                    for name, value in values.items():
                        lo, hi = results.interval(value, 8 * n)
                        hits[name] += lo <= expected[name] <= hi
                shares = [hits[name] / studies for name in expected]
                rows.append({"p": p, "skills": kind, "problems": n, **_percent(expected, shares)})
    return rows


def _answers(rng: np.random.Generator, skill: np.ndarray, samples: int) -> np.ndarray:
    """[problems × samples]: 0 is the correct answer, 1 to 4 are wrong ones."""
    wrong = rng.integers(1, 5, (len(skill), samples))
    return np.where(rng.random((len(skill), samples)) < skill[:, None], 0, wrong)


def _majority(given: np.ndarray, k: int) -> np.ndarray:
    counts = np.stack([(given == answer).sum(1) for answer in range(5)], axis=1)
    kinds, kind = np.unique(counts, axis=0, return_inverse=True)
    right = (1.0, 0.0, 0.0, 0.0, 0.0)
    chances = [majority.majority_at_k(tuple(map(int, c)), right, 0, k) for c in kinds]
    return np.array(chances)[kind.ravel()]


def _percent(words, shares) -> dict[str, float]:
    return {word: round(100 * float(share), 1) for word, share in zip(words, shares, strict=True)}


SECTIONS = {"null": null, "compare": compare, "interval": interval, "sizes": sizes, "draws": draws}


def results_of() -> dict[str, dict]:
    """Section → what was found, from the file, in the order of SECTIONS."""
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return {name: found[name] for name in SECTIONS if name in found}


def write(found: dict[str, dict]) -> None:
    """The file, with a row a line."""
    sections = []
    for name, section in found.items():
        rows = ",\n".join(f"  {json.dumps(row)}" for row in section["rows"])
        sections.append(f'"{name}": {{"studies": {section["studies"]}, "rows": [\n{rows}\n]}}')
    FILE.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500, help="simulated studies a row")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    given = parser.parse_args()
    for number, (name, section) in enumerate(SECTIONS.items()):
        if name in given.only:
            started = time.monotonic()
            rows = section(np.random.default_rng(number), given.studies)
            found = results_of() | {name: {"studies": given.studies, "rows": rows}}
            write({key: found[key] for key in SECTIONS if key in found})
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()

"""How often the verdicts on the published study are right and wrong: tables whose truth is known.

    python bench/verdicts.py [--repeats N]

A table has the study's cells with drawn accuracies, and those of HumanEval+ and LiveCodeBench that
finding 4 needs whichever checkpoint is the best. Answers of all cells to one problem are correlated
(a shared difficulty, tetrachoric correlation 0.8), as they are in truth, while the tests know
percentages only. Written to bench/results/verdicts.json.

shift  the truth of every checkpoint is its baseline's plus so many points; shares of each finding's
       verdicts, at the study's sizes and at 100,000 problems each. One learning rate for all, so
       that nothing is confounded
again  the study run once more: how often all cells together are said to differ or to be equal, and
       how many single cells differ, with a shift of all and a sd between training runs"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from distill_nb.analysis.margins import MARGIN
from distill_nb.analysis.names import RUN
from distill_nb.analysis.published import accuracies, findings, pooled, reproduction

CORRELATION = 0.8
BIG = 100_000
RESULTS = Path(__file__).parent / "results" / "verdicts.json"


def shifted(table: pd.DataFrame, points: float) -> np.ndarray:
    """[cells] true accuracies: the baseline's, and for checkpoints so many points more."""
    base = table[table["step"] == 0].set_index(["student", "benchmark"])["accuracy"]
    truth = [base.get((r.student, r.benchmark), r.accuracy) for r in table.itertuples()]
    return np.clip(truth + points * (table["step"] > 0).to_numpy(), 0, 100) / 100


def drawn(table: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Accuracies [cells] in percent of two studies on the same problems; truth: [cells], or
    [2, cells] for a truth each."""
    n = table["n"].to_numpy()
    truths = np.broadcast_to(truth, (2, len(table)))
    out = [np.zeros(len(table)) for _ in truths]
    for benchmark in table["benchmark"].unique():
        own = np.flatnonzero(table["benchmark"] == benchmark)
        shared = np.sqrt(CORRELATION) * rng.standard_normal(n[own].max())
        for i in own:
            for accuracies_of, p in zip(out, truths[:, i], strict=True):
                noise = np.sqrt(1 - CORRELATION) * rng.standard_normal(n[i])
                accuracies_of[i] = 100 * (shared[: n[i]] + noise < ndtri(p)).mean()
    return out


def verdicts(table: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Of each finding, on a table drawn anew."""
    drawn_table = table.assign(accuracy=drawn(table, truth, rng)[0])
    return [f.verdict for f in findings.check_all(drawn_table)]


def alike(table: pd.DataFrame, n: int | None = None) -> pd.DataFrame:
    """The table with one learning rate, nothing flagged or rounded, the cells that finding 4 may
    need, and n problems in each cell if given."""
    own = table["student"].str.contains("Instruct-2507") & (table["domain"] == "code")
    last = table[own & (table["step"] == 500) & ~table["benchmark"].isin(["math500", "mbpp_plus"])]
    steps = table["step"][own & (table["step"] < 500)].unique()
    table = pd.concat([table, *(last.assign(step=step) for step in steps)], ignore_index=True)
    rates = table["learning_rate"].mask(table["step"] > 0, 2e-4)
    return table.assign(learning_rate=rates, flagged=False, decimals=9, n=n or table["n"])


def shares(table: pd.DataFrame, truth: np.ndarray, repeats: int, seed: int) -> dict:
    """{finding: {verdict: share}}."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame([verdicts(table, truth, rng) for _ in range(repeats)])
    return {
        i + 1: rows[i].value_counts(normalize=True).round(3).to_dict() for i in rows.columns
    } | {"repeats": repeats}


def again(table: pd.DataFrame, shift: float, sd: float, repeats: int, seed: int) -> dict:
    """Rates of the verdicts on all cells together where the study is run again, `shift` points off,
    with so many points of sd between its training runs."""
    rng, truth = np.random.default_rng(seed), table["accuracy"].to_numpy() / 100
    _, run = np.unique(table[RUN].astype(str).agg("|".join, axis=1), return_inverse=True)
    found = []
    for _ in range(repeats):
        off = shift + sd * rng.standard_normal(run.max() + 1)[run] * (table["step"] > 0)
        first, second = drawn(table, np.stack([truth, np.clip(truth + off / 100, 0, 1)]), rng)
        compared = reproduction.compare(table.assign(accuracy=first), table.assign(accuracy=second))
        cells = (compared["verdict"] == "differs").sum()
        r = pooled.table(compared).iloc[0]
        scatter = r["scatter_p"] < 0.05
        found.append((r["verdict"] == "differs", r["verdict"] == "equal", scatter, cells))
    names = ["differs", "equal", "scatter", "cells that differ"]
    return dict(zip(names, np.mean(found, axis=0).round(3).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="rates of verdicts on the published study")
    parser.add_argument("--repeats", type=int, default=500)
    repeats = parser.parse_args().repeats
    published, few = accuracies.load_published(), max(repeats // 25, 2)
    table, big = alike(published), alike(published, BIG)
    found: dict = {"correlation": CORRELATION, "margin": MARGIN}
    for points in (0.0, 0.5, -MARGIN, MARGIN):
        found[f"shift {points:+g}"] = shares(table, shifted(table, points), repeats, 1)
        print(points, json.dumps(found[f"shift {points:+g}"]), flush=True)
    for points in (0.0, 0.5):
        key = f"shift {points:+g}, {BIG} problems"
        found[key] = shares(big, shifted(big, points), few, 2)
        print(key, json.dumps(found[key]), flush=True)
    for shift, sd in ((0, 0), (0, 2), (0, 3), (2, 0), (4, 0), (4, 2)):
        key = f"again, shift {shift}, sd between runs {sd}"
        found[key] = again(published, shift, sd, repeats, 3)
        print(key, json.dumps(found[key]), flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

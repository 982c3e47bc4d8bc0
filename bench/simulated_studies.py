"""What is a change called whose truth is known? Simulated studies, judged by the code.

    python bench/simulated_studies.py [--studies 500] [--only NAME …]

A study is a run with checkpoints on MATH-500 and MBPP+ (500 and 378 problems), answers to a problem
correlated 0.8 (simulated_records.py). Base student and checkpoints are drawn anew for each study.
In some rows there are five checkpoints, with the same truth; in the others the last alone, as the
earlier ones are another family and change nothing in its verdict. What truly moved is read off one
draw of 200,000 problems a row. A verdict of `analysis.diagnosis` is

    wrong    where it names a part that did not move, or moved the other way; calls it most of a
             change of which it is half or less, or the change where it is 75% or less; or
             says gain or loss of a score that did not change
    right    where it is not wrong and names the largest part that moved, or nothing if none did
    silent   else: nothing is named, or not the largest part

Rates are percent, of each run's last checkpoint (the primary comparisons) and of all checkpoints;
`studies_wrong` is the percent of studies in which any of the last checkpoints' verdicts is wrong,
`named` how often the last checkpoint's names each part.
`coverage` is how often the 95% intervals hold the truth: of parts, of parts that truly moved by
resampling problems (2,000 percentile bootstraps), and of shares of a change. Seeded; writes
bench/results/simulated_studies.json."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
from simulated_records import PROBLEMS, STEPS, Student, Study

from distill_nb.analysis import change_parts, diagnosis, families, paired
from distill_nb.analysis.change_parts import PARTS, WORDS

FILE = Path(__file__).resolve().parent / "results" / "simulated_studies.json"
MANY = 200_000  # problems by which the truth is known
NONE = 0.2  # points: less in that draw is no change
RESAMPLES = 2000


@dataclass(frozen=True)
class Row:
    """One truth."""

    base: Student
    after: Student
    problems: dict[str, int] = field(default_factory=lambda: PROBLEMS)
    samples: int = 1
    unread: float = 0.0  # of unboxed right answers, those that the lenient reading does not find
    steps: tuple[int, ...] = STEPS[-1:]
    graded: bool = False  # an answer without a box is graded, as wrong, as where code is cut badly

    def records(self, rng: np.random.Generator, problems: dict, steps: tuple = ()) -> pd.DataFrame:
        study = Study(rng, problems, self.base, samples=self.samples)
        made = study.run(after=self.after, steps=steps or self.steps)
        unboxed = made["outcome"] == "no_answer"
        lost = (
            unboxed & (made["lenient_outcome"] == "correct") & (rng.random(len(made)) < self.unread)
        )
        made["lenient_outcome"] = made["lenient_outcome"].mask(lost, "wrong")
        if self.graded:
            made["outcome"] = made["outcome"].mask(unboxed, "wrong")
        return made


S = Student
UNTIDY = S(0.6, cut_off=0.1, unanswered=0.05, unboxed=0.1, timeout=0.03)
POCKET = {"pocket_math": 56, "pocket_code": 30}
ROWS = {
    "nothing changed": Row(S(0.6), S(0.6), steps=STEPS),
    "nothing changed, answers of every kind": Row(UNTIDY, UNTIDY, steps=STEPS),
    "nothing changed, 4 samples a problem": Row(UNTIDY, UNTIDY, samples=4, steps=STEPS),
    "nothing changed, 56 and 30 problems": Row(UNTIDY, UNTIDY, POCKET, steps=STEPS),
    "12% cut off": Row(S(0.6), S(0.6, cut_off=0.12), steps=STEPS),
    "25% cut off": Row(S(0.6), S(0.6, cut_off=0.25), steps=STEPS),
    "25% cut off, rather hard problems": Row(S(0.6), S(0.6, cut_off=0.25, cut_leans=0.6)),
    "12% cut off, 4 samples a problem": Row(S(0.6), S(0.6, cut_off=0.12), samples=4),
    "60% cut off, 56 and 30 problems": Row(S(0.6), S(0.6, cut_off=0.6), POCKET),
    "cut off no more": Row(S(0.6, cut_off=0.25), S(0.6)),
    "cut off no more, rather hard problems": Row(S(0.6, cut_off=0.25, cut_leans=0.6), S(0.6)),
    "skill -5": Row(S(0.6), S(0.55)),
    "skill -8": Row(S(0.6), S(0.52)),
    "skill -15": Row(S(0.6), S(0.45)),
    "skill -15, 20% cut off before and after": Row(S(0.6, cut_off=0.2), S(0.45, cut_off=0.2)),
    "skill -8, answers of every kind": Row(UNTIDY, S(0.52, 0.1, 0.05, 0.03, 0.1)),
    "skill +8": Row(S(0.52), S(0.6)),
    "20% not boxed": Row(S(0.6), S(0.6, unboxed=0.2)),
    "30% not boxed": Row(S(0.6), S(0.6, unboxed=0.3)),
    "30% not boxed, a third of them unreadable": Row(S(0.6), S(0.6, unboxed=0.3), unread=1 / 3),
    "30% misplaced, and graded as wrong": Row(S(0.6), S(0.6, unboxed=0.3), graded=True),
    "boxed at last": Row(S(0.6, unboxed=0.3), S(0.6)),
    "skill -8 and format -4": Row(S(0.6), S(0.52, unboxed=0.0769), steps=STEPS),
    "skill -12 and format -6": Row(S(0.6), S(0.48, unboxed=0.125)),
    "skill -6 and format -6": Row(S(0.6), S(0.54, unboxed=0.1111)),
    "skill -4 and format -8": Row(S(0.6), S(0.56, unboxed=0.1429)),
    "skill -6 and length -6": Row(S(0.6), S(0.54, cut_off=0.1111)),
    "skill -5 hidden by format +5": Row(S(0.6, unboxed=0.0833), S(0.55)),
    "skill -8 hidden by format +8": Row(S(0.6, unboxed=0.1333), S(0.52), steps=STEPS),
    "skill +8 hidden by length -8": Row(S(0.6), S(0.68, cut_off=0.1176)),
}


@dataclass(frozen=True)
class Truth:
    """What truly moved, in points."""

    change: dict[str, float]  # all parts
    moved: dict[str, float]  # those that moved in the sense of change_parts.parts
    total: float

    def share(self, part: str) -> float:
        return 100 * self.change[part] / self.total if abs(self.total) > NONE else float("nan")


def truth_of(row: Row, number: int, problems: int = MANY) -> Truth:
    records = row.records(np.random.default_rng([number, 0]), {"a": problems}, STEPS[:1])
    (pair,) = change_parts.pairs(records)
    table = pd.DataFrame(change_parts.split(pair), list(PARTS))
    moved = table["change"][(abs(table["change"]) > NONE) & (table["p"] < 1e-6)]
    own = (table["after"] - table["before"])[moved.index]
    moved = moved[(abs(own) > NONE) | (moved.index == "wrong")]
    return Truth(table["change"].to_dict(), moved.to_dict(), float(table["change"].sum()))


def claims(verdict: str) -> tuple[dict[str, int], str, str]:
    """(part → 1 gained, -1 lost, of those that a verdict names; the first; what it is of the
    change: `all`, `most` or `part`)."""
    places = {
        (part, sign): verdict.find(word)
        for part, words in WORDS.items()
        for sign, word in zip((-1, 1), words, strict=True)
        if word in verdict
    }
    named = {part: sign for part, sign in sorted(places, key=lambda key: places[key])}
    if not named or "; score" in verdict:
        return named, "", ""
    if verdict.startswith("mostly"):
        return named, next(iter(named)), "most"
    alone = re.fullmatch(r"(lost|gained) (\w+|(to|by) \w+)(, less .*)?", verdict)
    return named, next(iter(named)), "all" if alone else "part"


def judged(verdict: str, truth: Truth) -> str:
    """`right`, `wrong` or `silent`."""
    named, first, size = claims(verdict)
    if any(np.sign(truth.moved.get(part, 0)) != sign for part, sign in named.items()):
        return "wrong"
    if size in ("most", "all") and not truth.share(first) > {"most": 50, "all": 75}[size]:
        return "wrong"
    way = score_of(verdict)
    if way and (abs(truth.total) <= NONE or np.sign(truth.total) != way):
        return "wrong"
    largest = max(truth.moved, key=lambda part: abs(truth.moved[part]), default=None)
    return "right" if largest in named or (largest is None and not named) else "silent"


def score_of(verdict: str) -> int:
    """What a verdict says of the whole score: 1 a gain, -1 a loss, 0 neither."""
    if "; score" in verdict or not re.match("an undetermined|mostly|lost|gained", verdict):
        return 0
    return 1 if re.match("(an undetermined |mostly )?gain", verdict) else -1


def bootstrapped(flips: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile intervals [parts] of the means of flips [problems × parts]."""
    kinds, counts = np.unique(flips, axis=0, return_counts=True)
    drawn = rng.multinomial(len(flips), counts / len(flips), RESAMPLES) @ kinds / len(flips)
    return tuple(100 * np.percentile(drawn, [2.5, 97.5], axis=0))


def changes_of(records: pd.DataFrame) -> pd.DataFrame:
    """What diagnoses need of `paired.paired_changes`, of finished steps, in less time; a verdict is
    gain, loss or `neither`."""
    several = records["sample"].nunique() > 1
    found = list(change_parts.pairs(records))
    table = pd.DataFrame([pair[:3] for pair in found], columns=change_parts.KEYS)
    scores = [(pair.before[:, 0], pair.after[:, 0]) for pair in found]
    p = np.array([paired.compare(*score, several).p for score in scores])
    last = table["step"] == table.groupby("folder")["step"].transform("max")
    family = np.where(last, *diagnosis.METHODS)
    level, significant = np.empty(len(table)), np.empty(len(table), bool)
    for name, method in diagnosis.METHODS.items():
        own = family == name
        adjusted = families.adjust(p[own], table["folder"][own], method)
        level[own], significant[own] = 1 - adjusted.alpha, adjusted.p < families.ALPHA
    ends = [paired.compare(*score, several, at) for score, at in zip(scores, level, strict=True)]
    change, lo, hi = np.array([(c.change, c.lo, c.hi) for c in ends]).T
    moved = significant & ((lo > 0) | (hi < 0))
    verdict = np.where(moved, np.where(change > 0, "gain", "loss"), "neither")
    return table.assign(family=family, p=p, change=change, lo=lo, hi=hi, verdict=verdict)


def some_studies(asked: tuple[int, range, Row, Truth]) -> tuple[pd.DataFrame, dict[str, list]]:
    """(verdicts, coverage by kind of interval) of some studies: asked are the row's number, the
    studies' seeds, the row and its truth. Each is a run of its own and so a family of its own."""
    number, seeds, row, truth = asked
    rngs = [np.random.default_rng([number, seed]) for seed in seeds]
    runs = [row.records(rng, row.problems).assign(folder=str(i)) for i, rng in enumerate(rngs)]
    records = pd.concat(runs, ignore_index=True)
    split = change_parts.parts(records)
    found = diagnosis.diagnose(records, changes_of(records), split)
    verdicts = pd.DataFrame(
        {
            "study": seeds.start + found["folder"].astype(int),
            "benchmark": found["benchmark"],
            "verdict": found["verdict"],
            "grade": [judged(verdict, truth) for verdict in found["verdict"]],
            "last": found["step"] == STEPS[-1],
        }
    )
    true, shares = split["part"].map(truth.change), split["part"].map(truth.share)
    covered = (split["lo"] <= true) & (true <= split["hi"])
    shared = (split["share_lo"] <= shares) & (shares <= split["share_hi"])
    moved = split["part"].isin(truth.moved)
    known = split["share"].notna() & moved & (abs(truth.total) > 1)
    boots = []
    for pair in (pair for pair in change_parts.pairs(records) if pair.step == STEPS[-1]):
        flips = change_parts.flips_of(pair.before, pair.after)
        ends = zip(PARTS, *bootstrapped(flips, rngs[int(pair.folder)]), strict=True)
        boots += [lo <= truth.change[part] <= hi for part, lo, hi in ends if part in truth.moved]
    coverage = {"parts": covered, "moved": covered[moved], "shares": shared[known]}
    return verdicts, {name: list(own) for name, own in coverage.items()} | {"bootstrap": boots}


def percent(values: list) -> float | None:
    return round(100 * float(np.mean(values)), 1) if len(values) else None


def summary(made: list[tuple], truth: Truth) -> dict:
    """What the studies of one row say together, from `some_studies`."""
    rows = pd.concat([verdicts for verdicts, _ in made], ignore_index=True)
    result: dict = {
        "truth": {part: round(change, 1) for part, change in truth.moved.items()},
        "truth_total": round(truth.total, 1),
    }
    for name, own in (("last", rows[rows["last"]]), ("all", rows)):
        for benchmark, of_one in own.groupby("benchmark", sort=False):
            grades = of_one["grade"].value_counts(normalize=True)
            result.setdefault(name, {})[benchmark] = {
                grade: round(100 * float(grades.get(grade, 0)), 1)
                for grade in ("right", "silent", "wrong")
            }
    result["named"] = {
        benchmark: {
            word: share
            for words in WORDS.values()
            for word in words
            if (share := percent(own["verdict"].str.contains(word).to_list()))
        }
        for benchmark, own in rows[rows["last"]].groupby("benchmark", sort=False)
    }
    wrong = (rows["grade"] == "wrong") & rows["last"]
    result["studies_wrong"] = percent(wrong.groupby(rows["study"]).any().to_numpy())
    result["coverage"] = {
        key: percent([x for _, coverage in made for x in coverage[key]])
        for key in ("parts", "moved", "bootstrap", "shares")
    }
    result["verdicts"] = {
        benchmark: {
            verdict: round(100 * count / len(own), 1)
            for verdict, count in Counter(own["verdict"]).most_common()
        }
        for benchmark, own in rows[rows["last"]].groupby("benchmark", sort=False)
    }
    return result


def table(rows: dict) -> str:
    """right / silent / wrong of the last checkpoints by benchmark, and studies with a wrong one."""
    lines = []
    for name, row in rows.items():
        cells = ["/".join(f"{x:g}" for x in own.values()) for own in row["last"].values()]
        lines.append(
            f"{name:42}" + "".join(f"{c:>18}" for c in cells) + f"{row['studies_wrong']:8}"
        )
    return "\n".join(lines)


def markdown(result: dict) -> str:
    """What docs/statistics.md shows of the results that main() wrote: a table, and the ranges of
    the coverage of intervals over its rows."""
    lines = [
        "| truth, in points | commonest verdict on the larger benchmark | right, silent, wrong (%) "
        "| on the smaller | studies with a wrong one (%) |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["rows"].items():
        moved = [f"{part.replace('_', ' ')} {change:+.1f}" for part, change in row["truth"].items()]
        what = f"{name} ({', '.join(moved)})" if moved else name
        sizes = sorted(ROWS[name].problems.items(), key=lambda item: -item[1])
        verdict, share = next(iter(row["verdicts"][sizes[0][0]].items()))
        rates = [", ".join(f"{x:g}" for x in row["last"][b].values()) for b, _ in sizes]
        cells = (what, f"{verdict}, {share:g}%", *rates, f"{row['studies_wrong']:g}")
        lines.append(f"| {' | '.join(cells)} |")
    names = {
        "parts": "all parts",
        "moved": "parts that truly moved",
        "bootstrap": "the same by resampling",
        "shares": "shares of a change",
    }
    lines += ["", "| 95% intervals of | hold the truth, lowest and highest row (%) |", "|---|---|"]
    for key, name in names.items():
        found = [row["coverage"][key] for row in result["rows"].values()]
        known = [value for value in found if value is not None]
        lines.append(f"| {name} | {min(known):g} to {max(known):g} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=500, help="studies a row")
    parser.add_argument("--only", nargs="*", help="rows whose name has one of these; others stay")
    parser.add_argument("--table", action="store_true", help="print what is known, for the docs")
    given, start = parser.parse_args(), time.perf_counter()
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    if given.table:
        print(markdown(known))
        return
    head = {"studies_a_row": given.studies, "numpy": np.__version__}
    rows = (
        known.pop("rows", {}) if given.only and known.get("studies_a_row") == given.studies else {}
    )
    with Pool(os.cpu_count()) as pool:
        for number, (name, row) in enumerate(ROWS.items()):
            if given.only and not any(word in name for word in given.only):
                continue
            truth = truth_of(row, number)
            seeds = range(1, 1 + given.studies)
            asked = [(number, seeds[i : i + 20], row, truth) for i in range(0, len(seeds), 20)]
            rows[name] = summary(pool.map(some_studies, asked, chunksize=1), truth)
            print(table({name: rows[name]}), rows[name]["coverage"], flush=True)
            # row by row: a run that is stopped leaves what it has
            made = head | {"rows": {known: rows[known] for known in ROWS if known in rows}}
            FILE.write_text(json.dumps(made, indent=1) + "\n")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

"""How often verdicts are wrong, on simulated studies whose truth is known.

    python bench/simulated_families.py [--studies N] [--table]

A study has one base student and up to ten runs, each evaluated at five checkpoints on 500 and 378
problems (simulated_records.py; 60% are solved, answers to one problem are correlated 0.8). Its
records go through `paired.paired_changes`, as those of real runs do. Of the runs without a change
it says how many show one, and of a run that gains or loses 5 points at its last checkpoint on the
first benchmark how often that is found. Beside it stands the rule of earlier versions: McNemar's
exact p by Holm over all checkpoints in the folder.

Then single comparisons of a true change with a margin of 5 points, on the same problems (correlated
0.8) and on others. Writes bench/results/simulated_families.json and the tables in docs/verdicts.md;
`--table` writes the tables alone, of the results that are there."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.stats import binom

from bench.simulated_records import PROBLEMS, Student, Study
from distill_nb.analysis import families, margins, paired, stats

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "simulated_families.json"
PAGE = ROOT / "docs" / "verdicts.md"
BASE, FIRST = 0.6, next(iter(PROBLEMS))
RUNS = (1, 3, 10)
TRUE = (0, -2, -4, -5, -8)  # points
SIZES = (100, 500, 2000, 100_000)
CHANGED = ("gain", "loss")


def one_study(seed: int, runs: int = max(RUNS)) -> dict:
    """Counts of one study: of `runs` runs that change nothing, and of one that gains and one that
    loses 5 points, each beside the first of the others."""
    study = Study(np.random.default_rng(seed), PROBLEMS, Student(BASE))
    null = [changes(study, f"null{i}", 0) for i in range(runs)]
    primary = [table[table["family"] == families.PRIMARY] for table in null]
    sweep = [table[table["family"] == families.EXPLORATORY] for table in null]
    found: dict = {
        "alarm": [bool(table["verdict"].isin(CHANGED).any()) for table in primary],
        "alarm in the sweep": [bool(table["verdict"].isin(CHANGED).any()) for table in sweep],
        "verdicts": dict(Counter(v for table in primary for v in table["verdict"])),
        "disagree": sum("disagree" in margins.words(r) for t in null for r in t.itertuples()),
        "rows": sum(map(len, null)),
        "earlier alarm": [bool((earlier(null[:k]) < families.ALPHA).any()) for k in RUNS],
    }
    for name, true in (("gain", 0.05), ("loss", -0.05)):
        own = changes(study, name, true)
        last = own[own["family"] == families.PRIMARY].set_index("benchmark")["verdict"]
        found[name] = last[FIRST] == name
        found[f"alarm beside {name}"] = bool(last.drop(FIRST).isin(CHANGED).any())
        at = (own["family"] == families.PRIMARY) & (own["benchmark"] == FIRST)
        adjusted = [earlier([own, *null[: k - 1]])[: len(own)][at].item() for k in RUNS]
        found[f"earlier {name}"] = [bool(p < families.ALPHA) for p in adjusted]
    return found


def changes(study: Study, folder: str, true: float) -> pd.DataFrame:
    """`paired_changes` of a run whose checkpoints differ from the base student by `true` on the
    first benchmark."""
    after = {name: Student(BASE + true * (name == FIRST)) for name in PROBLEMS}
    return paired.paired_changes(study.run(folder, after=after))


def earlier(tables: list[pd.DataFrame]) -> np.ndarray:
    """p by the rule of earlier versions: exact McNemar, Holm over every row."""
    table = pd.concat(tables)
    b, c = table["only_base"].to_numpy(float), table["only_step"].to_numpy(float)
    return stats.holm(np.minimum(1, 2 * binom.cdf(np.minimum(b, c), b + c, 0.5)))


def studies(found: list[dict]) -> dict:
    """Percent of `one_study`, or so many runs → percent."""

    def by_runs(values: np.ndarray) -> dict:
        return dict(zip(RUNS, map(percent, values.T), strict=True))

    def all_of(key: str) -> np.ndarray:
        return np.array([one[key] for one in found])

    alarms, verdicts = all_of("alarm"), Counter()
    for one in found:
        verdicts.update(one["verdicts"])
    return {
        "studies": len(found),
        "false alarm in a run": percent(alarms),
        "false alarm in a sweep": percent(all_of("alarm in the sweep")),
        "false alarm in any run": {k: percent(alarms[:, :k].any(axis=1)) for k in RUNS},
        "false alarm by the earlier rule": by_runs(all_of("earlier alarm")),
        **{f"{name} found": percent(all_of(name)) for name in CHANGED},
        **{f"false alarm beside a {v}": percent(all_of(f"alarm beside {v}")) for v in CHANGED},
        **{f"{v} found by the earlier rule": by_runs(all_of(f"earlier {v}")) for v in CHANGED},
        "verdicts on no change": shares(verdicts),
        "p and interval disagree": percent(
            sum(one["disagree"] for one in found) / sum(one["rows"] for one in found)
        ),
    }


def percent(share: np.ndarray | float) -> float:
    return round(100 * float(np.mean(share)), 2)


def shares(verdicts: Counter) -> dict[str, float]:
    """Verdict → percent."""
    return {v: percent(verdicts[v] / verdicts.total()) for v in margins.VERDICTS}


def comparisons(true: float, n: int, same: bool, draws: int, seed: int = 0) -> dict:
    """Percent of each verdict, alone in its family, on a true change in points from 60%; and of
    those that the interval at 90% puts within ±5 points, and beyond."""
    rng, first, second = np.random.default_rng(seed), BASE, BASE + true / 100
    if same:
        spread = first * (1 - first) * second * (1 - second)
        both = first * second + 0.8 * spread**0.5
        cells = [both, second - both, first - both, 1 - first - second + both]
        counts = rng.multinomial(n, cells, draws).T
        wide, near = (stats.paired(*counts, level=level) for level in (0.95, 0.9))
    else:
        k1, k2 = rng.binomial(n, first, draws), rng.binomial(n, second, draws)
        wide, near = (stats.difference(k2, n, k1, n, level) for level in (0.95, 0.9))
    verdicts, places = Counter(), Counter()
    for change, lo, hi, p, margin_lo, margin_hi in zip(
        *(100 * x for x in (wide.difference, wide.lo, wide.hi)),
        wide.p,
        *(100 * x for x in (near.lo, near.hi)),
        strict=True,
    ):
        row = SimpleNamespace(
            change=change, lo=lo, hi=hi, p_adjusted=p, margin_lo=margin_lo, margin_hi=margin_hi
        )
        verdicts[margins.verdict(row)] += 1
        places[margins.place(margin_lo, margin_hi, margins.MARGIN)] += 1
    found = {"within": percent(places["within"] / draws)}
    return shares(verdicts) | found | {"below": percent(places["below"] / draws)}


def tables(report: dict) -> str:
    """The tables of docs/verdicts.md."""
    s = report["studies"]
    rows = ["| percent, in a study of so many runs | 1 | 3 | 10 |", "|---|---|---|---|"]

    def line(words: str, values: dict | float) -> None:
        cells = [values[str(k)] if isinstance(values, dict) else values for k in RUNS]
        rows.append(f"| {words} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")

    line("false alarm in a run, primary", s["false alarm in a run"])
    line("false alarm in any run, primary", s["false alarm in any run"])
    line("false alarm in any run or checkpoint, earlier rule", s["false alarm by the earlier rule"])
    line("false alarm in a run, exploratory", s["false alarm in a sweep"])
    line("no change on a benchmark called equivalent", s["verdicts on no change"]["equivalent"])
    for name, size in (("gain", "+5"), ("loss", "-5")):
        line(f"true {size} points on one benchmark called a {name}", s[f"{name} found"])
        line("the same by the earlier rule", s[f"{name} found by the earlier rule"])
        line("false alarm on the other benchmark", s[f"false alarm beside a {name}"])
    columns = ("true change", "problems", "answers to", *margins.VERDICTS, "within ±5", "below -5")
    rows += ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for c in report["comparisons"]:
        cells = [c["percent"][key] for key in (*margins.VERDICTS, "within", "below")]
        start = f"| {c['true']:+d} | {c['n']:,} | {c['problems']} problems | "
        rows.append(start + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def write_tables() -> None:
    text, start, end = PAGE.read_text(), "<!-- tables -->\n", "<!-- end of tables -->"
    before, _, rest = text.partition(start)
    made = tables(json.loads(RESULTS.read_text()))
    PAGE.write_text(f"{before}{start}{made}{end}{rest.partition(end)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--draws", type=int, default=5000, help="of each single comparison")
    parser.add_argument("--table", action="store_true")
    given, start = parser.parse_args(), time.perf_counter()
    if not given.table:
        with Pool(os.cpu_count()) as pool:
            found = pool.map(one_study, range(given.studies), chunksize=5)
        single = [
            {
                "true": true,
                "n": n,
                "problems": "same" if same else "other",
                "percent": comparisons(true, n, same, given.draws),
            }
            for same in (True, False)
            for n in SIZES
            for true in TRUE
        ]
        report = {
            "problems": PROBLEMS,
            "base": BASE,
            "correlation": 0.8,
            "margin": margins.MARGIN,
            "draws": given.draws,
            "studies": studies(found),
            "comparisons": single,
            "numpy": np.__version__,
        }
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
        print(f"{time.perf_counter() - start:.0f} s")
    write_tables()


if __name__ == "__main__":
    main()

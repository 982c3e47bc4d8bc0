"""Tables of the paper beyond those of study_tables.py: our seventh finding, power and inflation,
and the truth tables, from the results of simulations that bench/ commits."""

import json
import re
from typing import Any

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis.margins import p_value
from distill_nb.analysis.published import fragility
from distill_nb.analysis.published.conclusions import Finding
from distill_nb.report import study_tables
from distill_nb.report.tables import NONE, to_latex
from distill_nb.runtime import paths


def made(table: DataFrame, found: list[Finding]) -> dict[str, str]:
    """name → LaTeX. table: the published one; found: findings.check_all of it."""
    seventh, families = next(f for f in found if f.ours), simulated("simulated_families")
    null, studies = simulated("simulated_seeds")["null"], simulated("simulated_studies")
    shown = {
        "own_domain": (own_domain(seventh), "Each run in the domain that it trains: its best "
            "checkpoint, chosen by that very score, against its baseline; p by Holm's method.",
            "tab:own"),
        "robust": (short(found, 3), "Finding 3 by the checkpoint that is looked at: how much less "
            "MBPP+ the instruct student loses than the base student.", "tab:robust"),
        "lunch": (short(found, 4), "Finding 4: the instruct student after code distillation, at "
            "its best checkpoint.", "tab:lunch"),
        "fragile": (fragile(table), "By how many problems the best checkpoint of each run leads, "
            "and the least lead beyond noise; changes in points in the run's own domain and in the "
            "other, at the best checkpoint and at the runner-up.", "tab:fragile"),
        "power": (power(table), "The smallest loss and gain, in points, that a checkpoint would "
            "show at the 5% level with 80% power, by percentages alone.", "tab:power"),
        "inflation": (inflation(table), "How much the best checkpoint of a run is expected to "
            "overstate, in points, were all of its checkpoints equal, by the correlation of their "
            "answers. Scores are percentages.", "tab:inflation"),
        "truth_changes": (changes(families["studies"]), "Verdicts on changes of known truth, "
            f"percent of {families['studies']['studies']} studies, by the number of runs. The "
            "earlier rule corrects over all checkpoints of all runs.", "tab:truthchanges"),
        "truth_margin": (margins(families), "Single comparisons of known truth on the same "
            f"problems, percent of {families['draws']:,} draws, by the true change in points.",
            "tab:truthmargin"),
        "truth_seeds": (seeds(null["rows"]), "Two teachers without any difference, percent of "
            f"{null['studies']} simulated studies, by the standard deviation between seeds in "
            "points.", "tab:truthseeds"),
        "truth_findings": (verdicts(simulated("verdicts")), "The seven findings on drawn tables of "
            "the study's form, whose checkpoints truly differ from their baseline by the same "
            "shift: percent of verdicts (c contradicted, i inconclusive, s supported).",
            "tab:truthfindings"),
        "truth_kinds": (kinds(studies["rows"]), "What a change is called whose parts are known, "
            f"percent of {studies['studies_a_row']} simulated studies: the benchmark with the "
            "fewest right verdicts, that with the most wrong ones, and studies with a wrong one.",
            "tab:truthkinds"),
        "needed_seeds": (needed_seeds(sizes("two ways")), "Seeds that each of two teachers needs "
            "for 80% power on 500 problems, and in brackets the power in simulated studies, "
            "percent.", "tab:seeds"),
        "needed_problems": (needed_problems(sizes("checkpoint")), "Problems needed to see with 80% "
            "power that a checkpoint differs from its base student, and in brackets the power in "
            "simulated studies, percent.", "tab:problems"),
    }  # fmt: skip
    return {name: to_latex(signed_of(t), words, key) for name, (t, words, key) in shown.items()}


def simulated(name: str) -> dict[str, Any]:
    """The committed results of a simulation in bench/."""
    return json.loads((paths.SHIPPED / "bench" / "results" / f"{name}.json").read_text())


def sizes(question: str) -> list[dict]:
    """The rows of the simulated sample sizes that answer a question."""
    return [r for r in simulated("simulated_seeds")["sizes"]["rows"] if r["question"] == question]


def own_domain(finding: Finding) -> DataFrame:
    rows = finding.numbers[finding.numbers["decides"]]
    evaluated = rows["comparison"].str.extract(r"best: (.+) above")[0]
    return pd.DataFrame(
        {
            "run": rows["group"],
            "evaluated on": evaluated,
            "baseline": rows["second"].map("{:.1f}".format),
            "best": rows["first"].map("{:.1f}".format),
            "change (points)": _changes(rows),
            "p": rows["p_holm"].map(p_cell),
            "it helps": rows["verdict"],
        }
    )


def short(found: list[Finding], number: int) -> DataFrame:
    """The comparisons of a finding with their intervals and verdicts."""
    rows = next(f for f in found if f.number == number).numbers
    return pd.DataFrame(
        {
            "comparison": rows["comparison"].str.split(":").str[0],
            "difference (points)": _changes(rows),
            "p (no difference, Holm)": rows["p_holm"].map(p_cell),
            "decides": rows["decides"].map({True: "yes", False: "no"}),
            "verdict": rows["verdict"],
        }
    )


def _changes(rows: DataFrame) -> list[str]:
    return [f"{r.difference:+.1f} [{r.lo:+.1f}, {r.hi:+.1f}]" for r in rows.itertuples()]


def fragile(table: DataFrame) -> DataFrame:
    """study_tables.fragility_of, narrow enough for a page."""
    heads = {
        "run": "run", "best (step)": "best (step)", "runner-up (step)": "runner-up (step)",
        "lead (problems)": "lead", "lead beyond noise": "noise", "change": "own",
        "with the runner-up": "own, runner-up", "change in the other domain": "other",
        "other, with the runner-up": "other, runner-up",
    }  # fmt: skip
    rows = study_tables.fragility_of(fragility.table(table))
    return rows[list(heads)].rename(columns=heads)


def power(table: DataFrame) -> DataFrame:
    rows = study_tables.power(table)
    numbers = {
        "baseline (%)": rows["base"].map("{:.1f}".format),
        "loss": [_number(v, "+.1f") for v in rows["loss"]],
        "gain": [_number(v, "+.1f") for v in rows["gain"]],
    }
    problems = {"problems": rows["checkpoint_n"].astype(str)}
    return rows[["student", "benchmark"]].assign(**problems, **numbers)


def inflation(table: DataFrame) -> DataFrame:
    rows = study_tables.inflation(table)
    shown = rows[["run", "benchmark"]].assign(
        **{key: rows[key].map("{:.1f}".format) for key in ("best", "last", "mean")}
    )
    for name in rows.filter(like="inflation_"):
        shown[f"correlation {name.removeprefix('inflation_')}"] = rows[name].map("{:.1f}".format)
    return shown


def changes(studies: dict[str, Any]) -> DataFrame:
    """From `studies` of simulated_families: one row a question, one column a number of runs."""
    runs = list(studies["false alarm in any run"])
    asked = {
        "false alarm in a given run, last checkpoint": "false alarm in a run",
        "false alarm in any run, last checkpoint": "false alarm in any run",
        "false alarm anywhere, earlier rule": "false alarm by the earlier rule",
        "gain of 5 points found": "gain found",
        "gain of 5 points found, earlier rule": "gain found by the earlier rule",
        "loss of 5 points found": "loss found",
        "loss of 5 points found, earlier rule": "loss found by the earlier rule",
    }
    rows = []
    for words, key in asked.items():
        value = studies[key]
        values = value if isinstance(value, dict) else dict.fromkeys(runs, value)
        rows.append((words, *(f"{values[n]:.1f}" for n in runs)))
    return DataFrame(rows, columns=["truth and verdict", *_runs(runs)])


def _runs(numbers: list[str]) -> list[str]:
    return [f"{n} run" + "s" * (n != "1") for n in numbers]


def margins(report: dict[str, Any]) -> DataFrame:
    shown = ("gain", "loss", "equivalent", "no worse", "inconclusive")
    rows = [
        (f"{r['n']:,}", f"{r['true']:+d}", *(f"{r['percent'][v]:.1f}" for v in shown))
        for r in report["comparisons"]
        if r["problems"] == "same"
    ]
    return DataFrame(rows, columns=["problems", "true change", *shown])


def seeds(rows: list[dict]) -> DataFrame:
    return DataFrame(
        {
            "runs of each": str(r["seeds"]),
            "sd between seeds": f"{r['seed_sd']:g}",
            "p below 5%": f"{r['p_below_5']:.1f}",
            "a teacher called better": f"{r['called_better']:.1f}",
            "beyond problem noise": f"{r['beyond_problem_noise']:.1f}",
        }
        for r in rows
    )


def verdicts(report: dict[str, Any]) -> DataFrame:
    """From bench/verdicts: one row a shift of all checkpoints, one column a finding."""
    rows = []
    for key, found in report.items():
        if not key.startswith("shift"):
            continue
        shift, _, problems = key.removeprefix("shift ").partition(", ")
        numbers = [n for n in found if n.isdigit()]
        cells = (_shares(found[n]) for n in numbers)
        size = problems.removesuffix(" problems")
        large = f"{int(size):,}" if size else "the study's"
        rows.append((shift, large, str(found["repeats"]), *cells))
    return DataFrame(
        rows, columns=["shift", "problems", "tables", *(f"finding {n}" for n in numbers)]
    )


def _shares(found: dict[str, float]) -> str:
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{verdict[0]} {100 * share:.0f}" for verdict, share in ordered)


def kinds(rows: dict[str, Any]) -> DataFrame:
    """From bench/simulated_studies, for the last checkpoints."""
    return DataFrame(
        {
            "truth": truth,
            "right": f"{min(b['right'] for b in row['last'].values()):.1f}",
            "wrong": f"{max(b['wrong'] for b in row['last'].values()):.1f}",
            "studies with a wrong verdict": f"{row['studies_wrong']:.1f}",
        }
        for truth, row in rows.items()
    )


def needed_seeds(rows: list[dict]) -> DataFrame:
    cells = [(f"{r['seed_sd']:g}", r["difference"], _with_power(r, "seeds")) for r in rows]
    return _wide(cells, ["sd between seeds"])


def needed_problems(rows: list[dict]) -> DataFrame:
    cells = [
        (f"{r['correlation']:g}", str(r["samples"]), r["difference"], _with_power(r, "problems"))
        for r in rows
    ]
    return _wide(cells, ["correlation of answers", "samples a problem"])


def _with_power(row: dict, key: str) -> str:
    return f"{row[key]:,} ({row['power']:.0f})"


def _wide(cells: list[tuple], index: list[str]) -> DataFrame:
    rows = DataFrame(cells, columns=[*index, "difference", "cell"])
    wide = rows.pivot(index=index, columns="difference", values="cell").reset_index()
    return wide.rename(columns=lambda c: f"{c} points" if isinstance(c, int) else c)


# ---- words


def signed(text: str) -> str:
    """With minus signs in place of hyphens before numbers."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def signed_of(table: DataFrame) -> DataFrame:
    return table.map(lambda cell: signed(cell) if isinstance(cell, str) else cell)


def p_cell(p: float) -> str:
    """`0.011`, `< 0.0001`, or a dash where there is no test."""
    if p != p:
        return NONE
    return p_value(p).removeprefix("p ").removeprefix("= ")


def _number(value: float, form: str) -> str:
    return NONE if value != value else format(value, form)

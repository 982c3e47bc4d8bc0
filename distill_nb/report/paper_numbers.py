"""The numbers that the paper's sentences speak: one LaTeX macro each, of the published study and of
the committed simulations. Values are plain texts; latex.py escapes them."""

import math
import re

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis.margins import MARGIN
from distill_nb.analysis.names import RUN, name_of, printed_rate
from distill_nb.analysis.published import claims, fragility, grim
from distill_nb.analysis.published.comparisons import by_group
from distill_nb.analysis.published.conclusions import Finding, points
from distill_nb.report import paper_tables, study_tables
from distill_nb.report.paper_tables import p_cell, signed
from distill_nb.runtime import paths

WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven")

# macro → (finding, comparison): its difference with interval, with P its p by Holm's method, and
# with Needed the problems that would settle it where it is open
SPOKEN = {
    "LeadMathOnMath": (1, "math-distilled, MATH-500: Sonnet above R1"),
    "LeadMathOnCode": (1, "math-distilled, MBPP+: Sonnet above R1"),
    "LeadCodeOnMath": (1, "code-distilled, MATH-500: Sonnet above R1"),
    "LeadCodeOnCode": (1, "code-distilled, MBPP+: Sonnet above R1"),
    "FallBaseRone": (2, "Qwen Base R1: code falls after math distillation"),
    "FallBaseSonnet": (2, "Qwen Base Sonnet: code falls after math distillation"),
    "FallInstruct": (2, "Qwen Instruct Sonnet: code falls after math distillation"),
    "FallLlamaRone": (2, "Llama 8B R1: code falls after math distillation"),
    "FallLlamaSonnet": (2, "Llama 8B Sonnet: code falls after math distillation"),
    "LessLlamaRone": (2, "Llama 8B R1: math falls less after code distillation"),
    "LessLlamaSonnet": (2, "Llama 8B Sonnet: math falls less after code distillation"),
    "RobustBest": (3, "best checkpoints: Instruct loses less than Base"),
    "RobustLast": (3, "last checkpoints: Instruct loses less than Base"),
    "RobustMean": (3, "mean of 5 checkpoints: Instruct loses less than Base"),
    "RobustFirst": (3, "step 100: Instruct loses less than Base"),
    "LunchMath": (4, "MATH-500: no loss of 5 points"),
    "LunchMbpp": (4, "MBPP+: no loss of 5 points"),
    "LunchHumaneval": (4, "HumanEval+: no loss of 5 points"),
    "LunchLive": (4, "LiveCodeBench: no loss of 5 points"),
    "BreakOne": (5, "step 400: MATH-500 below the baseline"),
    "GainLlamaSonnetMath": (6, "Sonnet math, MATH-500: no gain of 5 points"),
    "GainLlamaSonnetCode": (6, "Sonnet code, MBPP+: no gain of 5 points"),
    "GainLlamaRoneMath": (6, "R1 math, MATH-500: no gain of 5 points"),
    "GainLlamaRoneCode": (6, "R1 code, MBPP+: no gain of 5 points"),
    "OwnBaseRoneMath": (7, "Qwen Base R1 math, best: MATH-500 above the baseline"),
    "OwnBaseRoneCode": (7, "Qwen Base R1 code, best: MBPP+ above the baseline"),
    "OwnBaseSonnetMath": (7, "Qwen Base Sonnet math, best: MATH-500 above the baseline"),
    "OwnLlamaSonnetMath": (7, "Llama 8B Sonnet math, best: MATH-500 above the baseline"),
    "OwnLlamaSonnetCode": (7, "Llama 8B Sonnet code, best: MBPP+ above the baseline"),
}


def published(table: DataFrame, found: list[Finding]) -> dict[str, str]:
    """Macro → value. table: the published one; found: findings.check_all of it. Raises KeyError
    where a comparison that the paper speaks of is no longer made."""
    made = _counts(table, found) | _spoken(found) | _fragility(table) | _expected(table)
    return {name: str(value) for name, value in made.items()} | simulated()


def _counts(table: DataFrame, found: list[Finding]) -> dict[str, object]:
    every = claims.load_claims()
    stated = claims.stated_sizes(every)
    tested = grim.summary(table, stated)
    against = claims.inconsistencies(every, table)["verdict"]
    theirs = [f.verdict for f in found if not f.ours]
    behind = pd.concat([f.numbers["verdict"] for f in found])
    runs = table[table["step"] > 0]
    rates = runs.groupby("teacher")["learning_rate"].first()
    impossible = study_tables.impossible(grim.check(table, stated)).iloc[0]
    groups = {f.number: by_group(f.numbers) for f in found}
    own = groups[7]["verdict"].value_counts()
    prepared = paths.PARAMS_DIR.joinpath("extra").glob("run*_lr4.yaml")
    broken = next(f for f in found if f.number == 5).numbers
    return {
        "PublishedCells": len(table),
        "PublishedRuns": len(runs.groupby(RUN)),
        "FlaggedCells": int(table["flagged"].sum()),
        "GrimCanFail": int(tested["can_fail"].sum()),
        "GrimFailed": WORDS[int(tested["failed"].sum())].lower(),
        "GrimCell": f"{impossible['accuracy']}%",
        "GrimStudent": impossible["student"],
        "GrimBenchmark": impossible["benchmark"],
        "GrimStated": impossible["n"],
        "GrimImplied": impossible["but it can be"],
        "Claims": len(every),
        "ClaimsDisagree": (against == "disagrees").sum(),
        "ClaimsCaveat": (against == "caveat").sum(),
        "MathProblems": stated["math500"],
        "MbppProblems": stated["mbpp_plus"],
        "HumanevalProblems": stated["humaneval_plus"],
        "LiveProblems": stated["livecodebench"],
        "Margin": f"{MARGIN:g}",
        "RateRone": printed_rate(rates["r1"]),
        "RateSonnet": printed_rate(rates["sonnet"]),
        "Findings": WORDS[len(theirs)].lower(),
        "FindingsSupported": WORDS[theirs.count("supported")].lower(),
        "Comparisons": len(behind),
        "ComparisonsOnRounding": (behind == "depends on rounding").sum(),
        "ForgetHolds": _listed(groups[2], "supported"),
        "ForgetReversed": _listed(groups[2], "contradicted"),
        "ForgetOpen": _listed(groups[2], "inconclusive"),
        "OwnHelps": WORDS[own["supported"]].lower(),
        "OwnHurts": WORDS[own["contradicted"]].lower(),
        "OwnOpen": WORDS[own["inconclusive"]].lower(),
        "BreakWording": broken[~broken["decides"]]["verdict"].iloc[0],
        "RunsPrepared": WORDS[len(list(prepared))].lower(),
    } | {f"Finding{WORDS[f.number]}": f.verdict for f in found}


def _listed(groups: DataFrame, verdict: str) -> str:
    names = list(groups[groups["verdict"] == verdict]["group"])
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "none"


def _spoken(found: list[Finding]) -> dict[str, str]:
    rows = {(f.number, r.comparison): r for f in found for r in f.numbers.itertuples()}
    made = {}
    for name, key in SPOKEN.items():
        made[name] = signed(points(rows[key]))
        if rows[key].problems < math.inf:
            made[f"{name}Needed"] = f"{rows[key].problems:,.0f}"
        p = p_cell(rows[key].p_holm)
        made[f"{name}P"] = p if p.startswith("<") else f"= {p}"
    return made


def _fragility(table: DataFrame) -> dict[str, object]:
    """Of the choice of the best checkpoint, and of the run where it is narrowest."""
    rows = fragility.table(table)
    narrow = next(rows.loc[[rows["lead_highest"].idxmin()]].itertuples())
    return {
        "LeadSure": (rows["lead_lowest"] > rows["noise"]).sum() or "none",
        "LeadHidden": WORDS[(rows["lead_lowest"] <= 0).sum()].lower(),
        "NarrowRun": f"{name_of(narrow.student)} {name_of(narrow.teacher)} {narrow.domain}",
        "NarrowLead": f"{fragility.problems(narrow)} of {narrow.n}",
        "NarrowStep": narrow.step,
        "NarrowRunnerUp": narrow.runner_up,
        "NarrowOther": signed(f"{narrow.other_change:+.1f}"),
        "NarrowOtherRunnerUp": signed(f"{narrow.runner_up_other_change:+.1f}"),
    }


def _expected(table: DataFrame) -> dict[str, str]:
    """The ranges of inflation and of what a checkpoint could show."""
    best, power = study_tables.inflation(table), study_tables.power(table)
    ranges = {"InflationIndependent": best["inflation_0"], "InflationAlike": best["inflation_0.8"]}
    for benchmark, rows in power.groupby("benchmark"):
        ranges["Loss" + re.sub("[^A-Za-z]", "", str(benchmark))] = -rows["loss"]
    return {name: f"{v.min():.1f} to {v.max():.1f}" for name, v in ranges.items()}


def simulated() -> dict[str, str]:
    """What the paper says of the committed simulations (bench/results)."""
    made = paper_tables.simulated("simulated_families")
    studies, seeds = made["studies"], paper_tables.simulated("simulated_seeds")
    one = [r for r in seeds["null"]["rows"] if r["seeds"] == 1 and r["seed_sd"] == 3]
    three = [r for r in seeds["null"]["rows"] if r["seeds"] == 3]
    pairs = [r for r in seeds["sizes"]["rows"] if r["question"] == "two ways"]
    wanted = [r for r in pairs if (r["difference"], r["seed_sd"]) == (3, 2)]
    kinds = paper_tables.simulated("simulated_studies")["rows"].values()
    return {
        "SimKindsWrong": f"{max(row['studies_wrong'] for row in kinds):.1f}%",
        "SimCorrelation": str(made["correlation"]),
        "SimAlarm": f"{studies['false alarm in a run']:.1f}%",
        "SimEquivalent": f"{studies['verdicts on no change']['equivalent']:.0f}%",
        "SimFound": f"{studies['gain found']:.0f}%",
        "SimFoundEarlier": f"{studies['gain found by the earlier rule']['10']:.0f}%",
        "SimSeedAlarm": f"{one[0]['p_below_5']:.0f}%",
        "SimSeedCalled": f"{max(r['called_better'] for r in three):.1f}%",
        "SeedsForThree": WORDS[wanted[0]["seeds"]].lower()
        if wanted[0]["seeds"] < len(WORDS)
        else str(wanted[0]["seeds"]),
    }

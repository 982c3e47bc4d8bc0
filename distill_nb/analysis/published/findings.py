"""The six key findings of the published study as checks that run on any tidy table
(names.COLUMNS): the published numbers or our own.

A finding rests on comparisons with verdicts of their own (comparisons.py). It is contradicted if a
deciding one is; else not testable if one lacks its numbers; else confounded, within noise or
supported, in this order: it is as weak as its weakest part. Comparisons that do not decide are
shown beside them. Every number in a sentence comes from the table.

Titles are the study's words. Where a claim has parts, the sentence gives each its verdict. An exact
number that a claim states beside its effect (finding 5: 0% across all checkpoints) is such a part:
any printed number that breaks it contradicts the part, but the finding only where it is off beyond
noise too; otherwise the effect decides."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from distill_nb.analysis import selection_bias, stats
from distill_nb.analysis.names import NAMES, RULE, Cell, name_of, printed, printed_rate
from distill_nb.analysis.published import comparisons
from distill_nb.analysis.published.comparisons import Comparison, Lookup, against, weakest
from distill_nb.analysis.tidy import best_checkpoints, checkpoints_of

BASE, INSTRUCT, LLAMA = NAMES["Qwen Base"], NAMES["Qwen Instruct"], NAMES["Llama 8B"]
TITLES = {  # the study's words
    1: "Sonnet traces >> R1 traces on Qwen Base",
    2: "Catastrophic forgetting on cross-domain: math distillation tanks code, code distillation "
    "tanks math less",
    3: "Instruct model is more robust: smaller MBPP+ drop than base under math distillation",
    4: "Code distillation on instruct is a free lunch",
    5: "Llama Sonnet code distillation breaks math completely: 0% MATH-500 across all checkpoints",
    6: "Llama barely learns from either teacher: small/no gains on math, marginal on code",
}


@dataclass(frozen=True)
class Finding:
    number: int
    title: str
    verdict: str
    numbers: pd.DataFrame  # one Comparison a row
    sentence: str


def check_all(table: pd.DataFrame) -> list[Finding]:
    """The six findings on a tidy table."""
    best = best_checkpoints(table)
    return [check(Lookup(table, best)) for check in CHECKS]


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """number, title, verdict, sentence: one row a finding."""
    columns = ["number", "title", "verdict", "sentence"]
    return pd.DataFrame([[getattr(f, c) for c in columns] for f in findings], columns=columns)


def _finding(
    number: int, rows: list[dict], look: Lookup, sentence: Callable[[pd.DataFrame], str]
) -> Finding:
    """sentence: a function of the judged rows, called only if they can be judged."""
    numbers = comparisons.judge(rows)
    verdict = weakest(numbers[numbers["decides"].astype(bool)])
    lacks = "; ".join(dict.fromkeys(look.missing))
    if (lacks and verdict != "contradicted") or verdict == "not testable":
        verdict, text = "not testable", f"Not testable: there is no {lacks}."
    else:
        text = sentence(numbers) + (f" Missing: {lacks}." if lacks else "")
    return Finding(number, TITLES[number], verdict, numbers, text)


def _points(r: Comparison) -> str:
    return f"{r.difference:+.1f} points [{r.lo:+.1f}, {r.hi:+.1f}]"


def _name(comparison: str) -> str:
    """What a comparison is of: its text before the colon."""
    return comparison.split(":")[0]


def _beyond(numbers: pd.DataFrame) -> str:
    return f"{(numbers['p_holm'] < 0.05).sum()} of {len(numbers)}"


def sonnet_beats_r1(look: Lookup) -> Finding:
    rows, rates = [], []
    for domain in RULE:
        sonnets, r1s = (look.runs(BASE, teacher, domain) for teacher in ("sonnet", "r1"))
        if not sonnets or not r1s:
            look.run(BASE, "sonnet", domain)
            look.run(BASE, "r1", domain)
            continue
        pairs = [(s, r) for s in sonnets for r in r1s]
        s, r = next((p for p in pairs if p[0].learning_rate == p[1].learning_rate), pairs[0])
        alike = s.learning_rate == r.learning_rate
        if not alike:
            r1_rate, sonnet_rate = printed_rate(r.learning_rate), printed_rate(s.learning_rate)
            rates.append(f"{r1_rate} (R1) against {sonnet_rate} (Sonnet)")
        for evaluated in RULE:
            b = look.benchmark(s, evaluated)
            text = f"{domain}-distilled, {name_of(b)}: Sonnet above R1"
            cells = look.cell(s, s.step, b), look.cell(r, r.step, b)
            rows += against(text, *cells, +1, confounder=not alike)

    def sentence(numbers: pd.DataFrame) -> str:
        text = (
            f"At the best checkpoints of {name_of(BASE)}, Sonnet differs from R1 by "
            f"{numbers['difference'].min():+.1f} to {numbers['difference'].max():+.1f} points, "
            f"{_beyond(numbers)} comparisons beyond noise"
        )
        if not rates:
            return text + ", at equal learning rates."
        return (
            f"{text}; but the learning rates differ too, {' and '.join(dict.fromkeys(rates))}, so "
            "that no difference can be put down to the traces."
        )

    return _finding(1, rows, look, sentence)


def forgetting(look: Lookup) -> Finding:
    rows: list[dict] = []
    students = look.best[["student", "teacher"]].drop_duplicates()
    for student, teacher in students.itertuples(index=False):
        cells: dict[str, tuple[Cell | None, Cell | None]] = {}
        for trained, other in (("math", "code"), ("code", "math")):
            run, cells[trained] = look.run(student, teacher, trained), (None, None)
            if run:
                b = look.benchmark(run, other)
                cells[trained] = look.cell(run, run.step, b), look.cell(run, 0, b)
        who = f"{name_of(student)} {name_of(teacher)}"
        rows += against(f"{who}: code falls after math distillation", *cells["math"], -1)
        less = f"{who}: math falls less after code distillation"
        rows += comparisons.change_against(less, cells["code"], cells["math"], +1)
    if not rows and not look.missing:
        look.missing.append("distilled run")

    def sentence(numbers: pd.DataFrame) -> str:
        less = numbers["comparison"].str.contains("falls less")
        fall, change = numbers[~less], numbers["difference"][~less]
        text = (
            f"That math distillation tanks code is {comparisons.verdict_counts(fall)}: code changes"
            f" by {change.min():+.1f} to {change.max():+.1f} points. That code distillation tanks "
            f"math less is {comparisons.verdict_counts(numbers[less])}"
        )
        for r in numbers[numbers["verdict"] == "contradicted"].itertuples():
            both = f"{r.first:+.1f} against {r.second:+.1f} points"
            text += f"; against it {_name(r.comparison)}: {both if less[r.Index] else _points(r)}"
        return text + "."

    return _finding(2, rows, look, sentence)


def instruct_is_robust(look: Lookup) -> Finding:
    rows = []
    instruct, base = (look.run(student, "sonnet", "math") for student in (INSTRUCT, BASE))
    if instruct and base:
        runs = (instruct, base)
        b = look.benchmark(instruct, "code")
        baselines = [look.cell(run, 0, b) for run in runs]
        curves = [checkpoints_of(look.table, run, b) for run in runs]
        common = sorted(set(curves[0]["step"]) & set(curves[1]["step"]))
        # Answers of one run are to the same problems: their mean is as uncertain as one checkpoint,
        # at worst.
        means = []
        for curve in curves:
            shared = curve[curve["step"].isin(common)]
            mean = shared.iloc[:1].assign(accuracy=shared["accuracy"].mean())
            means.append(next(mean.itertuples(), None))
        deciding = {
            "best checkpoints": [look.cell(run, run.step, b) for run in runs],
            "last checkpoints": [look.cell(run, run.last_step, b) for run in runs],
            f"mean of {len(common)} checkpoints": means,
        }
        steps = {f"step {step}": [look.cell(run, step, b) for run in runs] for step in common}
        for label, cells in (deciding | steps).items():
            text = f"{label}: Instruct loses less than Base"
            first, second = zip(cells, baselines, strict=True)
            rows += comparisons.change_against(text, first, second, +1, decides=label in deciding)

    def sentence(numbers: pd.DataFrame) -> str:
        parts = [
            f"{r.first:+.1f} against {r.second:+.1f} points at the {_name(r.comparison)}, "
            f"{_points(r)}, {r.verdict}"
            for r in numbers[numbers["decides"]].itertuples()
        ]
        text = f"{name_of(b)} of Instruct and Base changes by {'; '.join(parts)}"
        worst = numbers.loc[numbers["difference"].idxmin()]
        if worst["difference"] < 0:
            least = f"{_name(worst['comparison'])}: {_points(worst)}, {worst['verdict']}"
            text += f"; least for the claim is {least}"
        return text + "."

    return _finding(3, rows, look, sentence)


def free_lunch(look: Lookup) -> Finding:
    rows, at = [], ""
    if run := look.run(INSTRUCT, "sonnet", "code"):
        at = f"At step {run.step}"
        for b in ("math500", "mbpp_plus", "humaneval_plus", "livecodebench"):
            after, before = look.cell(run, run.step, b), look.cell(run, 0, b)
            rows += against(f"{name_of(b)}: not below the baseline", after, before, +1)

    def sentence(numbers: pd.DataFrame) -> str:
        parts = [f"{_name(r.comparison)} {_points(r)}" for r in numbers.itertuples()]
        text = f"{at}: {', '.join(parts)}; {_beyond(numbers)} beyond noise"
        low = numbers.loc[numbers["difference"].idxmin()]
        loss = 100 * stats.detectable(low["second"] / 100, int(low["n"]), int(low["n"]))[0]
        if not math.isnan(loss):
            text += (
                f"; on {low['n']} problems of {_name(low['comparison'])} a loss is found with 80% "
                f"power only from {-loss:.1f} points on"
            )
        return text + "."

    return _finding(4, rows, look, sentence)


def math_breaks(look: Lookup) -> Finding:
    rows, alive, off, base, name = [], [], False, None, ""
    run = look.run(LLAMA, "sonnet", "code")
    if run:
        b = look.benchmark(run, "math")
        base, name = look.cell(run, 0, b), name_of(b)
        cells = list(checkpoints_of(look.table, run, b).itertuples())
        if not cells:
            look.missing.append(f"{name} of {name_of(LLAMA)} {name_of('sonnet')} code")
        for c in cells:
            rows += against(f"step {c.step}: {name} below the baseline", c, base, -1)
        alive = [f"{printed(c)} at step {c.step}" for c in cells if c.accuracy > 0]
        # Beyond noise: the lower bound (Bonferroni over the checkpoints) is above all that is
        # printed as 0%.
        level = 1 - 0.05 / max(1, len(cells))
        off = any(
            stats.wilson(c.accuracy * c.n / 100, c.n, level)[0] > 0.005 / 10**c.decimals
            for c in cells
        )
        if cells:
            text, top = f"{name} is 0% across all checkpoints", max(c.accuracy for c in cells)
            untested = stats.Difference(*[math.nan] * 4)
            exact = comparisons.row(text, untested, top, 0.0, cells, 0, math.nan, decides=off)
            rows.append(exact | {"verdict": "contradicted" if alive else "supported"})

    def sentence(numbers: pd.DataFrame) -> str:
        tested, exact = numbers[numbers["p"].notna()], numbers[numbers["p"].isna()]
        shown = f"it is {', '.join(alive)}" if alive else f"{len(tested)} of {len(tested)} are"
        if alive and off:
            shown += ", beyond noise"
        elif alive:
            n = tested["n"].min()
            shown += f", which {n} problems cannot tell from 0%, so that the fall decides"
        text = f"That it breaks math is {weakest(tested)}"
        if base:
            text += (
                f": {name} goes from {printed(base)} to {tested['first'].min():g}–"
                f"{tested['first'].max():g}%, {_beyond(tested)} checkpoints beyond noise"
            )
        return (
            f"{text}. That it is 0% across all checkpoints is {weakest(exact)}: {shown}. "
            "Percentages cannot tell lost skill from a lost answer format."
        )

    return _finding(5, rows, look, sentence)


def llama_learns_little(look: Lookup) -> Finding:
    rows, inflation, rates = [], [], {}
    for teacher in ("r1", "sonnet"):
        for domain in RULE:
            run = look.run(LLAMA, teacher, domain)
            if not run:
                continue
            base, after = (look.cell(run, step, run.benchmark) for step in (0, run.step))
            label = f"{name_of(teacher)} {domain}, {name_of(run.benchmark)}: no gain"
            rates[name_of(teacher)] = printed_rate(run.learning_rate)
            rows += against(label, after, base, -1)
            if base:
                share = selection_bias.inflation(base.accuracy / 100, base.n, run.checkpoints)
                inflation.append(100 * share)

    def listed(chosen: pd.DataFrame) -> str:
        parts = [f"{_name(r.comparison)} {_points(r)}" for r in chosen.itertuples()]
        return ", ".join(parts) or "none"

    def sentence(numbers: pd.DataFrame) -> str:
        verdicts = {}
        for domain in RULE:
            own = numbers["comparison"].str.contains(f" {domain},")
            verdicts[domain] = comparisons.verdict_counts(numbers[own])
        gains = numbers[(numbers["difference"] > 0) & (numbers["p_holm"] < 0.05)]
        text = (
            f"Small or no gains on math: {verdicts['math']}; marginal gains on code: "
            f"{verdicts['code']}. Gains beyond noise at the best checkpoints: {listed(gains)}; the "
            f"others: {listed(numbers.drop(gains.index))}. Picking the best checkpoint overstates "
            f"a gain by up to {max(inflation):.1f} points"
        )
        if len(set(rates.values())) > 1:
            pairs = ", ".join(f"{teacher} {rate}" for teacher, rate in rates.items())
            text += f", and the teachers differ in learning rate too ({pairs})"
        return text + "."

    return _finding(6, rows, look, sentence)


CHECKS = (
    sonnet_beats_r1, forgetting, instruct_is_robust, free_lunch, math_breaks, llama_learns_little,
)  # fmt: skip

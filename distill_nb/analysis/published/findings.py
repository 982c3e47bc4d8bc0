"""The six key findings of the published study as checks that run on any tidy table
(results.COLUMNS): the published numbers or our own.

A finding rests on comparisons with verdicts of their own (comparisons.py). It is contradicted if a
deciding one is; else not testable if one lacks its numbers; else confounded, within noise or
supported, in this order: it is as weak as its weakest part. Comparisons that do not decide are
shown beside them. Every number in a sentence comes from the table.

Titles are the study's words. Where a claim has parts, the sentence gives each its verdict. An exact
number that a claim states beside its effect (finding 5: 0% across all checkpoints) is such a part:
any printed number that breaks it contradicts the part, but the finding only where it is off beyond
noise too; otherwise the effect decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from distill_nb.analysis import comparisons, stats
from distill_nb.analysis.comparisons import (
    against,
    benchmark_of,
    cell,
    change_against,
    checkpoints,
    comparison_row,
    judge,
    one_run,
    runs_of,
    weakest,
)
from distill_nb.analysis.names import NAMES, RULE, name_of, printed, printed_rate
from distill_nb.analysis.results import best_checkpoints

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
    """numbers: DataFrame, one comparison a row, columns COMPARISON: first and second are accuracies
    (percent) or, of a comparison of two changes, changes (points); difference, lo, hi in points;
    claimed direction in `comparison`."""

    number: int
    title: str
    verdict: str
    numbers: pd.DataFrame
    sentence: str


def check_all(table) -> list[Finding]:
    """The six findings on a tidy table."""
    best = best_checkpoints(table)
    return [check(table, best) for check in CHECKS]


def findings_table(findings: list[Finding]):
    """number, title, verdict, sentence: one row a finding."""
    rows = [(f.number, f.title, f.verdict, f.sentence) for f in findings]
    return pd.DataFrame(rows, columns=["number", "title", "verdict", "sentence"])


def _finding(number, rows, missing, sentence) -> Finding:
    """sentence: a function of the judged rows, called only if they can be judged."""
    numbers = judge(rows)
    verdict = weakest(numbers[numbers["decides"].astype(bool)])
    lacks = "; ".join(dict.fromkeys(missing))
    if (missing and verdict != "contradicted") or verdict == "not testable":
        return Finding(
            number, TITLES[number], "not testable", numbers, f"Not testable: there is no {lacks}."
        )
    text = sentence(numbers) + (f" Missing: {lacks}." if missing else "")
    return Finding(number, TITLES[number], verdict, numbers, text)


def _points(r) -> str:
    return f"{r.difference:+.1f} points [{r.lo:+.1f}, {r.hi:+.1f}]"


def _beyond(numbers) -> str:
    return f"{(numbers['p_holm'] < 0.05).sum()} of {len(numbers)}"


# ---- the findings


def sonnet_beats_r1(table, best) -> Finding:
    rows, missing, rates = [], [], {}
    for domain in RULE:
        pairs = [
            (s, r)
            for s in runs_of(best, BASE, "sonnet", domain)
            for r in runs_of(best, BASE, "r1", domain)
        ]
        if not pairs:
            for teacher in ("sonnet", "r1"):
                one_run(best, BASE, teacher, domain, missing)
            continue
        s, r = next((p for p in pairs if p[0].learning_rate == p[1].learning_rate), pairs[0])
        alike = s.learning_rate == r.learning_rate
        if not alike:
            rates[domain] = tuple(printed_rate(x.learning_rate) for x in (r, s))
        for evaluated in RULE:
            b = benchmark_of(table, s, evaluated)
            a, c = cell(table, s, s.step, b, missing), cell(table, r, r.step, b, missing)
            rows += against(
                f"{domain}-distilled, {name_of(b)}: Sonnet above R1", a, c, +1, confounder=not alike
            )

    def sentence(numbers):
        text = (
            f"At the best checkpoints of {name_of(BASE)}, Sonnet differs from R1 by "
            f"{numbers['difference'].min():+.1f} to "
            f"{numbers['difference'].max():+.1f} points, {_beyond(numbers)} comparisons beyond "
            "noise"
        )
        if not rates:
            return text + ", at equal learning rates."
        pairs = " and ".join(
            f"{r} (R1) against {s} (Sonnet)" for r, s in dict.fromkeys(rates.values())
        )
        return (
            text
            + f"; but the learning rates differ too, {pairs}, so that no difference can be put "
            "down to the traces."
        )

    return _finding(1, rows, missing, sentence)


def forgetting(table, best) -> Finding:
    rows, missing, drops, less = [], [], [], []
    for student, teacher in best[["student", "teacher"]].drop_duplicates().itertuples(index=False):
        cells, who = {}, f"{name_of(student)} {name_of(teacher)}"
        for trained, other in (("math", "code"), ("code", "math")):
            run = one_run(best, student, teacher, trained, missing)
            b = run and benchmark_of(table, run, other)
            cells[trained] = (
                tuple(cell(table, run, s, b, missing) for s in (run.step, 0))
                if run
                else (None, None)
            )
        fall = against(f"{who}: code falls after math distillation", *cells["math"], -1)
        smaller = change_against(
            f"{who}: math falls less after code distillation", cells["code"], cells["math"], +1
        )
        drops, less, rows = drops + fall, less + smaller, rows + fall + smaller
    if not rows and not missing:
        missing.append("distilled run")

    def sentence(numbers):
        fall, smaller = (
            numbers[numbers["comparison"].str.contains(word)]
            for word in ("code falls", "falls less")
        )
        counter = numbers[numbers["verdict"] == "contradicted"]
        counts = [comparisons.verdict_counts(part) for part in (fall, smaller)]
        text = (
            f"That math distillation tanks code is {counts[0]}: code changes by "
            f"{fall['difference'].min():+.1f} to "
            f"{fall['difference'].max():+.1f} points. That code distillation tanks math less is "
            f"{counts[1]}"
        )
        for r in counter.itertuples():
            text += (
                f"; against it {r.comparison.split(':')[0]}: {r.first:+.1f} against "
                f"{r.second:+.1f} points"
                if ("less" in r.comparison)
                else f"; against it {r.comparison.split(':')[0]}: {_points(r)}"
            )
        return text + "."

    return _finding(2, rows, missing, sentence)


def instruct_is_robust(table, best) -> Finding:
    rows, missing, kept = [], [], {}
    runs = [one_run(best, s, "sonnet", "math", missing) for s in (INSTRUCT, BASE)]
    if not missing:
        b = benchmark_of(table, runs[0], "code")
        base = [cell(table, r, 0, b, missing) for r in runs]
        curves = [checkpoints(table, r, b) for r in runs]
        common = sorted(set(curves[0]["step"]) & set(curves[1]["step"]))
        # Answers of one run are to the same problems: their mean is as uncertain as one checkpoint,
        # at worst.
        means = [
            s[s["step"].isin(common)]
            .iloc[:1]
            .assign(accuracy=s[s["step"].isin(common)]["accuracy"].mean())
            for s in curves
        ]
        kept = {
            "best checkpoints": [cell(table, r, r.step, b, missing) for r in runs],
            "last checkpoints": [cell(table, r, r.last_step, b, missing) for r in runs],
            f"mean of {len(common)} checkpoints": [next(m.itertuples(), None) for m in means],
        }
        steps = {f"step {s}": [cell(table, r, s, b, missing) for r in runs] for s in common}
        for label, cells in (kept | steps).items():
            rows += change_against(
                f"{label}: Instruct loses less than Base",
                *zip(cells, base, strict=True),
                +1,
                decides=label in kept,
            )

    def sentence(numbers):
        parts = [
            f"{r.first:+.1f} against {r.second:+.1f} points at the {r.comparison.split(':')[0]}, "
            f"{_points(r)}, "
            f"{r.verdict}"
            for r in numbers[numbers["decides"]].itertuples()
        ]
        text = f"{name_of(b)} of Instruct and Base changes by {'; '.join(parts)}"
        worst = numbers.loc[numbers["difference"].idxmin()]
        if worst["difference"] < 0:
            text += f"; least for the claim is {worst['comparison'].split(':')[0]}: {_points(worst)}, {worst['verdict']}"
        return text + "."

    return _finding(3, rows, missing, sentence)


def free_lunch(table, best) -> Finding:
    rows, missing = [], []
    run = one_run(best, INSTRUCT, "sonnet", "code", missing)
    for b in ("math500", "mbpp_plus", "humaneval_plus", "livecodebench") if run else ():
        rows += against(
            f"{name_of(b)}: not below the baseline",
            cell(table, run, run.step, b, missing),
            cell(table, run, 0, b, missing),
            +1,
        )

    def sentence(numbers):
        parts = [f"{r.comparison.split(':')[0]} {_points(r)}" for r in numbers.itertuples()]
        low = next(numbers.loc[[numbers["difference"].idxmin()]].itertuples())
        loss = 100 * stats.detectable(low.second / 100, int(low.n), int(low.n))[0]
        blind = (
            ""
            if math.isnan(loss)
            else (
                f"; on {low.n} problems of {low.comparison.split(':')[0]} a loss is found with "
                f"80% power only from {-loss:.1f} points on"
            )
        )
        return f"At step {run.step}: {', '.join(parts)}; {_beyond(numbers)} beyond noise{blind}."

    return _finding(4, rows, missing, sentence)


def math_breaks(table, best) -> Finding:
    rows, missing, alive, off = [], [], [], []
    run = one_run(best, LLAMA, "sonnet", "code", missing)
    if run:
        b = benchmark_of(table, run, "math")
        base, cells = cell(table, run, 0, b, missing), list(checkpoints(table, run, b).itertuples())
        if not cells:
            missing.append(f"{name_of(b)} of {name_of(LLAMA)} {name_of('sonnet')} code")
        for c in cells:
            rows += against(f"step {c.step}: {name_of(b)} below the baseline", c, base, -1)
        alive = [f"{printed(c)} at step {c.step}" for c in cells if c.accuracy > 0]
        # Beyond noise: the lower bound (Bonferroni over the checkpoints) is above all that is
        # printed as 0%.
        off = [
            c
            for c in cells
            if stats.wilson(c.accuracy * c.n / 100, c.n, 1 - 0.05 / len(cells))[0]
            > 0.005 / 10**c.decimals
        ]
        if cells:
            top = max(cells, key=lambda c: c.accuracy)
            rows.append(
                comparison_row(
                    f"{name_of(b)} is 0% across all checkpoints",
                    stats.Difference(*[math.nan] * 4),
                    top.accuracy,
                    0.0,
                    cells,
                    0,
                    math.nan,
                    decides=bool(off),
                )
                | {"verdict": "contradicted" if alive else "supported"}
            )

    def sentence(numbers):
        tested, literal = numbers[numbers["p"].notna()], numbers[numbers["p"].isna()]
        shown = f"it is {', '.join(alive)}" if alive else f"{len(tested)} of {len(tested)} are"
        weight = (
            ""
            if not alive
            else ", beyond noise"
            if off
            else (
                f", which {tested['n'].min()} problems cannot tell from 0%, so that the fall "
                "decides"
            )
        )
        return (
            f"That it breaks math is {weakest(tested)}: {name_of(b)} goes from {printed(base)} to "
            f"{tested['first'].min():g}–{tested['first'].max():g}%, {_beyond(tested)} checkpoints "
            "beyond noise. That it "
            f"is 0% across all checkpoints is {weakest(literal)}: {shown}{weight}. Percentages "
            "cannot tell lost skill "
            "from a lost answer format."
        )

    return _finding(5, rows, missing, sentence)


def llama_learns_little(table, best) -> Finding:
    rows, missing, inflation, rates = [], [], [], {}
    for teacher in ("r1", "sonnet"):
        for domain in RULE:
            run = one_run(best, LLAMA, teacher, domain, missing)
            if run:
                base = cell(table, run, 0, run.benchmark, missing)
                rates[name_of(teacher)] = printed_rate(run.learning_rate)
                rows += against(
                    f"{name_of(teacher)} {domain}, {name_of(run.benchmark)}: no gain",
                    cell(table, run, run.step, run.benchmark, missing),
                    base,
                    -1,
                )
                if base:
                    inflation.append(
                        100
                        * stats.selection_inflation(base.accuracy / 100, base.n, run.checkpoints)
                    )

    def sentence(numbers):
        def listed(chosen):
            return (
                ", ".join(f"{r.comparison.split(':')[0]} {_points(r)}" for r in chosen.itertuples())
                or "none"
            )

        claims = {"math": "small or no gains on math", "code": "marginal gains on code"}
        own = {d: numbers[numbers["comparison"].str.contains(f" {d},")] for d in RULE}
        parts = [f"{claims[d]}: {comparisons.verdict_counts(own[d])}" for d in RULE]
        gains = numbers[(numbers["difference"] > 0) & (numbers["p_holm"] < 0.05)]
        text = (
            f"{'; '.join(parts)}. Gains beyond noise at the best checkpoints: {listed(gains)}; the "
            "others: "
            f"{listed(numbers.drop(gains.index))}. Picking the best checkpoint overstates a gain "
            "by up to "
            f"{max(inflation):.1f} points"
        )
        if len(set(rates.values())) > 1:
            text += f", and the teachers differ in learning rate too ({', '.join(f'{t} {r}' for t, r in rates.items())})"
        return text[0].upper() + text[1:] + "."

    return _finding(6, rows, missing, sentence)


CHECKS = (
    sonnet_beats_r1,
    forgetting,
    instruct_is_robust,
    free_lunch,
    math_breaks,
    llama_learns_little,
)

"""The six key findings of the published study, each as its comparisons and a sentence.

Titles are the study's words. Where a claim has parts, the sentence gives each its verdict. Claims
of a difference are tested against none, claims of no loss or no gain against the margin."""

import pandas as pd

from distill_nb.analysis import selection_bias
from distill_nb.analysis.names import NAMES, RULE, name_of, printed, printed_rate
from distill_nb.analysis.published import comparisons, rounding
from distill_nb.analysis.published.comparisons import against, together
from distill_nb.analysis.published.conclusions import (
    Finding,
    beyond_noise,
    conclude,
    listed,
    name,
    points,
)
from distill_nb.analysis.published.lookup import Lookup
from distill_nb.analysis.published.rounding import Share, printed_k, share, shares
from distill_nb.analysis.tidy import Best, checkpoints_of

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


def _beyond(numbers: pd.DataFrame) -> str:
    return f"{beyond_noise(numbers).sum()} of {len(numbers)}"


def _change(look: Lookup, run: Best | None, evaluated: str) -> list[Share | None]:
    """[best checkpoint, baseline] of a run in a domain."""
    if run is None:
        return [None, None]
    b = look.benchmark(run, evaluated)
    return shares(look.cell(run, run.step, b), look.cell(run, 0, b))


def sonnet_beats_r1(look: Lookup) -> Finding:
    """Sonnet above R1 in each domain and on each benchmark, at the best checkpoints."""
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
            sides = shares(look.cell(s, s.step, b)), shares(look.cell(r, r.step, b))
            rows += against(text, "higher", *sides, confounder=not alike)

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

    return conclude(1, TITLES[1], rows, look, sentence)


def forgetting(look: Lookup) -> Finding:
    """Of each student and teacher: code falls after math distillation, and math falls less after
    code distillation, at the best checkpoints."""
    rows: list[dict] = []
    students = look.best[["student", "teacher"]].drop_duplicates()
    for student, teacher in students.itertuples(index=False):
        code = _change(look, look.run(student, teacher, "math"), "code")
        math = _change(look, look.run(student, teacher, "code"), "math")
        who = f"{name_of(student)} {name_of(teacher)}"
        falls = "code falls after math distillation"
        less = "math falls less after code distillation"
        rows += against(f"{who}: {falls}", "lower", code[:1], code[1:], group=who)
        rows += against(f"{who}: {less}", "higher", math, code, group=who)
    if not rows and not look.missing:
        look.missing.append("distilled run")

    def sentence(numbers: pd.DataFrame) -> str:
        less = numbers["comparison"].str.contains("falls less")
        fall, change = numbers[~less], numbers["difference"][~less]
        groups: dict[str, list[str]] = {}
        for r in comparisons.by_group(numbers).itertuples():
            groups.setdefault(r.verdict, []).append(r.group)
        order = [v for v in comparisons.VERDICTS if v in groups]
        text = "; ".join(f"{verdict} for {', '.join(groups[verdict])}" for verdict in order)
        text = (
            f"By student and teacher: {text}. That math distillation tanks code is "
            f"{comparisons.verdict_counts(fall)}: code changes by {change.min():+.1f} to "
            f"{change.max():+.1f} points. That code distillation tanks math less is "
            f"{comparisons.verdict_counts(numbers[less])}"
        )
        for r in numbers[less & (numbers["verdict"] == "contradicted")].itertuples():
            text += (
                f"; against it {name(r.comparison)}: math {r.first:+.1f}, code {r.second:+.1f} "
                "points"
            )
        return text + "."

    return conclude(2, TITLES[2], rows, look, sentence)


def instruct_is_robust(look: Lookup) -> Finding:
    """Instruct's drop against Base's at the best, at the last and over all checkpoints; each other
    step beside them, which decides nothing."""
    rows: list[dict] = []
    b, (instruct, base) = "", (look.run(s, "sonnet", "math") for s in (INSTRUCT, BASE))
    if instruct and base:
        b = look.benchmark(instruct, "code")
        before = [shares(look.cell(run, 0, b)) for run in (instruct, base)]
        curves = [
            {c.step: share(c) for c in checkpoints_of(look.table, run, b).itertuples()}
            for run in (instruct, base)
        ]

        def compare(label: str, after: list[Share | None], decides: bool) -> None:
            first, second = ([new, *old] for new, old in zip(after, before, strict=True))
            text = f"{label}: Instruct loses less than Base"
            rows.extend(against(text, "higher", first, second, decides=decides))

        places = {
            "best checkpoints": (instruct.step, base.step),
            "last checkpoints": (instruct.last_step, base.last_step),
        }
        for label, (one, two) in places.items():
            compare(label, shares(look.cell(instruct, one, b), look.cell(base, two, b)), True)
        if common := sorted(set(curves[0]) & set(curves[1])):
            means = [rounding.mean([curve[step] for step in common]) for curve in curves]
            compare(f"mean of {len(common)} checkpoints", [*means], True)
        for step in common:
            if (step, step) not in places.values():  # compared above
                compare(f"step {step}", [curve[step] for curve in curves], False)

    def sentence(numbers: pd.DataFrame) -> str:
        parts = [
            f"{r.first:+.1f} against {r.second:+.1f} points at the {name(r.comparison)}, "
            f"{points(r)}, {r.verdict}"
            for r in numbers[numbers["decides"]].itertuples()
        ]
        text = f"{name_of(b)} of Instruct and Base changes by {'; '.join(parts)}"
        worst = numbers.loc[numbers["difference"].idxmin()]
        if worst["difference"] < 0:
            least = f"{name(worst['comparison'])}: {points(worst)}, {worst['verdict']}"
            text += f"; least for the claim is {least}"
        return text + "."

    return conclude(3, TITLES[3], rows, look, sentence)


def free_lunch(look: Lookup) -> Finding:
    """Not worse than the baseline by the margin or more, on each benchmark."""
    rows, step = [], 0
    if run := look.run(INSTRUCT, "sonnet", "code"):
        step = run.step
        for b in ("math500", "mbpp_plus", "humaneval_plus", "livecodebench"):
            after, before = look.cell(run, run.step, b), look.cell(run, 0, b)
            label = f"{name_of(b)}: no loss of {look.margin:g} points"
            rows += against(label, "not lower", shares(after), shares(before))

    def sentence(numbers: pd.DataFrame) -> str:
        return (
            f"A lunch is free here if no score is lower by {look.margin:g} points or more. At step "
            f"{step}: {listed(numbers)}. {_beyond(numbers)} differences are beyond noise."
        )

    return conclude(4, TITLES[4], rows, look, sentence)


def math_breaks(look: Lookup) -> Finding:
    """Math below the baseline and below the margin at every checkpoint; that it is printed as 0%
    everywhere is a wording, true or false."""
    rows: list[dict] = []
    alive, base, title, cells = [], None, "", []
    if run := look.run(LLAMA, "sonnet", "code"):
        b = look.benchmark(run, "math")
        base, title = look.cell(run, 0, b), name_of(b)
        cells = list(checkpoints_of(look.table, run, b).itertuples())
        if not cells:
            look.missing.append(f"{title} of {name_of(LLAMA)} {name_of('sonnet')} code")
        for c in cells:
            label = f"step {c.step}: {title} below the baseline"
            rows += against(label, "lower", shares(c), shares(base))
        for c in cells:
            rows += against(
                f"step {c.step}: {title} below {look.margin:g}%", "not higher", shares(c), []
            )
        alive = [f"{printed(c)} at step {c.step}" for c in cells if c.accuracy > 0]
        if cells:
            text = f"{title} is 0% across all checkpoints"
            rows.append(comparisons.wording(text, [share(c) for c in cells], not alive))

    def sentence(numbers: pd.DataFrame) -> str:
        tested = numbers[numbers["decides"]]
        fall, gone = (tested[tested["claim"] == claim] for claim in ("lower", "not higher"))
        text = f"That it breaks math is {together(tested)}"
        if base:
            text += (
                f": {title} goes from {printed(base)} to {fall['first'].min():g}–"
                f"{fall['first'].max():g}%, at {_beyond(fall)} checkpoints a fall beyond noise and "
                f"at {(gone['verdict'] == 'supported').sum()} shown to be below {look.margin:g}%"
            )
        exact = "supported"
        if alive:
            top = max(cells, key=lambda c: c.accuracy)
            exact = (
                f"contradicted: it is {', '.join(alive)} ({printed(top)} of {top.n} problems may "
                f"be {printed_k(share(top))} of them)"
            )
        return (
            f"{text}. The wording that it is 0% across all checkpoints is {exact}. Percentages "
            "cannot tell lost skill from a lost answer format or from answers that were cut off."
        )

    return conclude(5, TITLES[5], rows, look, sentence)


def llama_learns_little(look: Lookup) -> Finding:
    """No gain by the margin or more in the domain of each run, at its best checkpoint."""
    rows: list[dict] = []
    inflation: dict[tuple, float] = {}
    rates: dict[str, str] = {}
    for teacher in ("r1", "sonnet"):
        for domain in RULE:
            run = look.run(LLAMA, teacher, domain)
            if not run:
                continue
            base, after = (look.cell(run, step, run.benchmark) for step in (0, run.step))
            who = f"{name_of(teacher)} {domain}, {name_of(run.benchmark)}"
            rates[name_of(teacher)] = printed_rate(run.learning_rate)
            label = f"{who}: no gain of {look.margin:g} points"
            rows += against(label, "not higher", shares(after), shares(base))
            if base:
                of = base.accuracy / 100, base.n, run.checkpoints
                inflation[of] = inflation.get(of) or 100 * selection_bias.inflation(*of)

    def sentence(numbers: pd.DataFrame) -> str:
        verdicts = {}
        for domain in RULE:
            own = numbers["comparison"].str.contains(f" {domain},")
            verdicts[domain] = comparisons.verdict_counts(numbers[own])
        gains = numbers[(numbers["difference"] > 0) & beyond_noise(numbers)]
        text = (
            f"A gain is small here if it is below {look.margin:g} points. On math: "
            f"{verdicts['math']}; on code: {verdicts['code']}. Gains beyond noise at the best "
            f"checkpoints: {listed(gains)}. The others: {listed(numbers.drop(gains.index))}. Were "
            "all checkpoints of a run equal, the best would still be expected to look better than "
            f"they are, by up to {max(inflation.values()):.1f} points"
        )
        if len(set(rates.values())) > 1:
            pairs = ", ".join(f"{teacher} {rate}" for teacher, rate in rates.items())
            text += f"; and the teachers differ in learning rate too ({pairs})"
        return text + "."

    return conclude(6, TITLES[6], rows, look, sentence)


CHECKS = (
    sonnet_beats_r1, forgetting, instruct_is_robust, free_lunch, math_breaks, llama_learns_little,
)  # fmt: skip

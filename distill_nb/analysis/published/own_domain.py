"""A seventh finding, ours and not the study's: does distillation help in the domain that it trains?
Where it does not, a loss in the other domain is no forgetting of what was not trained."""

import pandas as pd

from distill_nb.analysis.margins import p_value
from distill_nb.analysis.names import RULE, name_of, printed_rate
from distill_nb.analysis.published import comparisons, rounding
from distill_nb.analysis.published.conclusions import Finding, beyond_noise, conclude, points
from distill_nb.analysis.published.lookup import Lookup
from distill_nb.analysis.tidy import Best

TITLE = "Distillation helps in the domain that it trains"


def helps(look: Lookup) -> Finding:
    """Each run in its own domain at its best checkpoint, chosen by that very score, which flatters
    it; its last checkpoint beside it."""
    rows: list[dict] = []
    elsewhere = {}
    repeated = look.best.duplicated(["student", "teacher", "domain"], keep=False)
    for run, several in zip(look.best.itertuples(), repeated, strict=True):
        who = f"{name_of(run.student)} {name_of(run.teacher)} {run.domain}"
        who += f" at {printed_rate(run.learning_rate)}" if several else ""
        base, benchmark = look.cell(run, 0, run.benchmark), name_of(run.benchmark)
        for step in dict.fromkeys((run.step, run.last_step)):
            kind = "best" if step == run.step else "last"
            label = f"{who}, {kind}: {benchmark} above the baseline"
            sides = rounding.shares(look.cell(run, step, run.benchmark)), rounding.shares(base)
            rows += comparisons.against(
                label, "higher", *sides, group=who, decides=step == run.step
            )
        elsewhere[who] = _other_domain(look, run)
    if not rows and not look.missing:
        look.missing.append("distilled run")

    def sentence(numbers: pd.DataFrame) -> str:
        best = numbers[numbers["decides"]]
        sure = beyond_noise(best)
        gains, losses = best[sure & (best["difference"] > 0)], best[sure & (best["difference"] < 0)]
        text = (
            f"That it helps is {comparisons.verdict_counts(best)} runs. At their best checkpoint, "
            f"chosen by that very score, {len(gains)} gain beyond noise: {_listed(gains)}. "
            f"{len(losses)} lose even there: {_listed(losses)}"
        )
        if len(losses):
            there = [f"{r.group}: {elsewhere[r.group]}" for r in losses.itertuples()]
            text += (
                ". A run that falls in the domain that it trains did not merely forget the other "
                f"one ({', '.join(there)})"
            )
        return text + "."

    return conclude(7, TITLE, rows, look, sentence, ours=True)


def _listed(chosen: pd.DataFrame) -> str:
    parts = [f"{r.group} {points(r)} ({p_value(r.p_holm)})" for r in chosen.itertuples()]
    return "; ".join(parts) or "none"


def _other_domain(look: Lookup, run: Best) -> str:
    """The change in the other domain at the best checkpoint, in words."""
    (other,) = (domain for domain in RULE if domain != run.domain)
    quiet = Lookup(look.table, look.best)
    benchmark = quiet.benchmark(run, other)
    cell, base = quiet.cell(run, run.step, benchmark), quiet.cell(run, 0, benchmark)
    if cell is None or base is None:
        return "not reported"
    return f"{name_of(benchmark)} {cell.accuracy - base.accuracy:+.1f} points"

"""The six key findings of the published study, and a seventh of ours, as checks that run on any
tidy table (names.COLUMNS): the published numbers or our own.

A finding rests on comparisons with claims and verdicts of their own (comparisons.py), and is as
weak as its weakest part. Comparisons that do not decide are shown beside them. Every number in a
sentence comes from the table. A verdict must hold for every number of correct answers that is
printed so (rounding.py), and whichever of two checkpoints with one printed score is the best; where
it does not, the verdict is that it depends on rounding."""

from dataclasses import replace

import pandas as pd

from distill_nb.analysis.margins import MARGIN
from distill_nb.analysis.published import key_findings, own_domain
from distill_nb.analysis.published.conclusions import Finding
from distill_nb.analysis.published.lookup import Lookup, other_choices
from distill_nb.analysis.tidy import best_checkpoints

CHECKS = (*key_findings.CHECKS, own_domain.helps)


def check_all(table: pd.DataFrame, margin: float = MARGIN) -> list[Finding]:
    """The seven findings on a tidy table; margin: points, of what does not matter."""
    best = best_checkpoints(table)
    others = list(other_choices(table, best))
    found = []
    for check in CHECKS:
        finding = check(Lookup(table, best, margin))
        verdicts = {finding.verdict} | {check(Lookup(table, o, margin)).verdict for o in others}
        if len(verdicts) > 1:
            text = (
                "Two checkpoints have one printed score, and which of them is the best decides "
                f"between {' and '.join(sorted(verdicts))}. {finding.sentence}"
            )
            finding = replace(finding, verdict="depends on rounding", sentence=text)
        found.append(finding)
    return found


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """number, whose (the study's or ours), title, verdict, sentence: one row a finding."""
    rows = [(f.number, whose(f), f.title, f.verdict, f.sentence) for f in findings]
    return pd.DataFrame(rows, columns=["number", "whose", "title", "verdict", "sentence"])


def whose(finding: Finding) -> str:
    return "ours" if finding.ours else "the study's"


def rounding_sentence(findings: list[Finding]) -> str:
    """Whether the verdicts hold whatever rounding hides."""
    unsure = [str(f.number) for f in findings if f.verdict == "depends on rounding"]
    tested = [f for f in findings if f.verdict != "not testable"]
    if not tested:
        return "No finding can be tested on these numbers."
    verdicts = pd.concat([f.numbers["verdict"] for f in tested])
    count = (verdicts == "depends on rounding").sum()
    text = (
        f"All {len(tested)} verdicts hold for every number of correct answers that is printed so."
    )
    if unsure:
        text = f"The verdict of finding {', '.join(unsure)} depends on rounding."
    return f"{text} Of the {len(verdicts)} comparisons behind them {count} depend on it."

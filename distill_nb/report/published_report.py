"""What published.ipynb shows of the published study, made of its printed numbers: verdicts in
words, and tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from pandas import DataFrame

from distill_nb.analysis import baseline_changes
from distill_nb.analysis.names import name_of
from distill_nb.analysis.published import accuracies, claims, findings, fragility, grim
from distill_nb.analysis.published.conclusions import Finding
from distill_nb.report import study_tables

if TYPE_CHECKING:
    from IPython.display import HTML


@dataclass(frozen=True)
class PublishedStudy:
    """The published numbers, and what follows from them. margin: points, of what does not
    matter."""

    margin: float
    numbers: DataFrame  # a tidy table: accuracies.load_published

    @cached_property
    def findings(self) -> list[Finding]:
        """Its findings, checked."""
        return findings.check_all(self.numbers, self.margin)

    @cached_property
    def leads(self) -> DataFrame:
        """By how many problems each best checkpoint leads: fragility.table."""
        return fragility.table(self.numbers)

    @cached_property
    def claims(self) -> DataFrame:
        """What its write-up says, one claim a row: claims.load_claims."""
        return claims.load_claims()

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Benchmark → problems that the write-up states."""
        return claims.stated_sizes(self.claims)

    @cached_property
    def checked_claims(self) -> DataFrame:
        """Each claim against the tables: claims.check_claims."""
        return claims.check_claims(self.claims, self.numbers)

    @cached_property
    def tested(self) -> DataFrame:
        """Each number by the GRIM test: grim.check."""
        return grim.check(self.numbers, self.sizes)

    # ---- in words

    def verdicts(self) -> HTML:
        """HTML for a notebook: the findings with their verdicts, and what there is to say against
        the numbers themselves."""
        from IPython.display import HTML

        lines = []
        for f in self.findings:
            whose = " (ours)" if f.ours else ""
            said = f"<b>{escape(f.title)}</b>{whose}: <em>{escape(f.verdict)}</em>."
            lines.append(f'<li value="{f.number}">{said} {escape(f.sentence)}</li>')
        rest = [
            findings.rounding_sentence(self.findings),
            fragility.sentence(self.leads),
            self._of_claims(),
            self._of_grim(),
        ]
        return HTML(f"<ol>{''.join(lines)}</ol><p>{escape(' '.join(rest))}</p>")

    def _of_claims(self) -> str:
        counts = self.checked_claims["verdict"].value_counts()
        others = [f"{n} {verdict}" for verdict, n in counts.items() if verdict != "agrees"]
        return (
            f"Of the {len(self.checked_claims)} claims of the write-up {counts.get('agrees', 0)} "
            f"agree with its own tables; the rest: {', '.join(others) or 'none'}."
        )

    def _of_grim(self) -> str:
        failed = int((~self.tested["consistent"]).sum())
        return (
            f"{failed} of the {len(self.tested)} printed numbers cannot be a whole number of "
            "correct answers out of the problems that are stated."
        )

    # ---- tables

    def changes(self) -> DataFrame:
        """Changes from the baseline at the best and the last checkpoint, for reading."""
        return study_tables.forgetting(baseline_changes.forgetting_matrix(self.numbers))

    def possible(self) -> DataFrame:
        """The GRIM test by benchmark, number of problems and precision."""
        summary = grim.summary(self.numbers, self.sizes)
        return summary.assign(benchmark=summary["benchmark"].map(name_of))

    def disagreements(self) -> DataFrame:
        """The claims that do not simply agree with the tables: section, says, numbers, verdict."""
        found = self.checked_claims[self.checked_claims["verdict"] != "agrees"]
        return found[["section", "says", "numbers", "verdict"]].reset_index(drop=True)


def load(margin: float) -> PublishedStudy:
    """The study as it was printed."""
    return PublishedStudy(margin, accuracies.load_published())

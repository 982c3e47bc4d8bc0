"""What analyze.ipynb shows of the runs of a scale, made of their records: verdicts in words, and
tables. Each is made when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis import (
    change_parts,
    change_words,
    diagnosis,
    paired,
    results,
    selection,
    teacher_comparison,
    tidy,
)
from distill_nb.analysis.names import name_of
from distill_nb.analysis.params import AnalysisParams
from distill_nb.analysis.published import accuracies, findings, reproduction
from distill_nb.analysis.published.conclusions import Finding
from distill_nb.runtime import paths, provenance

if TYPE_CHECKING:
    from IPython.display import HTML

FIRST_RUN = {  # scale → what makes its first runs
    "pocket": "<code>make demo</code> makes the first one, in minutes",
    "full": "<code>make study</code> makes a study's, and <code>distill-nb run</code> any",
    "tiny": "<code>make study SCALE=tiny</code> makes all of them",
}
LINK = '<a href="published.ipynb">the published study</a>'


@dataclass(frozen=True)
class OurRuns:
    """The runs of a scale: their records, and what follows from these."""

    params: AnalysisParams
    folder: Path
    records: DataFrame  # one row a problem and sample: results.load_records

    @cached_property
    def accuracy(self) -> DataFrame:
        """One row a run, step and benchmark: results.accuracy_of."""
        return results.accuracy_of(self.records)

    @cached_property
    def tidy(self) -> DataFrame:
        """The accuracies in the published study's columns, on all problems: tidy.load_runs."""
        return tidy.load_runs(self.folder)

    @cached_property
    def scored(self) -> DataFrame:
        """The same on the problems that did not choose, where `select_on` is dev."""
        return selection.rescored(self.tidy, self.records, self.params.select_on)

    @cached_property
    def changes(self) -> DataFrame:
        """Every checkpoint against its base student: paired.paired_changes."""
        return paired.paired_changes(self.records, self.params.margin)

    @cached_property
    def split(self) -> DataFrame:
        """What each of these changes is made of: change_parts.parts."""
        return change_parts.parts(self.records)

    @cached_property
    def diagnosed(self) -> DataFrame:
        """And what that makes it: diagnosis.diagnose."""
        return diagnosis.diagnose(self.records, self.changes, self.split)

    @cached_property
    def teachers(self) -> DataFrame:
        """Teacher against teacher: teacher_comparison.compare."""
        parameters = results.training_parameters(self.folder)
        return teacher_comparison.compare(self.records, parameters, self.params.margin)

    @cached_property
    def findings(self) -> list[Finding]:
        """The published study's findings, checked on these runs."""
        return findings.check_all(self.scored, self.params.margin)

    @cached_property
    def beside(self) -> DataFrame:
        """Every published cell with ours: reproduction.compare."""
        published = accuracies.load_published()
        return reproduction.compare(published, self.tidy, self.params.margin)

    def parts(self) -> DataFrame:
        """`split` at each run's last checkpoint, without parts that no flipped answer has."""
        last = diagnosis.last_checkpoints(self.diagnosed)[diagnosis.KEYS]
        found = self.split.merge(last, on=diagnosis.KEYS)
        return found[(found["gained"] > 0) | (found["lost"] > 0)]

    # ---- in words

    def verdicts(self) -> HTML:
        """HTML for a notebook: of each run what changed, of teachers which is better, and what
        becomes of the study's findings; or a sentence that there are no runs yet."""
        from IPython.display import HTML

        if self.records.empty:
            return HTML(f"<p>{self._none_yet()}</p>")
        about = self.records.groupby("folder", sort=False).tail(1).set_index("folder")
        lines = []
        for folder, words in change_words.headlines(self.changes, self.diagnosed).items():
            r = about.loc[folder]
            what = f"{name_of(r['student'])}, {name_of(r['teacher'])} {r['domain']}"
            lines.append(f"<li><b>{escape(folder)}</b> ({escape(what)}), {escape(words)}.</li>")
        said = [f"<ul>{''.join(lines)}</ul>"] if lines else [f"<p>{self._no_checkpoint()}</p>"]
        compared = teacher_comparison.counted(self.teachers, self.params.margin)
        said += [f"<p>{escape(line)}</p>" for line in compared.splitlines()]
        said.append(f"<p>{escape(self._of_findings())} {self._of_reproduction()}</p>")
        return HTML("\n".join(said))

    def _none_yet(self) -> str:
        scale = self.params.scale
        trained = sum(1 for _ in self.folder.glob("*/provenance_train.json"))
        if trained:
            said = f"{trained} run{'s' * (trained > 1)} of scale {scale} {_have(trained)} begun"
            return f"{said}, and none was evaluated yet: run eval.ipynb. Until then this is empty."
        return (
            f"There are no runs of scale {scale} yet, so figures and tables below are empty: "
            f"{FIRST_RUN[scale]}. What others found is in {LINK}, which needs no run."
        )

    def _no_checkpoint(self) -> str:
        runs = ", ".join(self.records["folder"].unique())
        return f"Only base students were evaluated yet: {escape(runs)}."

    def _of_findings(self) -> str:
        verdicts = pd.Series([f.verdict for f in self.findings]).value_counts()
        if set(verdicts.index) == {"not testable"}:
            return "None of the study's findings can be tested on these runs."
        counts = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
        return f"Of the {len(self.findings)} findings that are checked on these runs: {counts}."

    def _of_reproduction(self) -> str:
        if (self.beside["verdict"] == "not run").all():
            return f"None of these runs is of {LINK}, so there is nothing to reproduce."
        return f"{escape(reproduction.sentence(self.beside, self.params.margin))} See {LINK}."


def load(p: AnalysisParams) -> OurRuns:
    """The runs of a scale as their files have them."""
    folder = paths.runs() / p.scale
    return OurRuns(p, folder, results.load_records(folder))


def write_provenance(ours: OurRuns, notebook: str) -> None:
    """Write what made the analysis; nothing where there are no runs."""
    provenance.write_analysis(ours.params, ours.folder, notebook)


def _have(n: int) -> str:
    return "has" if n == 1 else "have"

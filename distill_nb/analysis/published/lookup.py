"""Finding the runs and cells of a tidy table that a finding is about, and saying which are not
there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from distill_nb.analysis.margins import MARGIN
from distill_nb.analysis.names import RULE, Cell, chooses, name_of
from distill_nb.analysis.published import rounding
from distill_nb.analysis.tidy import Best, checkpoints_of


@dataclass
class Lookup:
    """Finds runs and cells in a tidy table; names of what it does not find go into `missing`."""

    table: pd.DataFrame
    best: pd.DataFrame  # best_checkpoints of the table
    margin: float = MARGIN  # points
    missing: list[str] = field(default_factory=list)

    def runs(self, student: str, teacher: str, domain: str) -> list[Best]:
        """The runs of that kind, lowest learning rate first (ours may repeat one at another
        rate)."""
        wanted = self.best[["student", "teacher", "domain"]] == [student, teacher, domain]
        return list(self.best[wanted.all(axis=1)].sort_values("learning_rate").itertuples())

    def run(self, student: str, teacher: str, domain: str) -> Best | None:
        """The first of `runs`; None where there is none."""
        runs = self.runs(student, teacher, domain)
        if not runs:
            self.missing.append(f"{name_of(student)} distilled from {name_of(teacher)} {domain}")
        return runs[0] if runs else None

    @cached_property
    def cells(self) -> dict[tuple, Cell]:
        """Every cell by what names it; of equals the first."""
        found: dict[tuple, Cell] = {}
        for r in self.table.itertuples():
            found.setdefault(_key(r if r.step else None, r.student, r.step, r.benchmark), r)
        return found

    def cell(self, run: Best, step: int, benchmark: str) -> Cell | None:
        """The cell of a run or, at step 0, of its student; None where there is none."""
        cell = self.cells.get(_key(run if step else None, run.student, step, benchmark))
        if cell is None:
            kind = f"{name_of(run.teacher)} {run.domain} step {step}" if step else "baseline"
            self.missing.append(f"{name_of(benchmark)} of {name_of(run.student)} {kind}")
        return cell

    def benchmark(self, run: Best, domain: str) -> str:
        """What measures a domain in this run: the first of RULE that runs of its student have."""
        own = self.table[(self.table["student"] == run.student) & (self.table["step"] > 0)]
        return chooses(domain, set(own["benchmark"])) or RULE[domain][0]


def _key(run: Best | Cell | None, student: str, step: int, benchmark: str) -> tuple:
    """run: None for a base student. A rate that is not known, nan, does not equal itself."""
    if run is None:
        return student, step, benchmark
    rate = None if run.learning_rate != run.learning_rate else run.learning_rate
    return student, step, benchmark, run.teacher, run.domain, rate


def other_choices(table: pd.DataFrame, best: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """`best` (tidy.best_checkpoints of the table) with another step as the best of one run, for
    each that may be it: rounding hides which of two equal printed scores is the higher."""
    if "dev" in table:  # chosen by a score that is not printed
        return
    for i, run in best.reset_index(drop=True).iterrows():
        cells = {c.step: c for c in checkpoints_of(table, run, run.benchmark).itertuples()}
        shares = {step: rounding.share(cell) for step, cell in cells.items()}
        first = shares[run.step]
        for step, own in shares.items():
            sure = first.lowest / first.n
            if step != run.step and own.highest / own.n > sure:
                other = best.reset_index(drop=True)
                other.loc[i, ["step", "accuracy"]] = [step, cells[step].accuracy]
                yield other

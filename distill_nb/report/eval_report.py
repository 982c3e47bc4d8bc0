"""What eval.ipynb shows of one run, made of its records."""

from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from distill_nb.analysis import flips, loops, results, slices, tidy
from distill_nb.params import Params
from distill_nb.runtime import durations, jsonl, paths

READINGS = ["bounds_lo", "bounds_hi", "flagged", "lenient", "second", "mean_tokens"]


@dataclass(frozen=True)
class EvaluatedRun:
    """The records of a run, and tables of them."""

    folder: Path
    records: DataFrame  # one row a problem and sample: results.load_records
    lines: int  # in the files of records, which may have an answer twice
    accuracy: DataFrame  # one row a step and benchmark: results.accuracy_of
    flips: DataFrame  # correct at only one of the base student and the last checkpoint
    flip_counts: DataFrame  # of these, by benchmark and kind

    def scores(self) -> DataFrame:
        """The accuracies for reading: a row a step, a column a benchmark."""
        return results.wide_table(self.accuracy)

    def tidy(self) -> DataFrame:
        """The accuracies as the figures of the study take them (tidy.table)."""
        return tidy.table(self.accuracy)

    def parts(self) -> DataFrame:
        """Parts of the benchmarks and pass@k (slices.table); without rows where the accuracies say
        it all."""
        table = slices.table(self.records).drop(columns=["folder", "student"])
        return slices.for_reading(table if slices.more_than_scores(table) else table.iloc[:0])

    def loops(self) -> DataFrame:
        """How many answers loop, and the tokens of loops (loops.table)."""
        return loops.table(self.records).drop(columns="folder")

    def other_readings(self) -> DataFrame:
        """The accuracies beside their bounds and what other graders say."""
        return self.accuracy[["benchmark", "step", "accuracy", *READINGS]]


def load(p: Params) -> EvaluatedRun:
    """The run as its files have it."""
    folder = paths.run_dir(p)
    records = results.load_records(folder.parent, [folder.name])
    found = flips.flips(records)
    return EvaluatedRun(
        folder=folder,
        records=records,
        lines=sum(len(jsonl.read(file)) for file in folder.glob("eval/step_*/*.jsonl")),
        accuracy=results.accuracy_of(records),
        flips=found,
        flip_counts=flips.counts(found),
    )


def ending(run: EvaluatedRun, record: dict) -> str:
    """How many records a run has, and how long its last session took that made any; record: its
    provenance."""
    took = durations.in_words(record["seconds"])
    return f"{run.lines:,} records; the last session that made any took {took}."

"""Which evaluations are finished. An unfinished one holds no fair sample of its problems, as those
with the longest prompts are asked first: it gets no verdict and chooses no checkpoint.

An evaluation is of one run, benchmark and step. It is finished where every problem that its
provenance names has all of its answers; where there is no such record, every problem that any step
of the run has answered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from distill_nb.analysis.names import RULE, chooses, name_of

KEYS = ["folder", "benchmark", "step"]


class Choice(NamedTuple):
    """What a run's best checkpoint can be chosen from."""

    folder: str
    benchmark: str  # that chooses (names.RULE); empty where the run has none of those
    records: pd.DataFrame  # its answers at finished checkpoints
    steps: list[int]  # the finished checkpoints
    why_not: str  # why there is nothing to choose, as a part of a sentence; empty where there is


def asked(scale_dir: Path) -> dict[tuple[str, str], int]:
    """(run's folder, benchmark) → how many problems its evaluation asks, from the provenance of
    each run of a scale, where that can be read."""
    found = {}
    for file in sorted(Path(scale_dir).glob("*/provenance_eval.json")):
        try:
            benchmarks = json.loads(file.read_text(encoding="utf-8")).get("benchmarks", {})
        except ValueError:  # damaged: what it would say is unknown
            continue
        for name, about in benchmarks.items():
            found[file.parent.name, name] = int(about.get("taken", 0))
    return found


def progress(records: pd.DataFrame) -> pd.DataFrame:
    """How far each evaluation is, from `results.load_records`; index KEYS, columns answered
    (problems with all of their answers, errors among them), of (problems), finished.

    A column `asked` of the records, as of `asked`, counts where it is larger than the number of
    problems that any step has answered."""
    columns = ["answered", "of", "finished"]
    if not len(records):
        return pd.DataFrame(columns=columns)
    answers = records.groupby([*KEYS, "task_id"]).size()
    runs = [answers.index.get_level_values(key) for key in KEYS[:2]]
    whole = answers == answers.groupby(runs).transform("max")
    table = whole.groupby(level=KEYS).sum().to_frame("answered")
    of = records.groupby(KEYS[:2])["task_id"].nunique()
    if "asked" in records:
        of = pd.concat([of, records.groupby(KEYS[:2])["asked"].max()], axis=1).max(axis=1)
    table["of"] = of.reindex(table.index.droplevel("step")).to_numpy().astype(int)
    table["finished"] = table["answered"] >= table["of"]
    return table[columns]


def choices(records: pd.DataFrame) -> Iterator[Choice]:
    """A Choice of each run that has checkpoints, from `results.load_records`."""
    if not len(records):
        return
    done = progress(records)["finished"]
    for folder, run in records[records["step"] > 0].groupby("folder"):
        domain = run["domain"].iloc[0]
        name = chooses(domain, set(run["benchmark"]))
        if name is None:
            names = " or ".join(name_of(n) for n in RULE.get(domain, ())) or "any benchmark"
            why = f"it was not evaluated on {names}, which would choose"
            yield Choice(folder, "", run.iloc[:0], [], why)
            continue
        own = run[run["benchmark"] == name]
        steps = [int(step) for step in sorted(own["step"].unique()) if done[folder, name, step]]
        why = ""
        if len(steps) < 2:
            count = {0: "no checkpoint is", 1: f"only step {sum(steps)} is"}[len(steps)]
            why = f"{count} finished on {name_of(name)}"
        yield Choice(folder, name, own[own["step"].isin(steps)], steps, why)

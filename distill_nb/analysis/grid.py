"""Runs that differ in a setting, such as the learning rate or the rank: which settings there are,
by the parameters of training, and what the runs of each answered.

A setting is one teacher with one value of each key that varies. Its runs are replicates, which
differ in their seed. All are taken at their last finished checkpoint, so that nothing was chosen.

A grid is a student in a domain, on one benchmark, where some key varies under one teacher. Where
keys vary from teacher to teacher only, as in the published study, there is none."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from distill_nb.analysis import replicates
from distill_nb.analysis.names import chooses, name_of, printed_rate

# The parameters of training that may be settings, in the order in which they are shown.
KEYS = (
    "learning_rate", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "lora_experts",
    "lora_expert_rank", "lr_schedule", "warmup_steps", "weight_decay", "max_grad_norm",
    "batch_size", "max_steps", "n_examples", "max_length", "overlong", "load_in_4bit",
)  # fmt: skip


class Setting(NamedTuple):
    """One way to train: a teacher, and a value of each key that varies."""

    teacher: str
    values: tuple  # of the keys of the grid
    step: int
    shares: np.ndarray  # [runs × problems of the grid] shares of correct answers, 0 to 1
    folders: list[str]


class Grid(NamedTuple):
    """The settings of one student and domain on one benchmark; all answered the same problems."""

    student: str
    domain: str
    benchmark: str
    keys: tuple[str, ...]  # that vary
    problems: list[str]
    settings: list[Setting]

    @property
    def where(self) -> str:
        """The grid in words."""
        return f"{name_of(self.student)}, {self.domain}, {name_of(self.benchmark)}"


def grids(
    records: pd.DataFrame, parameters: dict[str, dict], choosing_only: bool = False
) -> Iterator[Grid]:
    """The grids in `results.load_records`; parameters: run's folder → its training's parameters.
    choosing_only: on the benchmark that chooses alone (names.RULE).

    Problems without a sound answer from one of the runs are left out. Of a setting's runs those are
    left out that are not as far as the others."""
    last = replicates.last_finished(records)
    if not len(last):
        return
    last = last[last["folder"].isin(list(parameters))]
    for (student, domain), group in last.groupby(["student", "domain"]):
        known = {folder: parameters[folder] for folder in group["folder"].unique()}
        teachers = group.groupby("folder")["teacher"].first().to_dict()
        keys = _varied(known, teachers)
        if not keys:
            continue
        first = chooses(domain, set(group["benchmark"]))
        for benchmark, own in group.groupby("benchmark"):
            if benchmark == first or not choosing_only:
                grid = _grid(own, keys, known, teachers)
                if len(grid[1]) > 1:
                    yield Grid(student, domain, benchmark, keys, *grid)


def _varied(known: dict[str, dict], teachers: dict[str, str]) -> tuple[str, ...]:
    """The keys in which two runs of one teacher differ."""
    found = []
    for key in KEYS:
        values: dict[str, set] = {}
        for folder, given in known.items():
            values.setdefault(teachers[folder], set()).add(plain(given.get(key)))
        if any(len(of_teacher) > 1 for of_teacher in values.values()):
            found.append(key)
    return tuple(found)


def plain(value: Any) -> Any:
    """A value that can be compared and sorted: a list as text."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _grid(
    own: pd.DataFrame, keys: tuple[str, ...], known: dict[str, dict], teachers: dict[str, str]
) -> tuple[list[str], list[Setting]]:
    """(problems, settings) of the records of one benchmark."""
    folders: dict[tuple, list[str]] = {}
    for folder in sorted(own["folder"].unique()):
        values = tuple(plain(known[folder].get(key)) for key in keys)
        folders.setdefault((teachers[folder], values), []).append(folder)
    parts = []
    for (teacher, values), names in sorted(folders.items(), key=lambda item: _order(*item[0])):
        rows = own[own["folder"].isin(names)]
        step = int(rows["step"].max())
        shares = replicates.matrix(rows[rows["step"] == step])
        parts.append((teacher, values, step, shares))
    every = pd.concat([shares for *_, shares in parts]).dropna(axis="columns")
    settings = [
        Setting(teacher, values, step, every.loc[shares.index].to_numpy(), list(shares.index))
        for teacher, values, step, shares in parts
    ]
    return list(every.columns), settings


def _order(teacher: str, values: tuple) -> tuple:
    return teacher, *((str(type(v).__name__), v) for v in values)


def value_in_words(key: str, value: Any) -> str:
    """`learning rate 2e-5`. A column of a table may have made 32.0 of 32."""
    shown = f"{value:g}" if isinstance(value, float) else value
    if key == "learning_rate":
        shown = printed_rate(float(value))
    return f"{key.replace('_', ' ')} {shown}"


def in_words(setting: Setting, keys: tuple[str, ...]) -> str:
    """`R1, learning rate 2e-5, lora rank 8`."""
    parts = [value_in_words(k, v) for k, v in zip(keys, setting.values, strict=True)]
    return ", ".join([name_of(setting.teacher), *parts])

"""A grid over a run: one run for each combination of values, named by what differs.

    grid: {learning_rate: [2.0e-5, 2.0e-4], lora_rank: [8, 32], seed: [0, 1]}

makes of the run `base` base__lr_2e-05__r_8, base__lr_2e-05__r_32 and so on, each with two seeds. A
seed is no part of a run's name: seeds of one setting are replicates, in the folders <name> and
<name>_seed1."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from distill_nb.params import Params, checks

# Short names of the keys that are most often varied; another key has its own.
SHORT = {
    "learning_rate": "lr", "lora_rank": "r", "lora_alpha": "alpha", "max_steps": "steps",
    "batch_size": "batch", "max_length": "length", "n_examples": "n",
}  # fmt: skip
FIXED = ("run_name", "scale")  # the study gives these
LONGEST = 200  # characters of a run's name: a folder's may have 255 bytes
KEYS = {f.name: f for f in fields(Params) if f.name not in FIXED}


def expand(run_name: str, grid: Mapping[str, list], source: str) -> list[tuple[str, dict]]:
    """[(run's name, its values of the grid's keys)], the last key varying fastest. `source` opens
    each sentence. Raises ValueError for a key that is no parameter of a run, a value that the
    parameter cannot take, a list that is empty or has a value twice, and names that are equal or
    too long."""
    if not isinstance(grid, dict) or not grid:
        raise ValueError(
            f"{source}: grid is {grid!r}: write keys with lists, as in "
            "{learning_rate: [2.0e-5, 2.0e-4]}."
        )
    axes = {key: _axis(key, values, f"{source}: grid") for key, values in grid.items()}
    made: dict[tuple[str, int], dict] = {}
    for values in itertools.product(*axes.values()):
        changes = dict(zip(axes, values, strict=True))
        parts = [
            f"{SHORT.get(key, key)}_{_word(value)}"
            for key, value in changes.items()
            if key != "seed" and len(axes[key]) > 1
        ]
        name = "__".join([run_name, *parts])
        if len(name) > LONGEST:
            raise ValueError(
                f"{source}: grid makes the name {name[:60]}…, of {len(name)} characters: vary "
                "fewer keys, or values with shorter names."
            )
        if (name, changes.get("seed", 0)) in made:
            raise ValueError(
                f"{source}: grid makes two runs of the name {name}: values of one key must differ "
                "in their letters, digits, - or dots."
            )
        made[name, changes.get("seed", 0)] = changes
    return [(name, changes) for (name, _), changes in made.items()]


def _axis(key: str, values: Any, source: str) -> list:
    """The values of a key, each of the key's type."""
    if not isinstance(values, list) or not values:
        raise ValueError(f"{source}: {key} is {values!r}: write a list, as in [1, 2].")
    checked = [value_of(key, value, source) for value in values]
    if twice := [value for i, value in enumerate(checked) if value in checked[:i]]:
        raise ValueError(f"{source}: {key} has {twice[0]!r} twice: take one of them out.")
    return checked


def value_of(key: str, value: Any, source: str) -> Any:
    """A value as the run's parameter `key` has it. Raises ValueError, one sentence that `source`
    opens, for what is no parameter, or no value of it."""
    if key not in KEYS:
        why = "the study gives it" if key in FIXED else "it is no parameter of a run"
        raise ValueError(f"{source}: {key} cannot be set, for {why}: take it out.")
    try:
        checked = checks.check_type(str(KEYS[key].type), value)
        checks.check_range(KEYS[key].metadata, checked)
    except TypeError as error:
        raise ValueError(f"{source}: {key} {error}.") from None
    return checked


def _word(value: Any) -> str:
    """A value as a part of a folder's name: of a file or hub id the last part, without its end."""
    if isinstance(value, list | dict):
        return "-".join(map(_word, value)) or "none"
    text = str(value)
    if "/" in text:
        text = Path(text).name
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text.removesuffix(".jsonl").removesuffix(".parquet"))

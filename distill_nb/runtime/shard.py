"""One of several jobs that share a piece of work: `2_of_4`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
MOST = 999  # shards of one piece of work


@dataclass(frozen=True)
class Shard:
    """The shard `number`, from 1, of `of`."""

    number: int
    of: int

    def __post_init__(self):
        if not 1 <= self.number <= self.of <= MOST:
            raise ValueError(
                f"shard {self.number} of {self.of}: give a number from 1 to that of all shards, of "
                f"which there are at most {MOST}."
            )

    def __str__(self) -> str:
        return f"{self.number}_of_{self.of}"

    def has(self, place: float) -> bool:
        """Whether a place in the whole work, from 0 up to 1, is this shard's."""
        return int(place * self.of) + 1 == self.number

    def every(self, items: Sequence[Item]) -> list[Item]:
        """Every `of`-th item, beginning with the `number`-th."""
        return list(items[self.number - 1 :: self.of])


def parse(text: str) -> Shard:
    """The shard of its name. Raises ValueError for another text."""
    found = re.fullmatch(r"(\d{1,3})_of_(\d{1,3})", text)
    if not found:
        raise ValueError(f"shard {text!r}: write one as in 2_of_4.")
    return Shard(int(found[1]), int(found[2]))


def shards(of: int) -> list[Shard]:
    """All shards of one piece of work."""
    return [Shard(number, of) for number in range(1, of + 1)]


def folders(parent: Path) -> list[Path]:
    """The folders of shards below a folder, of whatever number of shards."""
    found = sorted(parent.iterdir()) if parent.is_dir() else []
    return [f for f in found if re.fullmatch(r"\d{1,3}_of_\d{1,3}", f.name)]

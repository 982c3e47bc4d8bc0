"""Which of the rows that are good by themselves make a set: one problem after another, without
near-duplicates.

There may be hundreds of thousands of rows, so they are held in arrays. Only those statements are
compared whose MinHashes share as many bands as near-duplicates must: of two that agree in four
fifths of 128 values, at most 25 of the 32 bands hold a value in which they differ."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distill_nb.traces.decontamination.statements import BANDS, PERMUTATIONS, NearDuplicates
from distill_nb.traces.files import read_columns
from distill_nb.traces.params import TraceParams

READ = ["file", "group", "row", "choice", "characters"]  # of a part, into an array of GOOD
# at: the row's place among all rows of the source; row: its place in its file; group: the row group
# there
GOOD = np.dtype([
    ("at", "i8"), ("file", "i4"), ("group", "i4"), ("row", "i8"), ("choice", "i4"),
    ("characters", "i8"), ("problem", "S16"),
])  # fmt: skip
REASONS = ("", "same_problem", "near_duplicate", "regraded_wrong", "not_needed")


@dataclass
class Verdicts:
    """What became of good rows. reasons: index into REASONS, of each row of the source."""

    reasons: np.ndarray
    details: dict[int, str] = field(default_factory=dict)
    # the evaluation problem of the same template, of good rows
    templates: dict[int, str] = field(default_factory=dict)

    def reject(self, at: int | np.ndarray, reason: str) -> None:
        """at: a row's place, or an array of places."""
        self.reasons[at] = REASONS.index(reason)


@dataclass
class Problems:
    """Problem ids and the `bands` of their statements, in pieces: S16 [n] and uint32 [n, BANDS]."""

    ids: list[np.ndarray] = field(default_factory=list)
    bands: list[np.ndarray] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def add(self, bands: dict[str, bytes]) -> None:
        """Add those that are not there yet, from problem id → bands."""
        new = {problem: own for problem, own in bands.items() if int(problem, 16) not in self.seen}
        self.seen.update(int(problem, 16) for problem in new)
        self.ids.append(np.array(list(new), "S16"))
        self.bands.append(np.frombuffer(b"".join(new.values()), np.uint32).reshape(-1, BANDS))


def rank(seed: int, problem_id: str) -> bytes:
    """Where a problem stands in the order."""
    return hashlib.sha256(f"{seed} {problem_id}".encode()).digest()


def select(p: TraceParams, parts: list[Path]) -> tuple[np.ndarray, Verdicts]:
    """(the good rows as GOOD, in the order in which they are taken; verdicts on all rows)."""
    good, described, verdicts = _read(parts)
    problems, of_row = np.unique(good["problem"], return_inverse=True)
    ranks = [rank(p.seed, problem.decode()) for problem in problems.tolist()]
    order = sorted(range(len(problems)), key=ranks.__getitem__)
    place = np.empty(len(problems), np.int64)
    place[order] = np.arange(len(problems))
    length = [good["characters"]] if p.pick == "shortest" else []
    by = np.lexsort((good["row"], good["file"], *length, place[of_row]))
    good, of_row = good[by], of_row[by]
    first = np.searchsorted(place[of_row], np.arange(len(problems)))  # of each problem, in order
    nth = np.arange(len(good)) - first[place[of_row]]
    near = near_duplicates(p.near_duplicate, problems[order], described, parts)
    repeats = np.isin(good["problem"], np.array(list(near), "S16"))
    verdicts.details = {int(row["at"]): near[row["problem"].decode()] for row in good[repeats]}
    verdicts.reject(good["at"][repeats], "near_duplicate")
    more = ~repeats & (nth >= p.per_problem)
    verdicts.reject(good["at"][more], "same_problem")
    return good[~repeats & ~more], verdicts


def _read(parts: list[Path]) -> tuple[np.ndarray, Problems, Verdicts]:
    """(good rows, their problems, verdicts in which nothing is rejected yet)."""
    good, described, rows = [np.empty(0, GOOD)], Problems(), 0
    templates: dict[int, str] = {}
    for part in parts:
        columns = [*READ, "problem_id", "reason", "detail", "bands"]
        table = read_columns(part, columns).to_pydict()
        at = np.flatnonzero(np.array([not r for r in table["reason"]], bool))
        own = np.empty(len(at), GOOD)
        for name in READ:
            own[name] = [table[name][i] for i in at]
        own["problem"] = [table["problem_id"][i] for i in at]
        own["at"] = at + rows
        good.append(own)
        templates |= {rows + int(i): table["detail"][i] for i in at if table["detail"][i]}
        ids, bands = table["problem_id"], table["bands"]  # a problem's first row alone has bands
        described.add({ids[i]: bands[i] for i in at if bands[i] is not None})
        rows += len(table["reason"])
    return np.concatenate(good), described, Verdicts(np.zeros(rows, np.int8), templates=templates)


def near_duplicates(
    threshold: float, ordered: np.ndarray, described: Problems, parts: list[Path]
) -> dict[str, str]:
    """problem id → "which earlier one it nearly repeats (similarity)". ordered: all problem ids."""
    if threshold >= 1 or not len(ordered):
        return {}
    ids, bands = np.concatenate(described.ids), np.concatenate(described.bands)
    shared = np.zeros(len(ids), np.int64)
    least = max(1, BANDS - int(PERMUTATIONS * (1 - threshold) + 1e-6))
    for band in bands.T:
        order = np.argsort(band)
        same = band[order[1:]] == band[order[:-1]]
        shared[order[np.append(same, False) | np.append(False, same)]] += 1
    candidates = ids[shared >= least]
    sketches = _sketches(parts, {i.decode() for i in candidates})
    near, repeats = NearDuplicates(threshold), {}
    for problem in (i.decode() for i in ordered[np.isin(ordered, candidates)]):
        if like := near.first_like(problem, *sketches.pop(problem)):
            repeats[problem] = f"{like[0]} ({like[1]:.2f})"
    return repeats


def _sketches(parts: list[Path], wanted: set[str]) -> dict[str, tuple[bytes, str]]:
    """problem id → (sketch, numbers)."""
    found: dict[str, tuple[bytes, str]] = {}
    for part in parts if wanted else ():
        table = read_columns(part, ["problem_id", "sketch", "numbers"]).to_pydict()
        for i, sketch, numbers in zip(*table.values(), strict=True):
            if sketch is not None and i in wanted:
                found.setdefault(i, (sketch, numbers))
    return found

"""Which of the rows that are good by themselves make a set: one problem after another, without near-duplicates.

There may be hundreds of thousands, so they are held in arrays, and only statements that share a band of their MinHash with
another one (all others have no near-duplicate) are compared.
"""
from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import statements, trace_files

# at: the row's place among all rows of the source; row: its place in its file; group: the row group there
GOOD = np.dtype([("at", "i8"), ("file", "i4"), ("group", "i4"), ("row", "i8"), ("choice", "i4"), ("characters", "i8"),
                 ("problem", "S16")])
REASONS = ("", "same_problem", "near_duplicate", "regraded_wrong", "not_needed")


@dataclass
class Verdicts:
    """What became of rows that were good by themselves. reasons: index into REASONS, of each row of the source."""

    reasons: np.ndarray
    details: dict[int, str] = field(default_factory=dict)
    templates: dict[int, str] = field(default_factory=dict)  # the evaluation problem of the same template, of good rows

    def reject(self, at, reason: str) -> None:
        """at: a row's place, or an array of places."""
        self.reasons[at] = REASONS.index(reason)


def rank(seed: int, problem_id: str) -> bytes:
    """Where a problem stands in the order."""
    return hashlib.sha256(f"{seed} {problem_id}".encode()).digest()


def bands_of(sketches: list[bytes]) -> list[bytes]:
    """For each statement's sketch, a number of 32 bits for each of its bands: equal where the bands are."""
    from rensa import RMinHash

    minhash, digests = RMinHash(statements.PERMUTATIONS, statements.SEED), []
    for sketch in sketches:
        minhash.__setstate__(sketch)
        digests.append(minhash.digest())
    rows = statements.PERMUTATIONS // statements.BANDS
    values = np.array(digests, np.uint64).reshape(len(sketches), statements.BANDS, rows)
    factors = np.array([2654435761 + 2 * 40503 * k for k in range(rows)], np.uint64)
    return [row.tobytes() for row in ((values * factors).sum(axis=2) >> np.uint64(16)).astype(np.uint32)]


def choose(p, parts: list[Path]) -> tuple[np.ndarray, Verdicts]:
    """(the good rows in the order in which they are taken, an array of GOOD; the verdicts on all rows of the source)."""
    good, found, seen, numbers, bands, templates, rows = [], [], set(), [], [], {}, 0
    for part in parts:
        names = [n for n in GOOD.names if n not in ("at", "problem")]
        table = _read(part, [*names, "problem_id", "reason", "detail", "numbers", "bands"])
        at = np.flatnonzero(np.array([not r for r in table["reason"]], bool))
        own = np.empty(len(at), GOOD)
        for name in names:
            own[name] = [table[name][i] for i in at]
        own["problem"] = [table["problem_id"][i] for i in at]
        own["at"] = at + rows
        good.append(own)
        templates |= {rows + int(i): table["detail"][i] for i in at if table["detail"][i]}
        for i in at:
            if table["bands"][i] is not None and table["problem_id"][i] not in seen:
                seen.add(table["problem_id"][i])
                found.append(table["problem_id"][i])
                numbers.append(table["numbers"][i])
                bands.append(np.frombuffer(table["bands"][i], np.uint32))
        rows += len(table["reason"])
    good = np.concatenate([np.empty(0, GOOD), *good])
    verdicts = Verdicts(np.zeros(rows, np.int8), templates=templates)
    problems, of_row = np.unique(good["problem"], return_inverse=True)
    order = sorted(range(len(problems)), key=lambda i: rank(p.seed, problems[i].decode()))
    place = np.empty(len(problems), np.int64)
    place[order] = np.arange(len(problems))
    keys = (good["row"], good["file"], *([good["characters"]] if p.pick == "shortest" else []), place[of_row])
    good, of_row = good[by := np.lexsort(keys)], of_row[by]
    first = np.searchsorted(place[of_row], np.arange(len(problems)))  # of each problem, in their order
    nth = np.arange(len(good)) - first[place[of_row]]
    near = near_duplicates(p.near_duplicate, [problems[i].decode() for i in order], found, numbers, bands, parts)
    repeats = np.isin(good["problem"], np.array(list(near), "S16"))
    verdicts.details = {int(row["at"]): near[row["problem"].decode()] for row in good[repeats]}
    verdicts.reject(good["at"][repeats], "near_duplicate")
    more = ~repeats & (nth >= p.per_problem)
    verdicts.reject(good["at"][more], "same_problem")
    return good[~repeats & ~more], verdicts


def near_duplicates(threshold: float, ordered: list[str], found: list[str], numbers: list[str], bands: list[np.ndarray],
                    parts: list[Path]) -> dict[str, str]:
    """problem id → "which earlier one it nearly repeats (similarity)". ordered: all problem ids in the order in which they are
    taken; found: the same in another order, with `numbers` and `bands` in that one."""
    if threshold >= 1 or not found:
        return {}
    table, shared = np.array(bands), np.zeros(len(found), bool)
    for band in table.T:
        order = np.argsort(band)
        same = band[order[1:]] == band[order[:-1]]
        shared[order[1:][same]] = shared[order[:-1][same]] = True
    known = {found[i]: numbers[i] for i in np.flatnonzero(shared)}
    sketches = _sketches(parts, set(known))
    near, repeats = statements.NearDuplicates(threshold), {}
    for problem in ordered:
        if problem in known and (like := near.first_like(problem, sketches.pop(problem), known[problem])):
            repeats[problem] = f"{like[0]} ({like[1]:.2f})"
    return repeats


def _sketches(parts: list[Path], wanted: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in parts if wanted else ():
        table = _read(part, ["problem_id", "sketch"])
        found |= {i: s for i, s in zip(table["problem_id"], table["sketch"], strict=True)
                  if s is not None and i in wanted and i not in found}
    return found


def _read(part: Path, columns: list[str]) -> dict[str, list]:
    return trace_files.columns_of(part, columns).to_pydict()

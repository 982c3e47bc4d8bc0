"""Which of the rows that are good by themselves make a set: one problem after another, without
near-duplicates.

There may be hundreds of thousands, so they are held in arrays, and only those statements are
compared that share as many bands of their MinHash with others as near-duplicates must: of two that
agree in four fifths of 128 values, at most 25 of the 32 bands hold one in which they differ."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distill_nb.traces import files
from distill_nb.traces.decontamination import statements

# at: the row's place among all rows of the source; row: its place in its file; group: the row group
# there
GOOD = np.dtype(
    [
        ("at", "i8"),
        ("file", "i4"),
        ("group", "i4"),
        ("row", "i8"),
        ("choice", "i4"),
        ("characters", "i8"),
        ("problem", "S16"),
    ]
)
REASONS = ("", "same_problem", "near_duplicate", "regraded_wrong", "not_needed")


@dataclass
class Verdicts:
    """What became of rows that were good by themselves. reasons: index into REASONS, of each row of
    the source."""

    reasons: np.ndarray
    details: dict[int, str] = field(default_factory=dict)
    # the evaluation problem of the same template, of good rows
    templates: dict[int, str] = field(default_factory=dict)

    def reject(self, at, reason: str) -> None:
        """at: a row's place, or an array of places."""
        self.reasons[at] = REASONS.index(reason)


def rank(seed: int, problem_id: str) -> bytes:
    """Where a problem stands in the order."""
    return hashlib.sha256(f"{seed} {problem_id}".encode()).digest()


def bands_of(sketches: list[bytes]) -> list[bytes]:
    """For each statement's sketch, a number of 32 bits for each of its bands: equal where the bands
    are."""
    from rensa import RMinHash

    minhash, digests = RMinHash(statements.PERMUTATIONS, statements.SEED), []
    for sketch in sketches:
        minhash.__setstate__(sketch)
        digests.append(minhash.digest())
    rows = statements.PERMUTATIONS // statements.BANDS
    values = np.array(digests, np.uint64).reshape(len(sketches), statements.BANDS, rows)
    factors = np.array([2654435761 + 2 * 40503 * k for k in range(rows)], np.uint64)
    return [
        row.tobytes() for row in ((values * factors).sum(axis=2) >> np.uint64(16)).astype(np.uint32)
    ]


def choose(p, parts: list[Path]) -> tuple[np.ndarray, Verdicts]:
    """(the good rows in the order in which they are taken, an array of GOOD; the verdicts on all
    rows of the source)."""
    good, found, seen, bands, templates, rows = [], [], set(), [], {}, 0
    for part in parts:
        names = [n for n in GOOD.names if n not in ("at", "problem")]
        table = _read(part, [*names, "problem_id", "reason", "detail", "bands"])
        at = np.flatnonzero(np.array([not r for r in table["reason"]], bool))
        own = np.empty(len(at), GOOD)
        for name in names:
            own[name] = [table[name][i] for i in at]
        own["problem"] = [table["problem_id"][i] for i in at]
        own["at"] = at + rows
        good.append(own)
        templates |= {rows + int(i): table["detail"][i] for i in at if table["detail"][i]}
        described = {
            table["problem_id"][i]: table["bands"][i] for i in at if table["bands"][i] is not None
        }
        new = {problem: own for problem, own in described.items() if int(problem, 16) not in seen}
        seen.update(int(problem, 16) for problem in new)
        found.append(np.array(list(new), "S16"))
        bands.append(np.frombuffer(b"".join(new.values()), np.uint32).reshape(-1, statements.BANDS))
        rows += len(table["reason"])
    good = np.concatenate([np.empty(0, GOOD), *good])
    verdicts = Verdicts(np.zeros(rows, np.int8), templates=templates)
    problems, of_row = np.unique(good["problem"], return_inverse=True)
    order = sorted(range(len(problems)), key=lambda i: rank(p.seed, problems[i].decode()))
    place = np.empty(len(problems), np.int64)
    place[order] = np.arange(len(problems))
    keys = (
        good["row"],
        good["file"],
        *([good["characters"]] if p.pick == "shortest" else []),
        place[of_row],
    )
    good, of_row = good[by := np.lexsort(keys)], of_row[by]
    # of each problem, in their order
    first = np.searchsorted(place[of_row], np.arange(len(problems)))
    nth = np.arange(len(good)) - first[place[of_row]]
    near = near_duplicates(p.near_duplicate, problems[order], found, bands, parts)
    repeats = np.isin(good["problem"], np.array(list(near), "S16"))
    verdicts.details = {int(row["at"]): near[row["problem"].decode()] for row in good[repeats]}
    verdicts.reject(good["at"][repeats], "near_duplicate")
    more = ~repeats & (nth >= p.per_problem)
    verdicts.reject(good["at"][more], "same_problem")
    return good[~repeats & ~more], verdicts


def near_duplicates(
    threshold: float,
    ordered: np.ndarray,
    found: list[np.ndarray],
    bands: list[np.ndarray],
    parts: list[Path],
) -> dict[str, str]:
    """problem id → "which earlier one it nearly repeats (similarity)". ordered: all problem ids in
    the order in which they are taken; found: the same in another order, in pieces, with their
    `bands`, uint32 [n, BANDS]."""
    if threshold >= 1 or not len(ordered):
        return {}
    found, bands = np.concatenate(found), np.concatenate(bands)
    shared = np.zeros(len(found), np.int64)
    least = max(1, statements.BANDS - int(statements.PERMUTATIONS * (1 - threshold) + 1e-6))
    for band in bands.T:
        order = np.argsort(band)
        same = band[order[1:]] == band[order[:-1]]
        shared[order[np.append(same, False) | np.append(False, same)]] += 1
    candidates = found[shared >= least]
    described = _described(parts, {i.decode() for i in candidates})
    near, repeats = statements.NearDuplicates(threshold), {}
    for problem in (i.decode() for i in ordered[np.isin(ordered, candidates)]):
        if like := near.first_like(problem, *described.pop(problem)):
            repeats[problem] = f"{like[0]} ({like[1]:.2f})"
    return repeats


def _described(parts: list[Path], wanted: set[str]) -> dict[str, tuple[bytes, str]]:
    """problem id → (sketch, numbers)."""
    found: dict[str, tuple[bytes, str]] = {}
    for part in parts if wanted else ():
        table = _read(part, ["problem_id", "sketch", "numbers"])
        found |= {
            i: (sketch, numbers)
            for i, sketch, numbers in zip(*table.values(), strict=True)
            if sketch is not None and i in wanted and i not in found
        }
    return found


def _read(part: Path, columns: list[str]) -> dict[str, list]:
    return files.columns_of(part, columns).to_pydict()

"""What of a difference is the teacher's, and what another setting's, where both were varied.

Two teachers at two values of a setting, such as the learning rate, are four ways to train:

              low    high
    first     a      b
    second    c      d

In the published study there are only a and d, and nobody can say which of the two made d - a. With
all four, the teacher's part is the mean of what the teacher changes at either value, and the
setting's part the mean of what the value changes under either teacher:

    teacher  ((c - a) + (d - b)) / 2      setting  ((b - a) + (d - c)) / 2

The two add up to d - a (they are the main effects of a 2 × 2 design, and its Shapley values). Where
one of them depends on the other, (d - c) - (b - a) is not 0, and neither is "the" effect: that
interaction is shown beside them.

The unit is the run: with two seeds or more of each way the intervals count what seeds do
(replicates.contrast). From one run each only the problems are counted, and no part is called
shown."""

from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import families, margins, replicates, stats
from distill_nb.analysis.grid import Grid, Setting, value_in_words
from distill_nb.analysis.names import name_of
from distill_nb.analysis.teacher_comparison import ALONE, BEYOND, POSSIBLE_SD, RUNS

PARTS = {  # of a, b, c, d
    "difference": (-1.0, 0.0, 0.0, 1.0),
    "teacher": (-0.5, -0.5, 0.5, 0.5),
    "setting": (-0.5, 0.5, -0.5, 0.5),
    "interaction": (1.0, -1.0, -1.0, 1.0),
}
COLUMNS = [
    "student", "domain", "benchmark", "first", "second", "key", "low", "high", "others", "seeds",
    "n", "part", "change", "lo", "hi", "level", "p", "p_adjusted", "method", "seed_sd", "enough",
    "verdict",
]  # fmt: skip
SHOWN, OPEN = "shown", "inconclusive"


class Row(Protocol):
    """A row of `effects`, of what sentences say."""

    student: str
    domain: str
    benchmark: str
    first: str  # teachers
    second: str
    key: str
    low: object
    high: object
    others: str
    seeds: str
    n: int
    part: str
    change: float
    lo: float
    hi: float
    level: float
    method: str
    verdict: str


class _Square(NamedTuple):
    """Four settings: two teachers × two values of one key, all else equal."""

    first: str
    second: str
    key: str
    low: object
    high: object
    others: str  # the keys that vary beside it, in words
    ways: list[np.ndarray]  # a, b, c, d: [runs × problems]


def effects(grids: list[Grid], margin: float = margins.MARGIN) -> pd.DataFrame:
    """One row a grid, pair of teachers, pair of values of one key, and part (PARTS), columns
    COLUMNS; points. low is the smaller value; `difference` is second at high less first at low.

    p_adjusted: by Holm over teacher and setting of one square; the other two parts are described
    and not tested. verdict: by runs SHOWN, `equivalent` within the margin, or OPEN; from one run of
    a way BEYOND or ALONE: the latter where a spread between seeds of POSSIBLE_SD would make it in
    one study of twenty. enough: the spread (points sd) that would, from one run."""
    rows = []
    for grid in grids:
        for square in _squares(grid):
            rows += _rows(grid, square, margin)
    return pd.DataFrame(rows, columns=COLUMNS)


def _squares(grid: Grid) -> list[_Square]:
    found = []
    cells = {(s.teacher, s.values): s for s in grid.settings}
    teachers = sorted({s.teacher for s in grid.settings})
    for at, key in enumerate(grid.keys):
        for others in dict.fromkeys(_without(s, at) for s in grid.settings):
            levels = [s.values[at] for s in grid.settings if _without(s, at) == others]
            for low, high in combinations(sorted(set(levels), key=_level), 2):
                for first, second in combinations(teachers, 2):
                    keys = [
                        (teacher, (*others[:at], level, *others[at:]))
                        for teacher in (first, second)
                        for level in (low, high)
                    ]
                    if all(k in cells for k in keys):
                        words = ", ".join(
                            value_in_words(k, v)
                            for k, v in zip(
                                (*grid.keys[:at], *grid.keys[at + 1 :]), others, strict=True
                            )
                        )
                        ways = [cells[k].shares for k in keys]
                        found.append(_Square(first, second, key, low, high, words, ways))
    return found


def _without(setting: Setting, at: int) -> tuple:
    return (*setting.values[:at], *setting.values[at + 1 :])


def _level(value: object) -> tuple[str, object]:
    return type(value).__name__, value


def _contrast(ways: list[np.ndarray], weights: tuple[float, ...], level: float) -> dict:
    """change, lo, hi, p, seed_sd, enough, method of a weighted sum of the ways' accuracies."""
    used = [(way, w) for way, w in zip(ways, weights, strict=True) if w]
    if min(len(way) for way, _ in used) > 1:
        found = replicates.contrast([way for way, _ in used], [w for _, w in used], level)
        return found._asdict() | {"enough": float("nan"), "method": RUNS}
    from scipy.special import ndtri
    from scipy.stats import t

    by_problem = 100 * np.sum([w * way.mean(0) for way, w in used], axis=0)
    n, change = len(by_problem), float(by_problem.mean())
    se = float(np.std(by_problem, ddof=1)) / n**0.5
    half = t.ppf(0.5 + level / 2, n - 1) * se
    p = 2 * t.sf(abs(change) / se, n - 1) if se > 1e-12 else float(abs(change) < 1e-12)
    z = ndtri((1 - stats.LEVEL) / 2)
    seeds = sum(w**2 / len(way) for way, w in used)
    enough = max(0.0, ((change / z) ** 2 - se**2) / seeds) ** 0.5
    return {
        "change": change,
        "lo": change - half,
        "hi": change + half,
        "p": float(p),
        "seed_sd": float("nan"),
        "enough": enough,
        "method": "problems",
    }


def _rows(grid: Grid, square: _Square, margin: float) -> list[dict]:
    n = square.ways[0].shape[1]
    if n < 2:
        return []
    about = {
        "student": grid.student, "domain": grid.domain, "benchmark": grid.benchmark,
        "first": square.first, "second": square.second, "key": square.key, "low": square.low,
        "high": square.high, "others": square.others, "n": n,
        "seeds": " / ".join(str(len(way)) for way in square.ways),
    }  # fmt: skip
    found = {part: _contrast(square.ways, w, stats.LEVEL) for part, w in PARTS.items()}
    tested = ["teacher", "setting"]
    adjusted = families.adjust([found[part]["p"] for part in tested])
    rows = []
    for part, weights in PARTS.items():
        row = about | {"part": part, "level": 100 * stats.LEVEL, "verdict": margins.UNTESTED}
        row |= found[part] | {"p_adjusted": float("nan")}
        if part in tested:
            i = tested.index(part)
            alpha = float(adjusted.alpha[i])
            wide = _contrast(square.ways, weights, 1 - alpha)
            row |= {k: wide[k] for k in ("lo", "hi")} | {"level": 100 * (1 - alpha)}
            row["p_adjusted"] = float(adjusted.p[i])
            near = _contrast(square.ways, weights, 1 - 2 * float(adjusted.each[i]))
            row["verdict"] = _verdict(row, near, margin)
        rows.append(row)
    return rows


def _verdict(row: dict, near: dict, margin: float) -> str:
    significant = row["p_adjusted"] < families.ALPHA
    if row["method"] == "problems":
        return BEYOND if significant and row["enough"] > POSSIBLE_SD else ALONE
    if significant:
        return SHOWN
    within = margins.place(near["lo"], near["hi"], margin) == "within"
    return "equivalent" if within else OPEN


def sentences(table: pd.DataFrame, margin: float = margins.MARGIN) -> str:
    """A few sentences a square of `effects`: the whole difference, and whose it is."""
    keys = ["student", "domain", "benchmark", "first", "second", "key", "low", "high", "others"]
    squares = table.groupby(keys, sort=False) if len(table) else ()
    lines = [_said({row.part: row for row in rows.itertuples()}, margin) for _, rows in squares]
    return "\n".join(lines) or "No two teachers were tried at two values of one setting."


def _said(parts: dict[str, Row], margin: float) -> str:
    r, key = parts["difference"], parts["difference"].key.replace("_", " ")
    low, high = (value_in_words(r.key, v) for v in (r.low, r.high))
    where = f"{name_of(r.student)}, {r.domain}, {name_of(r.benchmark)}"
    where += f", {r.others}" if r.others else ""
    return (
        f"{where}: {name_of(r.second)} at {high} over {name_of(r.first)} at {low} is "
        f"{r.change:+.1f} points on {r.n} problems, seeds {r.seeds}. Of these the teacher makes "
        f"{_part(parts['teacher'], margin)}; the {key} makes {_part(parts['setting'], margin)}. "
        f"{_conclusion(parts, key, margin)}"
    )


def _part(row: Row, margin: float) -> str:
    within = f" within ±{margin:g}" if row.verdict == "equivalent" else ""
    interval = margins.interval(row.lo, row.hi, row.level)
    return f"{row.change:+.1f} {interval} ({row.verdict}{within})"


def _conclusion(parts: dict[str, Row], key: str, margin: float) -> str:
    """What may be concluded of the whole difference."""
    if parts["difference"].method != RUNS:
        return "One seed of a way to train cannot tell either from what a seed does."
    names = {"teacher": "the teacher", "setting": f"the {key}"}
    shown = [part for part in names if parts[part].verdict == SHOWN]
    both = parts["interaction"]
    depends = ""
    if both.lo > 0 or both.hi < 0:
        depends = (
            f" What the one makes depends on the other, by {both.change:+.1f} points "
            f"{margins.interval(both.lo, both.hi, both.level)}: look at each {key} by itself."
        )
    if len(shown) == 2:
        return f"Both matter.{depends}"
    if not shown:
        within = all(parts[part].verdict == "equivalent" for part in names)
        said = f"Neither matters by {margin:g} points or more"
        return f"{said if within else 'Neither is shown to matter'}.{depends}"
    other = next(part for part in names if part != shown[0])
    said = f"whether {names[other]} matters is not shown"
    if parts[other].verdict == "equivalent":
        said = f"{names[other]} does not by {margin:g} points or more"
    return f"{names[shown[0]].capitalize()} matters; {said}.{depends}"

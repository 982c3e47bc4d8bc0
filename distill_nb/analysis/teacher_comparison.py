"""Teacher against teacher: runs of one student in one domain, compared on the same problems.

The unit is the run. A teacher is called better only where each has two runs or more that differ in
their seed, and then by `replicates.compare`. From one run each, the test over problems says no more
than that these two runs differ; `enough` says how large a spread between seeds would make such a
difference without any effect of the teacher.

Each run is taken at its last finished checkpoint, so that nothing was chosen on these problems. In
the study the teachers' runs also differ in their learning rates: `also_differs` says in what."""

from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import families, margins, paired, replicates, sample_size, stats
from distill_nb.analysis.names import name_of

COLUMNS = [
    "student", "domain", "benchmark", "first", "second", "seeds", "steps", "n", "accuracy_first",
    "accuracy_second", "change", "lo", "hi", "level", "p", "p_adjusted", "method", "seed_sd",
    "enough", "verdict", "left_out", "also_differs",
]  # fmt: skip
# What should be equal if a difference is to be the teacher's.
SHOULD_AGREE = (
    "learning_rate", "lr_schedule", "max_steps", "batch_size", "max_length", "overlong",
    "lora_rank", "lora_alpha", "lora_experts", "lora_expert_rank", "load_in_4bit", "n_examples",
)  # fmt: skip
RUNS = "runs"  # the method where each teacher has several
FIRST, SECOND = "the first is better", "the second is better"
ALONE = "not separable from seed noise"
BEYOND = "beyond problem noise; seed noise unknown"
# points: the largest spread between seeds that is taken for possible where no records say more
POSSIBLE_SD = sample_size.SEED_SDS[-1]


class Row(Protocol):
    """A row of `compare`."""

    student: str
    domain: str
    benchmark: str
    first: str  # teachers
    second: str
    seeds: str  # runs of each, as in 3 / 2
    n: int  # problems compared
    accuracy_first: float  # percent
    accuracy_second: float
    change: float  # second less first, points
    lo: float
    hi: float
    level: float  # of this interval, percent: that of the verdict
    p_adjusted: float
    method: str
    seed_sd: float  # between seeds, points; nan from one run each
    enough: float  # replicates.enough, points; nan from several
    verdict: str
    also_differs: str


class _Run(NamedTuple):
    """The replicates of a run at its last finished checkpoint."""

    teacher: str
    name: str
    folders: list[str]
    step: int
    shares: pd.DataFrame  # [folders × problems]
    several: bool  # samples a problem


class _Pair(NamedTuple):
    """What two runs answered on the same problems, [runs × problems] each."""

    names: str
    first: np.ndarray
    second: np.ndarray
    several: bool


def compare(
    records: pd.DataFrame, parameters: dict[str, dict] | None = None, margin: float = margins.MARGIN
) -> pd.DataFrame:
    """One row a pair of runs with different teachers and the same student and domain, and
    benchmark, from `results.load_records`. parameters: run's folder → its training's parameters.
    margin: points, for `equivalent`.

    Columns COLUMNS, as in Row; also steps, p, and left_out (problems without a sound answer from
    one of the runs). method: `runs` where each has two seeds or more, else as in
    `paired.paired_changes`. p_adjusted: by Holm over the benchmarks of the pair. verdict: FIRST,
    SECOND, `equivalent` within the margin or `inconclusive` by runs, else ALONE or BEYOND: the
    latter where p_adjusted is below 5% and a spread between seeds of POSSIBLE_SD is not enough. —
    where nothing could be tested."""
    rows, pairs = [], []
    last = replicates.last_finished(records)
    groups = last.groupby(["student", "domain", "benchmark"]) if len(last) else ()
    for (student, domain, benchmark), group in groups:
        runs = [_run(own) for _, own in group.groupby(group["folder"].map(replicates.run_of))]
        for a, b in combinations(sorted(runs, key=lambda r: (r.teacher, r.name)), 2):
            if a.teacher == b.teacher:
                continue
            both = pd.concat([a.shares, b.shares])
            sound = both.dropna(axis="columns").to_numpy()
            first, second = np.split(sound, [len(a.folders)])
            pair = _Pair(f"{a.name} {b.name}", first, second, a.several or b.several)
            row = {
                "student": student,
                "domain": domain,
                "benchmark": benchmark,
                "first": a.teacher,
                "second": b.teacher,
                "seeds": f"{len(a.folders)} / {len(b.folders)}",
                "steps": f"{a.step} / {b.step}",
                "n": sound.shape[1],
                "left_out": both.shape[1] - sound.shape[1],
                "also_differs": _differing(parameters or {}, a.folders + b.folders),
            }
            rows.append(row | _tested(pair, stats.LEVEL))
            pairs.append(pair)
    return _judged(pd.DataFrame(rows, columns=COLUMNS), pairs, margin)


def _run(own: pd.DataFrame) -> _Run:
    """Of the records of all replicates. One whose last finished checkpoint is earlier than
    another's is left out until it is as far."""
    step = int(own["step"].max())
    own = own[own["step"] == step]
    shares = replicates.matrix(own)
    name, several = replicates.run_of(shares.index[0]), own["sample"].nunique() > 1
    return _Run(own["teacher"].iloc[0], name, list(shares.index), step, shares, several)


def _tested(pair: _Pair, level: float) -> dict:
    """The columns that come from the answers, with intervals at a level."""
    r1, r2, n = len(pair.first), len(pair.second), pair.first.shape[1]
    if min(r1, r2, n) > 1:
        return replicates.compare(pair.first, pair.second, level)._asdict() | {"method": RUNS}
    first, second = pair.first.mean(0), pair.second.mean(0)
    found = paired.compare(first, second, pair.several or r1 + r2 > 2, level)._asdict()
    se = 100 * float(np.std(second - first, ddof=1)) / n**0.5 if n > 1 else float("nan")
    return found | {"enough": replicates.enough(found["change"], se, r1, r2)}


def _judged(table: pd.DataFrame, pairs: list[_Pair], margin: float) -> pd.DataFrame:
    """The table with p values adjusted, the intervals at their level, and verdicts."""
    by_runs = (table["method"] == RUNS).to_numpy()
    labels = [f"{pair.names} {runs}" for pair, runs in zip(pairs, by_runs, strict=True)]
    found = families.adjust(table["p"].astype(float), labels)
    table["p_adjusted"] = found.p
    verdicts = []
    for i, pair in enumerate(pairs):
        verdict = margins.UNTESTED
        if not np.isnan(found.p[i]):
            wide = _tested(pair, 1 - found.alpha[i])
            table.loc[i, ["lo", "hi", "level"]] = wide["lo"], wide["hi"], 100 * (1 - found.alpha[i])
            significant = found.p[i] < families.ALPHA
            if not by_runs[i]:
                alone = not significant or wide["enough"] <= POSSIBLE_SD
                verdict = ALONE if alone else BEYOND
            elif significant:
                verdict = SECOND if wide["change"] > 0 else FIRST
            else:
                near = _tested(pair, 1 - 2 * found.each[i])
                within = margins.place(near["lo"], near["hi"], margin) == "within"
                verdict = "equivalent" if within else "inconclusive"
        verdicts.append(verdict)
    return table.assign(verdict=verdicts)


def _differing(parameters: dict[str, dict], folders: list[str]) -> str:
    """What else the runs differ in, in words, such as `learning rate 2e-05 / 0.0002`."""
    given = [parameters[folder] for folder in folders if folder in parameters]
    found = []
    for key in SHOULD_AGREE:
        values = list(dict.fromkeys(str(own[key]) for own in given if key in own))
        if len(values) > 1:
            found.append(f"{key.replace('_', ' ')} {' / '.join(values)}")
    return ", ".join(found)


def sentences(table: pd.DataFrame, margin: float = margins.MARGIN) -> str:
    """One sentence a row of `compare`, with this margin: what was found, and what it is worth."""
    return "\n".join(_sentence(r, margin) for r in table.itertuples())


def counted(table: pd.DataFrame, margin: float = margins.MARGIN) -> str:
    """`compare` in short: a sentence for each row in which a teacher is better or may be, and how
    many rows have each other verdict."""
    told = table["verdict"].isin([FIRST, SECOND, BEYOND])
    lines = [_sentence(r, margin) for r in table[told].itertuples()]
    counts = table["verdict"][~told].replace(margins.UNTESTED, "not tested").value_counts()
    if len(counts):
        others = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        lines.append(f"Teacher against teacher, {len(table)} comparisons: {others}.")
    return "\n".join(lines)


def _sentence(r: Row, margin: float) -> str:
    first, second = name_of(r.first), name_of(r.second)
    where = f"{name_of(r.student)}, {r.domain}, {name_of(r.benchmark)}, {second} against {first}"
    if r.verdict == margins.UNTESTED:
        return f"{where}: {r.n} problems to compare: nothing can be said."
    said = (
        f"{where}: {r.accuracy_first:.1f}% → {r.accuracy_second:.1f}%, {r.change:+.1f} points "
        f"{margins.interval(r.lo, r.hi, r.level)} on {r.n} problems, seeds {r.seeds}"
    )
    if r.method == RUNS:
        verdict = {FIRST: f"{first} is better", SECOND: f"{second} is better"}.get(r.verdict)
        verdict = verdict or r.verdict + (
            f" within ±{margin:g}" if r.verdict == "equivalent" else ""
        )
        said += (
            f", seed sd {r.seed_sd:.1f}, {margins.p_value(r.p_adjusted)} (runs, Holm): {verdict}"
        )
    elif r.enough > 0:
        said += (
            f": {r.verdict}. A seed noise of {r.enough:.1f} points sd would make this difference "
            "in one study of twenty"
        )
    else:
        said += f": {r.verdict}. Other problems alone would make it in over one study of twenty"
    return said + (f". They also differ in {r.also_differs}." if r.also_differs else ".")

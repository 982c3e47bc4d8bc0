"""Records → tidy tables; the published study's numbers as the same tidy table.

`load_published()` and `load_runs(runs/<scale>)` give one row a student, teacher, domain, learning
rate, step and benchmark, so that findings, tables and figures do not know whose numbers they show.
`python -m distill_nb.analysis.results runs/pocket` prints the table of accuracies of all runs of
one scale."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.names import COLUMNS, ERRORS, KEYS, RULE, RUN
from distill_nb.benchmarks.sources import PART
from distill_nb.evaluation.records import OUTCOMES
from distill_nb.params import traces_of
from distill_nb.runtime.jsonl import read as read_records


def tidy(table, learning_rates: dict | None = None):
    """accuracy_table of our own runs with the columns of load_published; source is the run's
    folder, decimals 1.

    learning_rates: folder → rate, from `run_learning_rates`; unknown = nan. n counts problems, also
    where each has several samples: intervals and differences made from it are then somewhat too
    wide, never too narrow. Left out, and said in a sentence: unfinished cells (a batch holds the
    longest prompts first, so that they are biased), and cells whose own baseline is another than
    the one that stands for the student (`_one_base`). Replicates are left out where their run is
    there; of several folders with one student, teacher, domain and rate the first by name is taken,
    so that no problem counts twice. accuracy_table has them all."""
    rates, unfinished = learning_rates or {}, table[table["n"] < _full(table, "n")]
    if len(unfinished):
        print(
            "Left out, as they are not finished: "
            + ", ".join(f"{r.folder} step {r.step} {r.benchmark}" for r in unfinished.itertuples())
            + "."
        )
    table = table.drop(unfinished.index)
    table = _one_base(
        table[(table["folder"] == table["run_name"]) | ~table["run_name"].isin(table["folder"])]
    )
    base = table["step"] == 0
    out = table.assign(
        teacher=table["teacher"].mask(base, "none"),
        domain=table["domain"].mask(base, "none"),
        decimals=1,
        n=table["problems"],
        learning_rate=table["folder"].map(rates).astype(float).mask(base),
        source=table["folder"],
    )
    out = out.sort_values(["source", "benchmark", "step"])
    first = out.groupby(RUN, dropna=False)["source"].transform("first")
    out = out[base.reindex(out.index) | (out["source"] == first)].drop_duplicates(
        [*RUN, "step", "benchmark"]
    )
    return out[COLUMNS].reset_index(drop=True)


def _full(table, column: str):
    """The largest value of a column in the folder and benchmark of each row: its size when
    finished."""
    return table.groupby(["folder", "benchmark"])[column].transform("max")


def _one_base(table):
    """The table with one baseline a student and benchmark: the largest, then the one of most
    folders. Cells of folders with another baseline (evaluated with other settings, or on other
    problems) are left out, and said."""
    for (student, benchmark), own in table.groupby(["student", "benchmark"]):
        bases = own[own["step"] == 0]
        kinds = bases.groupby(["n", "accuracy"])["folder"].agg(list).to_dict()
        if not kinds:
            continue
        n, accuracy = max(kinds, key=lambda kind: (kind[0], len(kinds[kind])))
        without = own[~own["folder"].isin(bases["folder"])]
        other = {f for kind, folders in kinds.items() if kind != (n, accuracy) for f in folders} | {
            f for f, rows in without.groupby("folder") if (rows["n"] != n).any()
        }
        if other:
            print(
                f"{benchmark} of {', '.join(sorted(other))} is left out: the base student "
                f"{student} has other answers there "
                f"than in {kinds[n, accuracy][0]} (n = {n}, {accuracy:.1f}%); evaluate them with "
                "the same settings, or "
                "look at runs of one kind at a time."
            )
            table = table.drop(own.index[own["folder"].isin(other)])
    return table


def run_learning_rates(scale_dir: Path) -> dict[str, float]:
    """Folder → peak learning rate of every run of a scale that has been trained, from its
    provenance."""
    return {folder: float(given["learning_rate"]) for folder, given in trained(scale_dir).items()}


def trained(scale_dir: Path) -> dict[str, dict]:
    """Folder → parameters of every run of a scale that has been trained, from its provenance, where
    that can be read."""
    found = {}
    for file in sorted(Path(scale_dir).glob("*/provenance_train.json")):
        try:
            found[file.parent.name] = json.loads(file.read_text(encoding="utf-8"))["parameters"]
        except ValueError:  # damaged: what it would say is unknown
            continue
    return found


def best_checkpoints(table):
    """The study's choice for each run of a tidy table: best MATH-500 for a math-distilled student,
    best MBPP+ for a code-distilled one (RULE), the earliest of equals. Where the table has a column
    `dev` (selection.scored) that chooses instead of the accuracy.

    Columns: RUN, benchmark (that chose), step, accuracy, n, flagged, ties (other steps with the
    same printed score), last_step, checkpoints. Runs without the benchmark are left out."""
    import pandas as pd

    rows, score = [], "dev" if "dev" in table else "accuracy"
    for keys, run in table[(table["step"] > 0) & table[score].notna()].groupby(
        RUN, sort=False, dropna=False
    ):
        scores = next(
            (s for b in RULE[keys[2]] if len(s := run[run["benchmark"] == b].sort_values("step"))),
            None,
        )
        if scores is None:
            continue
        best = scores.loc[scores[score].idxmax()]
        ties = [int(s) for s in scores["step"][scores[score] == best[score]] if s != best["step"]]
        rows.append(
            dict(zip(RUN, keys, strict=True))
            | {
                "benchmark": best["benchmark"],
                "step": int(best["step"]),
                "accuracy": best["accuracy"],
                "n": int(best["n"]),
                "flagged": bool(best["flagged"]),
                "ties": ties,
                "last_step": int(scores["step"].max()),
                "checkpoints": len(scores),
            }
        )
    return pd.DataFrame(
        rows,
        columns=[
            *RUN,
            "benchmark",
            "step",
            "accuracy",
            "n",
            "flagged",
            "ties",
            "last_step",
            "checkpoints",
        ],
    )


def load_runs(scale_dir: Path):
    """The runs of a scale with the columns of load_published (`tidy`)."""
    return tidy(accuracy_table(scale_dir), run_learning_rates(scale_dir))


def load_records(scale_dir: Path):
    """All records below runs/<scale>/*/eval as a DataFrame, one row a problem and sample, the first
    where a file has it twice; column `folder` is the run's folder (replicates of one run have
    folders of their own); teacher is a stand-in (params.traces_of) where the run was trained on
    generated traces. Empty where nothing was evaluated."""
    import pandas as pd

    rows, datasets = (
        [],
        {
            folder: given["dataset"]
            for folder, given in trained(scale_dir).items()
            if "dataset" in given
        },
    )
    for file in sorted(Path(scale_dir).glob("*/eval/step_*/*.jsonl")):
        folder, once = (
            file.parents[2].name,
            {(r["task_id"], r["sample"]): r for r in reversed(read_records(file))},
        )
        rows += [
            r | {"folder": folder, "teacher": traces_of(r["teacher"], datasets.get(folder, ""))}
            for r in reversed(once.values())
        ]
    return pd.DataFrame(rows)


def accuracy_table(scale_dir: Path):
    """`accuracy_of` all records of a scale."""
    return accuracy_of(load_records(scale_dir))


def accuracy_of(records):
    """One row a run, step and benchmark, from records.

    accuracy, lo, hi, lenient, second: percent, the mean over problems. The 95% interval is
    Wilson's, or with several samples a problem that of `stats.clustered`, as samples of one problem
    are alike. bounds_lo, bounds_hi: accuracy if every sampling or grader error were wrong, or
    correct; `flagged` where they differ. n answers to `problems` problems, k correct, and a count
    of each outcome; `part` where they came from a file that is not the whole benchmark."""
    import pandas as pd

    if records.empty:
        return pd.DataFrame(
            columns=[
                *KEYS,
                "accuracy",
                "n",
                "problems",
                "k",
                "lo",
                "hi",
                "lenient",
                "second",
                "bounds_lo",
                "bounds_hi",
                "flagged",
                "mean_tokens",
                *OUTCOMES,
                "part",
            ]
        )
    rows = []
    for keys, group in records.groupby(KEYS, sort=False):

        def percent(chosen, problem=group["task_id"]):
            return 100 * chosen.groupby(problem).mean()

        correct, errors = (
            percent(group["outcome"] == "correct"),
            percent(group["outcome"].isin(ERRORS)),
        )
        accuracy, counts = correct.mean(), group["outcome"].value_counts()
        lo, hi = interval(correct.to_numpy() / 100)
        rows.append(
            dict(zip(KEYS, keys, strict=True))
            | {
                "accuracy": accuracy,
                "n": len(group),
                "problems": len(correct),
                "k": int(counts.get("correct", 0)),
                "lo": 100 * lo,
                "hi": 100 * hi,
                "lenient": percent(group["lenient_outcome"] == "correct").mean(),
                "second": percent(group["second_outcome"] == "correct").mean(),
                "bounds_lo": accuracy,
                "bounds_hi": accuracy + errors.mean(),
                "flagged": bool(errors.any()),
                "mean_tokens": group["completion_tokens"].mean(),
            }
            | {o: int(counts.get(o, 0)) for o in OUTCOMES}
            | {"part": bool(group["task_id"].str.startswith(PART).any())}
        )
    return pd.DataFrame(rows).sort_values(["folder", "benchmark", "step"], ignore_index=True)


def interval(shares) -> tuple[float, float]:
    """95% interval of a mean accuracy, from the share of correct samples of each problem: Wilson's
    where all shares are 0 or 1 (one sample each, or samples that all agree), else
    `stats.clustered`, or Wilson's where that has no width."""
    n, mean = len(shares), float(shares.mean())
    if n > 1 and not set(shares) <= {0.0, 1.0}:
        c = stats.clustered(shares, range(n))
        if c.se > 0:
            return max(0.0, c.lo), min(1.0, c.hi)
    return stats.wilson(mean * n, n)


def score(r, decimals: int = 0) -> str:
    """A row of accuracy_table as `47.9* [35, 61]`, with so many decimals of the interval; * where
    it is flagged."""
    return f"{r.accuracy:.1f}{'*' if r.flagged else ''} [{r.lo:.{decimals}f}, {r.hi:.{decimals}f}]"


def wide_table(table):
    """accuracy_table for reading: a row a run and step, a column a benchmark and its number of
    problems, cells like `47.9 [35, 61]`; an asterisk marks a score whose n includes sampling or
    grader errors, `of 20/56` one of 20 of 56 answers, where an evaluation is not finished,
    `math500, part` what a partial file gave (benchmarks/sources.py). Says so where there are no
    records."""
    if table.empty:
        print("There are no records of this scale yet: run train.ipynb and eval.ipynb.")
        return table
    whole = table.assign(full=_full(table, "n"), size=_full(table, "problems"))
    cells = whole.assign(
        cell=[
            score(r) + (f" of {r.n}/{r.full}" if r.n < r.full else "") for r in whole.itertuples()
        ],
        column=[
            f"{r.benchmark}{', part' if r.part else ''} (n = {r.size}"
            f"{f' × {r.full / r.size:g} samples' if r.full > r.size else ''})"
            for r in whole.itertuples()
        ],
    )
    wide = cells.pivot_table(
        index=["folder", "step"], columns="column", values="cell", aggfunc="first"
    ).fillna("—")
    return wide.rename_axis(columns="benchmark")


def replicates(table):
    """Runs that differ in their seed alone: one row a run, step and benchmark with two seeds or
    more.

    table: results.accuracy_table. seeds, mean (percent), sd between seeds and lo, hi (a t interval
    of the mean over seeds, cut at 0 and 100), lowest, highest; sampling_sd: the standard deviation
    that the sampling of answers alone would give, sqrt(p (1 - p) / n), were the seeds alike and the
    problems new each time. A replicate's base student is that of its own seed."""
    from scipy.stats import t

    rows = []
    groups = table.groupby(["student", "run_name", "benchmark", "step"]) if len(table) else ()
    for key, group in groups:
        x, k = group["accuracy"].to_numpy(), len(group)
        if k < 2:
            continue
        mean, sd = x.mean(), x.std(ddof=1)
        half = t.ppf(0.975, k - 1) * sd / k**0.5
        rows.append(
            (
                *key,
                k,
                mean,
                sd,
                max(0.0, mean - half),
                min(100.0, mean + half),
                x.min(),
                x.max(),
                (mean * (100 - mean) / group["problems"].min()) ** 0.5,
            )
        )
    return pd.DataFrame(
        rows,
        columns=[
            "student",
            "run_name",
            "benchmark",
            "step",
            "seeds",
            "mean",
            "sd",
            "lo",
            "hi",
            "lowest",
            "highest",
            "sampling_sd",
        ],
    )

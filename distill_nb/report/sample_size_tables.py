"""What a new study would need, as tables: by the records that there are, else by assumptions."""

from pandas import DataFrame, Series

from distill_nb.analysis import sample_size, variation
from distill_nb.analysis.names import name_of
from distill_nb.analysis.sample_size import (
    MOST_PROBLEMS,
    MOST_SEEDS,
    SEED_SDS,
    Setting,
    problems_needed,
    seeds_needed,
)

DIFFERENCES = (2, 3, 5)  # points
HEADS = [f"{d} points" for d in DIFFERENCES]
SAMPLES = (1, 4)  # a problem
CORRELATIONS = (0.5, 0.8)  # assumed, of a base student and its checkpoint


def tables(measured: DataFrame, problems: int = 500) -> dict[str, DataFrame]:
    """Title → table, from `variation.measured`. problems: of the benchmark where there are no
    records. Numbers for 80% power at the 5% level; cells are texts."""
    named = {name_of(row["benchmark"]): row for _, row in measured.iterrows()}
    found = {
        "Problems needed to see a change of a checkpoint from its base student": _checkpoint(named),
        "Seeds needed of each of two ways to train, such as two teachers": _seeds(named, problems),
    }
    if named:
        found["The smallest change of a checkpoint that its problems can show"] = _smallest(named)
    return found


def text(records: DataFrame, problems: int = 500) -> str:
    """The sentence and the tables as plain text, from `results.load_records`."""
    measured = variation.measured(records)
    parts = [sentence(measured)]
    for title, table in tables(measured, problems).items():
        parts.append(f"{title}\n{table.to_string(index=False)}")
    return "\n\n".join(parts)


def sentence(measured: DataFrame) -> str:
    """Where the spread between seeds is taken from."""
    known = measured[measured["replicates"] > 0]
    if known.empty:
        assumed = f"{SEED_SDS[0]:g} to {SEED_SDS[-1]:g}"
        return (
            "No run was repeated with another seed, so the spread between seeds is not known: a "
            f"range of {assumed} points is assumed."
        )
    said = [
        f"{r.seed_sd:.1f} [{r.seed_sd_lo:.1f}, {r.seed_sd_hi:.1f}] on {name_of(r.benchmark)}"
        for r in known.itertuples()
    ]
    return f"Standard deviation between seeds, in points with its 95% interval: {', '.join(said)}."


def _checkpoint(named: dict[str, Series]) -> DataFrame:
    given: list[tuple] = [
        (f"{name}, {row['discordant']:.1f}% discordant", variation.setting(row), row["discordant"])
        for name, row in named.items()
        if row["discordant"] == row["discordant"]
    ]
    for c in CORRELATIONS if not given else ():
        given.append((f"assumed: correlation {c:g}", Setting(checkpoint=c), None))
    rows = []
    for words, setting, percent in given:
        apart = None if percent is None else percent / 100
        for samples in SAMPLES:
            needed = [problems_needed(d, None, samples, setting, apart) for d in DIFFERENCES]
            rows.append((words, samples, *(_cell(n, MOST_PROBLEMS) for n in needed)))
    return DataFrame(rows, columns=["answers", "samples", *HEADS])


def _seeds(named: dict[str, Series], problems: int) -> DataFrame:
    given: list[tuple] = [
        (name, row["problems"], row["samples_a_problem"], variation.setting(row))
        for name, row in named.items()
        if row["replicates"]
    ]
    for sd in SEED_SDS if not given else ():
        given.append((f"assumed: correlation {Setting.ways:g}", problems, 1, Setting(seed_sd=sd)))
    rows = []
    for words, n, samples, setting in given:
        for size, number in ((f"{n}", float(n)), ("any number", float("inf"))):
            needed = [seeds_needed(d, number, samples, setting) for d in DIFFERENCES]
            cells = (_cell(seeds, MOST_SEEDS) for seeds in needed)
            rows.append((words, f"{setting.seed_sd:.1f}", size, samples, *cells))
    return DataFrame(rows, columns=["answers", "seed sd, points", "problems", "samples", *HEADS])


def _smallest(named: dict[str, Series]) -> DataFrame:
    """At 5%, and at the level of the first step of Holm over the benchmarks of a run."""
    rows = []
    for name, row in named.items():
        for level in dict.fromkeys((sample_size.ALPHA, sample_size.ALPHA / len(named))):
            apart = None if row["discordant"] != row["discordant"] else row["discordant"] / 100
            accuracy, n = row["accuracy"] / 100, int(row["problems"])
            found = sample_size.detectable_paired(accuracy, n, apart, alpha=level)
            cells = ["—" if x != x else f"{100 * x:+.1f}" for x in found]
            known = f"{row['discordant']:.1f}" if apart is not None else "—"
            rows.append((name, n, f"{row['accuracy']:.1f}", known, f"{100 * level:.2g}%", *cells))
    heads = ["benchmark", "problems", "accuracy", "discordant, %", "level", "loss", "gain"]
    return DataFrame(rows, columns=heads)


def _cell(needed: int | None, most: int) -> str:
    return f"over {most:,}" if needed is None else f"{needed:,}"

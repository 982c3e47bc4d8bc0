"""Teacher against teacher: runs of one student in one domain, compared on the same problems, answer
by answer.

Each run is taken at its last finished checkpoint, so that nothing was chosen on these problems. In
the study the teachers' runs also differ in their learning rates: `also_differs` says in what."""

from itertools import combinations

import pandas as pd

from distill_nb.analysis import families, paired

COLUMNS = [
    "student", "domain", "benchmark", "first", "second", "steps", "n", "accuracy_first",
    "accuracy_second", "change", "lo", "hi", "p", "p_adjusted", "only_first", "only_second",
    "left_out", "method", "verdict", "also_differs",
]  # fmt: skip
# What should be equal if a difference is to be the teacher's.
SHOULD_AGREE = (
    "learning_rate", "lr_schedule", "max_steps", "batch_size", "max_length", "overlong",
    "lora_rank", "lora_alpha", "lora_experts", "lora_expert_rank", "load_in_4bit", "n_examples",
)  # fmt: skip


def compare(records: pd.DataFrame, parameters: dict[str, dict] | None = None) -> pd.DataFrame:
    """One row a pair of runs with different teachers and the same student, domain and seed, and
    benchmark, from `results.load_records`. parameters: run folder → its training's parameters.

    Columns COLUMNS: first, second (teachers), steps, n (problems compared), accuracies (percent),
    change (second less first), lo, hi (points), p, p_adjusted (Holm, over the benchmarks of the
    pair), discordant problems, left_out (problems that one of them has no sound answer to), method
    as in `paired.paired_changes`, verdict by p_adjusted."""
    rows, pairs, groups = [], [], ()
    if len(records):
        last = records[records["step"] > 0]
        seed = last["folder"].str.extract(r"_seed(\d+)$")[0].fillna("0")
        groups = last.groupby(["student", "domain", "benchmark", seed.rename("seed_of_run")])
    for (student, domain, benchmark, _), group in groups:
        runs = {folder: _finished(own) for folder, own in group.groupby("folder")}
        teachers = group.groupby("folder")["teacher"].first()
        several = group["sample"].nunique() > 1
        for one, two in combinations(sorted(runs, key=lambda f: (teachers[f], f)), 2):
            if teachers[one] == teachers[two]:
                continue
            (step_one, a), (step_two, b) = runs[one], runs[two]
            both = pd.concat([a, b], axis="columns", keys=["a", "b"])
            sound = both.dropna()
            row = {
                "student": student,
                "domain": domain,
                "benchmark": benchmark,
                "first": teachers[one],
                "second": teachers[two],
                "steps": f"{step_one} / {step_two}",
                "n": len(sound),
                "left_out": len(both) - len(sound),
                "also_differs": _differing(parameters or {}, one, two),
            }
            compared = paired.compare(sound["a"].to_numpy(), sound["b"].to_numpy(), several)
            rows.append(row | compared._asdict())
            pairs.append(f"{one} {two}")
    out = pd.DataFrame(rows, columns=COLUMNS)
    out["p_adjusted"] = families.adjust(out["p"].astype(float), pairs).p
    return out.assign(verdict=[_verdict(r.change, r.p_adjusted) for r in out.itertuples()])


def _verdict(change: float, p_adjusted: float) -> str:
    if p_adjusted != p_adjusted:
        return "—"
    if not p_adjusted < families.ALPHA:
        return "inconclusive"
    return "the second is better" if change > 0 else "the first is better"


def _finished(own: pd.DataFrame) -> tuple[int, pd.Series]:
    """(last step that has as many answers as any, the share correct of each of its problems)."""
    answers = own["step"].value_counts()
    step = int(answers.index[answers == answers.max()].max())
    return step, paired.matrix(own).loc[step]


def _differing(parameters: dict[str, dict], one: str, two: str) -> str:
    """What else the two runs differ in, in words."""
    a, b = parameters.get(one, {}), parameters.get(two, {})
    return ", ".join(
        f"{k.replace('_', ' ')} {a[k]} / {b[k]}"
        for k in SHOULD_AGREE
        if k in a and k in b and a[k] != b[k]
    )

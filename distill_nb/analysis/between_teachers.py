"""Teacher against teacher: runs of one student in one domain, compared on the same problems, answer
by answer.

Takes `results.load_records`. Each run is taken at its last finished checkpoint, so that nothing was
chosen on these problems. In the study the teachers' runs also differ in their learning rates; what
else differs is in `also_differs`."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from distill_nb.analysis.paired import compared, matrix, verdict, with_holm

COLUMNS = [
    "student",
    "domain",
    "benchmark",
    "first",
    "second",
    "steps",
    "n",
    "accuracy_first",
    "accuracy_second",
    "change",
    "lo",
    "hi",
    "p",
    "p_holm",
    "only_first",
    "only_second",
    "left_out",
    "method",
    "verdict",
    "also_differs",
]
# What should be equal if a difference is to be the teacher's.
SHOULD_AGREE = (
    "learning_rate",
    "lr_schedule",
    "max_steps",
    "batch_size",
    "max_length",
    "overlong",
    "lora_rank",
    "lora_alpha",
    "lora_experts",
    "lora_expert_rank",
    "load_in_4bit",
    "n_examples",
)


def against(records, parameters: dict[str, dict] | None = None):
    """One row a pair of runs with different teachers and the same student, domain and seed, and
    benchmark.

    Columns COLUMNS: first, second (teachers), steps, n (problems compared), accuracies (percent),
    change (second less first), lo, hi (points), p, p_holm (over all rows), discordant problems,
    left_out (problems that one of them has no sound answer to), method and verdict as in
    `paired.paired_changes`. parameters: run folder → its training's parameters."""
    rows = []
    last = records[records["step"] > 0] if len(records) else records
    keys = ["student", "domain", "benchmark", "seed_of_run"]
    if len(last):
        last = last.assign(seed_of_run=last["folder"].str.extract(r"_seed(\d+)$")[0].fillna("0"))
    for (student, domain, benchmark, _), group in last.groupby(keys) if len(last) else ():
        runs = {folder: _finished(own) for folder, own in group.groupby("folder")}
        teachers = group.groupby("folder")["teacher"].first()
        for one, two in combinations(sorted(runs, key=lambda f: (teachers[f], f)), 2):
            if teachers[one] == teachers[two]:
                continue
            (step_one, a), (step_two, b) = runs[one], runs[two]
            both = pd.concat([a, b], axis="columns", keys=["a", "b"])
            sound = both.dropna()
            x, y = sound["a"].to_numpy(), sound["b"].to_numpy()
            means, numbers, discordant, method = compared(x, y, group["sample"].nunique() > 1)
            who = (
                student,
                domain,
                benchmark,
                teachers[one],
                teachers[two],
                f"{step_one} / {step_two}",
            )
            rows.append(
                (
                    *who,
                    len(sound),
                    *means,
                    *numbers,
                    np.nan,
                    *discordant,
                    len(both) - len(sound),
                    method,
                    "",
                    _differing(parameters, one, two),
                )
            )
    out = with_holm(pd.DataFrame(rows, columns=COLUMNS))
    words = {"gain": "the second is better", "loss": "the first is better"}
    out["verdict"] = [words.get(verdict(r), verdict(r)) for r in out.itertuples()]
    return out


def _finished(own) -> tuple[int, pd.Series]:
    """(last step that has as many answers as any, the share correct of each of its problems)."""
    answers = own["step"].value_counts()
    step = int(answers.index[answers == answers.max()].max())
    return step, matrix(own).loc[step]


def _differing(parameters: dict[str, dict] | None, one: str, two: str) -> str:
    """What else the two runs differ in, in words."""
    a, b = ((parameters or {}).get(folder, {}) for folder in (one, two))
    return ", ".join(
        f"{k.replace('_', ' ')} {a[k]} / {b[k]}"
        for k in SHOULD_AGREE
        if k in a and k in b and a[k] != b[k]
    )

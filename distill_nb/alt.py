"""What each figure shows, in words, for those who do not see it: its kind, and its main reading from the data it was drawn
from. One function a figure, named like the one that draws it (plots.py, figures.py)."""
from __future__ import annotations

from distill_nb.analysis.names import RUN, name_of


def _run(r) -> str:
    return f"{name_of(r.student)} with {name_of(r.teacher)} {r.domain}"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _each(parts: list[str], most: int = 8) -> str:
    """The parts in one sentence; of many only the first, and how many are left."""
    left = len(parts) - most
    return "; ".join(parts[:most]) + (f"; and {left} more" if left > 0 else "")


def words_of_training_curve(metrics) -> str:
    first, last, heldout = metrics.iloc[0], metrics.iloc[-1], metrics.dropna(subset=["heldout_loss"])
    text = (f"A curve of the loss against the step: the training loss goes from {first['loss']:.2f} at step "
            f"{first['step']:.0f} to {last['loss']:.2f} nats per token at step {last['step']:.0f}")
    if len(heldout):
        text += (f", the held-out loss from {heldout['heldout_loss'].iloc[0]:.2f} to {heldout['heldout_loss'].iloc[-1]:.2f} "
                 "at the last checkpoint")
    return text + "."


def words_of_outcome_bars(table) -> str:
    last = table[table["step"] == table.groupby(["folder", "benchmark"])["step"].transform("max")]
    parts = [f"{r.folder} on {name_of(r.benchmark)}, step {r.step}: {100 * r.correct / r.n:.0f}% correct, "
             f"{100 * r.wrong / r.n:.0f}% wrong, {100 * (r.no_answer + r.truncated) / r.n:.0f}% without an answer or cut off"
             for r in last.itertuples()]
    return f"Stacked bars of what became of every answer, in percent by step. {_each(parts)}."


def words_of_accuracy_against_tokens(table) -> str:
    parts = []
    for (folder, benchmark), rows in table.sort_values("step").groupby(["folder", "benchmark"]):
        a, b = rows.iloc[0], rows.iloc[-1]
        parts.append(f"{folder} on {name_of(benchmark)}: {a['accuracy']:.0f}% with {a['mean_tokens']:.0f} tokens at step "
                     f"{a['step']}, {b['accuracy']:.0f}% with {b['mean_tokens']:.0f} at step {b['step']}")
    return f"Accuracy against the mean tokens of an answer, a line through the checkpoints of each run. {_each(parts)}."


def words_of_evidence(data) -> str:
    parts = [f"finding {number}, " + ", ".join(f"{verdict} {n}" for verdict, n in rows["verdict"].value_counts().items())
             for number, rows in data.groupby("finding")]
    return (f"The {len(data)} comparisons that the findings rest on, each a difference in points with its 95% interval. "
            f"Verdicts: {_each(parts)}.")


def words_of_learning_curves(data) -> str:
    base = data[data["step"] == 0].set_index(["student", "benchmark"])["accuracy"]
    parts = {}
    for (*_, benchmark), rows in data[data["step"] > 0].groupby([*RUN, "benchmark"], sort=False, dropna=False):
        last = next(rows.sort_values("step").tail(1).itertuples())
        before = base.get((last.student, benchmark))
        if before is not None:
            parts[f"{_run(last)} on {name_of(benchmark)} from {before:.0f}% to {last.accuracy:.0f}%"] = last.accuracy - before
    text = ("Curves of the accuracy against the step with 95% intervals, beside a band for the base student: "
            f"{', '.join(name_of(b) for b in data['benchmark'].unique())}. ")
    if not parts:
        return text + "There are no checkpoints."
    return text + (f"By the last step the changes go from {_signed(min(parts.values()))} ({min(parts, key=parts.get)}) to "
                   f"{_signed(max(parts.values()))} points ({max(parts, key=parts.get)}).")


def words_of_forgetting(best) -> str:
    parts = []
    for words, rows in (("in the domain that was trained", best[best["domain"] == best["evaluated"]]),
                        ("in the other domain", best[best["domain"] != best["evaluated"]])):
        if len(rows):
            low, high = _signed(rows["change"].min()), _signed(rows["change"].max())
            parts.append(f"{words} the changes go from {low} to {high} points")
    return ("A matrix of changes from the base student for each student and teacher, trained domain by evaluated domain, at "
            f"the best checkpoint: {', '.join(parts)}.")


def words_of_gains(data) -> str:
    last = data.groupby(RUN, dropna=False, sort=False).tail(1)
    return ("The change in code against the change in math, in points, a line through the checkpoints of each run. At the "
            f"last checkpoint {(last['math_change'] > 0).sum()} of {len(last)} runs are above their base student in math, "
            f"{(last['code_change'] > 0).sum()} in code.")


def words_of_best_checkpoints(data) -> str:
    base = data[data["step"] == 0].set_index(["student", "benchmark"])["accuracy"]
    parts = []
    for benchmark, rows in data[data["step"] > 0].groupby("benchmark", sort=False):
        known = [r for r in rows.itertuples() if (r.student, benchmark) in base.index]
        above = sum(r.accuracy > base[r.student, benchmark] for r in known)
        parts.append(f"on {name_of(benchmark)} {above} of {len(known)} are above it")
    return f"Accuracy of each run's best checkpoint with 95% intervals, beside its base student: {_each(parts)}."

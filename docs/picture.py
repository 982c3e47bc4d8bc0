"""The README's picture, from the demo's own run: what training did to accuracy, and one answer that
it changed.

    make picture        # after make demo; writes docs/images/demo.png

The answer is one to pocket_code that the base student gives right, and the last checkpoint does
not: of those the one with the shortest code, a wrong one if there is any."""

import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt

from distill_nb.analysis import results
from distill_nb.benchmarks import loading
from distill_nb.report import style
from distill_nb.runtime import paths

RUN, SCALE = "pocket_math", "pocket"
WIDTH, LINES = 58, 6  # of an answer's text: characters of a line, and lines
FILE = Path(__file__).parent / "images" / "demo.png"


def draw(records: object, accuracies: object) -> plt.Figure:
    """records, accuracies: as of results.load_records and results.accuracy_of, of one run."""
    figure, (curve, words) = plt.subplots(1, 2, figsize=(11, 3.9), width_ratios=(1, 1.25))
    for benchmark, colour, title in (
        ("pocket_math", "#0072B2", "word problems, trained on"),
        ("pocket_code", "#D55E00", "functions, not trained on"),
    ):
        rows = accuracies[accuracies["benchmark"] == benchmark].sort_values("step")
        curve.fill_between(rows["step"], rows["lo"], rows["hi"], color=colour, alpha=0.15, lw=0)
        curve.plot(rows["step"], rows["accuracy"], "o-", color=colour, label=title)
    curve.set(xlabel="training steps", ylabel="accuracy, %", ylim=(0, 100))
    curve.set_xticks(sorted(set(accuracies["step"])))
    curve.legend(frameon=False, loc="lower right")
    words.axis("off")
    last = int(records["step"].max())
    code = records[records["benchmark"] == "pocket_code"].set_index(["step", "task_id"])
    first, final = code.loc[0], code.loc[last]
    flipped = final.index[
        (final["outcome"] != "correct") & (first.loc[final.index, "outcome"] == "correct")
    ]
    if flipped.empty:
        raise SystemExit(
            "No function went from correct to wrong in this run: there is no such pair to draw."
        )
    code_of = {i: re.sub(r"```\n.*", "", final.loc[i, "completion"], flags=re.S) for i in flipped}
    chosen = min(flipped, key=lambda i: (final.loc[i, "outcome"] != "wrong", len(code_of[i]), i))
    task = next(t for t in loading.load("pocket_code") if t.task_id == chosen)
    question = task.prompt.split("\n")[0]
    height = 0.98
    for title, text, colour in (
        ("The problem", question, "#333333"),
        ("The base student: correct", first.loc[chosen, "completion"], "#009E73"),
        (
            f"Step {last}: {final.loc[chosen, 'outcome'].replace('_', ' ')}",
            final.loc[chosen, "completion"],
            "#D55E00",
        ),
    ):
        lines = [w for line in text.strip().split("\n") for w in textwrap.wrap(line, WIDTH) or [""]]
        lines = lines[:LINES] + ["…"] * (len(lines) > LINES)
        words.text(0, height, title, weight="bold", color=colour, va="top", size=10)
        words.text(0, height - 0.07, "\n".join(lines), family="monospace", va="top", size=8.5)
        height -= 0.12 + 0.052 * len(lines)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    style.look()
    records = results.load_records(paths.runs() / SCALE)
    records = records[records["run_name"] == RUN]
    FILE.parent.mkdir(exist_ok=True)
    draw(records, results.accuracy_of(records)).savefig(FILE, dpi=150)

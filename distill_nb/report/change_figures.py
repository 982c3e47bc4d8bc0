"""The study's figures of changes in points, from a tidy table or from findings: what was gained and
forgotten against the baseline, and what the findings rest on. Each returns (figure, data), as in
study_figures.py."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis import baseline_changes, tidy
from distill_nb.analysis.names import RULE, RUN, name_of, printed_rate
from distill_nb.analysis.published.comparisons import CLAIMS
from distill_nb.analysis.published.conclusions import Finding
from distill_nb.report import style
from distill_nb.report.point_labels import label_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

DOMAINS = ["math", "code"]
DOMAIN_OF = {benchmark: domain for domain, names in RULE.items() for benchmark in names}
CHOSEN = "† The best checkpoint was chosen by this score, which is too high for it on average."
ZERO = {"color": "#bbbbbb", "lw": 0.8, "zorder": 0}  # the line of no change


def forgetting(table: DataFrame) -> tuple[Figure, DataFrame]:
    """Change from baseline in points: trained domain × evaluated domain, a panel a student and
    teacher, at the best checkpoint. Diagonal: what was trained; off it: what was forgotten, also of
    benchmarks of neither domain. In brackets the 95% interval."""
    data = baseline_changes.forgetting_matrix(table)
    if data.empty:
        return style.nothing(), data
    best = data[data["checkpoint"] == "best"]
    groups = list(best.groupby(["student", "teacher", "learning_rate"], sort=False, dropna=False))
    evaluated = _evaluated(best)
    columns = min(3 if len(evaluated) == len(DOMAINS) else 2, len(groups))
    width = style.WIDTH * (columns + 0.5) / 3.5
    rows = -(-len(groups) // columns)
    figure, axes = style.grid(rows, columns, 2.1 if rows > 1 else 2.6, width)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    limit = max(10.0, float(best["change"].abs().max()))
    for ax, ((student, teacher, rate), cells) in zip(axes.flat, groups, strict=False):
        image = _matrix(ax, cells, limit, evaluated)
        at_rate = f" at {printed_rate(rate)}" if rate == rate else ""
        ax.set(
            title=f"{name_of(student)}\n{name_of(teacher)}{at_rate}",
            xlabel="evaluated on",
            ylabel="trained on" if ax in axes[:, 0] else "",
        )
        ax.set_xticks(range(len(evaluated)), evaluated)
        trained_on = [domain for domain in DOMAINS if domain in set(cells["domain"])]
        ax.set_yticks(range(len(trained_on)), trained_on)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    figure.colorbar(image, ax=axes, shrink=0.7 if rows > 1 else 1, label="change (points)")
    note = textwrap.fill(CHOSEN, int(15 * width))  # so many small letters in an inch
    figure.supxlabel(note, fontsize=6.5, color=style.FAINT)
    trained, parts = best["domain"] == best["evaluated"], []
    beyond = ~best["evaluated"].isin(DOMAINS)
    for where, chosen in (
        ("in the domain that was trained", trained),
        ("in the other domain", ~trained & ~beyond),
        ("in neither", beyond),
    ):
        if chosen.any():
            change = best["change"][chosen]
            low, high = style.signed(change.min()), style.signed(change.max())
            parts.append(f"{where} the changes go from {low} to {high} points")
    words = (
        "A matrix of changes from the base student for each student and teacher, trained domain by "
        f"evaluated domain, at the best checkpoint: {', '.join(parts)}. Where both domains are the "
        "same, the best checkpoint was chosen by that very score."
    )
    return style.describe(figure, words), data


def _evaluated(cells: DataFrame) -> list[str]:
    """The columns: both domains, and the subjects of what else was evaluated."""
    return [*DOMAINS, *sorted(set(cells["evaluated"]) - set(DOMAINS))]


def _matrix(ax: Axes, cells: DataFrame, limit: float, evaluated: list[str]) -> AxesImage:
    """One panel of `forgetting`: its image, which the colour bar needs."""
    import numpy as np

    matrix = cells.pivot(index="domain", columns="evaluated", values="change")
    rows = [domain for domain in DOMAINS if domain in set(cells["domain"])]
    matrix = matrix.reindex(index=rows, columns=evaluated)
    image = ax.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    for r in cells.itertuples():
        flag = "*" if r.flagged else ""
        place = evaluated.index(r.evaluated), rows.index(r.domain)
        chosen = " †" if r.evaluated == r.domain else ""
        text = (
            f"{style.signed(r.change)}{flag}{chosen}\n[{style.signed(r.lo)}, {style.signed(r.hi)}]"
        )
        colour = "white" if abs(r.change) > 0.6 * limit else "black"
        ax.text(*place, text, ha="center", va="center", fontsize=6, color=colour)
    for i, j in np.argwhere(matrix.isna().to_numpy()):
        ax.text(j, i, "—", ha="center", va="center", color=style.FAINT)
    return image


def gains(table: DataFrame) -> tuple[Figure, DataFrame]:
    """What a checkpoint gained in math against what it gained in code, in points over its baseline:
    one point a checkpoint with its step, the last one filled; a panel a student."""
    import numpy as np

    data = _changes_in_both(table)
    if data.empty:
        return style.nothing(), data
    students = list(dict.fromkeys(data["student"]))
    figure, axes = style.grid(1, len(students), 2.6, sharex=True, sharey=True)
    labels: list[tuple[Axes, list]] = []
    for ax, student in zip(axes[0], students, strict=True):
        named: list[tuple] = []
        labels.append((ax, named))
        ax.axhline(0, **ZERO)
        ax.axvline(0, **ZERO)
        for label, teacher, domain, line, points in style.labelled_runs(
            data[data["student"] == student]
        ):
            x, x_lo, x_hi, y, y_lo, y_hi = (
                points[f"{d}_{column}"].to_numpy()
                for d in DOMAINS
                for column in ("change", "lo", "hi")
            )
            bars = abs(np.array([y_lo, y_hi]) - y), abs(np.array([x_lo, x_hi]) - x)
            colour = style.TEACHER_COLOURS[teacher]
            ax.errorbar(x, y, *bars, ls="", ecolor=colour, elinewidth=0.5, alpha=0.35)
            look: style.Look = {"color": colour, "marker": style.DOMAIN_MARKERS[domain]}
            ax.plot(x, y, **look, ls=line, lw=0.9, ms=4, mfc="white", label=label)
            ax.plot(x[-1], y[-1], **look, ms=5, ls="")
            named += [
                (*point, str(step)) for *point, step in zip(x, y, points["step"], strict=True)
            ]
        ax.set(
            title=name_of(student),
            xlabel="change in math (points)",
            ylabel="change in code (points)" if ax is axes[0][0] else "",
        )
    style.legend_below(figure, axes)
    figure.canvas.draw()  # the panels share their limits, which are known now
    for ax, named in labels:
        steps = [step for *_, step in named]
        label_points(ax, np.array([point for *point, _ in named]), steps, 4.5)
    last = data.groupby(RUN, dropna=False, sort=False).tail(1)
    words = (
        "The change in code against the change in math, in points, a line through the checkpoints "
        f"of each run. At the last checkpoint {(last['math_change'] > 0).sum()} of {len(last)} "
        f"runs are above their base student in math, {(last['code_change'] > 0).sum()} in code."
    )
    return style.describe(figure, words), data


def _changes_in_both(table: DataFrame) -> DataFrame:
    """One row a checkpoint that was evaluated in both domains, its base student too: RUN, step,
    flagged, and for each domain the change, lo and hi in points."""
    rows = []
    for run in tidy.best_checkpoints(table).itertuples():
        own = tidy.of_run(table, run)
        for step, cells in own[own["benchmark"].isin(DOMAIN_OF)].groupby("step"):
            changes = baseline_changes.changes(cells, table)
            found = {DOMAIN_OF[c.benchmark]: (c, b, d) for c, b, d in changes}
            if len(found) < 2:
                continue
            row = {key: getattr(run, key) for key in RUN}
            row |= {"step": step, "flagged": any(c.flagged for c, *_ in found.values())}
            for domain, (c, b, d) in found.items():
                row[f"{domain}_change"] = c.accuracy - b.accuracy
                row |= {f"{domain}_lo": 100 * d.lo, f"{domain}_hi": 100 * d.hi}
            rows.append(row)
    return pd.DataFrame(rows)


def all_evidence(found: list[Finding]) -> list[tuple[Figure, DataFrame]]:
    """`evidence` of the study's findings, and of ours."""
    return [evidence([f for f in found if f.ours is ours]) for ours in (False, True)]


def evidence(found: list[Finding]) -> tuple[Figure, DataFrame]:
    """What findings (findings.check_all) rest on: every comparison as a difference in points with
    its 95% interval, colour and marker by its verdict; hollow where it does not decide. A tick is
    the margin that an interval must leave on one side, where a claim is of the margin."""
    numbers = [f.numbers.assign(finding=f.number, title=f.title) for f in found]
    data = pd.concat(numbers, ignore_index=True)
    data = data[data["difference"].notna()]
    used = [f for f in found if f.number in set(data["finding"])]
    if not used:
        return style.nothing(), data
    heights = [len(data[data["finding"] == f.number]) + 1.2 for f in used]
    height = 0.2 * sum(heights) / len(used)
    figure, axes = style.grid(len(used), 1, height, sharex=True, height_ratios=heights)
    for ax, f in zip(axes.flat, used, strict=False):
        rows = data[data["finding"] == f.number]
        ax.axvline(0, **ZERO)
        for y, r in enumerate(rows.itertuples()):
            colour = style.VERDICT_COLOURS[r.verdict]
            bars = [[r.difference - r.lo], [r.hi - r.difference]]
            look: style.Look = {"color": colour, "marker": style.VERDICT_MARKERS[r.verdict]}
            look |= {"ms": 4, "ls": "", "elinewidth": 1}
            fill = colour if r.decides else "white"
            ax.errorbar(r.difference, y, xerr=bars, **look, mfc=fill, label=r.verdict)
            claimed, of_margin = CLAIMS[r.claim]
            if of_margin:
                at = -claimed * r.margin
                ax.plot([at, at], [y - 0.4, y + 0.4], color="black", lw=0.8, label="margin")
        ax.set_yticks(range(len(rows)), rows["comparison"])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_title(textwrap.fill(f"{f.number}. {f.title}: {f.verdict}", 80), loc="right")
        ax.tick_params(axis="y", length=0)
    axes.flat[-1].set_xlabel("difference (points)")
    style.legend_below(figure, axes)
    parts = []
    for number, rows in data.groupby("finding"):
        verdicts = [f"{verdict} {n}" for verdict, n in rows["verdict"].value_counts().items()]
        parts.append(f"finding {number}, {', '.join(verdicts)}")
    words = (
        f"The {len(data)} comparisons that the findings rest on, each a difference in points with "
        f"its 95% interval. Verdicts: {style.enumerated(parts)}."
    )
    return style.describe(figure, words), data

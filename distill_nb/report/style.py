"""The look of all figures: colours, markers, lines, sizes; how a figure is described and shown.

A teacher has one colour and a domain one marker everywhere, and no teacher's colour means anything
else. Colours are from Okabe and Ito's palette for colour-blind readers (jfly.uni-koeln.de/color),
and greys."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from distill_nb.analysis.names import RUN, name_of, printed_rate

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from numpy import ndarray


Look = dict[str, Any]  # keywords of matplotlib


class _Colours(dict[str, str]):
    """The colours of the study's teachers and of the generator (params.traces_of); another teacher
    gets the next free one, and keeps it while the process lives."""

    FREE = ("#882255", "#999933", "#44AA99", "#AA4499")

    def __missing__(self, teacher: str) -> str:
        self[teacher] = self.FREE[(len(self) - len(TEACHERS)) % len(self.FREE)]
        return self[teacher]


# but for the study's, of Tol's muted scheme (personal.sron.nl/~pault)
TEACHERS = {
    "r1": "#0072B2", "sonnet": "#D55E00", "none": "#555555",
    "generator": "#332288", "generator, thinking": "#117733",
}  # fmt: skip
TEACHER_COLOURS = _Colours(TEACHERS)
DOMAIN_MARKERS = {"math": "o", "code": "s"}
DOMAIN_LINES = {"math": "-", "code": (0, (4, 1.5))}
# of more runs of one teacher and domain
MORE_LINES = ((0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
OUTCOME_COLOURS = {
    "correct": "#009E73",
    "wrong": "#BBBBBB",
    "no_answer": "#E69F00",
    "truncated": "#56B4E9",
    "looping": "#7B5FB0",
    "timeout": "#CC79A7",
    "sampling_error": "#F0E442",
    "grader_error": "#000000",
}
PART_COLOURS = {  # of a change: change_parts.PARTS
    "cut_off": OUTCOME_COLOURS["truncated"],
    "unanswered": OUTCOME_COLOURS["no_answer"],
    "misformatted": "#8C6D00",
    "wrong": "#7F7F7F",  # darker than among outcomes: here it is a line, too
    "timeout": OUTCOME_COLOURS["timeout"],
}
VERDICT_COLOURS = {
    "supported": "#009E73",
    "contradicted": "#CC79A7",
    "confounded": "#E69F00",
    "inconclusive": "#999999",
    "depends on rounding": "#56B4E9",
}
VERDICT_MARKERS = {
    "supported": "o",
    "contradicted": "X",
    "confounded": "^",
    "inconclusive": "D",
    "depends on rounding": "s",
}
LOSS_COLOURS = {"training batch": "#999999", "held-out traces": "#000000"}
# beside the marker and its edge: a degraded score, a base student
HOLLOW: Look = {"ls": "", "ms": 4, "mfc": "white", "zorder": 5}
FAINT = "#777777"  # words where there is nothing to draw
WIDTH = 6.5  # inches: the text width of a paper on letter or A4 with one-inch margins


# ---- drawing


def look() -> None:
    """One style for every figure: readable when printed at its own size, fonts embedded."""
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(style="ticks", context="paper", font_scale=0.9)
    mpl.rcParams.update(
        {
            "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same bytes everywhere
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "pdf.fonttype": 42,
            "savefig.dpi": 200,
            "figure.dpi": 110,
            "axes.titlesize": "medium",
        }
    )


def grid(
    rows: int, columns: int, height: float, width: float = WIDTH, **options: object
) -> tuple[Figure, ndarray]:
    """(figure, axes [rows, columns]), `width` inches wide, each row `height` inches high."""
    import matplotlib.pyplot as plt

    look()
    size = (width, height * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)


def panels(count: int, most: int, height: float) -> tuple[Figure, ndarray]:
    """`grid` of so many panels, at most `most` in a row; places that are left stay empty."""
    columns = max(min(count, most), 1)
    figure, axes = grid(max(-(-count // columns), 1), columns, height)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return figure, axes


def legend_below(figure: Figure, axes: ndarray) -> None:
    """One legend below all panels, each label once."""
    entries: dict[str, Artist] = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        fit = int(105 / (max(map(len, entries)) + 7))  # a column is as wide as the longest label
        handles, columns = list(entries.values()), max(1, min(len(entries), 5, fit))
        figure.legend(handles, list(entries), loc="outside lower center", ncols=columns)


def nothing() -> Figure:
    """The figure of an empty table."""
    figure, axes = grid(1, 1, 0.5)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, "nothing to draw", ha="center", color=FAINT)
    return describe(
        figure, "An empty figure: there is no checkpoint with the data that it would show."
    )


def labelled_runs(table: DataFrame) -> Iterator[tuple[str, str, str, object, DataFrame]]:
    """(label, teacher, domain, line style, rows) of each run in a tidy table's trained rows, in the
    order of the table. Runs that share teacher and domain are told apart by learning rate, and
    those of one student by their line too."""
    trained = table[table["step"] > 0]
    several = trained.groupby(["student", "teacher", "domain"])["learning_rate"].nunique().max() > 1
    seen: dict[tuple, int] = {}
    for _, rows in trained.groupby(RUN, sort=False, dropna=False):
        first = rows.iloc[0]
        label = f"{name_of(first.teacher)} {first.domain}"
        if several:
            label += f", {printed_rate(first.learning_rate)}"
        alike = (first.student, first.teacher, first.domain)
        before = seen.get(alike, 0)
        seen[alike] = before + 1
        line = DOMAIN_LINES[first.domain]
        if before:
            line = MORE_LINES[(before - 1) % len(MORE_LINES)]
        yield label, first.teacher, first.domain, line, rows.sort_values("step")


def wrapped(text: str, width: int) -> str:
    """A text in lines of at most `width` characters, broken after blanks, and where that is not
    enough after `/`, `-` and `_`: a label beside an axis must not be longer than it."""
    lines = [""]
    for piece in re.findall(r"[^\s/_-]+[/_-]*\s?|\s|[/_-]+", text):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


# ---- describing and showing


def signed(value: float) -> str:
    """A change in points, with a minus sign that is one."""
    return f"{value:+.1f}".replace("-", "−")


def enumerated(parts: list[str], most: int = 8) -> str:
    """The parts in one sentence; of many only the first, and how many are left."""
    left = len(parts) - most
    return "; ".join(parts[:most]) + (f"; and {left} more" if left > 0 else "")


def describe(figure: Figure, text: str) -> Figure:
    """The figure, with a text that says what it shows to those who do not see it (`show`)."""
    figure.alt_text = text  # type: ignore[attr-defined]  # an attribute of ours
    return figure


def show(*made: Figure | tuple[Figure, DataFrame]) -> None:
    """Show figures, each by itself or as (figure, data), in a notebook, as SVG. Their descriptions
    and data go along in the output's metadata: a report's page makes them alt texts, captions and
    files to download."""
    import matplotlib.pyplot as plt
    from IPython.display import display

    for one in made:
        figure, data = one if isinstance(one, tuple) else (one, None)
        known = {"alt": getattr(figure, "alt_text", "")}
        if data is not None:
            known["csv"] = data.to_csv(index=False)
        image = {"image/svg+xml": svg(figure), "text/plain": known["alt"]}
        display(image, raw=True, metadata={"image/svg+xml": known})
        plt.close(figure)  # or the notebook shows it again at the end of the cell


def embedded(figure: Figure, data: DataFrame | None = None) -> dict[str, str]:
    """A figure for a page that is no notebook (figure.html.j2): its SVG as an address, what it
    shows in words, and its data as CSV, "" where there is none."""
    import matplotlib.pyplot as plt

    packed = base64.b64encode(svg(figure).encode()).decode()
    plt.close(figure)
    return {
        "src": f"data:image/svg+xml;base64,{packed}",
        "alt": getattr(figure, "alt_text", ""),
        "csv": "" if data is None else data.to_csv(index=False),
    }


def svg(figure: Figure) -> str:
    """A figure as SVG, with its letters as outlines: the same on every screen, and from the same
    data the same text. Coordinates are cut to a hundredth of a point, and blanks that nobody reads
    are left out: a page may have many figures."""
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "distill_nb", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    found = re.sub(r' d="([^"]*)"', lambda path: f' d="{_cut(path[1])}"', text.getvalue())
    found = re.sub(r' (?:x|y)="[^"]*"', lambda place: _cut(place[0]), found)
    return re.sub(r"\n\s*", "\n", re.sub(r"<!--.*?-->", "", found, flags=re.DOTALL))


def _cut(numbers: str) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", numbers).replace("\n", "")

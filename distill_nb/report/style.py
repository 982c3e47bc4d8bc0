"""The look of all figures: colours, markers, sizes, how one is shown and described."""

from __future__ import annotations


class _Colours(dict):
    """The colours of the study's teachers; another teacher gets the next free one, and keeps it
    while the process lives."""

    # Tol's muted scheme (personal.sron.nl/~pault)
    FREE = ("#332288", "#117733", "#882255", "#999933", "#44AA99", "#AA4499")

    def __missing__(self, teacher: str) -> str:
        # params.traces_of: generated in the teacher's place
        own = teacher.removesuffix(" stand-in")
        if own not in self:
            self[own] = self.FREE[(len(self) - 3) % len(self.FREE)]
        return self[own]


TEACHER_COLOURS = _Colours({"r1": "#0072B2", "sonnet": "#D55E00", "none": "#555555"})
DOMAIN_MARKERS = {"math": "o", "code": "s"}
DOMAIN_LINES = {"math": "-", "code": (0, (4, 1.5))}
# of more runs of one teacher and domain
MORE_LINES = ((0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
OUTCOME_COLOURS = {
    "correct": "#009E73",
    "wrong": "#BBBBBB",
    "no_answer": "#E69F00",
    "truncated": "#56B4E9",
    "timeout": "#CC79A7",
    "sampling_error": "#F0E442",
    "grader_error": "#000000",
}
VERDICT_COLOURS = {
    "supported": "#009E73",
    "contradicted": "#CC79A7",
    "confounded": "#E69F00",
    "within noise": "#999999",
}
LOSS_COLOURS = {"training batch": "#999999", "held-out traces": "#000000"}
WIDTH = 6.5  # inches: the text width of a paper on letter or A4 with one-inch margins


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


def grid(rows: int, columns: int, height: float, width: float = WIDTH, **options):
    """(figure, axes [rows, columns]), `width` inches wide, each row `height` inches high."""
    import matplotlib.pyplot as plt

    look()
    return plt.subplots(
        rows,
        columns,
        figsize=(width, height * rows),
        squeeze=False,
        layout="constrained",
        **options,
    )


def legend_below(figure, axes) -> None:
    """One legend below all panels, each label once."""
    entries = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            entries.values(), entries.keys(), loc="outside lower center", ncols=min(len(entries), 5)
        )


def nothing():
    """The figure of a table without checkpoints."""
    figure, axes = grid(1, 1, 0.5)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, "no checkpoints yet", ha="center", color="#777777")
    return describe(figure, "An empty figure: there are no checkpoints yet.")


def describe(figure, text: str):
    """The figure, with a text that says what it shows to those who do not see it (`show`)."""
    figure.alt_text = text
    return figure


def show(*made) -> None:
    """Show figures, each by itself or as (figure, data), in a notebook, and give their descriptions
    along where IPython has those of images: in the output's metadata, which a report's page turns
    into alt texts."""
    import matplotlib.pyplot as plt
    from IPython.display import display

    for figure in (m[0] if isinstance(m, tuple) else m for m in made):
        display(figure, metadata={"image/png": {"alt": figure.alt_text}})
        plt.close(figure)  # or the notebook shows it again at the end of the cell


def label_points(ax, points, texts, size: float = 7) -> None:
    """Write each text beside its point [x, y], at the first of some places around it that no other
    point or text takes; above the last of them where all are taken."""
    scale = ax.figure.dpi / 72
    at = ax.transData.transform(points)
    taken = [(x - 3 * scale, y - 3 * scale, x + 3 * scale, y + 3 * scale) for x, y in at]
    for (x, y), point, text in zip(at, points, texts, strict=True):
        width, height = 0.65 * size * len(text) * scale, size * scale
        for dx, dy in (
            (4, 3),
            (-4, 3),
            (4, -3),
            (-4, -3),
            (0, 7),
            (0, -7),
            (10, 0),
            (-10, 0),
            (0, 14),
            (0, -14),
        ):
            left = x + dx * scale - width * (dx < 0) - width / 2 * (dx == 0)
            low = y + dy * scale - height * (dy < 0) - height / 2 * (dy == 0)
            box = (left, low, left + width, low + height)
            if not any(
                box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
            ):
                break
        taken.append(box)
        ax.annotate(
            text,
            point,
            xytext=((box[0] - x) / scale, (box[1] - y) / scale),
            textcoords="offset points",
            fontsize=size,
        )

"""Labels beside points of a figure, where they cover no other label, no point and, as far as there
is room, no line."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pandas import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

Box = tuple[float, float, float, float]  # left, low, right, high, in pixels

# Places around a point, in font points: the corners, above and below, right and left, then the same
# further out.
AROUND = ((1, 0.75), (-1, 0.75), (1, -0.75), (-1, -0.75), (0, 1.4), (0, -1.4), (1.8, 0), (-1.8, 0))
PLACES = [(far * dx, far * dy) for far in (4, 7, 10, 14) for dx, dy in AROUND]
# How bad it is to lie on each of these; a line counts by the share of the label that it crosses.
ON_LABEL, OUTSIDE, ON_POINT, ON_LINE, PER_PLACE = 100.0, 50.0, 20.0, 5.0, 0.12
STEP = 2.0  # pixels between the points that stand for a line


def label_points(ax: Axes, points: ndarray, texts: Series | list[str], size: float = 7) -> None:
    """Write each text beside its point [x, y]: of the places around it the first that is least in
    the way. The panel has its final place and limits, and its lines are drawn
    (`figure.draw_without_rendering`)."""
    scale = ax.figure.dpi / 72
    at, frame = ax.transData.transform(points), ax.get_window_extent().extents
    dots = [(x - 3 * scale, y - 3 * scale, x + 3 * scale, y + 3 * scale) for x, y in at]
    lines = _lines(ax)
    labels: list[Box] = []
    for (x, y), point, text in zip(at, points, texts, strict=True):
        width, height = 0.65 * size * len(text) * scale, size * scale
        best: tuple[float, Box] | None = None
        for number, (dx, dy) in enumerate(PLACES):
            left = x + dx * scale - width * (dx < 0) - width / 2 * (dx == 0)
            low = y + dy * scale - height * (dy < 0) - height / 2 * (dy == 0)
            box = (left, low, left + width, low + height)
            bad = ON_LABEL * sum(_overlap(box, other) for other in labels)
            bad += ON_POINT * sum(_overlap(box, dot) for dot in dots)
            bad += OUTSIDE * (not _inside(box, frame)) + PER_PLACE * number
            bad += ON_LINE * _crossed(box, lines) / (width / STEP)
            if best is None or bad < best[0]:
                best = (bad, box)
        assert best is not None
        labels.append(best[1])
        offset = (best[1][0] - x) / scale, (best[1][1] - y) / scale
        label = ax.annotate(text, point, offset, textcoords="offset points", fontsize=size)
        label.set_in_layout(False)  # or the panel would make room for it, and all places move


def _lines(ax: Axes) -> ndarray:
    """[n, 2]: points along all lines and error bars of a panel, in pixels."""
    import numpy as np
    from matplotlib.collections import LineCollection

    paths = [line.get_transform().transform(line.get_xydata()) for line in ax.lines]
    for drawn in ax.collections:
        if isinstance(drawn, LineCollection):
            paths += [drawn.get_transform().transform(piece) for piece in drawn.get_segments()]
    found = [np.empty((0, 2))]
    for path in paths:
        path = path[np.isfinite(path).all(axis=1)]
        for a, b in pairwise(path):
            n = max(2, int(np.hypot(*(b - a)) / STEP))
            found.append(a + np.linspace(0, 1, n)[:, None] * (b - a))
    return np.concatenate(found)


def _crossed(box: Box, lines: ndarray) -> int:
    """How many points of the lines lie in a box."""
    x, y = lines.T
    return int(((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])).sum())


def _inside(box: Box, frame: Box) -> bool:
    return box[0] > frame[0] and box[1] > frame[1] and box[2] < frame[2] and box[3] < frame[3]


def _overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share a point."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]

"""A small curve beside a number: loss or accuracy by step, as inline SVG that takes the colour of
the text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

WIDTH, HEIGHT, EDGE = 150, 36, 4  # CSS pixels
MOST = 75  # points: of more, neighbours are averaged


def sparkline(
    points: Sequence[tuple[float, float]], words: str, low: float, high: float, dots: bool = False
) -> str:
    """The SVG of (x, y) points in their order, y from low to high. words: what it shows, for
    whoever does not see it. dots: mark each point, for there are few. "" where there is no
    point."""
    points = _thinned(points)
    if not points:
        return ""
    left, right = points[0][0], points[-1][0]
    x_size, y_size = (right - left) or 1, (high - low) or 1
    inner_width, inner_height = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    at = [
        (EDGE + inner_width * (x - left) / x_size, EDGE + inner_height * (high - y) / y_size)
        for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    marked = at if dots else at[-1:]
    circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in marked)
    return (
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(words)}"><polyline points="{line}"/>{circles}</svg>'
    )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST points, each the mean of its neighbours."""
    if len(points) <= MOST:
        return list(points)
    ends = [round(i * len(points) / MOST) for i in range(MOST + 1)]
    groups = [points[a:b] for a, b in pairwise(ends)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]

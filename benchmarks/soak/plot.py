"""Turns series of values over time into an SVG: one panel a series, all with the same time."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

WIDTH, HEIGHT = 640, 110
_LEFT, _RIGHT, _TOP, _GAP = 80, 20, 40, 34


class Point(Protocol):
    """A value at a time in seconds."""

    @property
    def at(self) -> float: ...

    @property
    def value(self) -> float: ...


def plot(title: str, series: Mapping[str, Sequence[Point]]) -> str:
    """The text of the SVG; each panel goes from 0 to its largest value."""
    end = max((point.at for points in series.values() for point in points), default=1.0) or 1.0
    total = _TOP + len(series) * (HEIGHT + _GAP)
    size = f'width="{_LEFT + WIDTH + _RIGHT}" height="{total}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{escape(title)}</text>',
    ]
    for index, (name, points) in enumerate(series.items()):
        parts += _panel(name, points, end, _TOP + index * (HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(name: str, points: Sequence[Point], end: float, top: float) -> list[str]:
    largest = max((point.value for point in points), default=0.0) or 1.0
    line = " ".join(
        f"{_LEFT + point.at / end * WIDTH:.1f},{top + HEIGHT * (1 - point.value / largest):.1f}"
        for point in points
    )
    bottom = top + HEIGHT
    place = f'x="{_LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}"'
    return [
        f'<rect {place} fill="none" stroke="#bbb"/>',
        f'<text x="{_LEFT}" y="{top - 4}">{escape(name)}</text>',
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{largest:,.4g}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + WIDTH}" y="{bottom + 13}" text-anchor="end">{end / 60:.1f} min</text>',
        f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>',
    ]

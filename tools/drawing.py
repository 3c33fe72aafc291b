"""Line charts as SVG, one below the other, with marks where something happened.

The rule: text in, text out, and nothing but numbers and our own words in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 960, 150, 70, 50, 45


@dataclass(frozen=True, slots=True)
class Chart:
    """One line. `points` are (seconds, value), in the order of time."""

    title: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a second, drawn as a line through all charts."""

    seconds: float
    colour: str
    what: str


def render(title: str, charts: Sequence[Chart], marks: Sequence[Mark]) -> str:
    """The picture. Every chart begins at zero, so that only what is flat looks flat."""
    seconds = max((point[0] for chart in charts for point in chart.points), default=1.0) or 1.0
    height = _TOP + len(charts) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
        *_legend(marks),
    ]
    for number, chart in enumerate(charts):
        parts += _chart(chart, marks, seconds, _TOP + number * (_HEIGHT + _GAP) + 15)
    return "\n".join([*parts, "</svg>", ""])


def _legend(marks: Sequence[Mark]) -> list[str]:
    kinds = dict.fromkeys((mark.what, mark.colour) for mark in marks)
    return [
        f'<text x="{_LEFT + 170 * n}" y="38" fill="{colour}">| {escape(what)}</text>'
        for n, (what, colour) in enumerate(kinds)
    ]


def _chart(chart: Chart, marks: Sequence[Mark], seconds: float, top: float) -> list[str]:
    highest = max((value for _, value in chart.points), default=0) * 1.1 or 1.0

    def x(second: float) -> str:
        return f"{_LEFT + second / seconds * _WIDTH:.1f}"

    def y(value: float) -> str:
        return f"{top + _HEIGHT - value / highest * _HEIGHT:.1f}"

    line = " ".join(f"{x(second)},{y(value)}" for second, value in chart.points)
    return [
        f'<text x="{_LEFT}" y="{top - 5}">{escape(chart.title)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" fill="#f7f7f7"/>',
        *(
            f'<line x1="{x(mark.seconds)}" x2="{x(mark.seconds)}" y1="{top}" y2="{top + _HEIGHT}" '
            f'stroke="{mark.colour}" stroke-opacity="0.4"/>'
            for mark in marks
        ),
        f'<polyline points="{line}" fill="none" stroke="#14489c" stroke-width="1.5"/>',
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:,.0f}</text>',
        f'<text x="{_LEFT - 6}" y="{top + _HEIGHT}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{top + _HEIGHT + 14}" text-anchor="end">'
        f"{seconds:,.0f} s</text>",
    ]

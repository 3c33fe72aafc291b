"""A bar chart of calls a second, as SVG, and as PNG where a converter is on the machine.

The rule: made of figures alone. Each case has a scale of its own, which begins at zero.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tools.benchmarks.figures import RATE, STANDARD, Figure, Key, medians

_LEFT, _WIDTH, _BAR, _GAP, _TITLE = 190, 640, 13, 8, 26
_COLOURS = ("#14489c", "#d2691e", "#2a9d3a", "#7a3fb0", "#b8860b", "#666666", "#d00000")
_CONVERTERS = (("rsvg-convert", "-o"), ("magick", ""), ("inkscape", "-o"))


def render(title: str, figures: Sequence[Figure]) -> str:
    """The picture of the standard cases; without any, only the title."""
    middle = {key: value for key, value in medians(figures).items() if key[2] == RATE}
    parts = [f'<text x="10" y="20" font-size="14">{escape(title)}</text>']
    top = 40
    for case in STANDARD:
        drawn, top = _case({key: value for key, value in middle.items() if key[1] == case}, top)
        parts += drawn
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 90}" height="{top}" '
        'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _case(bars: dict[Key, float], top: int) -> tuple[list[str], int]:
    """The bars of one case, a group for each number of connections; where the next one begins."""
    if not bars:
        return [], top
    highest = max(bars.values()) or 1.0
    servers = list(dict.fromkeys(key[0] for key in bars))
    case = next(iter(bars))[1]
    parts = [f'<text x="10" y="{top + 12}" font-size="13">{escape(case)}: calls a second</text>']
    top += _TITLE
    for connections in sorted({key[3] for key in bars}):
        label = f"{connections} connection{'s' * (connections > 1)}"
        parts.append(f'<text x="{_LEFT}" y="{top + _BAR - 3}" fill="#666666">{label}</text>')
        top += _BAR
        for number, server in enumerate(servers):
            value = next((v for k, v in bars.items() if k[0] == server and k[3] == connections), 0)
            width, colour = value / highest * _WIDTH, _COLOURS[number % len(_COLOURS)]
            text_y = top + _BAR - 3
            parts += [
                f'<text x="{_LEFT - 6}" y="{text_y}" text-anchor="end">{escape(server)}</text>',
                f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR - 2}" '
                f'fill="{colour}"/>',
                f'<text x="{_LEFT + width + 4:.1f}" y="{text_y}">{value:,.0f}</text>',
            ]
            top += _BAR
        top += _GAP
    return parts, top + _GAP


def convert(svg: Path) -> Path | None:
    """A PNG beside an SVG file, None where no converter is on the machine or it fails."""
    png = svg.with_suffix(".png")
    for name, option in _CONVERTERS:
        program = shutil.which(name)
        if program is not None:
            words = [program, str(svg), *([option] if option else []), str(png)]
            if subprocess.run(words, capture_output=True, check=False).returncode == 0:
                return png
    return None

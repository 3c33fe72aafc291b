"""The page of the manual with the results: `pgmcp/reference/performance.md`, and its chart.

The rule: the page is made of a session's figures and nothing else, and says how to make it again.
"""

from __future__ import annotations

from pathlib import Path

from tools.benchmarks import chart
from tools.benchmarks.figures import STANDARD, tables
from tools.benchmarks.session import Session
from tools.serving import ROOT

FOLDER = ROOT / "pgmcp" / "reference"
NAME = "performance"
_INTRODUCTION = """\
# Performance

What `tools/bench` measured: pgmcp with authentication, pools, the gate, limits and metrics on and
the audit off, and other servers as they come, which ask nobody who they are. All of them ran
in turn on the same machine and the same PostgreSQL, with the client on it too. Each number is the
median of several rounds. The ratios count: the numbers of another machine are others.
"""
_WAY = """\
`MiB under load` is the most memory that the process ever had. A server that speaks only stdio has
one client with as many requests on their way as others have connections.
"""


def text(session: Session) -> str:
    """The page."""
    parts = [_INTRODUCTION, session.about(), "Made with:\n"]
    parts.append("".join(f"    {command}\n" for command in session.commands))
    if any(figure.case in STANDARD for figure in session.figures):
        parts.append(f"![Calls a second of all servers]({NAME}.svg)\n")
    return "\n".join([*parts, *tables(session.figures), _WAY])


def write(session: Session, folder: Path = FOLDER) -> list[Path]:
    """Write the page and its chart; the files."""
    folder.mkdir(exist_ok=True)
    page, svg = folder / f"{NAME}.md", folder / f"{NAME}.svg"
    page.write_text(text(session))
    title = f"{session.machine}, {session.date}, commit {session.commit}"
    svg.write_text(chart.render(title, session.figures))
    png = chart.convert(svg)
    return [page, svg] if png is None else [page, svg, png]

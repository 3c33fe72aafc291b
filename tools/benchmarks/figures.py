"""What was measured: figures, their medians, and the tables made of them. No I/O.

The rule: a figure says what it is of. Every table, chart and page is made from figures and nothing
else, so that runs can be put together.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

RATE, P50, P99 = "calls a second", "p50 ms", "p99 ms"
FIRST_ANSWER, AT_START, UNDER_LOAD = "first answer ms", "MiB at start", "MiB under load"
STANDARD = ("SELECT 1", "1,000 rows x 6", "tools/list")
START = "start"
_TITLES = {RATE: "calls a second", P50: "median in ms", P99: "p99 in ms"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one round. `connections` is 0 where it is not about connections."""

    server: str
    case: str
    measure: str
    value: float
    connections: int = 0


Key = tuple[str, str, str, int]


def medians(figures: Iterable[Figure]) -> dict[Key, float]:
    """The median over the rounds, by server, case, measure and connections."""
    rounds: dict[Key, list[float]] = {}
    for figure in figures:
        key = (figure.server, figure.case, figure.measure, figure.connections)
        rounds.setdefault(key, []).append(figure.value)
    return {key: statistics.median(values) for key, values in rounds.items()}


def tables(figures: Sequence[Figure]) -> Iterator[str]:
    """Markdown tables: the standard cases, starts and memory, ratios, and each special case."""
    middle = medians(figures)
    for measure in (RATE, P99):
        yield from _standard(middle, measure)
    yield from _starts(middle)
    yield from _ratios(middle)
    for case in dict.fromkeys(figure.case for figure in figures):
        if case not in STANDARD and case != START:
            yield from _special(middle, case)


def _distinct(middle: dict[Key, float], position: int, cases: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(str(key[position]) for key in middle if key[1] in cases))


def _standard(middle: dict[Key, float], measure: str) -> Iterator[str]:
    cases = [case for case in STANDARD if any(key[1] == case for key in middle)]
    if not cases:
        return
    counts = sorted({key[3] for key in middle if key[1] in cases})
    shown = " / ".join(map(str, counts))
    rows = [[f"{_TITLES[measure]}, at {shown} connections", *cases]]
    for server in _distinct(middle, 0, cases):
        cells = [
            " / ".join(_number(middle.get((server, case, measure, n))) for n in counts)
            for case in cases
        ]
        rows.append([server, *cells])
    yield table(rows)


def _starts(middle: dict[Key, float]) -> Iterator[str]:
    measures = _distinct(middle, 2, [START])
    if measures:
        rows = [["start and memory", *measures]]
        for server in _distinct(middle, 0, [START]):
            cells = [_number(middle.get((server, START, measure, 0))) for measure in measures]
            rows.append([server, *cells])
        yield table(rows)


def _ratios(middle: dict[Key, float]) -> Iterator[str]:
    """Calls a second of the first server of each way of connecting, by those of the others."""
    cases = [case for case in STANDARD if any(key[1] == case for key in middle)]
    servers = _distinct(middle, 0, cases)
    counts = sorted({key[3] for key in middle if key[1] in cases})
    rows = [["calls a second as a ratio", *cases]]
    for ours in [server for server in servers if server in ("pgmcp", "pgmcp, stdio")]:
        for server in servers:
            if server != ours and server.endswith(", stdio") == ours.endswith(", stdio"):
                cells = [
                    " / ".join(
                        _ratio(
                            middle.get((ours, case, RATE, n)), middle.get((server, case, RATE, n))
                        )
                        for n in counts
                    )
                    for case in cases
                ]
                rows.append([f"{ours} / {server}", *cells])
    if len(rows) > 1:
        yield table(rows)


def _special(middle: dict[Key, float], case: str) -> Iterator[str]:
    servers = _distinct(middle, 0, [case])
    rows = [[case, *servers]]
    rows += [
        [measure, *(_number(middle.get((server, case, measure, 0))) for server in servers)]
        for measure in _distinct(middle, 2, [case])
    ]
    yield table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its heading, the first column is text."""
    heading, *others = rows
    lines = [heading, ["---", *["--:"] * (len(heading) - 1)], *others]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.2f}" if ours is not None and theirs else "-"

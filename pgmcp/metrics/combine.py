"""Numbers of several processes as one page.

The rule: pure functions over values. What was counted is added up, also what a process counted that
has ended; of what is not a process's own, each says the same, and the highest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pgmcp.metrics.metrics import MetricFamily, Sample

Packed = list[Any]
"""Families as JSON has them: for each its name, kind, help and samples."""

_COMMON = frozenset({"pgmcp_audit_failing", "pgmcp_audit_sequence"})
"""What all processes see alike: they write one audit."""


def pack(families: Iterable[MetricFamily]) -> Packed:
    """Families as values that JSON knows."""
    return [
        [f.name, f.kind, f.help, [[s.value, dict(s.labels), s.suffix] for s in f.samples]]
        for f in families
    ]


def lasting(packed: Packed) -> Packed:
    """What still counts when the process has ended: all but the gauges."""
    return [family for family in packed if family[1] != "gauge"]


def combined(packed: Iterable[Packed]) -> list[MetricFamily]:
    """The families of several processes as one of each name, in the order of the first with it."""
    about: dict[str, tuple[Any, str]] = {}
    sums: dict[str, dict[tuple[tuple[tuple[str, str], ...], str], float]] = {}
    for name, kind, text, samples in (family for families in packed for family in families):
        about.setdefault(name, (kind, text))
        values = sums.setdefault(name, {})
        for number, labels, suffix in samples:
            key = (tuple(labels.items()), suffix)
            before = values.get(key, 0.0)
            values[key] = max(before, number) if name in _COMMON else before + number
    return [
        MetricFamily(
            name,
            kind,
            text,
            [Sample(number, dict(labels), suffix) for (labels, suffix), number in values.items()],
        )
        for (name, (kind, text)), values in zip(about.items(), sums.values(), strict=True)
    ]

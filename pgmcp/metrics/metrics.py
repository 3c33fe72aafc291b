"""What is counted, and how it is written for Prometheus (text format 0.0.4).

The rule: a label's value is a name of ours, so that no client makes series. Rendering is a pure
function over values.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of latency buckets: from an answer out of memory to the default statement timeout."""

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A line: what follows the family's name, the labels by name, the value."""

    value: float
    labels: Mapping[str, str]
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric with all of its samples."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[Sample]


class Counter:
    """A number for each combination of labels, which only grows."""

    def __init__(self, name: str, help_text: str, labels: Labels = ()) -> None:
        self._name = name
        self._help = help_text
        self._labels = labels
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}
        self._values_lock = threading.Lock()

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Add `amount` to the number of these labels."""
        with self._values_lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def family(self) -> MetricFamily:
        """The numbers now."""
        with self._values_lock:
            values = dict(self._values)
        samples = [
            Sample(value, dict(zip(self._labels, labels, strict=True)))
            for labels, value in sorted(values.items())
        ]
        return MetricFamily(self._name, "counter", self._help, samples)


class Histogram:
    """How often a value was within each of `bounds`, for each combination of labels."""

    def __init__(
        self, name: str, help_text: str, labels: Labels, bounds: Sequence[float] = SECONDS
    ) -> None:
        self._name = name
        self._help = help_text
        self._labels = labels
        self._bounds = tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._counts_lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Count a value."""
        bucket = bisect_left(self._bounds, value)
        with self._counts_lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
            counts[bucket] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def family(self) -> MetricFamily:
        """The numbers now."""
        with self._counts_lock:
            state = {labels: (list(c), self._sums[labels]) for labels, c in self._counts.items()}
        samples: list[Sample] = []
        for labels, (counts, total) in sorted(state.items()):
            named = dict(zip(self._labels, labels, strict=True))
            running = 0
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
                running += count
                samples.append(Sample(running, named | {"le": _number(bound)}, "_bucket"))
            samples.append(Sample(total, named, "_sum"))
            samples.append(Sample(running, named, "_count"))
        return MetricFamily(self._name, "histogram", self._help, samples)


def gauge(name: str, help_text: str, *samples: Sample) -> MetricFamily:
    """A value that is measured when it is asked for."""
    return MetricFamily(name, "gauge", help_text, samples)


def value(number: float, **labels: str) -> Sample:
    """A sample without a suffix."""
    return Sample(number, labels)


def render(families: Iterable[MetricFamily]) -> bytes:
    """The page (Prometheus, "Exposition formats", text-based format)."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape(family.help, quotes=False)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            pairs = ",".join(f'{name}="{_escape(text)}"' for name, text in sample.labels.items())
            labels = f"{{{pairs}}}" if pairs else ""
            lines.append(f"{family.name}{sample.suffix}{labels} {_number(sample.value)}")
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _escape(text: str, *, quotes: bool = True) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped


def _number(number: float) -> str:
    if number == float("inf"):
        return "+Inf"
    return str(int(number)) if number == int(number) else repr(float(number))

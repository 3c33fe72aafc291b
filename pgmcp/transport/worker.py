"""A thread of a worker pool, and where the pool finds out what there is to do.

The rule: values and a protocol; the pool decides (`transport.workers`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Worker:
    """A thread of a pool. `ready`: a descriptor that it waits for can be read."""

    __slots__ = ("ready", "thread", "wakeup")

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.ready = False
        self.wakeup = threading.Lock()
        self.wakeup.acquire()


class ReadinessSource(Protocol[T]):
    """Where items come from."""

    def __len__(self) -> int:
        """How many items there are that may become ready."""

    def select(self, timeout_seconds: float) -> tuple[list[T], list[Worker]]:
        """The items and the threads whose descriptors are ready, after so much time at most."""

    def watch(self, descriptors: Sequence[int], worker: Worker) -> None:
        """Have `select` report this thread once when one of these can be read."""

    def unwatch(self, descriptors: Sequence[int]) -> None:
        """Do not report it any more. May be repeated."""

    def wake(self) -> None:
        """Make `select` return soon."""

"""Waiting until descriptors can be read or written, by poll where there is one.

The rule: poll needs no descriptor of its own, and takes descriptors above 1,023, which select does
not. Platforms without it get select.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Protocol

READ, WRITE = 1, 4
"""Events of `select.poll`: POLLIN and POLLOUT."""


Ready = list[tuple[int, int]]
"""Descriptors that are ready, each with its events."""


class Poll(Protocol):
    """What is used of `select.poll`."""

    def register(self, descriptor: int, events: int, /) -> None:
        """Have `poll` look at a descriptor, or at other events of it."""

    def poll(self, milliseconds: float, /) -> Ready:
        """The descriptors that are ready, each with its events, after so much time at most."""


class Waits(Protocol):
    """How a thread waits for descriptors, and what it lets others do meanwhile."""

    def until_readable(self, poll: Poll, descriptors: Sequence[int], seconds: float) -> Ready:
        """What `poll` says once one of its `descriptors` can be read, after so much time at most;
        it may also be nothing before that."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class WaitsAlone:
    """A thread that nobody waits for meanwhile."""

    __slots__ = ()

    def until_readable(self, poll: Poll, _: Sequence[int], seconds: float) -> Ready:
        """See `Waits`."""
        with self:
            return poll.poll(seconds * 1000)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _SelectPoll:
    """`Poll` by select."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, descriptor: int, events: int, /) -> None:
        """See `Poll`."""
        self._events[descriptor] = events

    def poll(self, milliseconds: float, /) -> list[tuple[int, int]]:
        """See `Poll`."""
        readers = [fd for fd, wanted in self._events.items() if wanted & READ]
        writers = [fd for fd, wanted in self._events.items() if wanted & WRITE]
        ready, writable, _ = select.select(readers, writers, [], milliseconds / 1000)
        return [(fd, READ) for fd in ready] + [(fd, WRITE) for fd in writable]


def new_poll() -> Poll:
    """One that looks at nothing yet."""
    return select.poll() if hasattr(select, "poll") else _SelectPoll()


def is_ready(descriptor: int, seconds: float, *, event: int = READ) -> bool:
    """Whether a descriptor can be read, or written (`WRITE`), after so much time at most."""
    poll = new_poll()
    poll.register(descriptor, event)
    return bool(poll.poll(seconds * 1000))

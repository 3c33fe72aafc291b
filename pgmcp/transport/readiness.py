"""Which descriptors are ready: epoll where there is one, and `selectors` elsewhere.

The rule: a descriptor that was armed is reported once, and then not until it is armed again; with
epoll that is one system call for each time, and none to take it out.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import sys
from typing import Protocol


class Readiness(Protocol):
    """`wait` is called by one thread, everything else by any."""

    must_wake: bool
    """Whether `wait` does not notice what is armed while it waits."""

    def keep(self, descriptor: int) -> None:
        """Report this descriptor whenever it can be read, until `drop`."""

    def drop(self, descriptor: int) -> None:
        """Do not report it any more. May be repeated."""

    def arm(self, descriptor: int, *, write: bool) -> None:
        """Report it once, when it can be read or, with `write`, written."""

    def disarm(self, descriptor: int) -> None:
        """It is not waited for any more; it may still be reported once."""

    def wait(self, timeout_seconds: float) -> list[int]:
        """The descriptors that are ready, after so much time at most."""

    def close(self) -> None:
        """Give everything back."""


if sys.platform == "linux":

    class Epoll:
        """`Readiness` by epoll. A descriptor that is closed leaves it by itself."""

        must_wake = False

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def keep(self, descriptor: int) -> None:
            """See `Readiness`."""
            self._epoll.register(descriptor, select.EPOLLIN)

        def drop(self, descriptor: int) -> None:
            """See `Readiness`. What was armed may still be reported once, if its peer hangs up."""
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(descriptor)

        def arm(self, descriptor: int, *, write: bool) -> None:
            """See `Readiness`."""
            event = (select.EPOLLOUT if write else select.EPOLLIN) | select.EPOLLONESHOT
            try:
                self._epoll.modify(descriptor, event)
            except FileNotFoundError:  # the first time
                self._epoll.register(descriptor, event)

        def disarm(self, descriptor: int) -> None:
            """See `Readiness`. It costs no system call: it is armed anew, or closed."""

        def wait(self, timeout_seconds: float) -> list[int]:
            """See `Readiness`."""
            return [descriptor for descriptor, _ in self._epoll.poll(timeout_seconds)]

        def close(self) -> None:
            """See `Readiness`."""
            self._epoll.close()


class Selector:
    """`Readiness` by the best that `selectors` has."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._kept: set[int] = set()
        self.must_wake = type(self._selector).__name__ != "KqueueSelector"

    def keep(self, descriptor: int) -> None:
        """See `Readiness`."""
        self._kept.add(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ)

    def drop(self, descriptor: int) -> None:
        """See `Readiness`."""
        self._kept.discard(descriptor)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def arm(self, descriptor: int, *, write: bool) -> None:
        """See `Readiness`."""
        self._selector.register(
            descriptor, selectors.EVENT_WRITE if write else selectors.EVENT_READ
        )

    def disarm(self, descriptor: int) -> None:
        """See `Readiness`."""
        self.drop(descriptor)

    def wait(self, timeout_seconds: float) -> list[int]:
        """See `Readiness`."""
        ready = [key.fd for key, _ in self._selector.select(timeout_seconds)]
        for descriptor in ready:
            if descriptor not in self._kept:
                self.drop(descriptor)
        return ready

    def close(self) -> None:
        """See `Readiness`."""
        self._selector.close()


def readiness() -> Readiness:
    """The best that this system has."""
    return Epoll() if sys.platform == "linux" else Selector()


class Waking:
    """Makes the `wait` of a `Readiness` return; `descriptor` is what it reports then."""

    def __init__(self, ready: Readiness) -> None:
        self._far, self._near = socket.socketpair()
        self._far.setblocking(False)
        self._near.setblocking(False)
        self.descriptor = self._near.fileno()
        ready.keep(self.descriptor)

    def wake(self) -> None:
        """Make it return soon; from any thread."""
        with contextlib.suppress(OSError):
            self._far.send(b"\0")

    def heard(self) -> None:
        """It has returned: it may wait again."""
        with contextlib.suppress(BlockingIOError):
            self._near.recv(4096)

    def close(self) -> None:
        """Give the descriptors back."""
        self._far.close()
        self._near.close()

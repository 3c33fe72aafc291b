"""One call on its way down the layers: how long it may take, and whether it is still wanted.

The rule: whoever waits on a call's behalf asks it how long, and registers how to be woken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from pgmcp.errors import CallEndedError, MemoryBusyError, OutOfTimeError
from pgmcp.net.polling import WaitsAlone

_MEMORY_SECONDS = 10.0
_LOOK_SECONDS = 0.2
Keep = Callable[[int, float], bool]
"""Keep so many bytes for an answer from now on, waiting so many seconds for others to give some
back; False when there are too few then."""


class Waiting(WaitsAlone):
    """A `with` block in which a call waits for somebody else. This kind holds up nobody."""

    __slots__ = ()

    def pause(self) -> None:
        """Let other calls of the owner compute."""

    def resume(self) -> None:
        """Compute again, as soon as no other call of the owner does."""

    def stop(self) -> None:
        """Neither, from now on: the call is over, and what it used may wait later."""

    def __enter__(self) -> None:
        self.pause()

    def __exit__(self, *_: object) -> None:
        self.resume()


_UNSHARED = Waiting()


class Call:
    """A deadline (seconds of `clock`, a monotonic clock) and a cancellation, shared by threads.

    `owner` is whose shares it takes from, `key` the credential that it ends with, `pool` the owner
    and the database of the pool that it needs, None when it needs no connection. `expires_at` is
    when that credential ends by itself, None where others see to that. What waits for
    somebody else (a socket, a connection's turn) does so in a `with waiting` block: meanwhile
    other calls of the owner may compute.
    """

    def __init__(
        self,
        timeout_seconds: float,
        *,
        request_id: str = "-",
        owner: str = "",
        key: str = "",
        pool: tuple[str, str] | None = None,
        expires_at: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
        keep: Keep | None = None,
    ) -> None:
        self.request_id = request_id
        self._keep = keep
        self.owner = owner
        self.key = key
        self.pool = pool
        self.expires_at = expires_at
        self.waiting: Waiting = _UNSHARED
        self._clock = clock
        self._deadline = clock() + timeout_seconds
        self._reason: str | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._callbacks_lock = threading.Lock()

    def __repr__(self) -> str:
        state = f"cancelled: {self._reason}" if self._reason else f"{self.remaining():.3f} s left"
        return f"<Call {self.request_id} {state}>"

    def remaining(self) -> float:
        """Seconds until the deadline, 0.0 when it has passed."""
        return max(0.0, self._deadline - self._clock())

    def shorten(self, timeout_seconds: float) -> None:
        """Bring the deadline forward to `timeout_seconds` from now; it never moves back."""
        self._deadline = min(self._deadline, self._clock() + timeout_seconds)

    @property
    def cancelled(self) -> str | None:
        """Why the call was cancelled, None while it was not."""
        return self._reason

    def check(self) -> None:
        """Raise CallEndedError when nobody waits for the answer any more."""
        if self._reason is not None:
            raise CallEndedError(f"the call was cancelled: {self._reason}")
        if self.remaining() == 0.0:
            raise OutOfTimeError()

    def cancel(self, reason: str) -> None:
        """End the call. The first reason stays; each registered callback runs once, here."""
        with self._callbacks_lock:
            if self._reason is not None:
                return
            self._reason = reason
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def keep(self, count: int) -> None:
        """Count that the answer makes the server keep `count` bytes in all, where rows are counted,
        and wait for others to give some back; MemoryBusyError, CallEndedError."""
        if self._keep is None or self._keep(count, 0.0):
            return
        until = self._clock() + _MEMORY_SECONDS
        while True:
            with self.waiting:
                kept = self._keep(count, _LOOK_SECONDS)
            if kept:
                return
            self.check()
            if self._clock() >= until:
                raise MemoryBusyError

    def on_cancel(self, callback: Callable[[], None]) -> OnCancel:
        """Have `callback` run when the call is cancelled inside a `with` block, at once if it was.

        The callback runs in the canceller's thread, must be quick and must not raise.
        """
        return OnCancel(self, callback)

    def add_callback(self, callback: Callable[[], None]) -> None:
        """See `on_cancel`."""
        with self._callbacks_lock:
            late = self._reason is not None
            if not late:
                self._callbacks.append(callback)
        if late:
            callback()

    def remove_callback(self, callback: Callable[[], None]) -> None:
        """Not any more, if it has not run."""
        with self._callbacks_lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)


class OnCancel:
    """The block of `Call.on_cancel`. A class and no generator: it is often on a call's way."""

    __slots__ = ("_call", "_callback")

    def __init__(self, call: Call, callback: Callable[[], None]) -> None:
        self._call = call
        self._callback = callback

    def __enter__(self) -> None:
        self._call.add_callback(self._callback)

    def __exit__(self, *_: object) -> None:
        self._call.remove_callback(self._callback)

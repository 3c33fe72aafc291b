"""Messages that come to one client later, while nobody works on its request.

The rule: whoever has a message never waits for the client. What waits is bounded, and a client that
does not keep up is ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

WAITING_BYTES = 32 * 1024
"""What may wait to be sent: as much as a small answer, which no budget counts either."""


def _nothing() -> None:
    pass


class Stream:
    """An answer that is held open: messages until `end`, from any thread.

    A feature returns one, keeps it, and is told by `on_close` (once, in any thread) when the client
    is gone or has fallen behind, or the stream has ended. The transport reads it.
    """

    def __init__(self, on_close: Callable[[], None] = _nothing) -> None:
        self._on_close = on_close
        self._wake: Callable[[], None] = _nothing
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._last: tuple[Any] | None = None
        self._closed = False
        self._stream_lock = threading.Lock()

    # -- the feature's side ------------------------------------------------------------------------

    def send(self, message: bytes) -> bool:
        """Have an encoded message sent; False when the stream is over, or now is because the
        client lags."""
        with self._stream_lock:
            if self._closed or self._last is not None:
                return False
            self._waiting_bytes += len(message)
            lags = self._waiting_bytes > WAITING_BYTES
            if not lags:
                self._waiting.append(message)
        if lags:
            self.close()
        self._wake()
        return not lags

    def end(self, result: Any) -> None:
        """Have the request answered with `result` after what waits. Only the first counts."""
        with self._stream_lock:
            if self._closed or self._last is not None:
                return
            self._last = (result,)
        self._wake()

    # -- the transport's side ----------------------------------------------------------------------

    def attach(self, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever there is something to do. What came before is there to be
        taken already."""
        with self._stream_lock:
            self._wake = wake

    @property
    def ready(self) -> bool:
        """Whether something waits to be sent, or the stream is over."""
        return self._closed or self._last is not None or bool(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether it is over without an answer: the client is gone or was ended."""
        return self._closed

    def take(self) -> tuple[list[bytes], tuple[Any] | None]:
        """The messages that wait, and the result in a tuple when these were the last."""
        with self._stream_lock:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            return waiting, self._last

    def close(self) -> None:
        """End it without an answer, or let go of it after the answer. May be repeated."""
        with self._stream_lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
        self._on_close()

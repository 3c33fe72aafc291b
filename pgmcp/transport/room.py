"""Room for what clients send: the bytes that all requests together may keep in memory.

The rule: a request that does not fit is turned away before its body is read, and the room it had is
free again however it ended.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgmcp.errors import HttpError


class Room:
    """`size_bytes` for everybody; for any number of threads."""

    def __init__(self, size_bytes: int) -> None:
        self._free_bytes = size_bytes
        self._free_lock = threading.Lock()

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Have `count` bytes for the block; HttpError (503) when there are not as many."""
        with self._free_lock:
            if count > self._free_bytes:
                raise HttpError(
                    503,
                    "the server is busy with large requests, please try again",
                    (("Retry-After", "1"),),
                )
            self._free_bytes -= count
        try:
            yield
        finally:
            with self._free_lock:
                self._free_bytes += count

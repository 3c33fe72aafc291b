"""The server's messages, one after another, out of the chunks that arrive.

The rule: a message is joined once, however long it is, and a row is only cut out of its chunk when
it will be kept.
"""

from __future__ import annotations

from collections.abc import Callable

from pgmcp.db import messages
from pgmcp.db.messages import ProtocolError
from pgmcp.db.port import Value

MESSAGE_BYTES = 64 * 1024 * 1024
"""No message but a row may be longer; a longer one is a server that lost its way."""


class Inbox:
    """What has arrived and is not read yet. `chunk` waits for more and returns it."""

    def __init__(self, chunk: Callable[[], bytes]) -> None:
        self._chunk = chunk
        self._data = b""
        self._at = 0

    def __bool__(self) -> bool:
        """Whether something has arrived that is not read."""
        return self._at < len(self._data)

    def add(self, data: bytes) -> None:
        """Put behind the rest what arrived without waiting."""
        self._data, self._at = self._data[self._at :] + data, 0

    def next(self, budget: int = MESSAGE_BYTES) -> tuple[int, bytes]:
        """The next message: its kind and its body. A row is left for `rows` to take,
        and one above `budget` is not even waited for."""
        while True:
            data, at = self._data, self._at
            have = len(data) - at
            if have < 5:
                self._receive(5)
                continue
            kind, size = messages.head(data, at)
            if kind == messages.DATA_ROW and (size <= have or size > budget):
                return kind, b""
            if size <= have:
                self._at = at + size
                return kind, data[at + 5 : at + size]
            if size > MESSAGE_BYTES:
                raise ProtocolError("a message of impossible length")
            self._receive(size)

    def rows(self, keep: list[tuple[Value, ...]], budget: int) -> int:
        """Append the rows that have arrived to `keep`; what is left of the budget then, in bytes,
        or less than nothing when the next row goes over it."""
        self._at, budget = messages.rows(self._data, self._at, keep, budget)
        return budget

    def _receive(self, size: int) -> None:
        """Have at least `size` unread bytes."""
        chunks = [self._data[self._at :]]
        missing = size - len(chunks[0])
        while missing > 0:
            chunk = self._chunk()
            chunks.append(chunk)
            missing -= len(chunk)
        self._data, self._at = b"".join(chunks), 0

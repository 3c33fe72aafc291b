"""The server's messages, one after another, out of the chunks that arrive.

The rule: a message is joined once, however long it is, and a row is only cut out of its chunk when
it will be kept.
"""

from __future__ import annotations

from collections.abc import Callable

from pgmcp.postgres import messages
from pgmcp.postgres.messages import ProtocolError
from pgmcp.postgres.rows import Value

MESSAGE_BYTES = 64 * 1024 * 1024
"""No message but a row may be longer; a longer one is a server that lost its way."""
_KEPT_PER_BYTE = 4
"""What a byte of a row costs until it has been answered: the row, its text, a copy, the JSON."""
_KEPT_PER_VALUE = 44
_read_head = messages.HEAD.unpack_from  # for each message of every call


def _uncounted(_: int) -> None:
    """Keep rows that are not counted."""


class Inbox:
    """What has arrived and is not read yet. `chunk` waits for more and returns it."""

    def __init__(self, chunk: Callable[[], bytes]) -> None:
        self._chunk = chunk
        self._keep: Callable[[int], None] = _uncounted
        self._kept_bytes = 0
        self._data = b""
        self._at = 0

    def count(self, keep: Callable[[int], None]) -> None:
        """From now on tell `keep` what the rows cost in memory, in bytes, before they are kept."""
        self._keep, self._kept_bytes = keep, 0

    def release(self) -> None:
        """Keep what is not read yet, and nothing else: not the last large row, nor who counted."""
        self._data, self._at = self._data[self._at :], 0
        self.count(_uncounted)

    def __bool__(self) -> bool:
        """Whether something has arrived that is not read."""
        return self._at < len(self._data)

    def add(self, data: bytes) -> None:
        """Put behind the rest what arrived without waiting."""
        self._data, self._at = self._data[self._at :] + data, 0

    @property
    def held_bytes(self) -> int:
        """The bytes that are kept, read or not."""
        return len(self._data)

    def next(self, budget: int = MESSAGE_BYTES) -> tuple[int, bytes]:
        """The next message: its kind and its body. A row is left for `rows` to take,
        and one above `budget` is not even waited for."""
        while True:
            data, at = self._data, self._at
            have = len(data) - at
            if have < 5:
                self._receive(5)
                continue
            kind, length = _read_head(data, at)
            if length < 4:
                raise ProtocolError("a message of impossible length")
            size = length + 1
            if kind == messages.DATA_ROW and (size <= have or size > budget):
                return kind, b""
            if size <= have:
                self._at = at + size
                return kind, data[at + 5 : at + size]
            if kind == messages.DATA_ROW:
                self._keep(self._kept_bytes + _KEPT_PER_BYTE * size)
            elif size > MESSAGE_BYTES:
                raise ProtocolError("a message of impossible length")
            self._receive(size)

    def rows(self, keep: list[tuple[Value, ...]], budget: int) -> int:
        """Append the rows that have arrived to `keep`; what is left of the budget then, in bytes,
        or less than nothing when the next row goes over it."""
        at, count = self._at, len(keep)
        self._at, budget = messages.rows(self._data, at, keep, budget)
        if len(keep) > count:
            values = (len(keep) - count) * len(keep[-1])
            self._kept_bytes += _KEPT_PER_BYTE * (self._at - at) + _KEPT_PER_VALUE * values
            self._keep(self._kept_bytes)
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

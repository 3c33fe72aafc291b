"""A request's body, as it comes in: counted or chunked. No I/O, no clock.

The rule: a body takes from the buffer exactly what belongs to it, so that the next request begins
where this one ends; it is kept once, and never more of it than its limit.
"""

from __future__ import annotations

import re

from pgmcp.errors import HttpError
from pgmcp.rpc.jsonrpc import UNSCANNED_BYTES
from pgmcp.rpc.scan import Scan
from pgmcp.transport.head import CHUNKED

KEPT_PER_BYTE = 6
"""What a byte of a message costs at most while it is read and answered: the body, its strings (four
bytes a character when one of them is beyond the first plane), and copies on their way."""
KEPT_PER_VALUE = 256
"""What a value costs at most beside its text: a short string as a member of an object."""

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LINE_BYTES = 4096
_OVERHEAD_BYTES = 4 * 1024
_OVERHEAD_SHARE = 4
"""Size lines and trailers beyond _OVERHEAD_BYTES may be a quarter of the data: each is a step."""


def too_large(limit_bytes: int) -> HttpError:
    """The refusal of a body over `limit_bytes`."""
    return HttpError(413, f"the request body is over {limit_bytes} bytes")


class Body:
    """A body of `length` bytes, or CHUNKED (RFC 9112, section 7.1), up to `limit_bytes`.

    `scan` counts what it holds, None while it is too short to matter. Trailer fields are read and
    dropped, as section 6.5.1 of RFC 9110 allows.
    """

    def __init__(self, length: int, limit_bytes: int) -> None:
        if length > limit_bytes:
            raise too_large(limit_bytes)
        self._chunked = length == CHUNKED
        self._limit_bytes = limit_bytes
        self._data = bytearray()
        self._remaining = 0 if self._chunked else length
        self._overhead = 0
        self._state = "size" if self._chunked else "data"
        self.scan = Scan() if self._chunked or length > UNSCANNED_BYTES else None

    def __len__(self) -> int:
        """How many bytes have come."""
        return len(self._data)

    @property
    def kept_bytes(self) -> int:
        """What the message made of it costs at most, as far as it has come."""
        values = self.scan.values if self.scan is not None else len(self._data) // 8
        return KEPT_PER_BYTE * len(self._data) + KEPT_PER_VALUE * values

    def beginning(self, count: int) -> bytes:
        """The first `count` bytes, as far as they have come."""
        return bytes(self._data[:count])

    def take(self) -> bytearray:
        """The whole body, which is not kept here any more."""
        data, self._data = self._data, bytearray()
        return data

    def feed(self, buffer: bytearray) -> bool:
        """Take what is there from the front of `buffer`; whether the body is complete.

        HttpError for broken chunks and for a body over the limit; ParseError for one that holds
        more than may be read.
        """
        if not self._chunked:
            self._move(buffer)
            return not self._remaining
        while self._state != "done":
            if not self._step(buffer):
                return False
        return True

    def _move(self, buffer: bytearray) -> None:
        """Take data from the buffer, as far as it is the body's."""
        if len(buffer) <= self._remaining:
            piece = buffer[:]
            buffer.clear()
        else:
            piece = buffer[: self._remaining]
            del buffer[: self._remaining]
        self._remaining -= len(piece)
        if self.scan is not None:
            self.scan.feed(piece)
        self._data += piece

    def _step(self, buffer: bytearray) -> bool:
        """One piece of a chunked body; False when more bytes are needed."""
        if self._state == "data":
            return self._take_data(buffer)
        line = self._take_line(buffer)
        if line is None:
            return False
        if self._state == "trailer":
            if not line:
                self._state = "done"
        else:
            self._begin_chunk(line)
        return True

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise HttpError(400, "malformed chunk size")
        self._remaining = int(match[1], 16)
        if len(self._data) + self._remaining > self._limit_bytes:
            raise too_large(self._limit_bytes)
        self._state = "data" if self._remaining else "trailer"

    def _take_data(self, buffer: bytearray) -> bool:
        if self._remaining:
            self._move(buffer)
        if self._remaining or len(buffer) < 2:
            return False
        if buffer[:2] != b"\r\n":
            raise HttpError(400, "a chunk does not end where its size says")
        del buffer[:2]
        self._state = "size"
        return True

    def _take_line(self, buffer: bytearray) -> bytes | None:
        end = buffer.find(b"\n", 0, _LINE_BYTES)
        if end < 0:
            if len(buffer) >= _LINE_BYTES:
                raise HttpError(400, "a line between chunks is too long")
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._overhead += end + 1
        if self._overhead > _OVERHEAD_BYTES + len(self._data) // _OVERHEAD_SHARE:
            raise HttpError(400, "too many small chunks")
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise HttpError(400, "lines must end with CR LF")
        return line[:-1]

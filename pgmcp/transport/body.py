"""A request's body, as it comes in: counted or chunked. No I/O, no clock.

The rule: a body takes from the buffer exactly what belongs to it, so that the next request begins
where this one ends, and it never holds more than its limit.
"""

from __future__ import annotations

import re

from pgmcp.errors import HttpError
from pgmcp.transport.head import CHUNKED

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LINE_BYTES = 4096
_OVERHEAD_BYTES = 1024 * 1024
"""Size lines and trailers of one body: 10 MB in chunks of one byte keep a core busy for seconds."""


def too_large(limit_bytes: int) -> HttpError:
    """The refusal of a body over `limit_bytes`."""
    return HttpError(413, f"the request body is over {limit_bytes} bytes")


class Body:
    """A body of `length` bytes, or CHUNKED (RFC 9112, section 7.1), up to `limit_bytes`.

    Trailer fields are read and dropped, as section 6.5.1 of RFC 9110 allows.
    """

    def __init__(self, length: int, limit_bytes: int) -> None:
        if length > limit_bytes:
            raise too_large(limit_bytes)
        self._length = length
        self._limit_bytes = limit_bytes
        self._data = bytearray()
        self._chunk_left = 0
        self._overhead = 0
        self._state = "size"

    def feed(self, buffer: bytearray) -> bytes | None:
        """Take what is there from the front of `buffer`; the whole body once it is complete.

        HttpError for broken chunks and for a body over the limit.
        """
        if self._length != CHUNKED:
            if len(buffer) < self._length:
                return None
            data = bytes(buffer[: self._length])
            del buffer[: self._length]
            return data
        while self._state != "done":
            if not self._step(buffer):
                return None
        return bytes(self._data)

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
        self._chunk_left = int(match[1], 16)
        if len(self._data) + self._chunk_left > self._limit_bytes:
            raise too_large(self._limit_bytes)
        self._state = "data" if self._chunk_left else "trailer"

    def _take_data(self, buffer: bytearray) -> bool:
        if self._chunk_left:
            piece = buffer[: self._chunk_left]
            del buffer[: len(piece)]
            self._data += piece
            self._chunk_left -= len(piece)
        if self._chunk_left or len(buffer) < 2:
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
        if self._overhead > _OVERHEAD_BYTES:
            raise HttpError(400, "too many small chunks")
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise HttpError(400, "lines must end with CR LF")
        return line[:-1]

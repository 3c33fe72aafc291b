"""Bounds on JSON before anything is made of it, and where its long strings are.

The rule: each byte is looked at once, as it arrives and in pieces of PIECE_BYTES, so that other
threads run in between. An object or array of two bytes takes fifty and more once it is read.
"""

from __future__ import annotations

from pgmcp.errors import ParseError

PIECE_BYTES = 16 * 1024
"""What one step works on: some hundred microseconds in which nobody else runs."""
LONG_BYTES = 4096
MAX_DEPTH = 64
"""Objects and arrays inside each other; deeper ones exhaust the stack of whoever walks them."""
MAX_VALUES = 10_000
"""Names, strings, numbers, objects and arrays in one message; a large call has some dozens."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Scan:
    """Counts what one message holds. It is no judge of what is JSON: whoever reads it is, and
    stops at the first byte that is none.

    `values` is never too low; `size_bytes` is how much was fed. `long_strings` are where the
    contents of those strings begin and end that did not come in one piece, from LONG_BYTES on.
    """

    def __init__(self) -> None:
        self.values = 1
        self.size_bytes = 0
        self.long_strings: list[tuple[int, int]] = []
        self._depth = 0
        self._in_string = False
        self._string_began = 0
        self._escaped = False

    def feed(self, data: bytes | bytearray) -> None:
        """Look at the next bytes. ParseError for what is not to be read."""
        at = 0
        while at < len(data):
            size = min(PIECE_BYTES - self.size_bytes % PIECE_BYTES, len(data) - at)
            self._piece(bytes(data[at : at + size]))
            self.size_bytes += size
            at += size

    def _piece(self, piece: bytes) -> None:
        if self._escaped:
            piece = b"x" + piece[1:]
        # The same length, so that places stay, and without escapes each quote is a string's end.
        piece = piece.replace(b"\\\\", b"xx").replace(b'\\"', b"xx")
        self._escaped = piece.endswith(b"\\")
        parts = piece.split(b'"')
        outside = parts[1 if self._in_string else 0 :: 2]
        if len(parts) > 1:
            if self._in_string:
                end = self.size_bytes + len(parts[0])
                if end - self._string_began >= LONG_BYTES:
                    self.long_strings.append((self._string_began, end))
            self._in_string ^= len(parts) % 2 == 0
            self._string_began = self.size_bytes + len(piece) - len(parts[-1])
        if outside:
            self._count(b"".join(outside))

    def _count(self, outside: bytes) -> None:
        opened = outside.count(b"[") + outside.count(b"{")
        self.values += opened + outside.count(b",") + outside.count(b":")
        if self.values > MAX_VALUES:
            raise ParseError(f"a message may hold {MAX_VALUES} values")
        for bracket in outside.translate(None, _NOT_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > MAX_DEPTH:
                raise ParseError(f"nested more than {MAX_DEPTH} levels deep")
            if self._depth < 0:
                raise ParseError("not JSON: a bracket closes what was not opened")

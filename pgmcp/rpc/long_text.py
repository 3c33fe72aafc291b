"""Long strings in JSON, read and written in pieces.

The rule: the standard library reads and writes what stands around them; no step of it or of ours
works on more than MAX_AROUND_BYTES, so that other threads run in between.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from pgmcp.errors import InvalidRequestError, ParseError
from pgmcp.rpc.scan import Scan

MAX_AROUND_BYTES = 256 * 1024
"""What may stand outside the long strings of a message."""
LONG_CHARS = 64 * 1024
"""From here on a string is written in pieces."""
_PIECE = 16 * 1024
_LEVELS = 5
_LOOKED_INTO = 8  # members of a container in which a long string is looked for

# Whole characters and escapes, a surrogate pair as one, up to the end of the window.
_WHOLE = re.compile(
    rb"(?>(?:[^\\]++|\\[^u]|\\u[dD][89abAB][^\\]{2}\\u[^\\]{4}"
    rb"|\\u(?![dD][89abAB])[^\\]{4}|\\u[dD][89abAB][^\\]{2}(?=.{6}))*)",
    re.DOTALL,
)


Decoded = tuple[Any, bool]
"""A value, and whether a string of it holds half of a surrogate pair."""


def read(data: bytes | bytearray, scan: Scan, decode: Callable[[bytearray], Decoded]) -> Decoded:
    """What a message says whose long strings `scan` found; `decode` reads what is around them.

    ParseError and InvalidRequestError, and whatever `decode` raises.
    """
    # Who writes a message cannot write its own digest into it.
    mark = hashlib.blake2b(data, digest_size=16).hexdigest()
    around = bytearray()
    at = 0
    for number, (start, end) in enumerate(scan.long_strings):
        around += data[at:start] + f"{mark}{number}".encode()
        at = end
        if len(around) > MAX_AROUND_BYTES:
            break
    around += data[at : at + MAX_AROUND_BYTES + 1]
    if len(around) > MAX_AROUND_BYTES:
        raise InvalidRequestError(
            f"outside its long strings a message may have {MAX_AROUND_BYTES} bytes"
        )
    value, has_half_pair = decode(around)
    strings = [_string(data, start, end) for start, end in scan.long_strings]
    value = _put_back(value, mark, [text for text, _ in strings])
    return value, has_half_pair or any(half for _, half in strings)


def _string(data: bytes | bytearray, start: int, end: int) -> tuple[str, bool]:
    pieces: list[str] = []
    has_half_pair = False
    while start < end:
        stop = min(start + _PIECE, end)
        if stop < end:
            match = _WHOLE.match(data, start, stop)
            stop = match.end() if match else stop
            while stop > start and data[stop] & 0xC0 == 0x80:  # not inside a character
                stop -= 1
        stop = stop if stop > start else min(start + _PIECE, end)
        raw = bytes(data[start:stop])
        try:
            piece: str = json.loads(f'"{raw.decode("utf-8")}"')
            has_half_pair = has_half_pair or (b"\\u" in raw and not _is_utf_8(piece))
        except UnicodeDecodeError:
            raise ParseError(f"not UTF-8: invalid byte after offset {start}") from None
        except json.JSONDecodeError as failure:
            raise ParseError(f"not JSON: {failure.msg} after byte {start}") from None
        pieces.append(piece)
        start = stop
    return "".join(pieces), has_half_pair


def _is_utf_8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _put_back(value: Any, mark: str, strings: list[str]) -> Any:
    """`value` with the long strings in their places."""

    def put(item: Any) -> Any:
        if isinstance(item, str) and item.startswith(mark):
            return strings[int(item[len(mark) :])]
        if isinstance(item, dict | list):
            todo.append(item)
        return item

    todo: list[Any] = []
    value = put(value)
    while todo:
        container = todo.pop()
        if isinstance(container, list):
            container[:] = map(put, container)
            continue
        for name, member in container.items():
            if name.startswith(mark):
                raise ParseError("a member's name is too long")
            container[name] = put(member)
    return value


def take_out(value: Any) -> tuple[Any, list[str]]:
    """`value` with MARK in the place of each long string, and those in their order.

    Only small containers are looked into: a list of tools holds no long strings.
    """
    if not _holds_long(value):
        return value, []
    taken: list[str] = []
    return _without(value, taken, _LEVELS), taken


def _holds_long(value: Any) -> bool:
    """Whether there is a long string where `take_out` looks."""
    items = [value]
    for _ in range(_LEVELS + 1):
        inner: list[Any] = []
        for item in items:
            if isinstance(item, str):
                if len(item) >= LONG_CHARS:
                    return True
            elif isinstance(item, dict | list) and len(item) <= _LOOKED_INTO:
                inner += item.values() if isinstance(item, dict) else item
        items = inner
    return False


def _without(item: Any, taken: list[str], levels: int) -> Any:
    # No inner function: one that calls itself is a cycle, with all that it has taken in it.
    if isinstance(item, str):
        if len(item) < LONG_CHARS:
            return item
        taken.append(item)
        return MARK
    if not levels or not isinstance(item, dict | list) or len(item) > _LOOKED_INTO:
        return item
    if isinstance(item, list):
        return [_without(member, taken, levels - 1) for member in item]
    return {name: _without(member, taken, levels - 1) for name, member in item.items()}


MARK = "\ufdd0 a long string \ufdd0"
"""Stands for a long string; U+FDD0 is no character, and free for a program's own use."""


def write(around: bytes, strings: list[str]) -> bytearray | None:
    """What `take_out` took apart, as bytes; None when a text holds MARK too."""
    parts = around.split(f'"{MARK}"'.encode())
    if len(parts) != len(strings) + 1:
        return None
    data = bytearray(parts[0])
    for text, part in zip(strings, parts[1:], strict=True):
        data += b'"'
        for start in range(0, len(text), _PIECE):
            data += _written(text[start : start + _PIECE])
        data += b'"' + part
    return data


def escape_line_ends(text: str) -> str:
    """JSON without the three characters at which some readers of lines end one, though JSON allows
    them inside a string."""
    for char in "" if text.isascii() else "\x85\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _written(piece: str) -> bytes:
    text = escape_line_ends(encode_basestring(piece)[1:-1])
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can carry it
        escaped: str = encode_basestring_ascii(piece)[1:-1]
        return escaped.encode("ascii")

"""The head of an HTTP/1.1 request, from bytes to values: no I/O, no clock.

The rule: what two readers could understand differently is refused, never guessed. A bare CR or LF,
a folded line, a blank before a colon, a doubled length: each has let a request hide in another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from pgmcp.errors import HttpError

CHUNKED = -1
"""What `body_length` says of a body whose length comes with it."""


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The largest head that is read: bytes of all of it, bytes of its first line, and fields."""

    head_bytes: int = 32 * 1024
    request_line_bytes: int = 8 * 1024
    fields: int = 100


class Head(NamedTuple):
    """A request line and its header fields.

    `target` is as sent; `host` is its authority or the Host field; `headers` has lower-case names,
    and repeated fields joined with ", " (RFC 9110, section 5.3). Authorization is kept apart, one
    entry per field, and is not in `headers`: only the authenticator may read it.
    """

    method: str
    target: str
    minor_version: int
    host: str
    headers: dict[str, str]
    authorization: tuple[str, ...]

    @property
    def path(self) -> str:
        """The target's path: without scheme and authority, query and fragment."""
        path = self.target
        if not path.startswith("/") and (absolute := _ABSOLUTE.match(path)):
            path = path[absolute.end() :] or "/"
        return path.partition("?")[0].partition("#")[0]

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on with this connection (RFC 9112, section 9.3)."""
        options = self.headers.get("connection", "").lower()
        if self.minor_version == 0:
            return "keep-alive" in options and "close" not in options
        return "close" not in options

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body (RFC 9110, 10.1.1)."""
        return self.minor_version > 0 and self.headers.get("expect", "").lower() == "100-continue"


# RFC 9110, section 5.6.2: what a method and a field name are made of.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# Possessive quantifiers: a head that does not match fails in one pass.
_HEAD = re.compile(
    rb"(" + _TOKEN + rb"++) ([!-~]++) HTTP/1\.([01])\r\n"
    rb"((?>(?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*))\r\n"
)
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb"++) ([!-~]++) HTTP/([0-9])\.([0-9])")
_LONE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
MAX_EMPTY_LINES = 8
# One more than may be: how many there are beyond that does not matter.
_EMPTY_LINES = re.compile(rb"(?:\r\n){1,%d}" % (MAX_EMPTY_LINES + 1))
_SINGLE = frozenset(
    {"content-length", "transfer-encoding", "host", "content-type", "origin", "expect"}
)


def skip_empty_lines(data: bytearray, skipped: int = 0) -> int:
    """Take the empty lines before a request off `data`; how many there were, `skipped` included.

    RFC 9112, section 2.2 lets a client send some. HttpError for more than MAX_EMPTY_LINES.
    """
    match = _EMPTY_LINES.match(data)
    if match is None:
        return skipped
    length = match.end()
    del match  # it holds `data`, which cannot be cut until then
    del data[:length]
    skipped += length // 2
    if skipped > MAX_EMPTY_LINES:
        raise HttpError(400, f"more than {MAX_EMPTY_LINES} empty lines before a request")
    return skipped


def head_end(data: bytes | bytearray, searched: int = 0, limits: HeadLimits | None = None) -> int:
    """Where the head ends in `data`, or -1 when more bytes are needed.

    `searched` is how much of `data` an earlier call has seen, so that a head that comes one byte
    at a time costs no more. HttpError for a head that can no longer become a good one.
    """
    limits = limits or HeadLimits()
    start = max(0, searched - 3)
    end = data.find(b"\r\n\r\n", start)
    if end >= 0:
        end += 4
    _check_size(data, end, limits)
    if end < 0:
        _check_beginning(data)
        lone = _LONE_LINE_END.search(data, start)
        # A CR in the last place may have its LF still to come.
        if lone and not (lone[0] == b"\r" and lone.end() == len(data)):
            raise HttpError(400, "lines must end with CR LF")
    return end


def parse(head: bytes | bytearray, limits: HeadLimits | None = None) -> Head:
    """A whole head, up to and with its empty line. HttpError when it is not a good one."""
    limits = limits or HeadLimits()
    _check_beginning(head)
    match = _HEAD.fullmatch(head)
    if match is None:
        raise _refusal(bytes(head))
    method, target, minor_version, fields = match.groups()
    lines = fields.decode("latin-1").split("\r\n")
    lines.pop()
    if len(lines) > limits.fields:
        raise HttpError(431, f"more than {limits.fields} header fields")
    headers, authorization = _fields(lines)
    target_text = target.decode("ascii")
    return Head(
        method.decode("ascii"),
        target_text,
        int(minor_version),
        _host(target_text, headers, int(minor_version)),
        headers,
        authorization,
    )


def body_length(head: Head) -> int:
    """The number of bytes that follow the head, or CHUNKED (RFC 9112, section 6).

    HttpError for lengths that are no number, for two ways to say it, and for codings but chunked.
    """
    coding = head.headers.get("transfer-encoding")
    length = head.headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise HttpError(400, "Content-Length and Transfer-Encoding exclude each other")
        if head.minor_version == 0:
            raise HttpError(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != "chunked":
            raise HttpError(501, "the only Transfer-Encoding served is chunked")
        return CHUNKED
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise HttpError(400, "Content-Length must be a whole number of bytes")
    return int(length)


def _fields(lines: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    headers: dict[str, str] = {}
    authorization: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        if name == "authorization":
            authorization.append(value)
        elif name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise HttpError(400, f"the header field {name} may stand only once")
        else:
            headers[name] = f"{headers[name]}, {value}"
    return headers, tuple(authorization)


def _host(target: str, headers: dict[str, str], minor_version: int) -> str:
    """The authority asked for: the target's, which outranks the field (RFC 9112, section 3.2.2)."""
    host = headers.get("host")
    if host is None and minor_version > 0:
        raise HttpError(400, "the header field host is missing")
    absolute = None if target.startswith("/") else _ABSOLUTE.match(target)
    return absolute[1] if absolute else host or ""


def _check_size(data: bytes | bytearray, end: int, limits: HeadLimits) -> None:
    size = end if end >= 0 else len(data)
    if size > limits.request_line_bytes:
        line_end = data.find(b"\r\n", 0, limits.request_line_bytes + 2)
        if line_end < 0:
            raise HttpError(414, f"the request line is over {limits.request_line_bytes} bytes")
    if size > limits.head_bytes:
        raise HttpError(431, f"the request head is over {limits.head_bytes} bytes")


def _check_beginning(data: bytes | bytearray) -> None:
    """Name the two protocols that knock here by mistake, as soon as they can be told."""
    if data.startswith(b"\x16\x03"):
        raise HttpError(400, "this port speaks plain HTTP: use http:// or switch TLS on")
    if data.startswith(b"PRI * HTTP/2.0\r\n"):
        raise HttpError(400, "HTTP/2 without TLS negotiation is not served: use HTTP/1.1")


def _refusal(head: bytes) -> HttpError:
    """Why a head does not match, in words that help who wrote the client."""
    request_line, _, fields = head.partition(b"\r\n")
    if _LONE_LINE_END.search(head):
        return HttpError(400, "lines must end with CR LF")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        return HttpError(400, "malformed request line")
    if match[3] != b"1" or match[4] not in b"01":
        return HttpError(505, "use HTTP/1.1")
    for line in fields.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            return HttpError(400, "folded header lines are not allowed")
        name, colon, _ = line.partition(b":")
        if line and (not colon or not re.fullmatch(_TOKEN + rb"+", name)):
            return HttpError(400, "malformed header field name")
    return HttpError(400, "control characters in the request head")

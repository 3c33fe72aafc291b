"""The head of a request: any bytes either parse, ask for more, or raise HttpError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.errors import HttpError
from pgmcp.transport.head import CHUNKED, Head, HeadLimits, body_length, head_end, parse

GOOD = b"POST /mcp/v1?x=1 HTTP/1.1\r\nHost: db.example:8080\r\nContent-Length: 2\r\n\r\n"


def read(data: bytes, limits: HeadLimits | None = None) -> Head | None:
    """The head at the front of `data`, as the server reads it."""
    end = head_end(data, 0, limits)
    return parse(data[:end], limits) if end >= 0 else None


def request(*fields: bytes, line: bytes = b"POST / HTTP/1.1", host: bool = True) -> bytes:
    lines = [line, *([b"Host: h"] if host else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def refused(data: bytes, limits: HeadLimits | None = None) -> HttpError:
    with pytest.raises(HttpError) as caught:
        head = read(data, limits)
        assert head is not None, "asked for more"
        body_length(head)
    return caught.value


def accepted(data: bytes) -> Head:
    head = read(data)
    assert head is not None
    return head


def test_a_head_is_taken_apart() -> None:
    head = accepted(GOOD + b"{}")
    assert (head.method, head.path, head.host) == ("POST", "/mcp/v1", "db.example:8080")
    assert head.headers["content-length"] == "2"
    assert body_length(head) == 2
    assert head.keep_alive


@pytest.mark.parametrize("junk", [b"", b"{}", b"\0\xff", GOOD])
def test_what_follows_a_head_is_left_alone(junk: bytes) -> None:
    assert head_end(GOOD + junk) == len(GOOD)


def test_a_head_may_come_one_byte_at_a_time() -> None:
    for size in range(len(GOOD)):
        assert head_end(GOOD[:size], max(0, size - 1)) == -1
    assert head_end(GOOD, len(GOOD) - 1) == len(GOOD)


@pytest.mark.parametrize(
    "data",
    [
        request(b"A: b\rc"),
        request(b"A: b\nc: d"),
        b"POST / HTTP/1.1\nHost: h\n\n",
        b"POST / HTTP/1.1\rHost: h",
        request(b"A: b", b" folded"),
        request(b"A: b", b"\tfolded"),
        request(b"A : b"),
        request(b": b"),
        request(b"no colon"),
        request(b"A: \0"),
        request(b"A: \x07"),
        request(b"A: \x7f"),
        request(b"A\xff: b"),
        request(line=b"POST  / HTTP/1.1"),
        request(line=b"POST / HTTP/1.1 "),
        request(line=b" POST / HTTP/1.1"),
        request(line=b"POST /\xff HTTP/1.1"),
        request(line=b"POST /"),
        request(line=b"POST / http/1.1"),
        request(host=False),
        request(b"Host: other"),
        request(b"Content-Length: 1", b"Content-Length: 1"),
        request(b"Content-Length: 1, 1"),
        request(b"Content-Length: -1"),
        request(b"Content-Length: +1"),
        request(b"Content-Length: 0x1"),
        request(b"Content-Length: 1_0"),
        request("Content-Length: ١".encode()),
        request(b"Content-Length: \xb2"),
        request(b"Content-Length: "),
        request(b"Content-Length: " + b"9" * 19),
        request(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
        request(b"Origin: http://a", b"Origin: http://b"),
        request(b"Content-Type: application/json", b"Content-Type: text/plain"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(data: bytes) -> None:
    assert refused(data).status == 400


@pytest.mark.parametrize(
    ("data", "status", "word"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/2"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "plain HTTP"),
        (request(line=b"GET / HTTP/2.0"), 505, "HTTP/1.1"),
        (request(line=b"GET / HTTP/1.2"), 505, "HTTP/1.1"),
        (request(b"Transfer-Encoding: gzip, chunked"), 501, "chunked"),
    ],
)
def test_another_protocol_is_named(data: bytes, status: int, word: str) -> None:
    error = refused(data)
    assert error.status == status
    assert word in error.message


def test_sizes_are_limited() -> None:
    limits = HeadLimits(head_bytes=200, request_line_bytes=50, fields=3)
    long_line = b"GET /" + b"a" * 60
    assert refused(long_line + b" HTTP/1.1\r\nHost: h\r\n\r\n", limits).status == 414
    assert refused(long_line, limits).status == 414
    assert refused(request(b"A: " + b"b" * 200), limits).status == 431
    assert refused(request(b"A: " + b"b" * 200)[:-4], limits).status == 431
    assert refused(request(b"A: 1", b"B: 2", b"C: 3"), limits).status == 431
    assert read(request(b"A: 1", b"B: 2"), limits) is not None


def test_repeated_fields_are_joined_in_their_order() -> None:
    head = accepted(request(b"X-Forwarded-For: 1.1.1.1", b"x-forwarded-for: \t2.2.2.2 "))
    assert head.headers["x-forwarded-for"] == "1.1.1.1, 2.2.2.2"


def test_every_authorization_field_reaches_the_gate_and_nobody_else() -> None:
    head = accepted(request(b"Authorization: Bearer a", b"AUTHORIZATION: Bearer b"))
    assert head.authorization == ("Bearer a", "Bearer b")
    assert "authorization" not in head.headers


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"/mcp/v1", "/mcp/v1", "h"),
        (b"/mcp/v1?token=x", "/mcp/v1", "h"),
        (b"/mcp/v1#x", "/mcp/v1", "h"),
        (b"http://other:1/mcp/v1?x", "/mcp/v1", "other:1"),
        (b"HTTP://other", "/", "other"),
        (b"*", "*", "h"),
        (b"//mcp/v1", "//mcp/v1", "h"),
    ],
)
def test_the_target_gives_the_path_and_outranks_the_host_field(
    target: bytes, path: str, host: str
) -> None:
    head = accepted(request(line=b"GET " + target + b" HTTP/1.1"))
    assert (head.path, head.host) == (path, host)


@pytest.mark.parametrize(
    ("line", "field", "expected"),
    [
        (b"GET / HTTP/1.1", b"A: b", True),
        (b"GET / HTTP/1.1", b"Connection: Close", False),
        (b"GET / HTTP/1.0", b"A: b", False),
        (b"GET / HTTP/1.0", b"Connection: Keep-Alive", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive, close", False),
    ],
)
def test_who_keeps_the_connection(line: bytes, field: bytes, expected: bool) -> None:
    assert accepted(request(field, line=line)).keep_alive is expected


def test_http_1_0_needs_no_host_and_chunked_is_recognised() -> None:
    assert accepted(request(line=b"GET / HTTP/1.0", host=False)).host == ""
    assert body_length(accepted(request(b"Transfer-Encoding: Chunked"))) == CHUNKED


def outcome(data: bytes) -> object:
    """What the server makes of these bytes when they come at once."""
    try:
        end = head_end(data)
        return (end, parse(data[:end])) if end >= 0 else "more"
    except HttpError as error:
        return error.status


def outcome_by_bytes(data: bytes) -> object:
    """The same when they come one at a time."""
    buffer = bytearray()
    for byte in data:
        searched = len(buffer)
        buffer.append(byte)
        try:
            end = head_end(buffer, searched)
            if end >= 0:
                return end, parse(bytes(buffer[:end]))
        except HttpError as error:
            return error.status
    return "more"


pieces = st.sampled_from(
    [
        b"POST",
        b" ",
        b"/",
        b"HTTP/1.1",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"Host",
        b":",
        b"h",
        b"\t",
        b"Content-Length: 1",
        b"\0",
        b"\xff",
        b"\x16\x03",
        b"PRI * HTTP/2.0",
        b"a" * 100,
    ]
)
heads = st.lists(pieces | st.binary(max_size=3), max_size=25).map(b"".join)


@given(heads | st.binary(max_size=200))
def test_any_bytes_parse_ask_for_more_or_are_refused(data: bytes) -> None:
    assert outcome(data) is not None


@given(heads, st.binary(max_size=20))
def test_how_the_bytes_arrive_makes_no_difference(data: bytes, junk: bytes) -> None:
    whole = outcome(data)
    assert isinstance(outcome_by_bytes(data), type(whole))
    if isinstance(whole, tuple):
        assert outcome(data[: whole[0]] + junk) == whole
        assert outcome_by_bytes(data + junk) == whole


names = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)


@given(st.dictionaries(names.filter(lambda n: n not in {"host", "authorization"}), values))
def test_every_well_formed_head_parses_to_what_was_sent(fields: dict[str, str]) -> None:
    lines = [f"{name}: {value}".encode() for name, value in fields.items()]
    assert accepted(request(*lines)).headers == {"host": "h"} | fields

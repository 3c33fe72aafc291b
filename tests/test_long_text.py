"""Long messages: bounded before anything is made of them, and read and written in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgmcp.errors import InvalidRequestError, ParseError, RpcError
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Request
from pgmcp.rpc.long_text import LONG_CHARS, MARK
from pgmcp.rpc.scan import MAX_DEPTH, MAX_VALUES, PIECE_BYTES, Scan


def message(inner: bytes, request_id: bytes = b"1") -> bytes:
    return b'{"jsonrpc":"2.0","id":%s,"method":"m","params":{"x":%s}}' % (request_id, inner)


def x_of(data: bytes) -> Any:
    parsed = jsonrpc.parse(data)
    assert isinstance(parsed, Request)
    return parsed.params["x"]


UNITS = ["a", "é", "→", "\U0001f418", '"', "\\", "\n", "\x00", "/", "\ufdd0", "'", "[{,:}]"]


@given(st.lists(st.sampled_from(UNITS), min_size=1, max_size=6), st.integers(0, 40), st.booleans())
@example(["\\"], 0, False)
@example(["\U0001f418"], 3, True)
def test_long_strings_come_back_as_they_were(
    units: list[str], shift: int, ascii_only: bool
) -> None:
    unit = "".join(units)
    text = "." * shift + unit * (3 * PIECE_BYTES // len(unit))
    value = {"a": [text, 1, {"b": text}], "c": "short"}
    data = message(json.dumps(value, ensure_ascii=ascii_only).encode())
    assert x_of(data) == value


@given(st.lists(st.sampled_from([*UNITS, "\ud800", "\udc00", "\u2028", MARK]), min_size=1))
def test_long_strings_go_out_as_one_line_that_reads_back_the_same(units: list[str]) -> None:
    unit = "".join(units)
    text = unit * (LONG_CHARS // len(unit) + 1)
    value = {"result": {"content": [{"type": "text", "text": text}, {"text": "x"}]}}
    line = bytes(jsonrpc.encode_long(value))
    assert len(line.decode().splitlines()) == 1
    # A pair of halves is one character to whoever reads it.
    assert json.loads(line) == json.loads(json.dumps(value))


def test_half_of_a_pair_in_a_long_string_is_refused_with_the_id() -> None:
    for end in (b"\\ud83d", b"\\udc18", b"\\ud83dx", b"\\ud83d\\u0041"):
        inner = b'"' + b"x" * 2 * PIECE_BYTES + end + b"x" * 20 + b'"'
        with pytest.raises(InvalidRequestError) as refused:
            jsonrpc.parse(message(inner, b'"mine"'))
        assert refused.value.request_id == "mine"
    with pytest.raises(InvalidRequestError):
        jsonrpc.parse(message(b'["\\ud83d","' + b"x" * 2 * PIECE_BYTES + b'"]'))


@pytest.mark.parametrize(
    "end", [b"\xff", b"\xc3", b"\n", b"\\x", b"\\u12", b"\\", b"\x80\x80\x80\x80\x80"]
)
def test_what_is_no_json_in_a_long_string_is_a_parse_error(end: bytes) -> None:
    for before in (PIECE_BYTES - 30, PIECE_BYTES, 3 * PIECE_BYTES - 60):
        for after in (b"", b"x" * 3 * PIECE_BYTES):
            with pytest.raises(ParseError):
                jsonrpc.parse(message(b'"' + b"x" * before + end + after + b'"'))


def test_a_long_name_and_much_around_long_strings_are_refused() -> None:
    long = b'"' + b"x" * 2 * PIECE_BYTES + b'"'
    with pytest.raises(ParseError, match="too long"):
        jsonrpc.parse(message(b"{" + long + b":1}"))
    many = b",".join([b'"' + b"y" * 5000 + b'"'] * 100)
    with pytest.raises(InvalidRequestError, match="outside its long strings"):
        jsonrpc.parse(message(b"[" + long + b"," + many + b"]"))


BOMBS = {
    "objects": b"{},",
    "arrays": b"[],",
    "numbers": b"1,",
    "strings": b'"",',
    "members": b'{"a":1},',
    "quoted quotes": b'"\\"",',
    "quoted backslashes": b'"\\\\",',
}


@pytest.mark.parametrize("unit", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("step", [1, 700, 10**9])
def test_too_many_values_are_refused_before_the_rest_has_come(unit: bytes, step: int) -> None:
    data = message(b"[" + unit * 2 * MAX_VALUES + b"1]")
    scan = Scan()
    with pytest.raises(ParseError, match="values"):
        for start in range(0, len(data), step):
            scan.feed(data[start : start + step])
    assert scan.size_bytes <= len(unit) * MAX_VALUES + 2 * PIECE_BYTES
    with pytest.raises(RpcError):
        jsonrpc.parse(data)


def test_depth_is_refused_before_anything_is_read() -> None:
    for opening in (b"[", b'{"a":'):
        with pytest.raises(ParseError, match="levels"):
            Scan().feed(opening * (MAX_DEPTH + 1))
    Scan().feed(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(ParseError):
        Scan().feed(b"]")


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 9))
def test_a_scan_does_not_depend_on_how_the_bytes_come(data: bytes, times: int, step: int) -> None:
    data = data * times
    scans = [Scan(), Scan()]
    results = []
    for scan, size in zip(scans, (step, len(data) or 1), strict=True):
        try:
            for start in range(0, len(data), size):
                scan.feed(data[start : start + size])
            results.append(str(scan.values))
        except RpcError as refused:
            results.append(refused.message)
    assert len(set(results)) == 1


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner)))
def test_a_scan_counts_every_value(value: Any) -> None:
    def count(item: Any) -> int:
        return 1 + (sum(map(count, item)) if isinstance(item, list) else 0)

    scan = Scan()
    scan.feed(json.dumps(value).encode())
    assert scan.values >= count(value)


@pytest.mark.parametrize("request_id", [b'"' + b"x" * 257 + b'"', b"9" * 300])
def test_an_id_that_is_too_long_is_neither_kept_nor_sent_back(request_id: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        jsonrpc.parse(message(b"1", request_id))
    assert refused.value.request_id is None

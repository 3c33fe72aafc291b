"""pgmcp.rpc.jsonrpc: what is read as a message, what is refused, and what goes out."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgmcp.errors import InvalidRequestError, ParseError
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Notification, Request, Response
from pgmcp.rpc.scan import MAX_DEPTH
from tests.strategies import JSON


def request(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"} | members).encode()


def refusal(data: bytes) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        jsonrpc.parse(data)
    return caught.value


def test_a_request_a_notification_and_a_response_are_told_apart() -> None:
    assert jsonrpc.parse(request(params={"a": 1})) == Request("ping", {"a": 1}, 1)
    assert jsonrpc.parse(request(id="x")) == Request("ping", {}, "x")
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","method":"m"}') == Notification("m", {})
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","id":3,"result":{}}') == Response(3)
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","id":null,"error":{}}') == Response(None)
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","error":{}}') == Response(None)


def test_null_params_are_absent_params_and_unknown_members_are_ignored() -> None:
    assert jsonrpc.parse(request(params=None, extra=1)) == Request("ping", {}, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        b'{"a":1}{}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":{"name":1,"n\\u0061me":2}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":-Infinity}}',
        b'{"jsonrpc":"2.0","id":1e400,"method":"a"}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":-1e999}}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":' + b"9" * 5000 + b"}}",
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_not_strict_json_is_a_parse_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        jsonrpc.parse(data)


@pytest.mark.parametrize("request_id", [None, True, 1.0, 1.5, [1], {}])
def test_an_id_is_a_string_or_an_integer(request_id: object) -> None:
    assert refusal(request(id=request_id)).request_id is None


@pytest.mark.parametrize("data", [b"[]", b"[" + request() + b"]", b"1", b"null", b'"x"', b"true"])
def test_batches_and_scalars_are_refused(data: bytes) -> None:
    refusal(data)


@pytest.mark.parametrize(
    "members",
    [
        {"jsonrpc": "1.0"},
        {"jsonrpc": 2.0},
        {"jsonrpc": None},
        {"method": 1},
        {"method": None},
        {"params": []},
        {"params": "x"},
        {"result": {}},
        {"params": {"x": "\ud800"}},
        {"method": "\udfff"},
    ],
)
def test_a_refused_request_keeps_its_id_so_that_its_client_does_not_wait(
    members: dict[str, object],
) -> None:
    assert refusal(request(id="mine", **members)).request_id == "mine"


def test_an_id_that_cannot_be_sent_back_is_not_kept() -> None:
    assert refusal(request(id="\ud800")).request_id is None


def test_a_whole_surrogate_pair_is_a_character() -> None:
    message = jsonrpc.parse(request(params={"x": "\U0001f418"}))
    assert isinstance(message, Request) and message.params == {"x": "\U0001f418"}


def test_nesting_is_bounded_and_the_bound_itself_is_allowed() -> None:
    def nested(levels: int) -> bytes:
        return request(params=0).replace(b'"params": 0', b'"params":{"x":%s%s}') % (
            b"[" * (levels - 2),
            b"]" * (levels - 2),
        )

    assert isinstance(jsonrpc.parse(nested(MAX_DEPTH)), Request)
    assert refusal(nested(MAX_DEPTH + 1)).request_id == 1
    assert refusal(nested(500)).request_id == 1


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}')
def test_any_bytes_are_a_message_or_a_refusal(data: bytes) -> None:
    try:
        jsonrpc.parse(data)
    except (ParseError, InvalidRequestError) as refused:
        jsonrpc.encode(jsonrpc.error(refused.request_id, refused))


@given(JSON)
@example({"a": "\ud800\u2028"})
def test_any_value_is_encoded_as_one_line_that_reads_back_the_same(value: Any) -> None:
    line = jsonrpc.encode(value)
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == value


def test_characters_go_out_as_utf8_and_nan_not_at_all() -> None:
    assert jsonrpc.encode({"a": "é"}) == '{"a":"é"}'.encode()
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError):
            jsonrpc.encode(number)


def test_an_error_without_a_known_id_has_no_id_member() -> None:
    assert jsonrpc.error(None, ParseError("x")) == {
        "jsonrpc": "2.0",
        "error": {"code": -32700, "message": "x"},
    }
    assert jsonrpc.error(0, ParseError("x"))["id"] == 0
    assert jsonrpc.result("a", {}) == {"jsonrpc": "2.0", "id": "a", "result": {}}


def test_a_constant_result_is_encoded_once_and_as_any_other() -> None:
    members = {"tools": [{"name": "a\u2028b", "n": 1}, {}], "empty": []}
    constant = jsonrpc.Constant(members)
    for request_id in ('x"]}', 7, "result"):
        sent = jsonrpc.encode_long(jsonrpc.result(request_id, constant))
        assert sent == jsonrpc.encode(jsonrpc.result(request_id, members))
    assert constant.encoded() is constant.encoded()

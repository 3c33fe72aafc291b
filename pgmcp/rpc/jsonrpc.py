"""JSON-RPC 2.0: bytes to messages and values to bytes, with no I/O.

The rule: what two readers could understand differently is refused here, once. A doubled key, a
batch, a number that is no number or half of a surrogate pair never gets past `parse`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgmcp.errors import InvalidRequestError, ParseError, RpcError
from pgmcp.rpc import long_text
from pgmcp.rpc.scan import MAX_DEPTH, Scan

MAX_ID_CHARACTERS = 256
"""Of a request's id, which is sent back, kept and logged."""
UNSCANNED_BYTES = 2048
"""A shorter message cannot hold enough values to be worth counting them first."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message that expects an answer."""

    method: str
    params: Any
    id: str | int


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that expects none."""

    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Response:
    """The other side's answer; `id` is None when it could not tell what it answers."""

    id: str | int | None


Message = Request | Notification | Response

JsonObject = dict[str, Any]
"""A JSON object, as `json` reads and writes it."""


class Constant(dict[str, Any]):
    """An object that is sent again and again and never changed, so that it is encoded once."""

    __slots__ = ("_encoded", "kept")

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self._encoded: bytes | None = None
        self.kept: dict[str, Constant] = {}
        """Other constants that hold this one, each made once, by what it is for."""

    def encoded(self) -> bytes:
        """Its JSON."""
        if self._encoded is None:
            self._encoded = encode(dict(self))
        return self._encoded


_SCALAR_MEMBER = (
    rb'\s*+"(?!method")[^"\\]{0,64}+"\s*+:\s*+(?:"[^"\\]{0,256}+"|[^"{}\[\],\s]++)\s*+,'
)
_METHOD = re.compile(
    rb"\s*+\{(?>(?:" + _SCALAR_MEMBER + rb')*)\s*+"method"\s*+:\s*+"([^"\\]{0,64}+)"'
)
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse(data: bytes | bytearray, scan: Scan | None = None) -> Message:
    """One message from its bytes (JSON-RPC 2.0, sections 4 and 5; MCP has no batches).

    Raises ParseError for what is not JSON and InvalidRequestError for what is not a message, the
    latter with `request_id` where the id could be read. `params` is an object: {} when absent.
    `scan` has seen all of `data`, where that was done as it arrived.
    """
    value, has_half_pair = _json(data, scan or _scanned(data))
    if isinstance(value, list):
        raise InvalidRequestError("batches are not supported: send one message at a time")
    if not isinstance(value, dict):
        raise InvalidRequestError("a message must be a JSON object")
    try:
        # What is nested has as many brackets, wherever else there are some.
        if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
            _check_depth(value)
        if has_half_pair:  # neither PostgreSQL nor a log can take it
            raise InvalidRequestError("a string holds half of a UTF-16 surrogate pair")
        return _message(value)
    except InvalidRequestError as error:
        error.request_id = _known_id(value.get("id"))
        raise


def parse_value(text: str) -> Any:
    """The array or object that a text of JSON holds, within the bounds of a message; RpcError."""
    data = text.encode("utf-8", "surrogatepass")
    value, has_half_pair = _json(data, _scanned(data))
    _check_depth(value)
    if has_half_pair:
        raise InvalidRequestError("a string holds half of a UTF-16 surrogate pair")
    return value


def _scanned(data: bytes | bytearray) -> Scan | None:
    if len(data) <= UNSCANNED_BYTES:
        return None
    scan = Scan()
    scan.feed(data)
    return scan


def method_of(beginning: bytes) -> str | None:
    """The method of a message by its first bytes; None where `params` or other objects come first.

    Nothing is checked: this is for refusing a message early, not for reading it.
    """
    match = _METHOD.match(beginning)
    return match[1].decode(errors="replace") if match else None


def encode(value: Any) -> bytes:
    """`value` as one line of compact JSON, without the line end.

    ValueError for NaN and Infinity, which no JSON reader has to take.
    """
    text = long_text.escape_line_ends(_ENCODER.encode(value))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can carry it
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def encode_long(value: Any) -> bytes | bytearray:
    """As `encode`, for what may hold long strings: with no copy beside the result, and in steps
    between which other threads run. A result that is `Constant` is encoded once."""
    constant = value.get("result") if isinstance(value, dict) else None
    if isinstance(constant, Constant):
        request_id = value["id"]
        shown = b"%d" % request_id if isinstance(request_id, int) else encode(request_id)
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (shown, constant.encoded())
    around, strings = long_text.take_out(value)
    data = long_text.write(encode(around), strings) if strings else None
    return encode(value) if data is None else data


def result(request_id: str | int, value: Any) -> dict[str, Any]:
    """The response to a request that succeeded."""
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def notification(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """A message that expects no answer."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def error(request_id: str | int | None, failure: RpcError) -> dict[str, Any]:
    """The response to a request that failed; no `id` member when it is not known.

    MCP's schema has no `null` there, against JSON-RPC 2.0, section 5.
    """
    if request_id is None:
        return {"jsonrpc": "2.0", "error": failure.body()}
    return {"jsonrpc": "2.0", "id": request_id, "error": failure.body()}


def _json(data: bytes | bytearray, scan: Scan | None) -> tuple[Any, bool]:
    """The value, and whether a string of it holds half of a surrogate pair."""
    try:
        if scan is not None and scan.long_strings:
            return long_text.read(data, scan, _decode)
        return _decode(data)
    except UnicodeDecodeError as failure:
        raise ParseError(f"not UTF-8: invalid byte at offset {failure.start}") from None
    except json.JSONDecodeError as failure:
        raise ParseError(f"not JSON: {failure.msg} at character {failure.pos}") from None
    except RecursionError:
        raise ParseError(f"nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:  # int() refuses thousands of digits
        raise ParseError("a number has too many digits") from None


def _decode(data: bytes | bytearray) -> tuple[Any, bool]:
    value = _DECODER.decode(data.decode("utf-8"))
    return value, _HALF_PAIR.search(data) is not None and _has_half_pair(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ParseError("an object has the same key twice")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ParseError("a number is too large")
    return number


def _no_constant(name: str) -> None:
    raise ParseError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_constant
)


def _is_id(value: Any) -> bool:
    # A float is no id, not even 1.0: it would come back as another text than was sent.
    if isinstance(value, str):
        return len(value) <= MAX_ID_CHARACTERS
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return value.bit_length() <= 3 * MAX_ID_CHARACTERS


def _known_id(request_id: Any) -> str | int | None:
    """An id as it can be sent back, None for what is none."""
    return request_id if _is_id(request_id) and not _has_half_pair(request_id) else None


def _has_half_pair(value: Any) -> bool:
    try:
        _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise InvalidRequestError(f"nested more than {MAX_DEPTH} levels deep")


def _message(value: dict[str, Any]) -> Message:
    if value.get("jsonrpc") != "2.0":
        raise InvalidRequestError('"jsonrpc" must be "2.0"')
    if "id" in value and not _is_id(value["id"]) and not _answers_nothing(value):
        raise InvalidRequestError(
            f'"id" must be a string or an integer, of at most {MAX_ID_CHARACTERS} characters'
        )
    answered = "result" in value or "error" in value
    if "method" not in value and answered:
        return Response(value.get("id"))
    method = value.get("method")
    if not isinstance(method, str) or answered:
        raise InvalidRequestError('a message has either a "method", a string, or a result')
    params = value.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise InvalidRequestError('"params" must be an object')
    return Request(method, params, value["id"]) if "id" in value else Notification(method, params)


def _answers_nothing(value: dict[str, Any]) -> bool:
    """An error response to something unreadable has no id, or null."""
    return value["id"] is None and "error" in value and "method" not in value

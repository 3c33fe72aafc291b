"""The answers of the HTTP side, from values to bytes: no I/O, no clock.

The rule: every answer comes with its length, and no cache may keep it. All but the page of metrics
is JSON.
"""

from __future__ import annotations

import json
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from pgmcp.errors import (
    HttpError,
    OverloadedError,
    RpcError,
    TooManyAttemptsError,
    UnauthorizedError,
)
from pgmcp.mcp.dispatch import HeldAnswer
from pgmcp.rpc import jsonrpc

_COPIED_BYTES = 32 * 1024
"""Up to here head and body go out in one write."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

ResponseHeaders = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are written."""


class HttpResponse(NamedTuple):
    """A status, a body (None: none at all) and the headers that are this answer's own.

    `held`: it is an answer that is held open; the body is to come.
    """

    status: int
    body: bytes | bytearray | None
    headers: ResponseHeaders = ()
    content_type: str = "application/json"
    held: HeldAnswer | None = None


ACCEPTED = HttpResponse(202, None)
UNAUTHORIZED = HttpResponse(
    401, b'{"error": "Unauthorized"}', (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
)


def refusal(status: int, message: str, headers: ResponseHeaders = ()) -> HttpResponse:
    """An error outside JSON-RPC: `{"error": message}`."""
    return HttpResponse(status, json.dumps({"error": message}).encode(), headers)


def of_error(error: Exception) -> HttpResponse | None:
    """How a deliberate error is answered, None for one that HTTP has no words for."""
    if isinstance(error, UnauthorizedError):
        return UNAUTHORIZED
    if isinstance(error, TooManyAttemptsError):
        return refusal(429, error.message, retry_after(error.retry_after_seconds))
    if isinstance(error, HttpError):
        return refusal(error.status, error.message, error.headers)
    if isinstance(error, RpcError):
        request_id = getattr(error, "request_id", None)
        body = jsonrpc.encode(jsonrpc.error(request_id, error))
        later = error.retry_after_seconds if isinstance(error, OverloadedError) else None
        return HttpResponse(error.status, body, retry_after(later))
    return None


def retry_after(seconds: int | None) -> ResponseHeaders:
    """The Retry-After field (RFC 9110, section 10.2.3), nothing without `seconds`."""
    return () if seconds is None else (("Retry-After", str(seconds)),)


def render(
    response: HttpResponse,
    *,
    request_id: str,
    date: str,
    close: bool,
    head_only: bool = False,
    headers: ResponseHeaders = (),
) -> tuple[bytes | bytearray, ...]:
    """The bytes of an answer, in one piece or two: a long body is not copied behind its head.

    `head_only` is for HEAD, `date` the value of the Date field, `headers` go out beside its own.
    """
    body = response.body
    lines = [
        _fixed_part(response.status, None if body is None else response.content_type),
        f"Date: {date}\r\nX-Request-Id: {request_id}\r\n",
    ]
    if response.status != 204:  # RFC 9110, section 8.6: that one has no length
        lines.append(f"Content-Length: {len(body or b'')}\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in (*response.headers, *headers)]
    lines.append("Connection: close\r\n\r\n" if close else "Connection: keep-alive\r\n\r\n")
    head = "".join(lines).encode("latin-1")
    if head_only or body is None:
        return (head,)
    return (head + body,) if len(body) <= _COPIED_BYTES else (head, body)


def render_event_head(*, request_id: str, date: str, headers: ResponseHeaders = ()) -> bytes:
    """The head of an answer that is a stream of events, in chunks of no known length.

    No proxy may keep it back either: X-Accel-Buffering tells nginx and others.
    """
    own = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"
        f"Date: {date}\r\nX-Request-Id: {request_id}\r\n{own}"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode("latin-1")


@lru_cache(maxsize=64)
def _fixed_part(status: int, content_type: str | None) -> str:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += ["Cache-Control: no-store", "X-Content-Type-Options: nosniff"]
    return "\r\n".join(lines) + "\r\n"

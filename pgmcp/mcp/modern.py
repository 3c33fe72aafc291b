"""The stateless era, 2026-07-28: every request says its version, capabilities and routing itself.

The rule: the checks run in one order and the first failure answers (lifecycle, "Version
negotiation"; Streamable HTTP, "Standard request headers").
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from pgmcp.errors import (
    HeaderMismatchError,
    InvalidParamsError,
    MethodNotFoundError,
    MissingMetaError,
    ResourceNotFoundError,
    UnsupportedVersionError,
    shortened,
)
from pgmcp.mcp.era import (
    ALL_VERSIONS,
    CAPABILITIES_KEY,
    PREFIX,
    VERSION_KEY,
    RequestHeaders,
    meta_of,
)
from pgmcp.mcp.era import MODERN_VERSIONS as VERSIONS
from pgmcp.mcp.feature import Context
from pgmcp.mcp.methods import SHARED, Later, Members, Method, Served
from pgmcp.mcp.server import Server
from pgmcp.rpc.jsonrpc import Constant, Request

_SERVER_INFO = PREFIX + "serverInfo"
_DISCOVER_TTL_MS = 300_000


def serve(
    server: Server, request: Request, context: Context, headers: RequestHeaders | None
) -> Served:
    """The result of one request; `headers` is None on stdio. RpcError when it is refused."""
    method = SHARED.get(request.method)
    _check_meta(meta_of(request.params), headers)
    if headers is not None:
        _check_headers(request, method, headers)
    _check_version(meta_of(request.params)[VERSION_KEY])
    if request.method == "server/discover":
        return _wrapped(server.introduction(), _discovery(server), _DISCOVER_TTL_MS)
    if method is None:
        raise MethodNotFoundError(f"method not found: {request.method[:100]}")
    try:
        served = method.serve(server, request.params, context)
    except ResourceNotFoundError as missing:  # this era has no -32002 (resources, "Errors")
        raise InvalidParamsError(missing.message, missing.data) from None
    if isinstance(served, Later):
        members = served.members
        return Later(served.stream, lambda result: _complete(server, members(result), None))
    return _complete(server, served, method.ttl_ms)


def _discovery(server: Server) -> Members:
    return {
        "supportedVersions": list(ALL_VERSIONS),
        "capabilities": server.capabilities(),
        "instructions": server.instructions(),
    }


def _complete(server: Server, members: Members, ttl_ms: int | None) -> Members:
    if isinstance(members, Constant):
        # Of one server: its registry, which keeps the lists, is no other's.
        if (whole := members.kept.get("complete")) is None:
            whole = members.kept["complete"] = Constant(_wrapped(server.info(), members, ttl_ms))
        return whole
    return _wrapped(server.info(), members, ttl_ms)


def _wrapped(info: Members, members: Members, ttl_ms: int | None) -> Members:
    """A complete result; `info` is what the server says of itself in it."""
    # Private: what a caller may see depends on who it is.
    caching = {} if ttl_ms is None else {"ttlMs": ttl_ms, "cacheScope": "private"}
    meta = {"_meta": {_SERVER_INFO: info}}
    return {"resultType": "complete"} | members | caching | meta


# -- the checks, in their order --------------------------------------------------------------------


def _check_meta(meta: Mapping[str, Any], headers: RequestHeaders | None) -> None:
    if VERSION_KEY not in meta:
        # Only a header brought the request here: when nobody knows its version, say that first.
        _check_version(_header(headers or {}, "mcp-protocol-version"))
    for key, kind, noun in ((VERSION_KEY, str, "a string"), (CAPABILITIES_KEY, dict, "an object")):
        if not isinstance(meta.get(key), kind):
            raise MissingMetaError(f'params._meta["{key}"]: required, expected {noun}')


def _check_headers(request: Request, method: Method | None, headers: RequestHeaders) -> None:
    expected = {
        "MCP-Protocol-Version": meta_of(request.params)[VERSION_KEY],
        "Mcp-Method": request.method,
    }
    name = request.params.get(method.name_param) if method and method.name_param else None
    if isinstance(name, str):
        expected["Mcp-Name"] = name
    for header, value in expected.items():
        sent = _header(headers, header.lower())
        if sent is None:
            raise HeaderMismatchError(f"the header {header} is missing")
        if sent != value:
            raise HeaderMismatchError(f"the header {header} differs from the body")


def _check_version(version: str | None) -> None:
    if version not in VERSIONS:
        requested = None if version is None else shortened(version)
        raise UnsupportedVersionError(
            "unsupported protocol version",
            {"supported": list(ALL_VERSIONS), "requested": requested},
        )


def _header(headers: RequestHeaders, name: str) -> str | None:
    """A header's value, decoded (Streamable HTTP, "Value encoding"); None when it is not there."""
    sent = headers.get(name)
    if sent is None:
        return None
    value = sent.strip(" \t")
    if not (value.startswith("=?base64?") and value.endswith("?=") and len(value) >= 11):
        return value
    encoded = value[9:-2]
    try:
        decoded = base64.b64decode(encoded)
        # It reads over characters that do not belong: only what it would write itself counts.
        if base64.b64encode(decoded).decode("ascii") == encoded:
            return decoded.decode("utf-8")
    except (binascii.Error, ValueError):
        pass
    raise HeaderMismatchError(f"the header {name} is not valid base64 of UTF-8")

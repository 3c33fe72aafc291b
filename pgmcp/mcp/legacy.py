"""The handshake era, 2024-11-05 to 2025-11-25: a client says `initialize` and then asks.

The rule: no state is kept. A version that was agreed on changes nothing that we answer, and clients
that ask before `notifications/initialized` (they pipeline) are answered.
"""

from __future__ import annotations

from pgmcp.errors import InvalidParamsError, MethodNotFoundError
from pgmcp.mcp.era import LEGACY_VERSIONS as VERSIONS
from pgmcp.mcp.feature import Context
from pgmcp.mcp.methods import SHARED, Members, RequestParams, Served
from pgmcp.mcp.server import Server
from pgmcp.rpc.jsonrpc import Request


def serve(server: Server, request: Request, context: Context) -> Served:
    """The result of one request; RpcError when it is refused."""
    if request.method == "initialize":
        return _initialize(server, request.params)
    if request.method == "ping":
        return {}
    method = SHARED.get(request.method)
    if method is None:
        raise MethodNotFoundError(f"method not found: {request.method[:100]}")
    return method.serve(server, request.params, context)


def _initialize(server: Server, params: RequestParams) -> Members:
    asked = params.get("protocolVersion")
    if not isinstance(asked, str):
        raise InvalidParamsError("params.protocolVersion: required, expected a string")
    return {
        # Never a version of the modern era: clients of the handshake abort when they see one.
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": server.capabilities(),
        "serverInfo": server.introduction(),
        "instructions": server.instructions(),
    }

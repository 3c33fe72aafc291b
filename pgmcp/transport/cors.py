"""What a browser has to be told before it lets a page of another origin read our answers.

The rule: only to a page of an origin that the operator has listed is anything said; and never `*`,
nor that cookies count: a page needs a token of its own. (Fetch standard, "CORS protocol".)
"""

from __future__ import annotations

import re

from pgmcp.transport.response import HttpResponse, ResponseHeaders

_EXPOSED = "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After"
# GET and DELETE too: a page has to see our 405, which a refused preflight would hide from it.
_METHODS = "POST, GET, DELETE"
_SENT = (
    "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version,"
    " Mcp-Method, Mcp-Name"
)
_PARAMETER = re.compile(r"(?i:mcp-param-)[A-Za-z0-9_-]{1,64}", re.ASCII)
_MAX_PARAMETERS = 20
_PREFLIGHT_SECONDS = 600
"""How long a browser may keep the answer; it asks again after a change of the list by then."""


def allowing(origin: str) -> ResponseHeaders:
    """The headers of each answer to a page of a listed origin."""
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Vary", "Origin"),
    )


def preflight(requested: str) -> HttpResponse:
    """The answer to a browser that asks what a page may send; `requested` are the header fields
    that the page wants to send, of which the names of parameters (Mcp-Param-…) are open."""
    names = [name.strip() for name in requested.split(",", _MAX_PARAMETERS)[:_MAX_PARAMETERS]]
    parameters = [name for name in names if _PARAMETER.fullmatch(name)]
    return HttpResponse(
        204,
        None,
        (
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", ", ".join([_SENT, *parameters])),
            ("Access-Control-Max-Age", str(_PREFLIGHT_SECONDS)),
        ),
    )

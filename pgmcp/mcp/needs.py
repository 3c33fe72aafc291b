"""Which database a request will wait for, as far as its message says so before it runs.

The rule: an estimate for queues. What a call may really use is decided where it runs, so that
whoever misleads this gains a place in another queue of its own, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgmcp.auth.principal import ACCOUNT_TOOLS
from pgmcp.rpc.jsonrpc import Request

_READING = frozenset({"tools/call", "resources/read", "completion/complete"})


def database_needed(request: Request, databases: Sequence[str]) -> str | None:
    """The name of the database whose connection a request needs, of those that its caller may use
    (the default first); None when it needs none."""
    params = request.params
    if request.method not in _READING or not databases or not isinstance(params, dict):
        return None
    tool = params.get("name")
    if isinstance(tool, str) and tool in ACCOUNT_TOOLS:
        return None
    arguments = params.get("arguments")
    name = arguments.get("database") if isinstance(arguments, dict) else None
    if name is None:
        return databases[0]
    return name if name in databases else None

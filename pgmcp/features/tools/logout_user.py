"""logout_user: end the session that the call comes with."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pgmcp.errors import LoginError
from pgmcp.features.tools._common import accounts_of
from pgmcp.mcp.feature import Annotations, Context, Tool
from pgmcp.mcp.result import Result, text


@dataclass(frozen=True, slots=True)
class Args:
    """logout_user takes no arguments."""


def run(_: Args, context: Context) -> Result:
    """A confirmation in the form of authenticate_user's. LoginError without a session."""
    if not accounts_of(context).log_out():
        raise LoginError("not logged in: this call came without a session token")
    return text(json.dumps({"success": True, "message": "Logged out"}))


TOOL = Tool(
    name="logout_user",
    title="Log out",
    description="Ends the session whose token this call carries.",
    args=Args,
    run=run,
    annotations=Annotations(read_only=False, idempotent=False),
    hidden=True,
    rank=70,
)

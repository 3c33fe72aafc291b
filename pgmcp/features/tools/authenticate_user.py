"""authenticate_user: a name and a password for a session token.

The rule: clients call it, models never see it, and the password goes nowhere but to the accounts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pgmcp.features.tools._common import accounts_of
from pgmcp.mcp.feature import Annotations, Context, Tool
from pgmcp.mcp.result import Result, text
from pgmcp.rpc.schema import arg


@dataclass(frozen=True, slots=True, repr=False)
class Args:
    """The arguments of authenticate_user; without a repr, so that no log shows the password."""

    username: str = arg("The user's name.", secret=True)
    password: str = arg("The user's password.", secret=True)


def run(args: Args, context: Context) -> Result:
    """The answer of the authentication guide, spaces included. LoginError when refused."""
    token, expires_at = accounts_of(context).log_in(args.username, args.password)
    session = {
        "success": True,
        "session_token": token,
        "expires_at": expires_at,
        "message": "Authentication successful",
    }
    return text(json.dumps(session))


TOOL = Tool(
    name="authenticate_user",
    title="Log in",
    description="Exchanges a user's name and password for a session token.",
    args=Args,
    run=run,
    annotations=Annotations(read_only=False, idempotent=False),
    hidden=True,
    rank=60,
)

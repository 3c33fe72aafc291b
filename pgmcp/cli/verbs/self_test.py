"""`-self-test`: attempts to do more than read, made against the configured databases.

The rule: it says of each attempt what stopped it, and ends with 1 if anything did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.verb import Command, Verb
from pgmcp.errors import ConfigError

if TYPE_CHECKING:
    from pgmcp.config.databases import DatabaseSettings

_ADVICE = (
    "Something got through. What it did is above; what it made is named pgmcp_self_test and can be",
    "dropped. Until it is understood, give pgmcp a role that can only read: -check shows the SQL.",
    "Please report it as a defect, with the line above and the version of PostgreSQL.",
)


def self_test(command: Command, databases: Sequence[DatabaseSettings]) -> int:
    """Try everything on every database; 0 when all of it was stopped or did no harm."""
    from pgmcp.cli.attempts import attempt_all  # here: it loads the server's tools and its driver

    if not databases:
        raise ConfigError("there is no database to test", "Configure one, or give -db-… flags.")
    through = sum(attempt_all(database, command.console) for database in databases)
    if through:
        command.console.warn(*_ADVICE)
    return 1 if through else 0


VERBS = (
    Verb(
        "self-test",
        PROGRAM,
        "Try to do more than read, and show what stops it.",
        self_test,
        ("databases",),
    ),
)

"""`-self-test`: attempts to do more than read, made against the configured databases, and to read
more than each policy allows.

The rule: it says of each attempt what stopped it, and ends with 1 if anything did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.verb import Command, Verb
from pgmcp.errors import ConfigError

if TYPE_CHECKING:
    from pgmcp.config.databases import DatabaseSettings
    from pgmcp.config.policies import Policy

_ADVICE = (
    "Something got through. What it did is above; what it made is named pgmcp_self_test and can be",
    "dropped. Until it is understood, give pgmcp a role that can only read: -check shows the SQL.",
    "Please report it as a defect, with the line above and the version of PostgreSQL.",
)


_POLICY_ADVICE = (
    "A policy does not hold what it says, by the lines above. Please report it as a defect, with",
    "the line and the version of PostgreSQL. A role that cannot read a table is a wall.",
)


def self_test(
    command: Command, databases: Sequence[DatabaseSettings], policies: Mapping[str, Policy]
) -> int:
    """Try everything on every database, and under each policy; 0 when all of it was stopped or did
    no harm, and ordinary reads were answered."""
    from pgmcp.cli.attempts import attempt_all  # here: they load the server's tools and its driver
    from pgmcp.cli.policy_attempts import attempt_policy

    if not databases:
        raise ConfigError("there is no database to test", "Configure one, or give -db-… flags.")
    through = sum(attempt_all(database, command.console) for database in databases)
    if through:
        command.console.warn(*_ADVICE)
    tried = [
        attempt_policy(name, policy, database, command.console)
        for database in databases
        for name, policy in policies.items()
        if policy.allows(database.name)
    ]
    leaked, refused = (sum(each[number] for each in tried) for number in (0, 1))
    if tried:
        command.console.say(
            "",
            f"{len(tried)} tests of policies: {leaked} attempts got through, {refused} ordinary"
            " reads were refused or changed",
        )
    if leaked or refused:
        command.console.warn(*_POLICY_ADVICE)
    return 1 if through or leaked or refused else 0


VERBS = (
    Verb(
        "self-test",
        PROGRAM,
        "Try to do more than read, and than policies allow, and show what stops it.",
        self_test,
        ("databases", "policies"),
    ),
)

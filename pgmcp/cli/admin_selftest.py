"""`-self-test`: attempts to do more than read, made against the configured databases.

The rule: it says of each attempt what stopped it, and ends with 1 if anything did not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pgmcp.auth.principal import local
from pgmcp.cli.command import Command
from pgmcp.config.model import Database
from pgmcp.errors import ConfigError
from pgmcp.features import resources, tools
from pgmcp.mcp.feature import Context
from pgmcp.selftest.attempt import AttemptFamily
from pgmcp.selftest.runner import Ending, OneDatabase, Result, run

_WIDTH = 72
_ADVICE = (
    "Something got through. What it did is above; what it made is named pgmcp_self_test and can be",
    "dropped. Until it is understood, give pgmcp a role that can only read: -check shows the SQL.",
    "Please report it as a defect, with the line above and the version of PostgreSQL.",
)


def self_test(command: Command) -> int:
    """Try everything on every database; 0 when all of it was stopped or did no harm."""
    databases = command.loaded.databases
    if not databases:
        raise ConfigError("there is no database to test", "Configure one, or give -db-… flags.")
    through = sum(_test(command, database) for database in databases)
    if through:
        command.console.warn(*_ADVICE)
    return 1 if through else 0


def _test(command: Command, database: Database) -> int:
    """Test one database, with one connection for the attempts; how many got through."""
    say = command.console.say
    say(f"{database.name} ({database.label})")
    known = {tool.name: tool for tool in tools.ALL}
    endings: list[Ending] = []
    for family, of_family in run(replace(database, pool_max_conns=1), known, _context):
        endings += of_family
        for line in family_lines(family, of_family):
            say(line)
    say("")
    say(summary(endings))
    return sum(ending.result is Result.THROUGH for ending in endings)


def _context(databases: OneDatabase) -> Context:
    principal = local(databases.names())
    known = {resource.uri: resource for resource in resources.ALL}
    return Context(principal, databases.call, databases, resources=known)


def family_lines(family: AttemptFamily, endings: Sequence[Ending]) -> list[str]:
    """A family as a table: attempt, outcome, layer."""
    lines = ["", f"{family.name}: {family.tries}"]
    for ending in endings:
        text = ending.attempt.text
        shown = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
        lines.append(f"  {shown:<{_WIDTH}}  {ending.result.value:<11}  {ending.layer}".rstrip())
        if ending.result is Result.THROUGH:
            changed = ", ".join(ending.changed)
            lines.append(f"    {'changed: ' + changed if changed else 'it was answered'}")
    return lines


def summary(endings: Sequence[Ending]) -> str:
    """How many ended how, and which layers stopped them."""
    results = Counter(ending.result for ending in endings)
    layers = Counter(ending.layer for ending in endings if ending.result is Result.STOPPED)
    stopped = ", ".join(f"{layer} {count}" for layer, count in layers.most_common())
    return (
        f"{len(endings)} attempts: {results[Result.STOPPED]} stopped ({stopped}), "
        f"{results[Result.HARMLESS]} answered and harmless, "
        f"{results[Result.ABSENT]} of what is not here, {results[Result.THROUGH]} got through"
    )

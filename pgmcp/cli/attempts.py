"""What `-self-test` does with one database, and how it reports it.

The rule: each attempt is shown with what stopped it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pgmcp.auth.principal import local
from pgmcp.cli.console import Console
from pgmcp.config.databases import DatabaseSettings
from pgmcp.features import tools
from pgmcp.features.all import ALL
from pgmcp.mcp.feature import Context
from pgmcp.mcp.registry import Registry
from pgmcp.selftest.attempt import AttemptFamily
from pgmcp.selftest.runner import AttemptResult, Ending, OneDatabase, run

_WIDTH = 72


def attempt_all(database: DatabaseSettings, console: Console) -> int:
    """Test one database, with one connection for the attempts; how many got through."""
    say = console.say
    say(f"{database.name} ({database.label})")
    known = {tool.name: tool for tool in tools.ALL}
    endings: list[Ending] = []
    for family, of_family in run(replace(database, pool_max_conns=1), known, tool_context):
        endings += of_family
        for line in family_lines(family, of_family):
            say(line)
    say("")
    say(summary(endings))
    return sum(ending.result is AttemptResult.THROUGH for ending in endings)


def tool_context(databases: OneDatabase) -> Context:
    """What the tools of attempts run in."""
    principal = local(databases.names())
    return Context(principal, databases.call, databases, resources=Registry(ALL).resources)


def family_lines(family: AttemptFamily, endings: Sequence[Ending]) -> list[str]:
    """A family as a table: attempt, outcome, layer."""
    lines = ["", f"{family.name}: {family.tries}"]
    for ending in endings:
        text = ending.attempt.text
        shown = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
        lines.append(f"  {shown:<{_WIDTH}}  {ending.result.value:<11}  {ending.layer}".rstrip())
        if ending.result is AttemptResult.THROUGH:
            changed = ", ".join(ending.changed)
            lines.append(f"    {'changed: ' + changed if changed else 'it was answered'}")
    return lines


def summary(endings: Sequence[Ending]) -> str:
    """How many ended how, and which layers stopped them."""
    results = Counter(ending.result for ending in endings)
    layers = Counter(ending.layer for ending in endings if ending.result is AttemptResult.STOPPED)
    stopped = ", ".join(f"{layer} {count}" for layer, count in layers.most_common())
    return (
        f"{len(endings)} attempts: {results[AttemptResult.STOPPED]} stopped ({stopped}), "
        f"{results[AttemptResult.HARMLESS]} answered and harmless, "
        f"{results[AttemptResult.ABSENT]} of what is not here, "
        f"{results[AttemptResult.THROUGH]} got through"
    )

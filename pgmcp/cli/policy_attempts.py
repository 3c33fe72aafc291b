"""What `-self-test` does with one policy on one database, and how it reports it.

The rule: it names what it tried to read, and says of each way how it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pgmcp.cli.attempts import tool_context
from pgmcp.cli.console import Console
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.policies import Policy
from pgmcp.features import tools
from pgmcp.policy.active import ActivePolicy
from pgmcp.selftest.policy_trials import PolicyBench, leak_trials, ordinary_trials
from pgmcp.selftest.protected import Protection
from pgmcp.selftest.runner import AttemptResult, Ending

_KEY = bytes(32)  # of masks that hash: nothing of it is shown


def attempt_policy(
    name: str, policy: Policy, database: DatabaseSettings, console: Console
) -> tuple[int, int]:
    """Test a policy, with one connection; how many attempts got through, and how many ordinary
    reads were refused or changed."""
    known = {tool.name: tool for tool in tools.ALL}
    narrow = replace(database, pool_max_conns=1)
    bench = PolicyBench(narrow, ActivePolicy(policy, _KEY), known, tool_context)
    try:
        console.say("", f"{database.name} under the policy {name}")
        through = _leaks(bench, console)
        return through, _ordinary(bench, console)
    finally:
        bench.close()


def _leaks(bench: PolicyBench, console: Console) -> int:
    columns = bench.columns()
    for kind in Protection:
        named = [column.name for column in columns if column.kind is kind]
        if named:
            console.say(f"  {kind.value}: {', '.join(named)}")
    if not columns:
        console.say("  It keeps nothing back that this role could read.")
    through = 0
    for kind, family, trials in leak_trials(columns):
        endings = [bench.leak_ending(trial) for trial in trials]
        console.say(f"  {kind.value}; {family.name}: {_counted(endings)}", *_lines(endings))
        through += len(_failed(endings))
    return through


def _ordinary(bench: PolicyBench, console: Console) -> int:
    tables = bench.tables()
    endings = [bench.ordinary_ending(trial) for trial in ordinary_trials(tables)]
    named = ", ".join(places["table"] for places, _ in tables) or "no table"
    results = Counter(ending.result for ending in endings)
    wrong = _failed(endings)
    console.say(
        f"  ordinary reads of {named}: {results[AttemptResult.HARMLESS]} answered as without the"
        f" policy, {results[AttemptResult.ABSENT]} that do not fit here, {len(wrong)} refused or"
        " changed",
        *(f"    {ending.attempt.text}: {ending.message}" for ending in wrong),
    )
    return len(wrong)


def _failed(endings: Sequence[Ending]) -> list[Ending]:
    return [ending for ending in endings if ending.result is AttemptResult.THROUGH]


def _counted(endings: Sequence[Ending]) -> str:
    results = Counter(ending.result for ending in endings)
    shown = results[AttemptResult.HARMLESS]
    return (
        f"{len(endings)} attempts, {results[AttemptResult.STOPPED]} stopped"
        f"{f', {shown} shown by the mask' if shown else ''}"
    )


def _lines(endings: Sequence[Ending]) -> list[str]:
    """What got through; not what it brought."""
    return [
        f"    {ending.attempt.tool} {ending.attempt.text}  {ending.result.value}"
        for ending in _failed(endings)
    ]

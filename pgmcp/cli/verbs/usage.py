"""`-list-usage`: what tokens and users have used today, of the budgets in their policies.

The rule: it reads the file that a server keeps, which may be a second behind, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgmcp.auth.principal import local, owner_of, policy_in_force, session_key
from pgmcp.cli.verb import Command, Verb
from pgmcp.cli.verbs.policy_check import GROUP
from pgmcp.config.auth import Auth
from pgmcp.config.policies import Policy, PolicyLimits
from pgmcp.errors import visible
from pgmcp.stores.usage import UsageCounts
from pgmcp.stores.usage_file import of_day, read

_HEADER = ("Credential", "Policy", "Rows", "Bytes", "Calls")
_NOTHING: UsageCounts = (0, 0, 0)
_GAP = "  "


@dataclass(frozen=True, slots=True)
class _Credential:
    """A caller: what it counts under, what the table calls it, and the policy that it names."""

    owner: str
    shown: str
    policy: str | None = None


def list_usage(
    command: Command, auth: Auth, policies: Mapping[str, Policy], usage_file: Path
) -> int:
    """A table of what each credential has used whose policy counts, or that has used anything.
    FileError when the file says nothing that can be read."""
    now = command.clock()
    today = f"{now:%Y-%m-%d}"
    command.console.warn(f"Usage file: {usage_file}")
    used = of_day(read(usage_file), today)
    table: list[Sequence[str]] = [_HEADER]
    for each in _credentials(auth, used):
        name = policy_in_force(each.policy, policies)
        policy = None if name is None else policies.get(name)
        limits = PolicyLimits() if policy is None else policy.limits
        counts = used.get(each.owner)
        if counts is not None or limits.counted:
            table.append((each.shown, name or "-", *_cells(counts or _NOTHING, limits)))
    say = command.console.say
    say(f"Usage of {today} (UTC); now it is {now:%H:%M} UTC, and budgets open again at 00:00 UTC")
    if len(table) == 1:
        say("", "No credential has a policy that counts, and none has used anything.")
        return 0
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    say("", *(_GAP.join(map(str.ljust, row, widths)).rstrip() for row in table))
    return 0


def _credentials(auth: Auth, used: Mapping[str, UsageCounts]) -> Iterator[_Credential]:
    """All that there are, and those that have used something and are not there any more."""
    from pgmcp.stores.files import FileTokenStore, FileUserStore  # here: -help loads all verbs

    known = [_Credential(local(()).owner, "stdio, or without authentication")]
    if auth.token_file.exists():
        for token in FileTokenStore(auth.token_file).listed():
            note = f" ({visible(token.note)})" if token.note else ""
            known.append(_Credential(token.key, f"token {visible(token.id)}{note}", token.policy))
    for name, user in FileUserStore(auth.user_file).listed().items():
        owner = owner_of(session_key(name, ""))
        known.append(_Credential(owner, f"user {visible(name)}", user.policy))
    yield from known
    for owner in sorted(used.keys() - {each.owner for each in known}):
        kind, _, name = owner.partition(":")
        shown = name.rpartition(":")[0] if kind == "token" else name
        yield _Credential(owner, f"{kind} {visible(shown)}, removed")


def _cells(counts: UsageCounts, limits: PolicyLimits) -> Sequence[str]:
    rows, size, calls = counts
    a_minute = limits.calls_per_minute
    return (
        _of(rows, limits.rows_per_day),
        _of(size, limits.bytes_per_day),
        f"{calls:,}" if a_minute is None else f"{calls:,} ({a_minute:,} a minute)",
    )


def _of(count: int, limit: int | None) -> str:
    return f"{count:,}" if limit is None else f"{count:,} of {limit:,}"


VERBS = (
    Verb(
        "list-usage",
        GROUP,
        "List what tokens and users have used today of the budgets in their policies.",
        list_usage,
        ("auth", "policies", "usage_file"),
        files=("token_file", "user_file"),
    ),
)

"""What a call did: each layer notes what it knows, and observers read it once at the end.

The rule: there is one trail for each call, and the audit, the metrics and the log all read it, so
they cannot tell different stories. A parameter's value never gets here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pgmcp.auth.principal import Principal
from pgmcp.errors import CallEndedError, PgmcpError, StatementError

CallOutcome = Literal["ok", "refused", "ended", "error"]
"""`refused` by a gate; `ended` before it was done: cancelled, out of time, or its right lost."""

OTHER = "other"
"""The name of every method, tool, resource or prompt that this server does not have."""
NOBODY = Principal("anonymous", "nobody", "nobody")


@dataclass(frozen=True, slots=True)
class UsedNames:
    """What a statement uses, by name. Relations are `schema.name`, as SQL would write it.

    `relations`: the columns used of each relation, as far as the caller's own rights count for it;
    `behind_views`: likewise of those that views read, for which the views' owners' rights count.
    `first_columns`: the first column of those that are used without any of their columns, as by
    count(*): by that a policy or a GRANT can name them. `functions`: those that a policy would have
    to name, as `schema.name`.
    """

    relations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    behind_views: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first_columns: Mapping[str, str] = field(default_factory=dict)
    functions: Sequence[str] = ()


@dataclass(slots=True)
class Trail:
    """A call, from its request to its answer.

    `method` and `name` (the tool, the resource's URI or the prompt) are names of ours: what a
    client calls by another name is "other" here, so that no client writes into our records.
    `user` is the account that a login asked for, None when there is none. `statements` are the
    callers' SQL texts, each once; `uses` what they use, where that was asked for; `canaries` those
    that the call used or tried to use, and `canary_action` what follows; `rows` is how many rows
    went back. `gate` is which gate refused, "" when none did.
    """

    request_id: str = "-"
    principal: Principal = NOBODY
    address: str = ""
    method: str = OTHER
    name: str = ""
    user: str | None = None
    database: str | None = None
    statements: list[str] = field(default_factory=list)
    uses: list[UsedNames] = field(default_factory=list)
    canaries: list[str] = field(default_factory=list)
    canary_action: str = "alarm"
    rows: int | None = None
    outcome: CallOutcome = "ok"
    error: str | None = None
    sqlstate: str | None = None
    gate: str = ""
    incident: str | None = None
    seconds: float = 0.0

    @property
    def limited(self) -> bool:
        """Whether it was turned away because its address had failed too often."""
        return self.gate == "limiter"

    def ran(self, text: str) -> None:
        """Note a caller's statement before it is sent anywhere."""
        if text not in self.statements:
            self.statements.append(text)

    def used(self, names: UsedNames) -> None:
        """Note what a caller's statement uses."""
        if names not in self.uses:
            self.uses.append(names)

    def touched(self, canaries: Iterable[str], action: str) -> None:
        """Note canaries that a statement uses, or tries to use."""
        new = [name for name in canaries if name not in self.canaries]
        if new:
            self.canaries += new
            self.canary_action = action

    def described(self, relations: Mapping[str, Sequence[str]]) -> None:
        """Note relations that the caller asked for by name, of whose rows nothing is used; each
        with its first column, as far as it has any."""
        first = {name: columns[0] for name, columns in relations.items() if columns}
        self.used(UsedNames(dict.fromkeys(relations, ()), first_columns=first))

    def answered(self, rows: int) -> None:
        """Note how many rows a statement brought."""
        self.rows = rows if self.rows is None else self.rows + rows

    def failed(self, error: PgmcpError) -> None:
        """Note why the call failed. The first reason stays: what follows only wraps it."""
        if self.outcome != "ok":
            return
        self.error = type(error).__name__
        self.gate = error.gate
        if isinstance(error, StatementError):
            self.sqlstate = error.server.sqlstate
        if error.gate:
            self.outcome = "refused"
        else:
            self.outcome = "ended" if isinstance(error, CallEndedError) else "error"

"""How far a token was narrowed by its holder: the conditions on it, as one value.

The rule: conditions add up. What holds is what all of them allow. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from pgmcp.auth.times import rfc3339
from pgmcp.net.addresses import is_in

AnyOf = tuple[str, ...] | None
"""Names, of which each may be used; None for all."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Conditions, each of which takes something away.

    `policies`: the names of policies that restrict it too. `rows`: the most that a call returns.
    `networks`: lists of networks; the client's address is in one of each list.
    """

    databases: AnyOf = None
    policies: tuple[str, ...] = ()
    tools: AnyOf = None
    rows: int | None = None
    expires_at: datetime | None = None
    networks: tuple[tuple[str, ...], ...] = ()

    def __and__(self, other: Narrowing) -> Narrowing:
        """These conditions and those."""
        return Narrowing(
            _common(self.databases, other.databases),
            tuple(dict.fromkeys(self.policies + other.policies)),
            _common(self.tools, other.tools),
            min((n for n in (self.rows, other.rows) if n is not None), default=None),
            min((t for t in (self.expires_at, other.expires_at) if t is not None), default=None),
            self.networks + other.networks,
        )

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def covers(self, address: str) -> bool:
        """Whether it may be used from an address."""
        return all(is_in(address, networks) for networks in self.networks)

    def described(self) -> Mapping[str, object]:
        """The conditions that there are, as JSON values."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        values = {name: value for name, value in said.items() if value not in (None, ())}
        if self.expires_at is not None:
            values["expires_at"] = rfc3339(self.expires_at)
        return values

    def __str__(self) -> str:
        return " ".join(f"{name}={_text(value)}" for name, value in self.described().items())


def _common(these: AnyOf, those: AnyOf) -> AnyOf:
    if these is None or those is None:
        return those if these is None else these
    return tuple(name for name in these if name in those)


def _text(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return ",".join(f"({_text(each)})" if isinstance(each, tuple) else str(each) for each in value)

"""How far a token was narrowed by its holder: the conditions on it, as one value.

The rule: conditions add up. What holds is what all of them allow. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import chain
from typing import Any

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

    @classmethod
    def of_all(cls, conditions: Mapping[str, Sequence[Any]]) -> Narrowing:
        """What conditions say together; by field, each with its values. Those of `networks` are
        single lists."""
        return cls(**{name: _TOGETHER[name](values) for name, values in conditions.items()})

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def covers(self, address: str) -> bool:
        """Whether it may be used from an address."""
        return all(is_in(address, networks) for networks in self.networks)

    def described(self) -> Mapping[str, object]:
        """The conditions that there are, as JSON values."""
        values = {
            each.name: value
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
        }
        if self.expires_at is not None:
            values["expires_at"] = rfc3339(self.expires_at)
        return values

    def __str__(self) -> str:
        return " ".join(f"{name}={_text(value)}" for name, value in self.described().items())


def _in_all(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first, *others = lists
    return tuple(name for name in first if all(name in names for names in others))


_TOGETHER: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "databases": _in_all,
    "policies": lambda lists: tuple(dict.fromkeys(chain(*lists))),
    "tools": _in_all,
    "rows": min,
    "expires_at": min,
    "networks": tuple,
}


def _text(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    if not value:
        return "none"
    return ",".join(f"({_text(each)})" if isinstance(each, tuple) else str(each) for each in value)

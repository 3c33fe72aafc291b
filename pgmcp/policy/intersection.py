"""Several policies on one credential: what holds is what each of them allows.

The rule: nothing is allowed that the credential's own policy does not allow. A key that has no rule
here must be the same in all of them, so that a new key is decided on the closed side. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pgmcp.config.masks import MaskRules
from pgmcp.config.patterns import Access, CanaryRules, ReadRules
from pgmcp.config.policies import Policy, PolicyLimits
from pgmcp.policy.active import ActivePolicy

_OF_IDENTITY = ("role", "settings")
_NOTHING = ("",)
"""Where no name would mean all names: a name that nothing has."""


@dataclass(frozen=True, slots=True)
class EachAllows(ReadRules):
    """What each of several lists `read` allows."""

    lists: tuple[ReadRules, ...] = ()

    def column(self, schema: str, table: str, column: str) -> Access:
        """Whether this column may be read."""
        return _least([rules.column(schema, table, column) for rules in self.lists])

    def table(self, schema: str, table: str) -> Access:
        """Whether this table may be read."""
        return _least([rules.table(schema, table) for rules in self.lists])

    def has_schema(self, schema: str) -> bool:
        """Whether a line of each list allows something in a schema, if it is there."""
        return all(rules.has_schema(schema) for rules in self.lists)


@dataclass(frozen=True, slots=True)
class AnyNames(CanaryRules):
    """What any of several lists `canaries` names."""

    lists: tuple[CanaryRules, ...] = ()

    def __bool__(self) -> bool:
        return any(self.lists)

    def column(self, schema: str, table: str, column: str) -> Access:
        """Whether this column is one: ALLOWED."""
        if any(rules.names(schema, table, column) for rules in self.lists):
            return Access.ALLOWED
        return Access.UNNAMED

    def holds_table(self, schema: str, table: str) -> bool:
        """Whether the whole table is one."""
        return any(rules.holds_table(schema, table) for rules in self.lists)


class PolicyConflictError(Exception):
    """Policies that cannot hold together; the text names the key in which they differ."""


def intersection(own: Policy | None, others: Sequence[Policy]) -> Policy:
    """The policy that allows what each of these allows; PolicyConflictError.

    `own`: the credential's, None where it is not restricted. `others` take away from it, and may
    not be none. Of hours and networks the result has those of one policy: `ActivePolicy.parts` has
    all.
    """
    policies = [*others] if own is None else [own, *others]
    _require_own_identity(own, others)
    values = {}
    for each in fields(Policy):
        said = [getattr(policy, each.name) for policy in policies]
        values[each.name] = _RULES.get(each.name, _same)(each.name, said)
    # Of those alone that have canaries: the default of the others means nothing.
    actions = {policy.canary_action for policy in policies if policy.canaries}
    values["canary_action"] = "alarm" if actions == {"alarm"} else "stop"
    return Policy(**values)


def together(own: ActivePolicy | None, others: Sequence[ActivePolicy]) -> ActivePolicy:
    """As `intersection`, of policies in force. Of those that cannot hold together, one that is
    closed at all times and allows nothing."""
    parts = tuple(policy.policy for policy in ([*others] if own is None else [own, *others]))
    try:
        policy = intersection(
            None if own is None else own.policy, [other.policy for other in others]
        )
    except PolicyConflictError as conflict:
        return ActivePolicy(Policy(), parts=parts, conflict=str(conflict))
    return ActivePolicy(policy, others[0].mask_key, parts)


def _require_own_identity(own: Policy | None, others: Sequence[Policy]) -> None:
    """PolicyConflictError where another policy has a role or settings that the credential's own has
    not: with these it would read what it cannot read otherwise."""
    for name in _OF_IDENTITY:
        had = getattr(own, name, None)
        if any((value := getattr(other, name, None)) and value != had for other in others):
            raise PolicyConflictError(name)


def _least(said: Sequence[Access]) -> Access:
    if Access.DENIED in said:
        return Access.DENIED
    return Access.UNNAMED if Access.UNNAMED in said else Access.ALLOWED


def _same(name: str, said: Sequence[Any]) -> Any:
    """A value that all have."""
    if any(value != said[0] for value in said):
        raise PolicyConflictError(name)
    return said[0]


def _first(_: str, said: Sequence[Any]) -> Any:
    return said[0]


def _names(_: str, said: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Names that each list has, of which an empty one has all."""
    lists = [names for names in said if names]
    if not lists:
        return ()
    return tuple(name for name in lists[0] if all(name in names for names in lists)) or _NOTHING


def _in_all(_: str, said: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Names that each list has, of which an empty one has none."""
    return tuple(name for name in said[0] if all(name in names for names in said))


def _read(_: str, said: Sequence[ReadRules]) -> ReadRules:
    return EachAllows(lists=tuple(said))


def _masks(_: str, said: Sequence[MaskRules]) -> MaskRules:
    return MaskRules(tuple(rule for masks in said for rule in masks.rules), tuple(said))


def _limits(_: str, said: Sequence[PolicyLimits]) -> PolicyLimits:
    """Of each limit the smallest; None is no limit."""
    smallest = {}
    for each in fields(PolicyLimits):
        set_ = [value for limits in said if (value := getattr(limits, each.name)) is not None]
        smallest[each.name] = min(set_, default=None)
    return PolicyLimits(**smallest)


def _canaries(_: str, said: Sequence[CanaryRules]) -> CanaryRules:
    return AnyNames(lists=tuple(rules for rules in said if rules))


_RULES: Mapping[str, Callable[[str, Sequence[Any]], Any]] = {
    "databases": _names,
    "tools": _names,
    "read": _read,
    "mask": _masks,
    "hours": _first,
    "networks": _first,
    "limits": _limits,
    "functions": _in_all,
    "canaries": _canaries,
    "canary_action": _first,
    **dict.fromkeys(_OF_IDENTITY, _first),
}

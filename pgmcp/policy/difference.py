"""What a change of a policy opens, and what it closes.

The rule: each key of a policy has a comparison in the table below. Where it cannot be told which of
two values allows more, the change opens. Pure; no database is asked: what `read` and `mask` say is
compared for the names that they hold, and for all others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pgmcp.config.hours import Hours
from pgmcp.config.patterns import CanaryRules
from pgmcp.config.policies import KEYS, Policy
from pgmcp.policy.reach import Direction, differing_masks, differing_reads

_ANY_TIME = timedelta(minutes=1)
# Two weeks, one on each side of the changes of clocks.
_WEEKS = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC))
_WEEK_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One line: whether it opens or closes, and what."""

    word: Direction
    what: str


@dataclass(frozen=True, slots=True)
class CredentialPolicy:
    """What holds for a credential: its policy, None where nothing restricts it; `refused` where it
    names one that is not there."""

    policy: Policy | None
    refused: bool = False


def changes(old: CredentialPolicy, new: CredentialPolicy) -> list[Change]:
    """What a change from one to the other opens and closes, in order."""
    if old == new:
        return []
    if new.refused:
        return [Change("closes", "everything: its policy is not there any more")]
    if old.refused:
        return [Change("opens", "what it may now: it was refused, its policy was not there")]
    if new.policy is None:
        return [Change("opens", "everything: no policy restricts it any more")]
    if old.policy is None:
        return [
            Change("closes", "everything that its policy does not allow: it was not restricted"),
            *(
                Change("opens", f"{path}: now {_shown(value)}")
                for path in _IDENTITY
                if (value := _value(new.policy, path))
            ),
        ]
    return sorted(set(_by_key(old.policy, new.policy)), key=lambda each: (each.word, each.what))


def _by_key(old: Policy, new: Policy) -> Iterator[Change]:
    for key in KEYS:
        before, after = _value(old, key.path), _value(new, key.path)
        if before != after:
            compare = COMPARISONS.get(key.path, _unknown)
            for word, what in compare(before, after):
                yield Change(word, f"{key.path}: {what}")


_Compare = Callable[[Any, Any], Iterator[tuple[Direction, str]]]


def _value(policy: Policy, path: str) -> Any:
    """The value of a key; a key's last part may be without the unit that its field names."""
    value: Any = policy
    for part in path.split("."):
        named = [part, f"{part}_seconds", f"{part}_bytes"]
        value = next(getattr(value, name) for name in named if hasattr(value, name))
    return value


def _shown(value: Any) -> str:
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return ", ".join(f"{name} = {said!r}" for name, said in value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _unknown(before: Any, after: Any) -> Iterator[tuple[Direction, str]]:
    """Of values of which neither is known to allow more."""
    yield "opens", f"{_shown(after)} instead of {_shown(before)}"


def _names(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Direction, str]]:
    """Of names that it may use, where none stands for no name."""
    for name in sorted(set(after) - set(before)):
        yield "opens", name
    for name in sorted(set(before) - set(after)):
        yield "closes", name


def _names_or_all(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Direction, str]]:
    """Of names that it may use, where none stands for all names."""
    if not after:
        yield "opens", f"all, and not only {', '.join(before)}"
    elif not before:
        yield "closes", f"all but {', '.join(after)}"
    else:
        yield from _names(before, after)


def _networks(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Direction, str]]:
    if not (before and after):
        yield from _names_or_all(before, after)
        return
    for word, some, others in (("opens", after, before), ("closes", before, after)):
        for each in some:
            if not any(_is_inside(each, other) for other in others):
                yield word, each  # type: ignore[misc]


def _is_inside(inner: str, outer: str) -> bool:
    small, large = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return small.version == large.version and small.subnet_of(large)  # type: ignore[arg-type]


def _canaries(before: CanaryRules, after: CanaryRules) -> Iterator[tuple[Direction, str]]:
    old, new = ([pattern.text for pattern in rules.patterns] for rules in (before, after))
    for line in sorted(set(old) - set(new)):
        yield "opens", f"{line} is none any more"
    for line in sorted(set(new) - set(old)):
        yield "closes", line


def _canary_action(before: str, after: str) -> Iterator[tuple[Direction, str]]:
    yield "closes" if after == "stop" else "opens", f"{after} instead of {before}"


def _limit(before: float | None, after: float | None) -> Iterator[tuple[Direction, str]]:
    """Of the most of something, None for any number."""
    more = after is None or (before is not None and after > before)
    yield "opens" if more else "closes", f"{_shown(after)} instead of {_shown(before)}"


def _hours(before: tuple[Hours, ...], after: tuple[Hours, ...]) -> Iterator[tuple[Direction, str]]:
    """By each minute of a week, in winter and in summer."""
    old, new = _open_minutes(before), _open_minutes(after)
    said = f"{_times(after)} instead of {_times(before)}"
    if new - old:
        yield "opens", said
    if old - new:
        yield "closes", said


def _times(hours: tuple[Hours, ...]) -> str:
    return ", ".join(each.text for each in hours) or "always"


@lru_cache(maxsize=64)
def _open_minutes(hours: tuple[Hours, ...]) -> frozenset[datetime]:
    moments = (week + minute * _ANY_TIME for week in _WEEKS for minute in range(_WEEK_MINUTES))
    return frozenset(
        moment for moment in moments if not hours or any(each.cover(moment) for each in hours)
    )


_IDENTITY = ("role", "settings")
"""The keys by which a policy may let more be read than no policy does."""

COMPARISONS: Mapping[str, _Compare] = {
    "databases": _names_or_all,
    "tools": _names_or_all,
    "read": differing_reads,
    "mask": differing_masks,
    "role": _unknown,
    "settings": _unknown,
    "hours": _hours,
    "networks": _networks,
    "limits.rows_per_call": _limit,
    "limits.rows_per_day": _limit,
    "limits.bytes_per_day": _limit,
    "limits.calls_per_minute": _limit,
    "limits.statement_timeout": _limit,
    "limits.estimated_cost": _limit,
    "functions": _names,
    "canaries": _canaries,
    "canary_action": _canary_action,
}
"""By the path of the key."""

"""The section `policies`: what the credentials that name a policy may read and use.

The rule: what a policy does not say it does not allow. A name that no policy has never means that
there is no restriction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pgmcp.config.document import flatten, suggestion, type_name
from pgmcp.config.hours import Hours
from pgmcp.config.key import key, keys_of, section
from pgmcp.config.kinds import (
    CANARY_RULES,
    DURATION,
    HOURS,
    MASKS,
    NAMES,
    NETWORKS,
    READ_RULES,
    ROLE,
    SETTINGS,
    SIZE,
    choice,
    whole,
)
from pgmcp.config.layers import Inputs, Settings, fill, resolve
from pgmcp.config.masks import MaskRules
from pgmcp.config.patterns import CanaryRules, ReadRules
from pgmcp.config.session_settings import SessionSettings
from pgmcp.errors import ConfigError

PREFIX = "policies"
MOST = 10**15
"""The largest number that a limit may be."""
CanaryAction = Literal["stop", "alarm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLimits:
    """The most that a call, or all calls of a token or user, may take under a policy; None: no
    more than without."""

    rows_per_call: int | None = key(None, whole(1, 1_000_000), "The most rows that a call returns.")
    rows_per_day: int | None = key(
        None,
        whole(1, MOST),
        "The most rows that a token, or a user in all sessions, is sent in a day (UTC).",
    )
    bytes_per_day: int | None = key(
        None, SIZE, "The most bytes of results that it is sent in a day (UTC)."
    )
    calls_per_minute: int | None = key(
        None, whole(1, 60_000), "The most calls that reach a database within a minute."
    )
    estimated_cost: int | None = key(
        None,
        whole(1, MOST),
        "The highest cost, by PostgreSQL's estimate before it runs, of a statement that runs.",
    )
    statement_timeout_seconds: float | None = key(
        None, DURATION, "How long a statement may run.", name="statement_timeout"
    )

    @property
    def counted(self) -> bool:
        """Whether calls have to be counted."""
        return self.daily or self.calls_per_minute is not None

    @property
    def daily(self) -> bool:
        """Whether there is a budget for a day."""
        return self.rows_per_day is not None or self.bytes_per_day is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a principal may read. `databases` and `tools` empty: all that it could use without."""

    databases: tuple[str, ...] = key(
        (), NAMES, "The databases it may use, of those that it could use otherwise; empty for all."
    )
    tools: tuple[str, ...] = key((), NAMES, "The tools it may use; empty for all.")
    read: ReadRules = key(
        (),
        READ_RULES,
        'The tables and columns it may read, and "not" in front of what it may not: the last line '
        "that matches decides, and what none matches may not be read.",
    )
    mask: MaskRules = key(
        {},
        MASKS,
        "The columns that are shown by a mask, and may be used for nothing else: null, partial, "
        "last4, hash, or a text that stands for every value.",
    )
    role: str | None = key(
        None,
        ROLE,
        "The role that its statements run as, as by SET ROLE; none: the database's user.",
    )
    settings: SessionSettings = key(
        {},
        SETTINGS,
        "Settings that its statements run with, for row security: names with a dot.",
    )
    hours: tuple[Hours, ...] = key((), HOURS, "When it may reach a database; empty for always.")
    networks: tuple[str, ...] = key(
        (),
        NETWORKS,
        "The addresses and networks that it may reach a database from; empty for all.",
    )
    limits: PolicyLimits = section(PolicyLimits)
    functions: tuple[str, ...] = key(
        (),
        NAMES,
        "Functions, as schema.name, that it may call although they look objects up, or read more "
        "than it may.",
    )
    canaries: CanaryRules = key(
        (),
        CANARY_RULES,
        "Tables and columns that nobody has a reason to use, as in `read`: who does is reported, "
        "and `canary_action` says what else happens.",
    )
    canary_action: CanaryAction = key(
        "stop",
        choice("stop", "alarm"),
        "What follows when a canary is used: its credential is stopped, or it is only reported.",
    )

    @property
    def sets_session(self) -> bool:
        """Whether it says what a transaction runs as, or with which settings."""
        return self.role is not None or bool(self.settings)

    def allows(self, database: str) -> bool:
        """Whether its credentials may use a database, as far as the policy goes."""
        return not self.databases or database in self.databases


KEYS = keys_of(Policy)
"""The keys of one policy, by their paths in it."""
_PATHS = [each.path for each in KEYS]


def build(listed: object, inputs: Inputs) -> dict[str, Policy]:
    """The policies by name, from what the file has there. ConfigError."""
    if listed is None or inputs.file is None:
        return {}
    if not isinstance(listed, Mapping):
        raise ConfigError(
            f"{inputs.file}: {PREFIX} must be a section, not {type_name(listed)}",
            "Give each policy a name of its own, and its keys below it.",
        )
    plain = replace(inputs, options={}, environ={})
    policies = {}
    for name, node in listed.items():
        if not name or name != name.strip():
            raise ConfigError(
                f"{inputs.file}: {PREFIX}: the name {name!r} is empty, or begins or ends with a"
                " blank",
                "Give the policy another name.",
            )
        prefix = f"{PREFIX}.{name}."
        said = flatten(node, _PATHS, inputs.file, prefix)
        if said.get("role", "?") in (None, ""):  # an empty value says nothing elsewhere
            raise ConfigError(
                f"{inputs.file}: {prefix}role is empty: it would run as the database's user",
                "Name a role, or take the key out.",
            )
        policies[name] = _policy(resolve(KEYS, said, plain, prefix=prefix))
    return policies


def _policy(settings: Settings) -> Policy:
    return fill(Policy, settings, limits=fill(PolicyLimits, settings, "limits."))


def check_names(
    policies: Mapping[str, Policy],
    databases: Collection[str],
    tools: Collection[str] | None,
    inputs: Inputs,
) -> None:
    """ConfigError for a policy that names a database or a tool which is not there; `tools` None:
    they are not known."""
    for name, policy in policies.items():
        for path, said, known in (
            ("databases", policy.databases, databases),
            ("tools", policy.tools, tools),
        ):
            wrong = [each for each in said if known is not None and each not in known]
            if wrong and known is not None:
                raise ConfigError(
                    f"{inputs.file}: {PREFIX}.{name}.{path}: there is no {wrong[0]!r}",
                    suggestion(wrong[0], known),
                )

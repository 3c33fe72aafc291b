"""The policies of a configuration, in force: alone, and those of a narrowed token together.

The rule: a policy that a reload has just taken away lets nothing be read, never everything.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from pgmcp.auth.principal import Principal
from pgmcp.config.model import Config
from pgmcp.config.policies import Policy

if TYPE_CHECKING:  # a start without policies does without
    from pgmcp.policy.active import ActivePolicy

_MAX_KEPT = 64

_log = logging.getLogger("pgmcp.server")


def active_policies(config: Config) -> Mapping[str, ActivePolicy]:
    """By name. The key of masks that hash is made where there is none; FileError."""
    if not config.policies:
        return {}
    from pgmcp.policy.active import ActivePolicy

    key = b""
    if any(
        mask.kind == "hash" for policy in config.policies.values() for _, mask in policy.mask.rules
    ):
        from pgmcp.storage.secret_key import load_key  # here: it loads YAML's parser

        path = config.mask_key_file
        missing = "Put the key back, or remove its file to begin with another one."
        key, was_readable = load_key(path, create=True, missing=missing)
        if was_readable:
            _log.warning("WARNING: others could read the key of masks %s; its mode is 0600", path)
    return {name: ActivePolicy(policy, key) for name, policy in config.policies.items()}


@cache
def _nothing() -> ActivePolicy:
    from pgmcp.policy.active import ActivePolicy

    return ActivePolicy(Policy())


def _only_alarming(active: ActivePolicy) -> ActivePolicy:
    policy = active.policy
    if not policy.canaries or policy.canary_action == "alarm":
        return active
    return replace(active, policy=replace(policy, canary_action="alarm"))


class PrincipalPolicies:
    """What restricts each principal, by the policies in force."""

    def __init__(self, policies: Mapping[str, ActivePolicy]) -> None:
        self._policies = policies
        # The local caller has no credential that could be stopped.
        self._local = {name: _only_alarming(policy) for name, policy in policies.items()}
        self._together: dict[tuple[str | None, ...], ActivePolicy] = {}

    def of(self, principal: Principal) -> ActivePolicy | None:
        """All policies of a principal as one, None where it has none."""
        if principal.kind == "local" and principal.policy is not None:
            return self._local.get(principal.policy) or _nothing()
        own = None
        if principal.policy is not None:
            own = self._in_force(principal.policy)
        narrowing = principal.narrowing
        if narrowing is None or not narrowing.policies:
            return own
        # The same value for the same policies, as decisions and catalogues are kept by it.
        names = (principal.policy, *sorted(set(narrowing.policies)))
        kept = self._together.get(names)  # a look-up in a dict is atomic
        if kept is None:
            from pgmcp.policy.intersection import together

            others = [
                self._policies.get(name) or _nothing() for name in names[1:] if name is not None
            ]
            if len(self._together) >= _MAX_KEPT:
                self._together.clear()
            kept = self._together.setdefault(names, together(own, others))
        return kept

    def _in_force(self, name: str) -> ActivePolicy:
        return self._policies.get(name) or _nothing()

"""The role and the settings of a policy, set in the write that begins a transaction.

The rule: they are set right behind BEGIN, for the transaction only, before anything is asked for
the caller: the ROLLBACK that ends each transaction ends them too. Whatever the policy's role may
not do is done before it is taken on.
"""

from __future__ import annotations

from functools import lru_cache

from pgmcp.config.session_settings import SessionSettings
from pgmcp.gate import trees
from pgmcp.policy.active import ActivePolicy
from pgmcp.postgres.messages import Failure, Step

_NAME = "pgmcp_session_role"
# SQLSTATE classes of what would have ended any statement: resources, an operator, the system.
_ELSEWHERE = frozenset({"53", "57", "58"})


def session_steps(active: ActivePolicy | None, *, trees_of: int | None = None) -> tuple[Step, ...]:
    """The steps that set what a policy says, none for one that says nothing of it.

    `trees_of`: the server's major version, where it is going to show trees. The role need not be
    one that may keep them out of the server's log.
    """
    if active is None or not active.policy.sets_session:
        return ()
    return (_step(active.policy.role, active.policy.settings, trees_of),)


@lru_cache(maxsize=1024)
def _step(role: str | None, settings: SessionSettings, trees_of: int | None) -> Step:
    pairs = settings if role is None else (*settings, ("role", role))
    # In the order in which they stand here: a list of results is computed from left to right.
    set_each = [
        f"pg_catalog.set_config(${number}, ${number + 1}, true)"
        for number in range(1, 2 * len(pairs), 2)
    ]
    name = f"{_NAME}_{len(pairs)}"
    if trees_of is not None:
        set_each.insert(0, trees.out_of_log(trees_of))
        name += "_trees"
    params = tuple(part for pair in pairs for part in pair)
    return Step(f"SELECT {', '.join(set_each)}", params, name=name)


def verdict_key(active: ActivePolicy | None, key: str) -> str:
    """What the verdict on a text is kept under whose own key is this: to another role its names may
    mean other things, and other rows. Neither a text nor the name of a role holds NUL."""
    role = None if active is None else active.policy.role
    return key if role is None else f"\0{role}\0{key}"


def refuses_role(failure: Failure, step: Step) -> bool:
    """Whether it was a policy's role or settings that the server did not accept."""
    return step.name.startswith(_NAME) and failure.server.sqlstate[:2] not in _ELSEWHERE

"""The state of a server and a session in which a text means what it was found to mean.

The rule: a state names the server, what is committed there, and the settings that decide what a
text means; what it does not name must not matter. SQL text and pure functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pgmcp.gate.dependencies import SCHEMAS, Dependencies, unchanged
from pgmcp.postgres.messages import Outcome, Step
from pgmcp.postgres.rows import Value
from pgmcp.sql.text import quote_literal

ALTERED = "22012"
"""The SQLSTATE with which a check of the state says no: division by zero."""
_SNAPSHOT = "pg_catalog.pg_current_snapshot()::pg_catalog.text"
# The start time tells the hosts of one database apart, and a server from its restored copy. The
# others change without a commit (a reloaded configuration), or in new sessions only (ALTER ROLE).
_SURROUNDINGS = (
    "pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.text",
    "current_user::pg_catalog.text",
    "pg_catalog.current_setting('standard_conforming_strings')",
    "pg_catalog.current_setting('backslash_quote')",
    "pg_catalog.current_setting('row_security')",
    "pg_catalog.current_setting('search_path')",
)


class State(NamedTuple):
    """What is committed, as a snapshot says it, and the server, role and settings around it.

    `surroundings` seldom differ: they are part of the text of a check, and only the snapshot is its
    parameter, so that a session keeps the check prepared. `schemas`, the search_path in effect,
    follows from the snapshot and the others.
    """

    snapshot: str
    surroundings: tuple[str, ...]
    schemas: str


# A commit is visible a moment before its invalidation messages go out, which make other sessions
# read the catalogue anew (CommitTransaction, xact.c). Who commits holds the lock on its transaction
# until they are sent: while there is such a lock, what this session parses may be older than the
# state.
SHOW_STATE = Step(
    f"SELECT {', '.join((_SNAPSHOT, *_SURROUNDINGS, SCHEMAS))}, (SELECT pg_catalog.string_agg("
    "l.virtualtransaction OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) l.transactionid, ',')"
    " FROM pg_catalog.pg_lock_status() l"
    " WHERE l.locktype OPERATOR(pg_catalog.=) 'transactionid' AND l.granted"
    " AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock')"
)
"""Shows the state, and the locks that `all_invalidations_sent` takes."""
# Analysed alone: to lock a table for the first time, a session reads the invalidation messages.
READ_INVALIDATIONS = Step("SELECT FROM pg_catalog.pg_am", execute=False)
"""What is parsed after it is no older than a state that was shown before it."""
_XIDS = 2**32
_CHECK_NAME = "pgmcp_state"


def state_of(row: Sequence[Value]) -> tuple[State, str]:
    """The state in a row of SHOW_STATE, and the locks that `all_invalidations_sent` takes."""
    snapshot, *surroundings, schemas, locks = ((value or b"").decode() for value in row)
    return State(snapshot, tuple(surroundings), schemas), locks


def check(settings: str, state: State, params: tuple[str, ...] = (), *, after: str = "") -> Step:
    """A step that makes `settings`, whose parameters are `params`, and ends the transaction unless
    its state is this one.

    `after`: an expression, never NULL, that changes a setting before the state is looked at.
    """
    step = _check(settings, state.surroundings, after)
    return step._replace(params=(*params, state.snapshot))


def check_dependencies(settings: str, state: State, dependencies: Dependencies) -> Step:
    """As `check`, for a statement that depends on nothing else: others may have committed.

    `settings` have no parameters. Only a generic plan is worth keeping: see plan_cache_mode.
    """
    step = _check_dependencies(settings, state.surroundings)
    return step._replace(params=dependencies.params)


def is_check(step: Step) -> bool:
    """Whether this is a step that `check` made."""
    return step.name.startswith(_CHECK_NAME)


@lru_cache(maxsize=64)
def _check(settings: str, surroundings: tuple[str, ...], after: str) -> Step:
    """See `check`; the snapshot is the last parameter. The session keeps the step prepared."""
    same = f"{_SNAPSHOT} OPERATOR(pg_catalog.=) ${settings.count('$') + 1}"
    return _ends_unless(settings, surroundings, same, after)


@lru_cache(maxsize=64)
def _check_dependencies(settings: str, surroundings: tuple[str, ...]) -> Step:
    """See `check_dependencies`."""
    return _ends_unless(settings, surroundings, unchanged(1))


def _ends_unless(settings: str, surroundings: tuple[str, ...], same: str, after: str = "") -> Step:
    """A step that ends the transaction unless the surroundings are these, and `same` is true."""
    conditions = [same]
    for expression, value in zip(_SURROUNDINGS, surroundings, strict=True):
        conditions.append(f"{expression} OPERATOR(pg_catalog.=) {quote_literal(value)}")
    # CASE keeps the order of its conditions.
    first = f"WHEN {after} IS NULL THEN 0 " if after else ""
    when = f"{first}WHEN {' AND '.join(conditions)} THEN 1 ELSE 0"
    text = f"SELECT {settings}, 1 OPERATOR(pg_catalog./) (CASE {when} END)"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Step(text, name=f"{_CHECK_NAME}_{digest}")


def all_invalidations_sent(snapshot: str, locks: str) -> bool:
    """Whether all who have committed, by `snapshot`, have sent their invalidation messages.

    `locks`: the transactions that are locked by themselves, "holder xid,holder xid,…". A holder in
    the snapshot, or who came after it, has not committed; its subtransactions are not listed there.
    """
    _, xmax, *running = snapshot.replace(",", ":").split(":")
    alive = {int(xid) % _XIDS for xid in running if xid}
    committing: dict[str, bool] = {}
    for holder, _, xid in (lock.rpartition(" ") for lock in locks.split(",") if lock):
        runs = int(xid) in alive or (int(xid) - int(xmax)) % _XIDS < _XIDS // 2
        committing[holder] = committing.get(holder, True) and not runs
    return not any(committing.values())


def altered(steps: Sequence[Step], outcome: Outcome) -> bool:
    """Whether it is a check of the state that failed: something was committed meanwhile."""
    failure = outcome.failure
    return (
        failure is not None and failure.server.sqlstate == ALTERED and is_check(steps[failure.step])
    )

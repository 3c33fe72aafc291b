"""The state of a server and a session in which a text means what it was found to mean.

The rule: a state names the server, what is committed there, and the settings that decide what a
text means; what it does not name must not matter. SQL text and pure functions.
"""

from __future__ import annotations

from pgmcp.postgres.messages import Step

ALTERED = "22012"
"""The SQLSTATE with which `same_state` says no: division by zero."""
# The start time tells the hosts of one database apart, and a server from its restored copy. The
# others change without a commit (a reloaded configuration), or in new sessions only (ALTER ROLE).
_STATE = (
    "pg_catalog.concat_ws(' ', pg_catalog.pg_current_snapshot(),"
    " pg_catalog.pg_postmaster_start_time(), current_user,"
    " pg_catalog.current_setting('standard_conforming_strings'),"
    " pg_catalog.current_setting('backslash_quote'),"
    " pg_catalog.current_setting('row_security'),"
    " pg_catalog.current_setting('search_path'))"
)
# A commit is visible a moment before the other sessions are told to forget what they remember of
# the catalogue (CommitTransaction, xact.c). Who commits holds the locks on its transaction until it
# has told them: while there are such, what this session parses may be older than the state.
SHOW_STATE = Step(
    f"SELECT {_STATE}, (SELECT pg_catalog.string_agg("
    "l.virtualtransaction OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) l.transactionid, ',')"
    " FROM pg_catalog.pg_lock_status() l"
    " WHERE l.locktype OPERATOR(pg_catalog.=) 'transactionid' AND l.granted"
    " AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock')"
)
"""Shows the state, and the locks that `all_told` takes."""
# Analysed alone: to lock a table for the first time, a session takes note of all that it was told.
TAKE_NOTE = Step("SELECT FROM pg_catalog.pg_am", execute=False)
"""What is parsed after it is no older than a state that was shown before it."""
_XIDS = 2**32


def same_state(parameter: int, *, after: str = "") -> str:
    """An expression that ends the transaction unless its state is that parameter.

    `after`: an expression, never NULL, that changes a setting before the state is looked at.
    """
    # CASE keeps the order of its conditions.
    first = f"WHEN {after} IS NULL THEN 0 " if after else ""
    same = f"WHEN {_STATE} OPERATOR(pg_catalog.=) ${parameter} THEN 1 ELSE 0"
    return f"1 OPERATOR(pg_catalog./) (CASE {first}{same} END)"


def all_told(state: str, locks: str) -> bool:
    """Whether all who have committed, by the snapshot in `state`, have told the others so.

    `locks`: the transactions that are locked by themselves, "holder xid,holder xid,…". A holder in
    the snapshot, or who came after it, has not committed; its subtransactions are not listed there.
    """
    _, xmax, *running = state.partition(" ")[0].replace(",", ":").split(":")
    alive = {int(xid) % _XIDS for xid in running if xid}
    committing: dict[str, bool] = {}
    for holder, _, xid in (lock.rpartition(" ") for lock in locks.split(",") if lock):
        runs = int(xid) in alive or (int(xid) - int(xmax)) % _XIDS < _XIDS // 2
        committing[holder] = committing.get(holder, True) and not runs
    return not any(committing.values())

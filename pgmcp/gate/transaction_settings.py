"""The settings of a transaction that runs a caller's text: its time-outs, and how it is planned.

The rule: they are set within the transaction, and end with it.
"""

from __future__ import annotations

from pgmcp.gate.trees import RESTORE_PATH
from pgmcp.postgres.messages import Step

# A SELECT, and so the snapshot after which no SET TRANSACTION READ WRITE is accepted.
# cursor_tuple_fraction: plan a cursor for all of its rows, as the bare statement would be.
# jit: no time-out ends a compilation, which takes seconds for some hundred expressions.
SETTINGS = (
    "pg_catalog.set_config('statement_timeout', $1, true),"
    " pg_catalog.set_config('lock_timeout', $2, true),"
    " pg_catalog.set_config('cursor_tuple_fraction', '1', true),"
    " pg_catalog.set_config('jit', 'off', true)"
)
LIMITED = Step(f"SELECT {SETTINGS}", name="pgmcp_limits")
# Behind the check of the state nothing may wait for a lock, since what another session commits
# meanwhile would count: a partition or an index is locked by the planner only.
NO_LOCK = "pg_catalog.set_config('lock_timeout', '1', true)"
# To plan the check of dependencies anew for each call would take longer than the check.
LIMITED_GENERIC = Step(
    f"SELECT {SETTINGS}, pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true)",
    name="pgmcp_limits_generic",
)
NO_LOCK_NOT_GENERIC = f"{NO_LOCK}, pg_catalog.set_config('plan_cache_mode', NULL, true)"
# Behind the judge's questions, which are asked with another search_path.
PATH_AND_NO_LOCK = Step(f"SELECT {NO_LOCK}, {RESTORE_PATH}")
WAIT_FOR_LOCKS = Step(
    "SELECT pg_catalog.set_config('lock_timeout', $1, true)", name="pgmcp_lock_timeout"
)


def milliseconds(seconds: float) -> str:
    """For a setting where 0 would mean without end."""
    return str(max(1, min(2_147_483_647, int(seconds * 1000))))

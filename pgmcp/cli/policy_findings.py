"""What `-check` and `-policy-check` find out about policies in the databases that they are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pgmcp.calls.call import Call
from pgmcp.cli.finding import Finding, error, warning
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.policies import Policy
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.gate.policy_fits import policy_problems
from pgmcp.pool.pools import Pools

_OWNER = "policy findings"
_SECONDS = 30.0
_CLOSE_SECONDS = 2.0


def fit_findings(
    policies: Mapping[str, Policy], databases: Sequence[DatabaseSettings]
) -> Iterator[Finding]:
    """Lines that match nothing, masks that do not suit a type, and copies of what is kept back."""
    if not policies:
        return
    pools = Pools(databases, require_safe_role)
    opened = DatabaseSet.of(pools)
    try:
        for problem in policy_problems(
            policies,
            opened.names,
            lambda name: opened.database(_OWNER, name, Call(_SECONDS)),
        ):
            finding = error if problem.is_error else warning
            yield finding(problem.subject, problem.message, problem.mend)
    finally:
        pools.close(_CLOSE_SECONDS)

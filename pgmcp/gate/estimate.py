"""What PostgreSQL expects a statement to cost, looked at before it runs.

The rule: the plan is one of the text that was judged, and it is looked at only where its cost tells
nothing of what the policy hides. One round trip, and none where the policy has no such limit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from pgmcp.errors import BudgetError
from pgmcp.gate.caller_read import CallerRead, estimated
from pgmcp.gate.verdict import Verdict
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.decision import hides_cost
from pgmcp.postgres.messages import Outcome, Step


def with_estimate(reading: CallerRead, active: ActivePolicy | None) -> CallerRead:
    """A read with its estimate, where the policy limits the cost of what runs."""
    if active is None or active.policy.limits.estimated_cost is None or not reading.runs:
        return reading
    return estimated(reading)


def cost_limit(reading: CallerRead, active: ActivePolicy | None, verdict: Verdict) -> int | None:
    """The highest cost that a read may have; None where its estimate is not to be looked at."""
    if active is None or reading.estimate is None or verdict.facts is None:
        return None
    if hides_cost(active.policy, verdict.facts):
        return None
    return active.policy.limits.estimated_cost


def split(steps: Sequence[Step], reading: CallerRead) -> tuple[list[Step], list[Step]]:
    """The steps that end with the estimate, and those that run the text."""
    assert reading.estimate is not None
    at = steps.index(reading.opened)
    return [*steps[:at], reading.estimate], list(steps[at:])


def too_costly(outcome: Outcome, limit: int) -> BudgetError | None:
    """The refusal of a statement whose plan costs more than this, None where it does not, or where
    it was not planned."""
    if outcome.failure is not None:
        return None
    plan = json.loads(b"".join(value or b"" for (value,) in outcome.replies[-1].rows))
    cost = math.ceil(plan[0]["Plan"]["Total Cost"])
    if cost <= limit:
        return None
    return BudgetError(
        f"PostgreSQL expects this statement to cost {cost:,}, and the policy of your credential"
        f" allows {limit:,}",
        "Narrow it: conditions that an index serves, fewer tables, or a LIMIT. EXPLAIN shows where"
        " the cost is.",
    )

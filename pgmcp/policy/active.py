"""A policy in force: what the configuration says, and what it needs to be held to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pgmcp.config.masks import Mask
from pgmcp.config.policies import Policy
from pgmcp.net.addresses import is_in
from pgmcp.policy.masking import masked
from pgmcp.postgres.messages import Reply

_ROW_BYTES, _VALUE_BYTES = 7, 4  # what a row and a value take beside their text, as they are sent


@dataclass(frozen=True, slots=True, eq=False)
class ActivePolicy:
    """`mask_key`: of masks that hash.

    `parts`: the policies that `policy` was made of, () for itself. `conflict`: the key in which
    these cannot hold together, so that nothing may be reached; None where they can.
    """

    policy: Policy
    mask_key: bytes = b""
    parts: tuple[Policy, ...] = ()
    conflict: str | None = None

    @property
    def statement_timeout_seconds(self) -> float:
        """How long a statement may run."""
        return self.policy.limits.statement_timeout_seconds or math.inf

    def rows(self, wanted: int) -> int:
        """How many rows a call may return that asks for so many."""
        return min(wanted, self.policy.limits.rows_per_call or wanted)

    def closed(self, address: str, now: datetime) -> str | None:
        """Why nothing may be reached from this address at this moment, None where it may; `now` is
        aware of its zone."""
        if self.conflict is not None:
            return f"the policies of your credential differ in {self.conflict}"
        for policy in self.parts or (self.policy,):
            if policy.networks and not is_in(address, policy.networks):
                return "your credential may not be used from this address"
            if policy.hours and not any(hours.cover(now) for hours in policy.hours):
                listed = ", ".join(hours.text for hours in policy.hours)
                return f"your credential may be used only at these times: {listed}"
        return None

    def mask(self, reply: Reply, masks: Sequence[tuple[Mask, str] | None], max_bytes: int) -> None:
        """Show a reply's rows by these masks, and cut them at so many bytes of what is shown: where
        it is cut must not tell how long a masked value is."""
        reply.rows = masked(reply.rows, masks, self.mask_key)
        left = max_bytes
        for number, row in enumerate(reply.rows):
            left -= _ROW_BYTES + sum(_VALUE_BYTES + len(value or b"") for value in row)
            if left < 0:
                del reply.rows[number:]
                reply.cut = True
                return

"""A policy in force: what the configuration says, and what it needs to be held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgmcp.config.masks import Mask
from pgmcp.config.policies import Policy
from pgmcp.policy.masking import masked
from pgmcp.postgres.messages import Reply

_ROW_BYTES, _VALUE_BYTES = 7, 4  # what a row and a value take beside their text, as they are sent


@dataclass(frozen=True, slots=True, eq=False)
class ActivePolicy:
    """`mask_key`: of masks that hash."""

    policy: Policy
    mask_key: bytes = b""

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

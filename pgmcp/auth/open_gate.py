"""The gate of a server that asks nobody who they are.

The rule: only a server without authentication makes one; no failure of another gate ends here.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgmcp.auth.principal import Principal


class OpenGate:
    """Everybody is `principal`."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def check(self, authorization: Sequence[str], address: str) -> Principal:  # noqa: ARG002
        """The one principal."""
        return self._principal

    def visitor(self, method: str, params: object, address: str = "-") -> Principal:  # noqa: ARG002
        """The one principal."""
        return self._principal

    def certified(self, subject: str, address: str) -> Principal | None:  # noqa: ARG002
        """The one principal."""
        return self._principal

"""The authenticator of a server without authentication: every caller is the same principal.

The rule: only such a server makes one; no failure of another authenticator ends here.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgmcp.auth.principal import Principal


class NoAuthentication:
    """An authenticator that maps every request to `principal`."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def authenticate(
        self,
        authorization: Sequence[str],  # noqa: ARG002
        address: str,  # noqa: ARG002
        subject: str | None = None,  # noqa: ARG002
    ) -> Principal:
        """The principal, whatever the request brings."""
        return self._principal

    def anonymous(self, method: str, params: object, address: str = "-") -> Principal:  # noqa: ARG002
        """The principal, whatever is asked."""
        return self._principal

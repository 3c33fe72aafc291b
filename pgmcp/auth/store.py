"""What every store of credentials does for the part of auth that it serves.

The rule: a store stores and decides nothing. Lookups answer from what it knows at once, without
waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Changes = TypeVar("Changes", covariant=True)
"""What a subscriber is told: pairs of a credential before a change and after it, None when gone."""


class CredentialStore(Protocol[Changes]):
    """A store that other processes may change as well."""

    @property
    def origin(self) -> str:
        """Where the credentials are kept, for people and for the log."""

    def subscribe(self, on_changes: Callable[[Changes], None]) -> None:
        """Have `on_changes` told of credentials that changed or went, once lookups say the same."""

    def reload(self) -> bool:
        """Take over what the store says now; False when nothing has changed.

        StoreError when it cannot be read: all stays as it was.
        """

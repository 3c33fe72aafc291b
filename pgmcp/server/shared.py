"""What a server's processes share, as one of them sees it.

The rule: a server of one process shares with nobody, and pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    # An open server has no use for them.
    from pgmcp.auth.limiter import LimitStore
    from pgmcp.auth.passwords import PasswordChecks
    from pgmcp.auth.sessions import SessionStore
    from pgmcp.metrics.metrics import MetricFamily
    from pgmcp.server.usage import KeptUsage

ServerCommand = Literal["stop", "reload"]
"""What a running server is told."""
STATE_KEY_BYTES = 32
Families = Callable[[], Iterable["MetricFamily"]]


class CredentialStop(NamedTuple):
    """A credential that was stopped. `kind`: a token, or a session's user; `name`: its id, or its
    name; `owner`: see `Principal`. `written`: its file says so."""

    kind: str
    name: str
    owner: str
    written: bool


@dataclass(frozen=True, slots=True)
class Stores:
    """Sessions and failures of all processes, and the turn to check a password."""

    sessions: SessionStore
    bad_tokens: LimitStore
    failed_logins: LimitStore
    checks: PasswordChecks


class Shared(Protocol):
    """What this process shares with others. `first`: it speaks for all where one must.
    `keeps_sessions`: the sessions are in its memory, and it counts them."""

    first: bool
    keeps_sessions: bool

    def stores(self) -> Stores:
        """The stores."""

    def states(self) -> tuple[bytes, LimitStore]:
        """The key that signs what clients bring back to any of the processes, and the marks of
        what was brought back."""

    def usage(self) -> KeptUsage:
        """What tokens and users have used of their budgets."""

    def families(self, own: Iterable[MetricFamily]) -> Iterable[MetricFamily]:
        """The numbers of all processes, given those of this one."""

    def cancel_elsewhere(self, scope: str, request_id: str | int) -> None:
        """Cancel a call that does not run here."""

    def stop_elsewhere(self, stop: CredentialStop) -> None:
        """Have every other process stop a credential, and wait until they have."""

    def stopped(self) -> Iterable[CredentialStop]:
        """The credentials that are stopped in memory alone."""

    def on_stop(self, stop: Callable[[CredentialStop], None]) -> None:
        """Have `stop` called where another process has stopped a credential; it asks nobody."""

    def report(self, connections: int) -> None:
        """Tell how many clients are connected to this process; to be called every second."""

    def offer(self, families: Families, cancel: Callable[[str, str | int, str], object]) -> None:
        """Let others have the numbers of this process, and cancel its calls."""


class Alone:
    """`Shared` of a server of one process."""

    first = True
    keeps_sessions = True

    def stores(self) -> Stores:
        """The stores, in the memory of this process."""
        from pgmcp.auth.passwords import PasswordChecks
        from pgmcp.stores.memory import MemoryLimitStore, MemorySessionStore

        return Stores(
            MemorySessionStore(), MemoryLimitStore(), MemoryLimitStore(), PasswordChecks()
        )

    def states(self) -> tuple[bytes, LimitStore]:
        """A key and marks in the memory of this process."""
        import secrets  # here: it loads OpenSSL, which most starts do without

        from pgmcp.stores.memory import MemoryLimitStore

        return secrets.token_bytes(STATE_KEY_BYTES), MemoryLimitStore()

    def usage(self) -> KeptUsage:
        """What was used, in the memory of this process."""
        from pgmcp.stores.usage import MemoryUsageStore

        return MemoryUsageStore()

    def families(self, own: Iterable[MetricFamily]) -> Iterable[MetricFamily]:
        """Its own numbers."""
        return own

    def cancel_elsewhere(self, scope: str, request_id: str | int) -> None:
        """Nothing runs elsewhere."""

    def stop_elsewhere(self, stop: CredentialStop) -> None:
        """Nobody else has it."""

    def stopped(self) -> Iterable[CredentialStop]:
        """None but those of this process."""
        return ()

    def on_stop(self, stop: Callable[[CredentialStop], None]) -> None:
        """Nobody calls."""

    def report(self, connections: int) -> None:
        """Nobody needs to know."""

    def offer(self, families: Families, cancel: Callable[[str, str | int, str], object]) -> None:
        """Nobody asks."""

"""What the operator's side gets wrong: a command, a configuration, a file."""

from __future__ import annotations

from pgmcp.errors.root import PgmcpError


class UsageError(PgmcpError):
    """A command line that cannot be read. Exit status 2."""


class ConfigError(PgmcpError):
    """A configuration that cannot be served. Exit status 1."""


class StoreError(PgmcpError):
    """A store of credentials or sessions that cannot be read or written."""


class FileError(StoreError):
    """A credential or configuration file that cannot be read, trusted or written.

    `origin` names the file; `reason` is the message without it, for a line that names it already.
    """

    def __init__(self, reason: str, hint: str = "", *, origin: str = "") -> None:
        super().__init__(f"{origin}: {reason}" if origin else reason, hint)
        self.reason = reason

"""The lines of libpq's password file, ~/.pgpass, and which of them has a database's password.

The rule: what libpq would find is found (libpq, "The Password File"). Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pgmcp.config.values import Host, Secret

_SOCKET_DIRS = ("/tmp", "/var/run/postgresql", "/run/postgresql")  # noqa: S108
_FIELD = re.compile(r"((?:[^:\\]|\\.|\\$)*)(?::|$)")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class PgpassEntry:
    """One line: the patterns as they stand in the file, and the password, unescaped."""

    patterns: tuple[str, str, str, str]
    password: str = field(repr=False)

    def matches(self, wanted: Sequence[str]) -> bool:
        """Whether each pattern is `*` or says the wanted host, port, database and user."""
        return all(
            pattern == "*" or _unescape(pattern) == value
            for pattern, value in zip(self.patterns, wanted, strict=True)
        )


def parse(text: bytes) -> list[PgpassEntry]:
    """The entries of a password file, in order. A line of another shape is skipped.

    A comment needs no care: no host begins with `#`.
    """
    entries = []
    for raw in text.splitlines():
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            continue
        fields = _FIELD.findall(line)
        if len(fields) < 5:
            continue
        host, port, database, user, password = fields[:5]
        entries.append(PgpassEntry((host, port, database, user), _unescape(password)))
    return entries


def find(entries: Sequence[PgpassEntry], host: Host, database: str, user: str) -> Secret | None:
    """The password of the first entry that matches; a default socket directory is `localhost`."""
    name = "localhost" if host.host.rstrip("/") in _SOCKET_DIRS else host.host
    wanted = (name, str(host.port), database, user)
    password = next((entry.password for entry in entries if entry.matches(wanted)), "")
    return Secret(password) if password else None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)

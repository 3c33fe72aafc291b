"""Passwords: hashing, checking, and how many checks may run at a time.

The rule: a check costs the same whether the account is there or not, runs outside every lock, and
a flood of them ends in "busy", never in a queue that other requests wait behind.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

from pgmcp.errors import LoginError

COST = 12
MAX_BYTES = 72
_MAX_COST = 15
_FORMAT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
# Of a random password that nobody kept: what a check runs against when there is no account.
_DUMMY = b"$2b$12$4z.VIZ2w5XS/gYQkMpHqt.g0hZ2UaOcS9lKBaZDSdYzrCNIv5CC4e"


def hash_password(password: str) -> str:
    """The bcrypt hash of a password of at most 72 bytes, at cost 12."""
    import bcrypt  # here, because the first login is soon enough to load a compiled module

    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def is_hash(text: str) -> bool:
    """Whether `text` is a bcrypt hash that can be checked in a reasonable time."""
    found = _FORMAT.fullmatch(text)
    return found is not None and 4 <= int(found[1]) <= _MAX_COST


def matches(password: str, password_hash: str | None) -> bool:
    """Whether the password is the hashed one; without a hash False, after the same time."""
    import bcrypt

    secret = password.encode(errors="surrogatepass")
    # bcrypt raises above 72 bytes; here such a password is only a wrong one.
    known = password_hash is not None and len(secret) <= MAX_BYTES and b"\0" not in secret
    stored = password_hash.encode() if known and password_hash is not None else _DUMMY
    try:
        equal = bcrypt.checkpw(secret[:MAX_BYTES].replace(b"\0", b"?"), stored)
    except ValueError:
        # The right shape and yet not a hash: the time must be spent all the same.
        bcrypt.checkpw(b"-", _DUMMY)
        return False
    return equal and known


class Turnstile:
    """Lets a few checks run at a time and a few more wait; the rest are told to come back.

    A check holds a processor for 0.2 s, and a waiting one holds a worker thread of the server.
    """

    def __init__(self, running: int = 2, waiting: int = 4, wait_seconds: float = 3.0) -> None:
        self._free = threading.Semaphore(running)
        self._room = threading.Semaphore(running + waiting)
        self._wait_seconds = wait_seconds

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it for the block; LoginError when there are too many."""
        if not self._room.acquire(blocking=False):
            raise _busy()
        try:
            if not self._free.acquire(timeout=self._wait_seconds):
                raise _busy()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._room.release()


def _busy() -> LoginError:
    return LoginError("authentication failed: the server is busy, please try again")

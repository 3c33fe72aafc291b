"""Passwords: hashing, checking, and how many checks may run at a time.

The rule: a refusal costs the same rounds whether the account is there or not and however dear its
hash is; a check runs outside every lock, and a flood of them ends in "busy", never in a queue that
other requests wait behind.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

from pgmcp.errors import FileError, LoginError

COST = 12
MAX_BYTES = 72
_MAX_COST = 15
_FORMAT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
# The rest of the hash of a random password that was thrown away. It is checked where there is no
# account. At another cost than 12 no password matches it at all; the work is the same.
_DUMMY_HASH_REST = "4z.VIZ2w5XS/gYQkMpHqt.g0hZ2UaOcS9lKBaZDSdYzrCNIv5CC4e"


def hash_password(password: str) -> str:
    """The bcrypt hash of a password of at most 72 bytes, at cost 12.

    FileError when bcrypt's compiled module cannot be loaded here.
    """
    try:
        import bcrypt  # here, because the first login is soon enough to load a compiled module
    except ImportError as error:
        raise FileError(
            f"passwords cannot be hashed here: {error}",
            "The program's file needs /proc, or a folder of this user's own: set HOME or TMPDIR.",
        ) from error

    secret = password.encode(errors="surrogatepass")
    return bcrypt.hashpw(secret, bcrypt.gensalt(COST)).decode()


def is_hash(text: str) -> bool:
    """Whether `text` is a bcrypt hash that can be checked in a reasonable time."""
    match = _FORMAT.fullmatch(text)
    return match is not None and 4 <= int(match[1]) <= _MAX_COST


def cost_of(password_hash: str) -> int:
    """The cost of a hash that `is_hash` takes: a check of it is 2 to the power of that rounds."""
    return int(password_hash[4:6])


def is_weak(password_hash: str) -> bool:
    """Whether a hash is cheaper to guess against than those that `hash_password` makes."""
    return cost_of(password_hash) < COST


def matches(password: str, password_hash: str | None, cost: int = COST) -> bool:
    """Whether the password matches the hash; False without a hash.

    A False takes the rounds of one check at `cost`, the highest of all accounts, whatever the hash.
    """
    import bcrypt

    secret = password.encode(errors="surrogatepass")
    checked = secret[:MAX_BYTES].replace(b"\0", b"?")
    # bcrypt raises above 72 bytes; here such a password is only a wrong one.
    usable = password_hash if len(secret) <= MAX_BYTES and b"\0" not in secret else None
    if usable is None:
        bcrypt.checkpw(checked, _dummy(cost))
        return False
    try:
        if bcrypt.checkpw(checked, usable.encode()):
            return True
        spent = cost_of(usable)
    except ValueError:
        # It has the form of a hash and is none: the refusal must take the whole time all the same.
        bcrypt.checkpw(checked, _dummy(cost))
        return False
    # 2^c + (2^c + 2^(c+1) + ... + 2^(cost-1)) = 2^cost rounds.
    for missing in range(spent, cost):
        bcrypt.checkpw(checked, _dummy(missing))
    return False


def _dummy(cost: int) -> bytes:
    return f"$2b${cost:02d}${_DUMMY_HASH_REST}".encode()


class PasswordChecks:
    """Lets a few checks run at a time and a few more wait; the rest are told to come back.

    A check holds a processor for 0.2 s, and a waiting one holds a worker thread of the server.
    """

    def __init__(self, running: int = 1, waiting: int = 4, wait_seconds: float = 3.0) -> None:
        self._free = threading.Semaphore(running)
        self._places = threading.Semaphore(running + waiting)
        self._wait_seconds = wait_seconds

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn and hold it for the block; LoginError when there are too many."""
        if not self._places.acquire(blocking=False):
            raise busy()
        try:
            if not self._free.acquire(timeout=self._wait_seconds):
                raise busy()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._places.release()


def busy() -> LoginError:
    """What a login ends with that cannot be checked now."""
    return LoginError("authentication failed: the server is busy, please try again")

"""The ports of auth over SQLite: stores that several processes share.

They are the second implementation that the contract of tests/test_stores.py runs over, and show
what a shared store has to do. Values are pickled; a table has the same columns for each kind.
"""

from __future__ import annotations

import pickle
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pgmcp.auth.accounts import UserChanges
from pgmcp.auth.api_tokens import TokenChanges
from pgmcp.auth.sessions import EndedSessions, Session
from pgmcp.auth.tokens import ApiToken
from pgmcp.auth.users import User
from pgmcp.errors import StoreError

_TABLES = """
CREATE TABLE IF NOT EXISTS kept (number INTEGER PRIMARY KEY, key TEXT UNIQUE, value BLOB);
CREATE TABLE IF NOT EXISTS removed (number INTEGER PRIMARY KEY, value BLOB, reason TEXT);
CREATE TABLE IF NOT EXISTS attempts (number INTEGER PRIMARY KEY, key TEXT, at REAL);
CREATE TABLE IF NOT EXISTS marks (key TEXT PRIMARY KEY, until REAL);
"""


class _Shared:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def origin(self) -> str:
        return str(self._path)

    def create(self) -> None:
        with closing(sqlite3.connect(self._path)) as database:
            database.executescript(_TABLES)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, with every other writer kept out from its beginning."""
        try:
            uri = f"file:{self._path}?mode=rw"
            connection = sqlite3.connect(uri, timeout=30.0, isolation_level=None, uri=True)
            with closing(connection) as database:
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _all(self, database: sqlite3.Connection) -> dict[str, Any]:
        rows = database.execute("SELECT key, value FROM kept ORDER BY number").fetchall()
        return {key: pickle.loads(value) for key, value in rows}

    def _put(self, database: sqlite3.Connection, key: str, value: object) -> None:
        statement = (
            "INSERT INTO kept (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
        database.execute(statement, (key, pickle.dumps(value)))

    def _drop(self, database: sqlite3.Connection, key: str) -> bool:
        return database.execute("DELETE FROM kept WHERE key = ?", (key,)).rowcount == 1


class SharedTokenStore(_Shared):
    """`auth.api_tokens.TokenStore`; lookups read what the last `reload` brought."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._known: dict[str, ApiToken] = {}
        self._subscribers: list[Callable[[TokenChanges], None]] = []

    def subscribe(self, on_changes: Callable[[TokenChanges], None]) -> None:
        self._subscribers.append(on_changes)

    def load(self) -> None:
        self.reload()

    def reload(self) -> bool:
        with self._change() as database:
            before, self._known = self._known, self._all(database)
        changes = [
            (token, self._known.get(hashed))
            for hashed, token in before.items()
            if self._known.get(hashed) != token
        ]
        if changes:
            for tell in self._subscribers:
                tell(changes)
        return before != self._known

    def find(self, hashed: str) -> ApiToken | None:
        return self._known.get(hashed)

    def get(self, token_id: str) -> ApiToken | None:
        return next((token for token in self._known.values() if token.id == token_id), None)

    def tokens(self) -> Collection[ApiToken]:
        return self._known.values()

    def expired(self, now: datetime) -> Collection[ApiToken]:
        return [token for token in self._known.values() if token.expired(now)]

    def add(self, make: Callable[[Collection[ApiToken]], ApiToken]) -> ApiToken:
        with self._change() as database:
            token = make(self._all(database).values())
            self._put(database, token.hash, token)
        self.reload()
        return token

    def disable(self, hashed: str, now: datetime) -> None:
        with self._change() as database:
            token = self._all(database).get(hashed)
            if token is not None:
                self._put(database, hashed, token.with_disabled(now))
        self.reload()

    def remove(self, drop: Callable[[ApiToken], bool]) -> Sequence[ApiToken]:
        with self._change() as database:
            removed = [token for token in self._all(database).values() if drop(token)]
            for token in removed:
                self._drop(database, token.hash)
        return removed


class SharedUserStore(_Shared):
    """`auth.accounts.UserStore`; lookups read what the last `reload` brought."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._known: dict[str, User] = {}
        self._subscribers: list[Callable[[UserChanges], None]] = []

    def subscribe(self, on_changes: Callable[[UserChanges], None]) -> None:
        self._subscribers.append(on_changes)

    def load(self) -> bool:
        self.reload()
        return True

    def reload(self) -> bool:
        with self._change() as database:
            read = self._all(database)
            before = self._known
            self._known = before if read == before else read
        changes = [
            (user, read.get(name)) for name, user in before.items() if read.get(name) != user
        ]
        if changes:
            for tell in self._subscribers:
                tell(changes)
        return before != read

    def get(self, name: str) -> User | None:
        return self._known.get(name)

    def users(self) -> Mapping[str, User]:
        return self._known

    def change(self, name: str, decide: Callable[[User | None], User | None]) -> User | None:
        self.store(name, decide)
        return self.get(name)

    def store(self, name: str, decide: Callable[[User | None], User | None]) -> None:
        with self._change() as database:
            before = self._all(database).get(name)
            after = decide(before)
            if after is None and before is not None:
                self._drop(database, name)
            elif after is not None and after is not before:
                self._put(database, name, after)
        self.reload()

    def dry_run(self, decide: Callable[[User], User]) -> None:
        with self._change() as database:
            for name, user in list(self._all(database).items())[:1]:
                self._put(database, name, decide(user))
                self._put(database, name, user)
        self.reload()


class SharedSessionStore(_Shared):
    """`auth.sessions.SessionStore`; each process remembers how far it has told of removals."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._told = 0
        self._subscribers: list[Callable[[EndedSessions], None]] = []

    def subscribe(self, on_removed: Callable[[EndedSessions], None]) -> None:
        self._subscribers.append(on_removed)

    def reload(self) -> bool:
        with self._change() as database:
            rows = database.execute(
                "SELECT number, value, reason FROM removed WHERE number > ? ORDER BY number",
                (self._told,),
            ).fetchall()
            self._told = max([self._told, *(number for number, _, _ in rows)])
        removed = [(pickle.loads(value), reason) for _, value, reason in rows]
        if removed:
            for tell in self._subscribers:
                tell(removed)
        return bool(removed)

    def find(self, hashed: str) -> Session | None:
        with self._change() as database:
            session: Session | None = self._all(database).get(hashed)
        return session

    def sessions(self) -> Sequence[Session]:
        with self._change() as database:
            return list(self._all(database).values())

    def add(self, session: Session) -> None:
        with self._change() as database:
            self._put(database, session.hash, session)

    def remove(self, reasons: Mapping[str, str]) -> bool:
        with self._change() as database:
            sessions = self._all(database)
            removed = [hashed for hashed in reasons if self._drop(database, hashed)]
            for hashed in removed:
                database.execute(
                    "INSERT INTO removed (value, reason) VALUES (?, ?)",
                    (pickle.dumps(sessions[hashed]), reasons[hashed]),
                )
        self.reload()
        return bool(removed)

    def __len__(self) -> int:
        return len(self.sessions())


class SharedLimitStore(_Shared):
    """`auth.limiter.LimitStore`."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(path)
        self._clock = clock

    def ages(self, key: str, window_seconds: float) -> Sequence[float]:
        with self._change() as database:
            return self._ages(database, key, window_seconds)

    def count(self, key: str, limit: int, window_seconds: float) -> Sequence[float]:
        with self._change() as database:
            ages = self._ages(database, key, window_seconds)
            if len(ages) < limit:
                at = self._clock()
                database.execute("INSERT INTO attempts (key, at) VALUES (?, ?)", (key, at))
            return ages

    def forget_latest(self, key: str) -> None:
        with self._change() as database:
            database.execute(
                "DELETE FROM attempts WHERE number ="
                " (SELECT max(number) FROM attempts WHERE key = ?)",
                (key,),
            )

    def mark(self, key: str, seconds: float) -> bool:
        with self._change() as database:
            now = self._clock()
            database.execute("DELETE FROM marks WHERE until <= ?", (now,))
            added = database.execute(
                "INSERT OR IGNORE INTO marks VALUES (?, ?)", (key, now + seconds)
            )
            return added.rowcount == 1

    def __len__(self) -> int:
        with self._change() as database:
            row = database.execute("SELECT count(DISTINCT key) FROM attempts").fetchone()
            return int(row[0])

    def _ages(self, database: sqlite3.Connection, key: str, seconds: float) -> list[float]:
        now = self._clock()
        database.execute("DELETE FROM attempts WHERE at <= ?", (now - seconds,))
        query = "SELECT at FROM attempts WHERE key = ? ORDER BY number"
        return [now - at for (at,) in database.execute(query, (key,))]

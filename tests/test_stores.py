"""The contract of each store of auth, held by every implementation of it.

`open()` of a kind gives another handle on the same store, as another process has it; what is kept
in memory has one handle only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import bcrypt
import pytest

from pgmcp.auth.accounts import UserAccounts, UserStore
from pgmcp.auth.api_tokens import ApiTokens, TokenStore
from pgmcp.auth.limiter import Limiter, LimitStore
from pgmcp.auth.sessions import EndedSessions, Session, Sessions, SessionStore
from pgmcp.auth.tokens import ApiToken, digest, new_token
from pgmcp.auth.users import User, new_user
from pgmcp.errors import StoreError
from pgmcp.storage import replace
from pgmcp.stores.files import FileTokenStore, FileUserStore
from pgmcp.stores.memory import MemoryLimitStore, MemorySessionStore
from pgmcp.stores.token_file import TokenFile
from pgmcp.stores.user_file import NO_USERS
from tests.asking_stores import Parent
from tests.shared_stores import (
    SharedLimitStore,
    SharedSessionStore,
    SharedTokenStore,
    SharedUserStore,
)

NOW = datetime(2024, 10, 30, 10, 15, 30, tzinfo=UTC)
HASH = bcrypt.hashpw(b"SecurePassword123!", bcrypt.gensalt(4)).decode()
THREADS = 8


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def together(*jobs: Callable[[], object]) -> list[object]:
    """What the jobs return, each in a thread of its own, all begun at the same moment."""
    start = threading.Barrier(len(jobs))
    results: list[object] = []

    def run(job: Callable[[], object]) -> None:
        start.wait()
        results.append(job())

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(jobs)
    return results


# -- tokens ----------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "shared"])
def open_tokens(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], TokenStore]:
    path = tmp_path / "tokens"
    if request.param == "file":
        replace.update(path, lambda _: TokenFile().dump())
        return lambda: FileTokenStore(path)
    SharedTokenStore(path).create()
    return lambda: SharedTokenStore(path)


def loaded(store: TokenStore) -> TokenStore:
    store.load()
    return store


def added(
    store: TokenStore, secret: str, database: str | None = None, hours: int | None = None
) -> ApiToken:
    expires_at = None if hours is None else NOW + timedelta(hours=hours)
    return store.add(
        lambda taken: new_token(
            taken, secret, note="n", database=database, now=NOW, expires_at=expires_at
        )
    )


def test_a_token_that_was_added_is_found(open_tokens: Callable[[], TokenStore]) -> None:
    store = loaded(open_tokens())
    first, second = added(store, "1"), added(store, "2", "main", 1)
    assert first.id != second.id
    assert store.find(digest("2")) == store.get(second.id) == second
    assert list(store.tokens()) == [first, second]
    assert store.find(digest("3")) is store.get("token-3") is None


@pytest.mark.parametrize("kind", [FileTokenStore, SharedTokenStore])
def test_a_token_store_that_is_not_there_is_an_error(
    tmp_path: Path, kind: Callable[[Path], TokenStore]
) -> None:
    with pytest.raises(StoreError):
        kind(tmp_path / "missing").load()


def test_a_token_is_removed_by_what_the_store_says_at_that_moment(
    open_tokens: Callable[[], TokenStore],
) -> None:
    store, other = loaded(open_tokens()), loaded(open_tokens())
    added(store, "1", hours=1)
    other.remove(lambda token: True)
    prolonged = added(other, "1", hours=9)
    late = NOW + timedelta(hours=2)
    assert list(store.expired(late)) != []
    assert list(store.remove(lambda token: token.expired(late))) == []
    other.reload()
    assert other.find(prolonged.hash) == prolonged


def test_changes_by_another_process_are_told_once_they_hold(
    open_tokens: Callable[[], TokenStore],
) -> None:
    store, other = loaded(open_tokens()), loaded(open_tokens())
    kept, bound, gone = (added(other, secret) for secret in ("kept", "bound", "gone"))
    assert store.reload()
    assert not store.reload()
    told: list[tuple[ApiToken, ApiToken | None]] = []
    known: list[ApiToken | None] = []

    def tell(changes: object) -> None:
        known.append(store.find(gone.hash))
        told.extend(changes)  # type: ignore[arg-type]

    store.subscribe(tell)
    other.remove(lambda token: token.hash != kept.hash)
    rebound = added(other, "bound", "main")
    assert store.reload()
    assert not store.reload()
    assert sorted(told, key=lambda change: change[0].hash != bound.hash) == [
        (bound, rebound),
        (gone, None),
    ]
    assert known == [None]


def test_a_token_expires_at_its_very_moment(open_tokens: Callable[[], TokenStore]) -> None:
    store = loaded(open_tokens())
    token = added(store, "1", hours=1)
    added(store, "2", hours=2)
    added(store, "3")
    hour = NOW + timedelta(hours=1)
    assert list(store.expired(hour - timedelta(seconds=1))) == []
    assert list(store.expired(hour)) == [token]


def test_tokens_added_at_the_same_time_are_all_there(
    open_tokens: Callable[[], TokenStore],
) -> None:
    handles = [loaded(open_tokens()) for _ in range(THREADS)]
    together(*(partial(added, each, str(n)) for n, each in enumerate(handles)))
    tokens = loaded(open_tokens()).tokens()
    assert len({token.id for token in tokens}) == len(tokens) == THREADS


def test_each_worker_ends_what_expires_and_what_another_removes(
    open_tokens: Callable[[], TokenStore],
) -> None:
    now = [NOW]
    ended: list[list[str]] = [[], []]
    workers = [
        ApiTokens(
            open_tokens(),
            clock=lambda: now[0],
            elapsed=lambda: now[0].timestamp(),
            on_ended=lambda keys, to=to: to.extend(keys.values()),  # type: ignore[misc]
        )
        for to in ended
    ]
    admin = loaded(open_tokens())
    added(admin, "soon", hours=1)
    added(admin, "never")
    for worker in workers:
        worker.start()
        assert worker.find("soon") is not None
    now[0] += timedelta(hours=1)
    for worker in workers:
        assert worker.find("soon") is None
        worker.sweep()
    admin.remove(lambda token: token.hash == digest("never"))
    for worker in workers:
        worker.reload()
        worker.sweep()
        assert worker.find("never") is None
    assert ended == [["token expired", "token removed"]] * 2


# -- users -----------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "shared"])
def open_users(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], UserStore]:
    path = tmp_path / "users"
    if request.param == "file":
        replace.update(path, lambda _: NO_USERS.dump())
        return lambda: FileUserStore(path)
    SharedUserStore(path).create()
    return lambda: SharedUserStore(path)


def with_alice(store: UserStore) -> UserStore:
    assert store.load()
    store.change("alice", lambda _: new_user("alice", HASH, "", NOW))
    return store


def noted(note: str) -> Callable[[User | None], User | None]:
    return lambda user: None if user is None else user.with_annotation(note)


def test_a_user_is_added_changed_and_removed(open_users: Callable[[], UserStore]) -> None:
    store = with_alice(open_users())
    alice = store.get("alice")
    assert alice is not None
    assert store.users() == {"alice": alice}
    changed = store.change("alice", noted("x"))
    assert changed == store.get("alice") == alice.with_annotation("x")
    assert store.change("alice", lambda _: None) is store.get("alice") is None
    assert store.change("bob", lambda user: user) is None


def test_users_are_the_same_object_for_as_long_as_nothing_changes(
    open_users: Callable[[], UserStore],
) -> None:
    store = with_alice(open_users())
    before = store.users()
    store.change("alice", lambda user: user)
    assert store.users() is before
    store.change("alice", noted("x"))
    assert store.users() is not before


def test_a_change_is_made_to_the_user_as_stored_at_that_moment(
    open_users: Callable[[], UserStore],
) -> None:
    store, other = with_alice(open_users()), open_users()
    assert other.load()
    other.change("alice", noted("by the other"))
    seen: list[str] = []

    def decide(user: User | None) -> User | None:
        assert user is not None
        seen.append(user.annotation)
        return user

    store.change("alice", decide)
    assert seen == ["by the other"]
    alice = store.get("alice")
    assert alice is not None
    assert alice.annotation == "by the other"


def test_changes_at_the_same_time_lose_none(open_users: Callable[[], UserStore]) -> None:
    with_alice(open_users())
    handles = [open_users() for _ in range(THREADS)]

    def fail(store: UserStore) -> None:
        store.load()
        for _ in range(5):
            store.change("alice", lambda user: user and user.with_failure(NOW, 0))

    together(*(partial(fail, each) for each in handles))
    store = open_users()
    store.load()
    alice = store.get("alice")
    assert alice is not None
    assert alice.failed_attempts == 5 * THREADS


def test_a_rehearsal_decides_once_and_stores_nothing(open_users: Callable[[], UserStore]) -> None:
    store = with_alice(open_users())
    alice, decided = store.get("alice"), []

    def decide(user: User) -> User:
        decided.append(user)
        return user.with_annotation("x")

    store.dry_run(decide)
    assert decided == [alice]
    store.reload()
    assert store.get("alice") == alice


def test_failures_at_several_workers_lock_an_account_for_all(
    open_users: Callable[[], UserStore],
) -> None:
    gone: list[list[str]] = [[], []]
    locked: list[str] = []
    with_alice(open_users())
    workers = [
        UserAccounts(
            open_users(),
            clock=lambda: NOW,
            lockout=4,
            on_gone=lambda names, to=to: to.extend(names.values()),  # type: ignore[misc]
            on_locked=locked.append,
        )
        for to in gone
    ]
    for worker in workers:
        worker.start()

    def fail(worker: UserAccounts) -> None:
        for _ in range(2):
            alice = worker.get("alice")
            assert alice is not None
            worker.failed(alice)

    together(*(partial(fail, worker) for worker in workers))
    for worker in workers:
        worker.reload()
        alice = worker.get("alice")
        assert alice is not None
        assert (alice.enabled, alice.failed_attempts) == (False, 4)
    assert gone == [["user disabled"]] * 2
    assert "alice" in locked


# -- sessions --------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "shared", "asking"])
def open_sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SessionStore]:
    if request.param == "memory":
        memory = MemorySessionStore()
        return lambda: memory
    if request.param == "asking":
        return Parent().sessions
    path = tmp_path / "sessions"
    SharedSessionStore(path).create()
    return lambda: SharedSessionStore(path)


def session(number: int) -> Session:
    return Session("alice", digest(str(number)), NOW, 1.0)


def test_a_session_is_found_in_the_order_of_adding_until_it_is_removed(
    open_sessions: Callable[[], SessionStore],
) -> None:
    store, other = open_sessions(), open_sessions()
    for number in (2, 1, 3):
        store.add(session(number))
    assert other.find(session(1).hash) == session(1)
    assert other.sessions() == [session(2), session(1), session(3)]
    assert other.remove({session(1).hash: "r", digest("unknown"): "r"})
    assert not store.remove({session(1).hash: "r"})
    assert store.find(session(1).hash) is None
    assert len(store) == 2


def test_no_other_process_changes_sessions_in_memory() -> None:
    store = MemorySessionStore()
    store.add(session(1))
    assert not store.reload()


def test_a_removed_session_is_told_once_in_each_process(
    open_sessions: Callable[[], SessionStore],
) -> None:
    handles = list({id(store): store for store in (open_sessions(), open_sessions())}.values())
    told: list[list[tuple[Session, str]]] = [[] for _ in handles]
    for store, to in zip(handles, told, strict=True):

        def tell(ended: EndedSessions, to: list[tuple[Session, str]] = to) -> None:
            to.extend(ended)

        store.subscribe(tell)
    handles[0].add(session(1))
    removals = [partial(store.remove, {session(1).hash: "logged out"}) for store in handles * 4]
    assert sum(map(bool, together(*removals))) == 1
    for store in handles:
        store.reload()
    assert told == [[(session(1), "logged out")]] * len(handles)


def test_logins_at_the_same_time_leave_the_sessions_a_user_may_have(
    open_sessions: Callable[[], SessionStore],
) -> None:
    def worker() -> Sessions:
        return Sessions(
            open_sessions(), clock=lambda: NOW, max_per_user=3, on_ended=lambda ended: None
        )

    together(*(partial(worker().open, "alice") for _ in range(THREADS)))
    assert len(open_sessions()) == 3


# -- limits ----------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "shared", "asking"])
def open_limits(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> Callable[[], LimitStore]:
    if request.param == "memory":
        memory = MemoryLimitStore(clock=clock)
        return lambda: memory
    if request.param == "asking":
        return Parent(clock).limits
    path = tmp_path / "limits"
    SharedLimitStore(path).create()
    return lambda: SharedLimitStore(path, clock=clock)


def test_attempts_are_counted_up_to_the_limit_and_have_ages(
    open_limits: Callable[[], LimitStore], clock: Clock
) -> None:
    store, other = open_limits(), open_limits()
    assert store.count("a", 2, 60.0) == []
    clock.now += 10
    assert other.count("a", 2, 60.0) == [10.0]
    assert store.count("a", 2, 60.0) == [10.0, 0.0]
    assert store.ages("a", 60.0) == [10.0, 0.0]
    assert store.ages("b", 60.0) == []
    clock.now += 50
    assert store.ages("a", 60.0) == [50.0]
    other.forget_latest("a")
    assert store.ages("a", 60.0) == []
    store.forget_latest("a")
    assert len(store) == 0


def test_attempts_at_the_same_time_are_counted_up_to_the_limit(
    open_limits: Callable[[], LimitStore],
) -> None:
    limiters = [Limiter(open_limits(), 3, 60.0) for _ in range(THREADS)]
    waits = together(*(partial(each.count, "192.0.2.1") for each in limiters))
    assert waits.count(None) == 3
    assert limiters[0].retry_after("192.0.2.1") == 60


def test_a_mark_is_set_by_one_of_several_for_its_time(
    open_limits: Callable[[], LimitStore], clock: Clock
) -> None:
    handles = [open_limits() for _ in range(THREADS)]
    assert together(*(partial(each.mark, "a", 60.0) for each in handles)).count(True) == 1
    clock.now += 59
    assert not handles[0].mark("a", 60.0)
    assert handles[0].mark("b", 60.0)
    clock.now += 1
    assert handles[0].mark("a", 60.0)

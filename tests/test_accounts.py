"""Logging in: the words of the guide, the limits, the lockout, the same time for every refusal."""

from __future__ import annotations

import os
import threading
import time
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from pgmcp.auth import users
from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.logins import BLOCKED, DISABLED, WRONG, Logins
from pgmcp.auth.passwords import COST, PasswordChecks
from pgmcp.auth.principal import ANONYMOUS, Principal
from pgmcp.auth.refusals import Refusals
from pgmcp.auth.sessions import Sessions
from pgmcp.auth.users import NAME_MAX_CHARACTERS, User, check_name, new_user, normalize
from pgmcp.errors import LoginError
from pgmcp.storage import replace
from pgmcp.stores.files import FileUserStore
from pgmcp.stores.memory import MemoryLimitStore, MemorySessionStore
from pgmcp.stores.user_file import NO_USERS, UserFile, parse_users

pytestmark = pytest.mark.usefixtures("cheap_hashes")

ADDRESS = "192.0.2.1"
PASSWORD = "SecurePassword123!"
CHEAP = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
NOW = datetime(2024, 11, 14, 9, 30, tzinfo=UTC)


class World:
    """Accounts over a real file with alice, and charlie who is disabled."""

    def __init__(
        self, folder: Path, *, limit: int = 10, lockout: int = 0, password_hash: str = CHEAP
    ) -> None:
        self.path = folder / "users.yaml"
        self.clock = 1000.0
        charlie = new_user("charlie", password_hash, "", NOW).with_disabled(NOW)
        alice = new_user("alice", password_hash, "", NOW)
        known = NO_USERS.with_user(alice).with_user(charlie)
        replace.update(self.path, lambda data: known.dump())
        self.ended: list[tuple[str, str]] = []
        self.sessions = Sessions(
            MemorySessionStore(),
            clock=lambda: NOW,
            max_per_user=10,
            on_ended=lambda ended: self.ended.extend(ended.items()),
        )
        self.users = UserAccounts(
            FileUserStore(self.path),
            clock=lambda: NOW,
            lockout=lockout,
            on_gone=self.sessions.end_users,
        )
        self.users.start()
        self.limiter = Limiter(MemoryLimitStore(clock=lambda: self.clock), limit, 900.0)
        self.accounts = Logins(
            self.users, self.sessions, self.limiter, refusals=Refusals(lambda: self.clock)
        )

    def log_in(
        self, name: str = "alice", password: str = PASSWORD, address: str = ADDRESS
    ) -> tuple[str, str]:
        return self.accounts.for_request(address, ANONYMOUS).log_in(name, password)

    def refusal(
        self, name: str = "alice", password: str = PASSWORD, address: str = ADDRESS
    ) -> LoginError:
        with pytest.raises(LoginError) as caught:
            self.log_in(name, password, address)
        return caught.value

    def edit(self, change: Callable[[UserFile], UserFile]) -> None:
        replace.update(self.path, lambda data: change(parse_users(data or b"", "f")).dump())

    def written(self, name: str) -> User:
        return parse_users(self.path.read_bytes(), "f").users[name]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_login_gives_a_session_for_24_hours_and_is_written(world: World) -> None:
    token, expires_at = world.log_in()
    session = world.sessions.find(token)
    assert session is not None
    assert (session.username, expires_at) == ("alice", "2024-11-15T09:30:00Z")
    assert world.written("alice").last_login == NOW


def test_names_are_compared_in_nfc(world: World) -> None:
    world.edit(lambda users: users.with_user(new_user("jos\u00e9", CHEAP, "", NOW)))
    world.users.reload()
    token, _ = world.log_in("jose\u0301")
    assert world.sessions.find(token) is not None


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("alice", "wrong", WRONG),
        ("alice", "x" * 100, WRONG),
        ("alice", "", WRONG),
        ("nobody", PASSWORD, WRONG),
        ("charlie", PASSWORD, DISABLED),
        ("charlie", "wrong", DISABLED),
    ],
)
def test_refusals_have_the_words_of_the_guide(
    world: World, name: str, password: str, words: str
) -> None:
    error = world.refusal(name, password)
    assert (error.message, error.retry_after_seconds) == (words, None)
    assert words in (
        "authentication failed: invalid username or password",
        "authentication failed: user account is disabled",
    )


def test_after_too_many_failures_the_address_is_refused_even_with_the_right_password(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, limit=3)
    for name in ("alice", "nobody", "charlie"):
        world.refusal(name, "wrong")
    error = world.refusal()
    assert (error.message, error.retry_after_seconds) == (BLOCKED, 900)
    assert world.sessions.find(world.log_in(address="192.0.2.2")[0]) is not None
    world.clock += 900
    world.log_in()


def test_a_success_in_between_does_not_reset_the_addresss_count(tmp_path: Path) -> None:
    world = World(tmp_path, limit=3)
    world.refusal(password="wrong")
    world.refusal(password="wrong")
    for _ in range(5):
        world.log_in()
    world.refusal(password="wrong")
    assert world.refusal().message == BLOCKED


def test_a_success_resets_the_accounts_count(tmp_path: Path) -> None:
    world = World(tmp_path, lockout=3)
    for _ in range(2):
        world.refusal(password="wrong")
        world.refusal(password="wrong")
        world.log_in()
    assert world.written("alice").enabled


def test_lockout_ends_sessions_and_answers_disabled_whatever_the_password(tmp_path: Path) -> None:
    world = World(tmp_path, lockout=2)
    token, _ = world.log_in()
    assert world.refusal(password="wrong").message == WRONG
    assert world.refusal(password="wrong").message == WRONG
    assert world.refusal().message == world.refusal(password="wrong").message == DISABLED
    assert world.sessions.find(token) is None
    assert not world.written("alice").enabled


def test_enabling_does_not_bring_a_session_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    token, _ = world.log_in()
    world.edit(lambda users: users.with_user(users.users["alice"].with_disabled(NOW)))
    world.users.reload()
    world.edit(lambda users: users.with_user(users.users["alice"].with_enabled()))
    world.users.reload()
    assert world.sessions.find(token) is None
    world.log_in()


def test_disabling_beats_a_login_that_is_being_checked(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.edit(lambda users: users.with_user(users.users["alice"].with_disabled(NOW)))
    # The server has not noticed yet, and the password is right.
    assert world.refusal().message == DISABLED


def test_logging_out_ends_the_session_it_came_with_and_no_other(world: World) -> None:
    (first, _), (second, _) = world.log_in(), world.log_in()
    session = world.sessions.find(first)
    assert session is not None
    principal = Principal("session", "alice", session.key)
    assert world.accounts.for_request(ADDRESS, principal).log_out()
    assert not world.accounts.for_request(ADDRESS, principal).log_out()
    assert not world.accounts.for_request(ADDRESS, ANONYMOUS).log_out()
    assert world.sessions.find(first) is None
    assert world.sessions.find(second) is not None
    assert world.ended == [(session.key, "logged out")]


def test_parallel_guesses_stay_within_the_limit(tmp_path: Path) -> None:
    world = World(tmp_path, limit=3)
    world.accounts = Logins(
        world.users, world.sessions, world.limiter, checks=PasswordChecks(running=16, waiting=16)
    )
    start = threading.Barrier(16)
    words: list[str] = []

    def guess() -> None:
        start.wait()
        try:
            world.log_in(password="wrong")
        except LoginError as error:
            words.append(error.message)

    threads = [threading.Thread(target=guess) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (words.count(WRONG), words.count(BLOCKED)) == (3, 13)


def test_a_flood_of_logins_is_told_that_the_server_is_busy(tmp_path: Path) -> None:
    world = World(tmp_path)
    checks = PasswordChecks(running=1, waiting=0)
    world.accounts = Logins(world.users, world.sessions, world.limiter, checks=checks)
    with checks.slot():
        assert "busy" in world.refusal().message
    world.log_in()


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_file_that_stays_locked_is_waited_for_by_no_more_than_may_run(
    tmp_path: Path, name: str
) -> None:
    world = World(tmp_path, lockout=5)
    checks = PasswordChecks(running=1, waiting=0)
    world.accounts = Logins(world.users, world.sessions, world.limiter, checks=checks)
    words: list[str] = []

    def knock() -> None:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            words.append(world.refusal(name, "wrong").message)

    lock = os.open(tmp_path / ".users.yaml.lock", os.O_RDWR)
    try:
        assert replace.try_lock(lock)
        first, second = (
            threading.Thread(target=world.refusal, args=(name, "wrong")),
            threading.Thread(target=knock),
        )
        first.start()
        while not len(world.limiter):  # it is being checked, or waits for the file by now
            pass
        second.start()
        second.join(10)
        assert (second.is_alive(), first.is_alive()) == (False, True)
    finally:
        os.close(lock)
    first.join()
    assert all("busy" in word for word in words)


@pytest.mark.real_cost
def test_unknown_disabled_and_wrong_cost_the_same_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes the time: the check, the whole file made anew, and the disk."""
    real = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
    world = World(tmp_path, limit=0, lockout=1000, password_hash=real)
    work: list[tuple[object, ...]] = []

    def watched(owner: Any, name: str, detail: Callable[..., object]) -> None:
        genuine = getattr(owner, name)

        def recorded(*args: Any, **options: Any) -> Any:
            work.append((name, detail(*args)))
            return genuine(*args, **options)

        monkeypatch.setattr(owner, name, recorded)

    watched(bcrypt, "checkpw", lambda secret, stored: stored[:7])
    watched(UserFile, "dump", lambda users: len(users.users))
    watched(os, "open", lambda path, *rest: str(path))
    watched(os, "fsync", lambda descriptor: os.fstat(descriptor).st_size > 0)
    spent = []
    for name, password in [
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("charlie", PASSWORD),
        ("alice", "x" * 99),
    ]:
        work.clear()
        world.refusal(name, password)
        spent.append(list(work))
    assert ("checkpw", b"$2b$12$") in spent[0]
    assert [step for step, _ in spent[0]].count("fsync") == 2
    assert all(other == spent[0] for other in spent), spent


def hash_at(cost: int, password: str = PASSWORD) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rounds of each check that was made."""
    made: list[int] = []
    genuine = bcrypt.checkpw

    def counted(secret: bytes, stored: bytes) -> bool:
        made.append(2 ** int(stored[4:6]))
        return genuine(secret, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return made


@pytest.mark.real_cost
def test_every_refusal_takes_the_rounds_of_the_dearest_hash(
    tmp_path: Path, rounds: list[int]
) -> None:
    world = World(tmp_path, limit=0, lockout=1)
    no_hash = "$2x$05$" + "." * 53  # of the right shape, and no hash to bcrypt
    dear = new_user("dora", hash_at(8), "", NOW)
    world.edit(lambda users: users.with_user(dear).with_user(new_user("bob", hash_at(6), "", NOW)))
    world.edit(lambda users: users.with_user(new_user("nora", no_hash, "", NOW)))
    world.users.reload()
    # The second time alice and bob are locked; charlie was disabled from the start.
    for name in ["alice", "bob", "nora", "charlie", "nobody", "x" * 9999, "alice", "bob"]:
        for password in ["wrong", "x" * 99, "nul\0"]:
            rounds.clear()
            world.refusal(name, password)
            assert sum(rounds) == 2**8, (name, password)
    world.edit(lambda users: users.without("dora"))
    world.users.reload()
    rounds.clear()
    world.refusal("nobody", "wrong")
    assert sum(rounds) == 2**6


@pytest.mark.real_cost
def test_without_users_a_refusal_takes_the_rounds_of_a_hash_of_ours(
    tmp_path: Path, rounds: list[int]
) -> None:
    world = World(tmp_path)
    world.edit(lambda users: NO_USERS)
    world.users.reload()
    world.refusal("nobody", "wrong")
    assert rounds == [2**COST]


@pytest.mark.real_cost
def test_a_login_hashes_a_password_anew_that_was_hashed_for_less(world: World) -> None:
    world.log_in()
    assert world.written("alice").password_hash.startswith(f"$2b${COST}$")
    kept = world.written("alice").password_hash
    world.log_in()
    assert world.written("alice").password_hash == kept


@pytest.mark.real_cost
def test_a_login_keeps_a_dearer_hash(tmp_path: Path) -> None:
    dear = hash_at(COST + 1)
    world = World(tmp_path, password_hash=dear)
    world.log_in()
    assert world.written("alice").password_hash == dear


@pytest.mark.real_cost
def test_two_logins_at_once_may_both_hash_the_password_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accounts = Logins(
        world.users, world.sessions, world.limiter, checks=PasswordChecks(running=2)
    )
    succeeded = world.users.succeeded

    def after_another(checked: User, password_hash: str | None = None) -> User | None:
        world.users.succeeded = succeeded  # type: ignore[method-assign]
        world.log_in()
        return succeeded(checked, password_hash)

    world.users.succeeded = after_another  # type: ignore[method-assign]
    token, _ = world.log_in()
    assert world.sessions.find(token) is not None
    assert len(world.sessions) == 2


@pytest.mark.real_cost
def test_a_password_that_is_changed_meanwhile_lets_nobody_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    succeeded = world.users.succeeded

    def after_a_change(checked: User, password_hash: str | None = None) -> User | None:
        other = hash_at(4, "AnotherPassword456!")
        world.edit(lambda users: users.with_user(users.users["alice"].with_password(other)))
        return succeeded(checked, password_hash)

    world.users.succeeded = after_a_change  # type: ignore[method-assign]
    assert world.refusal().message == WRONG


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u1161\u11a8", "e\u0323\u0302"])
def test_a_text_too_long_for_a_name_is_never_normalised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: str
) -> None:
    """Normalising takes time in the square of a run of combining marks, with the GIL held."""
    lengths: list[int] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            return getattr(unicodedata, name)

        def normalize(self, form: Any, text: str) -> str:
            lengths.append(len(text))
            return unicodedata.normalize(form, text)

    monkeypatch.setattr(users, "unicodedata", Counted())
    world = World(tmp_path, limit=3)
    lengths.clear()
    for _ in range(2):
        assert world.refusal("a" + marks * 15_500, "wrong").message == WRONG
    assert max(lengths, default=0) <= 4 * NAME_MAX_CHARACTERS
    world.refusal("alice", "wrong")
    # An address that is blocked costs nothing at all.
    lengths.clear()
    assert world.refusal("jose\u0301").message == BLOCKED
    assert lengths == []


@pytest.mark.parametrize("character", ["\u1f82", "\u1e69", "\ud55c", "\U0001d1c0"])
def test_the_longest_name_may_be_typed_decomposed(world: World, character: str) -> None:
    name = check_name(character * 64) if len(normalize(character)) == 1 else normalize(character)
    world.edit(lambda known: known.with_user(new_user(name, CHEAP, "", NOW)))
    world.users.reload()
    token, _ = world.log_in(unicodedata.normalize("NFD", name))
    session = world.sessions.find(token)
    assert session is not None
    assert session.username == name


def test_a_refusal_takes_its_time_even_where_the_work_is_quick(world: World) -> None:
    begun = time.monotonic()
    world.refusal("alice", "wrong")
    assert time.monotonic() - begun >= 0.05


def test_a_name_that_is_nobodys_leaves_the_file_alone(tmp_path: Path) -> None:
    world = World(tmp_path, lockout=5)
    before = world.path.stat()
    world.refusal("nobody", "wrong")
    world.refusal("charlie", PASSWORD)
    after = world.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert {path.name for path in tmp_path.iterdir()} == {"users.yaml", ".users.yaml.lock"}


def test_a_login_does_not_parse_the_file_that_it_has_just_written(tmp_path: Path) -> None:
    world = World(tmp_path, lockout=5)
    before = world.users.get("charlie")
    world.refusal("alice", "wrong")
    world.log_in()
    assert not world.users.reload()
    assert world.users.get("charlie") is before
    assert world.users.get("alice") == world.written("alice")


def test_the_log_says_the_whole_reason(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        world.refusal("alice", "wrong")
    assert world.refusal().message == BLOCKED
    assert caplog.messages[-1].endswith(f'reason="{BLOCKED}"')


def test_a_flood_of_refusals_is_one_line_in_the_log_for_each_window(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pgmcp")
    for _ in range(2):
        world.clock += 900.0
        for _ in range(30):
            world.refusal("alice", "wrong")
    failed = [line for line in caplog.messages if line.startswith("login failed ")]
    assert [BLOCKED in line for line in failed] == 2 * [*[False] * 10, True]


def test_the_log_has_one_line_per_event_with_what_the_client_sent_escaped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pgmcp")
    world.edit(lambda users: users.with_user(new_user('eve" user="bob', CHEAP, "", NOW)))
    world.users.reload()
    world.refusal('eve" user="bob', "hunter22")
    world.refusal('mallory"\n2024-11-14 [AUTH] session started user="alice"', "hunter22")
    world.refusal("hunter22", "hunter22")
    world.log_in()
    assert caplog.messages == [
        rf'login failed address="{ADDRESS}" user="eve\" user=\"bob" reason="{WRONG}"',
        f'login failed address="{ADDRESS}" user=- reason="{WRONG}"',
        f'login failed address="{ADDRESS}" user=- reason="{WRONG}"',
        f'session started address="{ADDRESS}" user="alice"',
    ]
    assert "hunter22" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_session_opened_for_a_user_who_has_just_gone_is_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    opened = world.sessions.open

    def open_late(name: str) -> object:
        world.edit(lambda users: users.without("alice"))
        world.users.reload()
        return opened(name)

    world.sessions.open = open_late  # type: ignore[method-assign, assignment]
    assert world.refusal().message == DISABLED
    assert [reason for _, reason in world.ended] == ["user disabled"]


def test_logins_are_no_reloads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher sees what a login wrote, before the login goes on and after."""
    seen: list[bool] = []
    update = replace.update

    def watched(path: Path, change: Callable[[bytes | None], bytes | None]) -> bool:
        wrote = update(path, change)
        seen.append(world.users.reload())
        return wrote

    monkeypatch.setattr(replace, "update", watched)
    for _ in range(3):
        world.log_in()
        seen.append(world.users.reload())
    assert seen == 6 * [False]
    monkeypatch.undo()
    world.edit(lambda known: known.without("charlie"))
    assert world.users.reload()

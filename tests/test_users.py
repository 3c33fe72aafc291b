"""Users: the file, names, passwords, and the store a server keeps."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.auth import passwords
from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.users import check_name, check_password, new_user
from pgmcp.errors import FileError, LoginError, UsageError
from pgmcp.storage import replace
from pgmcp.stores.credential_file import CredentialFile
from pgmcp.stores.files import FileUserStore
from pgmcp.stores.user_file import UserFile, parse_users

NOW = datetime(2024, 10, 30, 10, 15, 30, 123456, tzinfo=UTC)
LATER = NOW.replace(microsecond=654321)
# Of "SecurePassword123!", at the lowest cost.
# The salt is fixed: tests are named after it, and every process has to give them the same names.
HASH = bcrypt.hashpw(b"SecurePassword123!", b"$2b$04$abcdefghijklmnopqrstuu").decode()

GO = f"""\
users:
    alice:
        username: alice
        password_hash: {HASH}
        created_at: 2024-10-30T10:15:30.123456789Z
        last_login: 2024-11-14T09:30:00Z
        enabled: true
        annotation: Developer
        failed_attempts: 2
        color: blue
    bob:
        username: bob
        password_hash: {HASH}
        created_at: 2024-10-15T14:20:00Z
        last_login: null
        enabled: false
        annotation: ""
        failed_attempts: 0
version: 3
"""


def parse(text: str) -> UserFile:
    return parse_users(text.encode(), "f.yaml")


def test_reads_a_file_of_the_go_program_and_loses_nothing_when_it_writes() -> None:
    users = parse(GO)
    alice, bob = users.users.values()
    assert (alice.name, alice.enabled, alice.failed_attempts) == ("alice", True, 2)
    assert alice.last_login == datetime(2024, 11, 14, 9, 30, tzinfo=UTC)
    assert (bob.last_login, bob.enabled) == (None, False)
    written = yaml.safe_load(users.with_user(alice.with_annotation("Lead")).dump())
    assert written["version"] == 3
    assert written["users"]["alice"]["color"] == "blue"
    assert written["users"]["alice"]["annotation"] == "Lead"
    assert written["users"]["alice"]["created_at"] == "2024-10-30T10:15:30.123456789Z"
    assert parse_users(users.dump(), "f") == parse_users(parse_users(users.dump(), "f").dump(), "f")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (HASH, "plain", "line 4: users.alice.password_hash is not a bcrypt hash"),
        (HASH, HASH.replace("$04$", "$31$"), "users.alice.password_hash is not a bcrypt hash"),
        (f"        password_hash: {HASH}\n", "", "line 3: users.alice has no password_hash"),
        ("enabled: true", "enabled: 1", "line 7: users.alice.enabled is not true or false"),
        ("        enabled: true\n", "", "line 3: users.alice has no enabled"),
        ("failed_attempts: 2", "failed_attempts: -1", "failed_attempts is not a whole number"),
        ("failed_attempts: 2", "failed_attempts: yes", "failed_attempts is not a whole number"),
        ("username: alice", "username: eve", "users.alice.username is not the name"),
        ("    bob:", "    alice:", "line 11: users.alice is there twice"),
        (GO, "", "the file is empty"),
        (GO, "users: []", "line 1: users is not a mapping"),
        (GO, "users:\n  é: 1\n", "line 2: users.é is not a mapping"),
    ],
)
def test_a_wrong_entry_refuses_the_file_with_line_and_key(old: str, new: str, message: str) -> None:
    assert old in GO
    with pytest.raises(FileError) as caught:
        parse(GO.replace(old, new))
    assert message in caught.value.message


def test_names_that_are_one_in_nfc_are_one() -> None:
    entry = (
        GO.partition("alice:\n")[2].partition("    bob")[0].replace("        username: alice\n", "")
    )
    both = f"users:\n    jos\u00e9:\n{entry}    jose\u0301:\n{entry}"
    with pytest.raises(FileError, match="is there twice"):
        parse(both)
    assert list(parse(both.replace("jos\u00e9", "x").replace("jose\u0301", "jos\u00e9")).users)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_users_or_a_file_error(data: bytes) -> None:
    with contextlib.suppress(FileError):
        parse_users(b"users:\n" + data, "f.yaml")


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x1b[31m", " a", "a\u202eb", "\udcff"])
def test_refuses_names_that_do_not_print(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


def test_accepts_names_of_64_characters_and_composes_them() -> None:
    assert check_name("x" * 64) == "x" * 64
    assert check_name("jose\u0301 ñandú 太郎") == "jos\u00e9 ñandú 太郎"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short77", "fewer than 8 characters"),
        ("é" * 37, "more than 72 bytes"),
        ("Alice.Smith", "is the username"),
        ("with\ttab12", "control character"),
        ("nul\0nul\0nul", "control character"),
    ],
)
def test_refuses_passwords_with_the_reason_and_without_showing_them(
    password: str, reason: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_password(password, "alice.smith", 8)
    assert reason in caught.value.message
    assert password not in caught.value.for_operator()


def test_accepts_a_password_of_72_bytes() -> None:
    assert check_password("é" * 36, "alice", 8)


def test_a_hash_has_cost_12_and_checks() -> None:
    hashed = passwords.hash_password("SecurePassword123!")
    assert hashed.startswith("$2b$12$")
    assert passwords.is_hash(hashed)
    assert passwords.matches("SecurePassword123!", hashed)


@pytest.mark.parametrize("password", ["wrong", "x" * 73, "a\0b", "", "\udcff"])
def test_other_passwords_are_only_wrong(password: str) -> None:
    assert not passwords.matches(password, HASH, 4)


def test_a_long_password_is_not_taken_for_its_first_72_bytes() -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert passwords.matches("x" * 72, hashed, 4)
    assert not passwords.matches("x" * 73, hashed, 4)


def test_nothing_matches_where_there_is_no_account_or_no_real_hash() -> None:
    assert not passwords.matches("SecurePassword123!", None, 4)
    assert not passwords.matches("SecurePassword123!", "$2b$04$" + "~" * 53, 4)


def test_the_password_behind_the_dummy_hash_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_dummy", lambda _cost: HASH.encode())
    assert not passwords.matches("SecurePassword123!", None, 4)


def test_two_checks_run_at_a_time_some_wait_and_the_rest_are_told_to_come_back() -> None:
    checks = passwords.PasswordChecks(running=2, waiting=1, wait_seconds=0.05)
    inside, leave = threading.Semaphore(0), threading.Event()

    def check() -> None:
        with checks.slot():
            inside.release()
            leave.wait(5.0)

    threads = [threading.Thread(target=check) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=5.0)
    assert inside.acquire(timeout=5.0)
    with pytest.raises(LoginError, match="busy"), checks.slot():
        pass
    leave.set()
    for thread in threads:
        thread.join()
    with checks.slot():
        pass


def test_whoever_finds_the_waiting_room_full_does_not_wait() -> None:
    checks = passwords.PasswordChecks(running=1, waiting=0, wait_seconds=60.0)
    with checks.slot(), pytest.raises(LoginError, match="busy"), checks.slot():
        pass


class World:
    """A user file with alice and bob, a store over it, and whose sessions it wanted ended."""

    def __init__(self, folder: Path, lockout: int) -> None:
        self.path = folder / "users.yaml"
        self.path.write_text(GO)
        self.path.chmod(0o600)
        self.gone: list[tuple[str, str]] = []
        self.lockout = lockout
        self.users = self.restarted()

    def restarted(self) -> UserAccounts:
        store = UserAccounts(
            FileUserStore(self.path),
            clock=lambda: NOW,
            lockout=self.lockout,
            on_gone=lambda gone: self.gone.extend(gone.items()),
        )
        store.start()
        return store

    def edit(self, change: Callable[[UserFile], UserFile]) -> None:
        """What a command does meanwhile."""
        replace.update(self.path, lambda data: change(parse_users(data or b"", "f")).dump())

    def fail(self) -> None:
        alice = self.users.get("alice")
        assert alice is not None
        self.users.failed(alice)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, lockout=5)


def test_a_login_is_written_and_resets_the_accounts_count(world: World) -> None:
    alice = world.users.get("alice")
    assert alice is not None
    now = world.users.succeeded(alice)
    written = parse(world.path.read_text()).users["alice"]
    assert now == written
    assert (written.failed_attempts, written.last_login) == (0, NOW.replace(microsecond=0))


def test_lockout_is_written_at_once_ends_sessions_and_survives_a_restart(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.fail()
    world.fail()
    assert parse(world.path.read_text()).users["alice"].enabled
    assert world.gone == []
    world.fail()
    assert not parse(world.path.read_text()).users["alice"].enabled
    assert world.gone == [("alice", "user disabled")]
    assert 'account locked user="alice" failed_attempts=5' in caplog.text
    restarted = world.restarted().get("alice")
    assert restarted is not None
    assert not restarted.enabled


def test_a_lockout_survives_an_unrelated_edit_that_the_server_has_not_seen_yet(
    world: World,
) -> None:
    world.edit(lambda users: users.with_user(users.users["bob"].with_annotation("Admin")))
    for _ in range(3):
        world.fail()
    written = parse(world.path.read_text())
    assert written.users["bob"].annotation == "Admin"
    assert not written.users["alice"].enabled


def test_enabling_sets_the_count_to_zero(world: World) -> None:
    for _ in range(3):
        world.fail()
    world.edit(lambda users: users.with_user(users.users["alice"].with_enabled()))
    world.users.reload()
    world.fail()
    alice = world.users.get("alice")
    assert alice is not None
    assert (alice.enabled, alice.failed_attempts) == (True, 1)


def test_without_lockout_a_failure_writes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, lockout=0)
    world.fail()
    assert world.path.read_text() == GO


def test_an_account_that_was_disabled_or_changed_meanwhile_is_not_logged_in(world: World) -> None:
    alice = world.users.get("alice")
    assert alice is not None
    world.edit(lambda users: users.with_user(users.users["alice"].with_disabled(NOW)))
    now = world.users.succeeded(alice)
    assert now is not None
    assert (now.enabled, now.last_login, now.failed_attempts) == (False, alice.last_login, 2)
    world.edit(lambda users: users.without("alice"))
    assert world.users.succeeded(alice) is None


def test_sessions_end_even_when_disabling_and_enabling_were_not_seen_apart(world: World) -> None:
    world.edit(
        lambda users: users.with_user(users.users["alice"].with_disabled(NOW).with_enabled())
    )
    world.users.reload()
    assert world.gone == [("alice", "user disabled")]


def test_sessions_end_when_a_user_is_deleted_and_made_anew(world: World) -> None:
    world.edit(lambda users: users.with_user(new_user("alice", HASH, "", LATER)))
    world.users.reload()
    assert world.gone == [("alice", "user deleted")]


def test_sessions_end_when_a_user_is_given_another_policy_or_none(world: World) -> None:
    world.edit(lambda users: users.with_user(users.users["alice"].with_policy("support")))
    world.users.reload()
    world.edit(lambda users: users.with_user(users.users["alice"].with_policy(None)))
    world.users.reload()
    assert world.gone == 2 * [("alice", "user given another policy")]


@pytest.mark.usefixtures("cheap_hashes")
def test_sessions_survive_a_new_password_and_a_new_note(world: World) -> None:
    world.edit(
        lambda users: users.with_user(
            users.users["alice"].with_password(passwords.hash_password("x")).with_annotation("y")
        )
    )
    assert world.users.reload()
    assert world.gone == []


@pytest.mark.parametrize("broken", ["", "users:\n  alice:\n    ena", "users: {alice: {}}", None])
def test_a_broken_empty_or_deleted_file_keeps_the_users(world: World, broken: str | None) -> None:
    if broken is None:
        world.path.unlink()
    else:
        world.path.write_text(broken)
    with pytest.raises(FileError):
        world.users.reload()
    assert world.users.get("alice") is not None
    assert world.gone == []


def test_a_failure_that_cannot_be_written_still_counts_and_locks(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.path.write_text("broken: [")
    for _ in range(3):
        world.fail()
    alice = world.users.get("alice")
    assert alice is not None
    assert not alice.enabled
    assert world.gone == [("alice", "user disabled")]
    assert "recorded in memory only" in caplog.text


def test_without_a_file_there_are_no_users_until_it_appears(tmp_path: Path) -> None:
    store = UserAccounts(
        FileUserStore(tmp_path / "later"), clock=lambda: NOW, lockout=0, on_gone=lambda gone: None
    )
    store.start()
    assert store.get("alice") is None
    (tmp_path / "later").write_text(GO)
    store.reload()
    assert store.get("alice") is not None


def test_a_slow_reading_of_an_older_file_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o600)
    parsing, go_on = threading.Event(), threading.Event()

    def parse_slowly(data: bytes, _origin: str, _before: bytes) -> bytes:
        if data == b"old":
            parsing.set()
            assert go_on.wait(5.0)
        return data

    file = CredentialFile(path, parse_slowly, b"")
    slow = threading.Thread(target=file.reload)
    slow.start()
    assert parsing.wait(5.0)
    path.write_bytes(b"new")
    file.reload()
    go_on.set()
    slow.join()
    assert file.value == b"new"


def test_a_file_that_others_can_read_is_tightened_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.path.chmod(0o644)
    with caplog.at_level(logging.WARNING, "pgmcp"):
        world.users.reload()
    assert world.path.stat().st_mode & 0o777 == 0o600
    assert "WARNING: others could read" in caplog.text

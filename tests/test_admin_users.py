"""The user commands, in the words of the guide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import pytest

from pgmcp.auth.passwords import matches
from pgmcp.auth.users import User, new_user
from pgmcp.stores.user_file import NO_USERS, UserFile, parse_users
from tests.admin_commands import Outcome, configuration, run
from tests.installed import NAME, install
from tests.terminal import terminal

pytestmark = pytest.mark.usefixtures("cheap_hashes")

PASSWORD = "SecurePassword123!"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


TABLE = """\
Users:
==========================================================================================
Username             Created                   Last Login           Status      Annotation
------------------------------------------------------------------------------------------
alice                2024-10-30 10:15          2024-11-14 09:30     Enabled     Developer
bob                  2024-10-15 14:20          Never                Enabled     Admin
charlie              2024-09-01 08:00          2024-10-10 16:45     DISABLED    Former emp
==========================================================================================
"""


def command(
    folder: Path, verb: str, options: Mapping[str, str | bool] | None = None, typed: str = ""
) -> Outcome:
    return run(configuration(folder), verb, options, typed)


def known(folder: Path) -> Mapping[str, User]:
    path = folder / "pgedge-postgres-mcp-users.yaml"
    return parse_users(path.read_bytes(), "f").users if path.exists() else {}


def write(folder: Path, *users: User) -> None:
    file: UserFile = NO_USERS
    for user in users:
        file = file.with_user(user)
    (folder / "pgedge-postgres-mcp-users.yaml").write_bytes(file.dump())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    """A folder whose user file has alice."""
    write(tmp_path, new_user("alice", HASH, "Developer", at("2024-10-30 10:15")))
    return tmp_path


@pytest.mark.real_cost
def test_adds_a_user_with_all_details_given(tmp_path: Path) -> None:
    flags = {"username": "alice", "password": PASSWORD, "user-note": "Alice Smith - Developer"}
    done = command(tmp_path, "add-user", flags)
    assert (done.status, done.out) == (0, "User created successfully: alice\n")
    user = known(tmp_path)["alice"]
    assert (user.annotation, user.enabled) == ("Alice Smith - Developer", True)
    assert user.password_hash.startswith("$2b$12$")
    assert matches(PASSWORD, user.password_hash)
    assert PASSWORD not in done.out + done.err
    path = tmp_path / "pgedge-postgres-mcp-users.yaml"
    assert path.stat().st_mode & 0o777 == 0o600


def test_asks_for_name_password_twice_and_note(tmp_path: Path) -> None:
    typed = f"alice\n{PASSWORD}\n{PASSWORD}\nAlice Smith\n"
    done = command(tmp_path, "add-user", {}, typed)
    assert done.status == 0
    assert done.err == "Username (1 to 64 characters): Note (optional): "
    assert known(tmp_path)["alice"].annotation == "Alice Smith"


def test_passwords_that_differ_change_nothing(tmp_path: Path) -> None:
    done = command(tmp_path, "add-user", {}, f"alice\n{PASSWORD}\nother\n\n")
    assert done.status == 1
    assert "the two passwords differ" in done.err
    assert known(tmp_path) == {}


def test_a_dash_reads_the_password_from_standard_input(tmp_path: Path) -> None:
    done = command(tmp_path, "add-user", {"username": "alice", "password": "-"}, f" {PASSWORD} \n")
    assert (done.status, done.err) == (0, "")
    assert matches(f" {PASSWORD} ", known(tmp_path)["alice"].password_hash)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"username": "alice", "password": "short77"}, "fewer than 8 characters"),
        ({"username": "alice", "password": "é" * 37}, "more than 72 bytes"),
        ({"username": "alice-smith", "password": "alice-smith"}, "is the username"),
        ({"username": "a\nb", "password": PASSWORD}, "printable characters"),
        ({"username": "", "password": PASSWORD}, "1 to 64 characters"),
    ],
)
def test_bad_names_and_passwords_are_refused_with_the_reason(
    tmp_path: Path, flags: dict[str, str], words: str
) -> None:
    done = command(tmp_path, "add-user", flags)
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert known(tmp_path) == {}


def test_a_user_is_not_added_twice_even_under_another_spelling(tmp_path: Path) -> None:
    write(tmp_path, new_user("jos\u00e9", HASH, "", at("2024-10-30 10:15")))
    done = command(tmp_path, "add-user", {"username": "jose\u0301", "password": PASSWORD})
    assert done.status == 1
    assert done.err.startswith("ERROR: User already exists: jos\u00e9\n")
    assert known(tmp_path)["jos\u00e9"].password_hash == HASH


def test_updates_the_password_by_asking(alice: Path) -> None:
    done = command(alice, "update-user", {"username": "alice"}, "NewPassword456!\n" * 2)
    assert (done.status, done.out) == (0, "User updated: alice\n")
    assert matches("NewPassword456!", known(alice)["alice"].password_hash)
    assert known(alice)["alice"].annotation == "Developer"


def test_updates_the_password_from_the_command_line(alice: Path) -> None:
    done = command(alice, "update-user", {"username": "alice", "password": "NewPassword456!"})
    assert done.status == 0
    assert "-password - reads the password from standard input" in done.err
    assert matches("NewPassword456!", known(alice)["alice"].password_hash)


def test_updates_only_the_note(alice: Path) -> None:
    flags = {"username": "alice", "user-note": "Alice Smith - Senior Developer"}
    done = command(alice, "update-user", flags)
    assert (done.status, done.err) == (0, "")
    user = known(alice)["alice"]
    assert (user.annotation, user.password_hash) == ("Alice Smith - Senior Developer", HASH)


@pytest.mark.parametrize("verb", ["update-user", "delete-user", "enable-user", "disable-user"])
def test_a_user_is_found_under_another_spelling_of_the_name(tmp_path: Path, verb: str) -> None:
    user = new_user("jos\u00e9", HASH, "", at("2024-10-30 10:15"))
    write(tmp_path, user, new_user("bob", HASH, "", at("2024-10-30 10:15")))
    before = known(tmp_path)
    done = command(tmp_path, verb, {"username": "jose\u0301", "user-note": "n", "yes": True})
    assert (done.status, done.err) == (0, "")
    assert (known(tmp_path) == before) == (verb == "enable-user")
    assert known(tmp_path)["bob"] == before["bob"]


@pytest.mark.parametrize("verb", ["update-user", "delete-user", "enable-user", "disable-user"])
def test_an_unknown_user_is_said(alice: Path, verb: str) -> None:
    done = command(alice, verb, {"username": "bob"})
    assert (done.status, done.out) == (1, "")
    assert (
        done.err == "ERROR: User not found: bob\nSee them with: ./pgedge-postgres-mcp -list-users\n"
    )


@pytest.mark.parametrize(
    ("verb", "enabled", "said"),
    [
        ("disable-user", False, "User disabled: alice\n"),
        ("enable-user", True, "User enabled: alice\n"),
    ],
)
def test_disables_and_enables(alice: Path, verb: str, enabled: bool, said: str) -> None:
    done = command(alice, verb, {"username": "alice"})
    assert (done.status, done.out) == (0, said)
    assert known(alice)["alice"].enabled is enabled


def test_enabling_lifts_a_lockout_and_sets_the_count_to_zero(tmp_path: Path) -> None:
    now = at("2024-10-30 10:15")
    write(tmp_path, new_user("alice", HASH, "", now).with_failure(now, 1))
    assert not known(tmp_path)["alice"].enabled
    command(tmp_path, "enable-user", {"username": "alice"})
    assert (known(tmp_path)["alice"].enabled, known(tmp_path)["alice"].failed_attempts) == (True, 0)


@pytest.mark.parametrize("typed", ["yes\n", "Y\n", " YES \n"])
def test_deletes_after_a_clear_yes(alice: Path, typed: str) -> None:
    done = command(alice, "delete-user", {"username": "alice"}, typed)
    assert (done.status, done.out) == (0, "User deleted: alice\n")
    assert done.err == "Delete user alice? [yes/no]: "
    assert known(alice) == {}


@pytest.mark.parametrize("typed", ["", "\n", "no\n", "yes please\n", "alice\n"])
def test_anything_else_deletes_nothing(alice: Path, typed: str) -> None:
    done = command(alice, "delete-user", {"username": "alice"}, typed)
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("Nothing was deleted.\n")
    assert "alice" in known(alice)


def test_yes_answers_for_scripts(alice: Path) -> None:
    done = command(alice, "delete-user", {"username": "alice", "yes": True})
    assert (done.status, done.err) == (0, "")
    assert known(alice) == {}


def test_the_table_is_the_guides_to_the_column(tmp_path: Path) -> None:
    write(
        tmp_path,
        new_user("charlie", HASH, "Former emp", at("2024-09-01 08:00"))
        .with_login(at("2024-10-10 16:45"))
        .with_disabled(at("2024-10-11 00:00")),
        new_user("alice", HASH, "Developer", at("2024-10-30 10:15")).with_login(
            at("2024-11-14 09:30")
        ),
        new_user("bob", HASH, "Admin", at("2024-10-15 14:20")),
    )
    done = command(tmp_path, "list-users")
    assert done.out == TABLE


def test_long_wide_and_hostile_notes_and_names_keep_the_table_aligned(tmp_path: Path) -> None:
    now = at("2024-10-30 10:15")
    write(
        tmp_path,
        new_user("a" * 25, HASH, "Former employee", now),
        new_user("太郎", HASH, "日本語の注釈です", now),
        new_user("z", HASH, "\x1b[2J\nx", now),
    )
    lines = command(tmp_path, "list-users").out.splitlines()
    assert lines[1] == "=" * 95
    assert (
        lines[4]
        == f"{'a' * 25} 2024-10-30 10:15          Never                Enabled     Former ..."
    )
    assert (
        lines[5]
        == f"z{' ' * 25}2024-10-30 10:15          Never                Enabled     \\u001b[..."
    )
    assert lines[6].startswith(f"太郎{' ' * 22}2024-10-30 10:15 ")
    assert lines[6].endswith(" 日本語...")


def test_a_terminal_is_asked_again_until_the_answers_are_good(tmp_path: Path) -> None:
    """A command that ended instead would leave the next password to the shell, and its history."""
    program = install(tmp_path)
    program.run("-add-user", "-username", "taken", "-password", "-", typed=f"{PASSWORD}\n\n")
    with terminal(
        [str(program.folder / NAME), "-add-user"], program.cwd, program.environ
    ) as person:
        person.expect("Username (1 to 64 characters): ")
        person.type("taken")
        person.expect("User already exists: taken")
        person.expect("Username")
        person.type("alice")
        rule = "Password (8 characters or more, 72 bytes at most): "
        for bad, why in (("short", "fewer than 8"), ("é" * 40, "72 bytes"), ("alicealice", "")):
            person.expect(rule)
            person.type(bad)
            if why:
                person.expect(why)
        person.expect("Confirm password: ")
        person.type("another")
        person.expect("the two passwords differ")
        for question, answer in ((rule, PASSWORD), ("Confirm password: ", PASSWORD)):
            person.expect(question)
            person.type(answer)
        person.expect("Note (optional): ")
        person.type("")
        person.expect("User created successfully: alice")
        assert person.ended() == 0
    assert PASSWORD not in person.shown
    assert "alice" in program.run("-list-users").stdout

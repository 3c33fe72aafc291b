"""The verbs for user accounts, in the words of the authentication guide.

The rule: passwords are asked and hashed before the file is locked, and never shown.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime

from pgmcp.auth.passwords import MAX_BYTES, hash_password
from pgmcp.auth.users import (
    NAME_MAX_CHARACTERS,
    User,
    check_name,
    check_password,
    new_user,
    normalize,
)
from pgmcp.cli.verb import Command, Flag, Verb, chosen_policy
from pgmcp.config.auth import Auth
from pgmcp.config.policies import Policy
from pgmcp.errors import COMMAND, UsageError, visible
from pgmcp.stores.files import FileUserStore

_GROUP = "User accounts"
_NAME_WIDTH, _CREATED_WIDTH, _LOGIN_WIDTH, _STATUS_WIDTH, _NOTE_WIDTH = 20, 25, 20, 11, 10


def add_user(command: Command, auth: Auth, policies: Mapping[str, Policy]) -> int:
    """Make an account."""
    policy = chosen_policy(command, "user-policy", policies)
    store = FileUserStore(auth.user_file)
    taken = store.listed()

    def check(answer: str) -> str:
        name = check_name(answer)
        if name in taken:
            raise _taken(name)
        return name

    given = command.text("username")
    name = (
        check(given)
        if given is not None
        else command.console.ask_until(
            f"Username (1 to {NAME_MAX_CHARACTERS} characters)", "-username", check
        )
    )
    asked = "username" not in command.options or "password" not in command.options
    password_hash = hash_password(_password(command, auth, name, "Password"))
    note = command.text("user-note")
    if note is None:
        note = command.console.ask("Note (optional)", "-user-note") if asked else ""

    def decide(before: User | None) -> User:
        if before is not None:
            raise _taken(name)
        return new_user(name, password_hash, note, command.clock()).with_policy(policy)

    store.edit(name, decide)
    command.console.say(f"User created successfully: {name}")
    return 0


def update_user(command: Command, auth: Auth, policies: Mapping[str, Policy]) -> int:
    """Change a password, a note, a policy; without any flag, ask for the password.

    An empty policy is the default one.
    """
    policy = chosen_policy(command, "user-policy", policies)
    store = FileUserStore(auth.user_file)
    user = find_user(store, _username(command))
    note = command.text("user-note")
    password_hash: str | None = None
    if "password" in command.options or (note is None and "user-policy" not in command.options):
        password_hash = hash_password(_password(command, auth, user.name, "New password"))

    def change(changed: User) -> User:
        if password_hash is not None:
            changed = changed.with_password(password_hash)
        if "user-policy" in command.options:
            changed = changed.with_policy(policy)
        return changed if note is None else changed.with_annotation(note)

    _change(store, user.name, change)
    command.console.say(f"User updated: {user.name}")
    return 0


def delete_user(command: Command, auth: Auth) -> int:
    """Delete an account after a clear yes."""
    store = FileUserStore(auth.user_file)
    user = find_user(store, _username(command))
    question = f"Delete user {user.name}?"
    if not command.options.get("yes") and not command.console.confirm(question):
        command.console.warn("Nothing was deleted.")
        return 1
    _change(store, user.name, lambda _: None)
    command.console.say(f"User deleted: {user.name}")
    return 0


def enable_user(command: Command, auth: Auth) -> int:
    """Let a disabled or locked account log in again."""
    return _switch(command, auth, User.with_enabled, "enabled")


def disable_user(command: Command, auth: Auth) -> int:
    """Keep an account from logging in, and end its sessions."""
    return _switch(command, auth, lambda user: user.with_disabled(command.clock()), "disabled")


def list_users(command: Command, auth: Auth) -> int:
    """The guide's table; times are UTC."""
    users = sorted(FileUserStore(auth.user_file).listed().values(), key=lambda user: user.name)
    # A name is needed whole, to be typed after -username.
    name_width = max([_NAME_WIDTH, *(_width(visible(user.name)) for user in users)])
    total = name_width + _CREATED_WIDTH + _LOGIN_WIDTH + _STATUS_WIDTH + _NOTE_WIDTH + 4

    def row(name: str, created: str, last_login: str, status: str, note: str) -> str:
        cells = (
            _padded(name, name_width),
            f"{created:<{_CREATED_WIDTH}}",
            f"{last_login:<{_LOGIN_WIDTH}}",
            f"{status:<{_STATUS_WIDTH}}",
            _cut(visible(note), _NOTE_WIDTH),
        )
        return " ".join(cells).rstrip()

    say = command.console.say
    say("Users:")
    say("=" * total)
    say(row("Username", "Created", "Last Login", "Status", "Annotation"))
    say("-" * total)
    for user in users:
        last_login = _minute(user.last_login) if user.last_login else "Never"
        status = "Enabled" if user.enabled else "DISABLED"
        created = _minute(user.created_at)
        say(row(visible(user.name), created, last_login, status, user.annotation))
    say("=" * total)
    return 0


def _switch(command: Command, auth: Auth, change: Callable[[User], User], done: str) -> int:
    name = _username(command)
    _change(FileUserStore(auth.user_file), name, change)
    command.console.say(f"User {done}: {name}")
    return 0


def _change(store: FileUserStore, name: str, change: Callable[[User], User | None]) -> None:
    """Change a user as the file has it now; None deletes it. UsageError when there is none."""
    store.edit(normalize(name), lambda user: change(_existing(user, name)))


def find_user(store: FileUserStore, name: str) -> User:
    """The user of that name; UsageError when there is none."""
    return _existing(store.listed().get(normalize(name)), name)


def _existing(user: User | None, name: str) -> User:
    if user is None:
        raise UsageError(f"User not found: {name}", f"See them with: {COMMAND} -list-users")
    return user


def _username(command: Command) -> str:
    given = command.text("username")
    return command.console.ask("Username", "-username") if given is None else given


def _password(command: Command, auth: Auth, name: str, question: str) -> str:
    """A password that may be this user's, from the flag, standard input, or asked for twice.

    At a terminal it is asked for again while it is not good enough: where the command ended
    instead, the next one would be typed into the shell, and stay in its history.
    """
    min_length = auth.password_min_length
    given = command.text("password")
    console = command.console
    if given == "-":
        return check_password(console.read_line("-password"), name, min_length)
    if given is not None:
        console.warn(
            "The command line of a process can be seen by others: "
            "-password - reads the password from standard input."
        )
        return check_password(given, name, min_length)

    def check(answer: str) -> str:
        password = check_password(answer, name, min_length)
        if console.ask_hidden("Confirm password", "-password") != password:
            raise UsageError("the two passwords differ", "Nothing was changed. Try again.")
        return password

    rule = f"{question} ({min_length} characters or more, {MAX_BYTES} bytes at most)"
    return console.ask_until(rule, "-password", check, hidden=True)


def _taken(name: str) -> UsageError:
    return UsageError(
        f"User already exists: {name}",
        f"Change it with: {COMMAND} -update-user -username {shlex.quote(name)}",
    )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = ""
    for character in text:
        if _width(kept + character) > width - 3:
            break
        kept += character
    return f"{kept}..."


_USERNAME = Flag("username", "The user's name.", "NAME")
_PASSWORD = Flag(
    "password",
    "The password; - reads it from standard input, without a flag it is asked for.",
    "PASSWORD",
)
_NOTE = Flag("user-note", "Who the user is.", "TEXT")
_POLICY = Flag("user-policy", 'The policy that says what the user may read; "" for none.', "NAME")
_CHANGED = (_USERNAME, _PASSWORD, _NOTE, _POLICY)

VERBS = tuple(
    Verb(
        name,
        _GROUP,
        description,
        run,
        ("auth", "policies") if _POLICY in flags else ("auth",),
        flags,
        files=("user_file",),
    )
    for name, description, run, flags in (
        ("add-user", "Add a user.", add_user, _CHANGED),
        ("list-users", "List the users.", list_users, ()),
        ("update-user", "Change a user's password, note or policy.", update_user, _CHANGED),
        (
            "delete-user",
            "Delete a user, after asking.",
            delete_user,
            (_USERNAME, Flag("yes", "Delete without asking.")),
        ),
        ("enable-user", "Let a disabled or locked user log in again.", enable_user, (_USERNAME,)),
        ("disable-user", "Keep a user from logging in.", disable_user, (_USERNAME,)),
    )
)

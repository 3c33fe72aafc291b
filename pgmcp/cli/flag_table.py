"""The table of every flag.

The rule: a flag that sets a configuration key is made from the key's row, so -help and the
configuration cannot say different things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgmcp.config.key import Key
from pgmcp.config.keys import DATABASE_KEYS, KEYS


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `metavar` stands for its value, "" for a boolean, which needs none.

    `verb`: it says what to do instead of serving. `of`: the verbs it goes with, empty for all.
    """

    name: str
    group: str
    description: str
    metavar: str = ""
    verb: bool = False
    of: tuple[str, ...] = ()


_ON_USERS = ("update-user", "delete-user", "enable-user", "disable-user")
_TOKENS = "API tokens"
_USERS = "User accounts"
_PROGRAM = "The program"


def _of_key(group: str, key: Key) -> Flag:
    off = "=false" if key.negated else ""
    note = f" ({key.env}{off})" if key.env else ""
    description = key.description
    if key.negated:
        description = "Serve without authentication (development only)."
    elif key.kind.metavar and (key.default_note or key.default is not None):
        default = key.default_note.replace("`", "") or str(key.default)
        description = f"{description.removesuffix('.')}. Default: {default}."
    return Flag(key.flag or "", group, description + note, key.kind.metavar)


def _of_keys(group: str, keys: Sequence[Key]) -> tuple[Flag, ...]:
    return tuple(_of_key(group, key) for key in keys if key.flag)


FLAGS: tuple[Flag, ...] = (
    *_of_keys("Serving", [key for key in KEYS if key.path.startswith("http.")]),
    *_of_keys("The first database", DATABASE_KEYS),
    Flag("add-token", _TOKENS, "Make a token and show it once.", verb=True),
    Flag("token-note", _TOKENS, "What the token is for.", "TEXT", of=("add-token",)),
    Flag(
        "token-expiry",
        _TOKENS,
        'How long it is valid: "12h", "30d", "2w", "1y" or "never".',
        "DURATION",
        of=("add-token",),
    ),
    Flag("token-database", _TOKENS, "The database it is bound to.", "NAME", of=("add-token",)),
    Flag("list-tokens", _TOKENS, "List the tokens.", verb=True),
    Flag(
        "remove-token",
        _TOKENS,
        "Remove the token with this id, or with these first 8 or more characters of its hash.",
        "ID",
        verb=True,
    ),
    Flag("add-user", _USERS, "Add a user.", verb=True),
    Flag("list-users", _USERS, "List the users.", verb=True),
    Flag("update-user", _USERS, "Change a user's password or note.", verb=True),
    Flag("delete-user", _USERS, "Delete a user, after asking.", verb=True),
    Flag("enable-user", _USERS, "Let a disabled or locked user log in again.", verb=True),
    Flag("disable-user", _USERS, "Keep a user from logging in.", verb=True),
    Flag("username", _USERS, "The user's name.", "NAME", of=("add-user", *_ON_USERS)),
    Flag(
        "password",
        _USERS,
        "The password; - reads it from standard input, without a flag it is asked for.",
        "PASSWORD",
        of=("add-user", "update-user"),
    ),
    Flag("user-note", _USERS, "Who the user is.", "TEXT", of=("add-user", "update-user")),
    Flag("yes", _USERS, "Delete without asking.", of=("delete-user",)),
    Flag("config", _PROGRAM, "The configuration file.", "FILE"),
    Flag(
        "verify-audit",
        _PROGRAM,
        "Verify an audit: the files that were rotated away from this one, and this one.",
        "FILE",
        verb=True,
    ),
    Flag(
        "audit-key",
        _PROGRAM,
        "The audit's key. Default: audit.key_file, else the one beside the audit.",
        "FILE",
        of=("verify-audit",),
    ),
    Flag("init", _PROGRAM, "Write a commented configuration file to start from.", verb=True),
    Flag("check", _PROGRAM, "Check files, databases and roles, without serving.", verb=True),
    Flag("self-test", _PROGRAM, "Try to do more than read, and show what stops it.", verb=True),
    *_of_keys(_PROGRAM, [key for key in KEYS if key.path == "debug"]),
    Flag("version", _PROGRAM, "Show the version.", verb=True),
    Flag("help", _PROGRAM, "Show this text; -h does too.", verb=True),
)

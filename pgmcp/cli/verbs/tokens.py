"""The verbs about API tokens, in the words of the authentication guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pgmcp.auth.attenuation import new_attenuable_secret
from pgmcp.auth.times import describe_expiry, parse_expiry
from pgmcp.auth.tokens import ApiToken, new_secret, new_token
from pgmcp.cli.attenuating import attenuate
from pgmcp.cli.verb import Command, Flag, Verb, chosen_policy
from pgmcp.config.auth import Auth
from pgmcp.config.policies import Policy
from pgmcp.errors import COMMAND, UsageError, visible
from pgmcp.stores.attenuation_key import FileKeyStore
from pgmcp.stores.files import FileTokenStore

_GROUP = "API tokens"
_SHOWN_HASH = 12
_PREFIX_MIN_CHARACTERS = 8


def add_token(
    command: Command,
    auth: Auth,
    database_names: Sequence[str],
    policies: Mapping[str, Policy],
) -> int:
    """Make a token and show it, this once. `database_names` are those it may be bound to."""
    policy = chosen_policy(command, "token-policy", policies)
    note, database, expires_at = _answers(command, database_names)
    key = None
    if command.options.get("attenuable"):
        key = FileKeyStore(auth.attenuation_key_file).made()
    secret = new_secret() if key is None else new_attenuable_secret(key)
    now = command.clock()
    token = FileTokenStore(auth.token_file).add(
        lambda taken: new_token(
            taken,
            secret,
            note=note,
            database=database,
            now=now,
            expires_at=expires_at,
            policy=policy,
            attenuable=None if key is None else key.id,
        )
    )
    say = command.console.say
    say("Token created successfully:")
    say(f"Token: {secret}")
    for line in _heading(token):
        say(line)
    say(f"Expiry: {describe_expiry(token.expires_at, token.created_at)}")
    say(_hash_line(token))
    say("", "Store this token securely. It cannot be retrieved later.")
    return 0


def list_tokens(command: Command, auth: Auth) -> int:
    """Show every token, never its secret."""
    tokens = FileTokenStore(auth.token_file).listed()
    now = command.clock()
    say = command.console.say
    say("API Tokens:", "===========", "")
    for token in tokens:
        for line in _heading(token):
            say(line)
        say(_hash_line(token))
        say(f"Created: {token.created_at:%Y-%m-%d %H:%M:%S}")
        say(f"Expires: {f'{token.expires_at:%Y-%m-%d %H:%M:%S}' if token.expires_at else 'Never'}")
        say(f"Status: {_status(token, now)}", "")
    say(f"Total tokens: {len(tokens)}")
    return 0


def enable_token(command: Command, auth: Auth) -> int:
    """Let a token that was stopped work again."""
    store = FileTokenStore(auth.token_file)
    token = find_token(command.text("enable-token") or "", store.listed())
    if token.disabled_at is None:
        command.console.say(f"Token is not stopped: {token.id}")
        return 0
    store.change(token.hash, ApiToken.with_enabled)
    command.console.say(f"Token enabled: {token.id}" + (f" ({token.note})" if token.note else ""))
    return 0


def _status(token: ApiToken, now: datetime) -> str:
    if token.disabled_at is not None:
        return f"STOPPED at {token.disabled_at}"
    return "Expired" if token.expired(now) else "Valid"


def remove_token(command: Command, auth: Auth) -> int:
    """Remove a token by its id or the beginning of its hash."""
    store = FileTokenStore(auth.token_file)
    wanted = command.text("remove-token") or ""
    token = find_token(wanted, store.listed())
    # By its hash, as the id may have been given to another token since it was looked up.
    if not store.remove(lambda other: other.hash == token.hash):
        raise _not_found(wanted)
    command.console.say(f"Token removed: {token.id}" + (f" ({token.note})" if token.note else ""))
    return 0


def find_token(wanted: str, tokens: Sequence[ApiToken]) -> ApiToken:
    """The token with that id, or with that beginning of its hash; UsageError."""
    for token in tokens:
        if token.id == wanted:
            return token
    prefix = wanted.lower().rstrip(".")
    matches = [token for token in tokens if token.hash.startswith(prefix)]
    if len(prefix) < _PREFIX_MIN_CHARACTERS or not matches:
        raise _not_found(wanted)
    if len(matches) > 1:
        candidates = [f"  {visible(t.id)}  {t.hash[:20]}..." for t in matches]
        raise UsageError(
            f"{wanted} fits {len(matches)} tokens:",
            "\n".join([*candidates, "Give more of it."]),
        )
    return matches[0]


def _not_found(wanted: str) -> UsageError:
    return UsageError(
        f"Token not found: {wanted}",
        f"Give its id or at least {_PREFIX_MIN_CHARACTERS} characters of its hash; "
        "-list-tokens shows both.",
    )


def _heading(token: ApiToken) -> list[str]:
    lines = [f"ID: {token.id}", f"Note: {token.note}"]
    lines += [f"Database: {token.database}"] if token.database else []
    lines += [f"Policy: {token.policy}"] if token.policy else []
    return [*lines, f"Attenuable: yes ({token.attenuable})"] if token.attenuable else lines


def _hash_line(token: ApiToken) -> str:
    return f"Hash (first {_SHOWN_HASH} chars): {token.hash[:_SHOWN_HASH]}..."


def _answers(command: Command, names: Sequence[str]) -> tuple[str, str | None, datetime | None]:
    """Note, database and expiry, each from its flag or by asking.

    A note and an expiry on the command line are "all details": then nothing is asked, and without
    -token-database the token uses the default one.
    """
    note, expiry = command.text("token-note"), command.text("token-expiry")
    given = command.text("token-database")
    interactive = note is None or expiry is None
    database = None if given is None else _chosen(given, names)
    expires_at = None if expiry is None else parse_expiry(expiry, command.clock())
    if note is None:
        note = command.console.ask("Note (what the token is for)", "-token-note")
    if given is None and interactive and len(names) > 1:
        database = _ask_database(command, names)
    if expiry is None:
        expires_at = _ask_expiry(command)
    return note, database, expires_at


def _chosen(answer: str, names: Sequence[str]) -> str | None:
    """The configured database an answer names, by name or by number from 1; blank: the default."""
    if not answer:
        return None
    if answer in names:
        return answer
    if answer.isascii() and answer.isdigit() and 1 <= int(answer[:9]) <= len(names):
        return names[int(answer) - 1]
    known = f"Configured: {', '.join(names)}"
    raise UsageError(
        f"database not configured: {answer}",
        known if names else f"There is no configuration file. Write one with: {COMMAND} -init",
    )


def _ask_database(command: Command, names: Sequence[str]) -> str | None:
    console = command.console
    console.warn("Available databases:")
    for number, name in enumerate(names, start=1):
        console.warn(f"  {number}. {name}")
    question = "Database (number or name, blank for the default)"
    return console.ask_until(question, "-token-database", lambda answer: _chosen(answer, names))


def _ask_expiry(command: Command) -> datetime | None:
    question = 'Expiry (e.g. "30d", "1y", "2w", "12h" or "never")'
    return command.console.ask_until(
        question, "-token-expiry", lambda answer: parse_expiry(answer, command.clock())
    )


_EXPIRY = Flag(
    "token-expiry",
    'How long it is valid: "12h", "30d", "2w", "1y" or "never"; with -attenuate "15m" or "30s".',
    "DURATION",
)
_DATABASE = Flag(
    "token-database",
    "The database it is bound to; with -attenuate, those it may use, with commas between.",
    "NAME",
)
_POLICY = Flag(
    "token-policy",
    "The policy that says what it may read; with -attenuate, one or more, of which all hold.",
    "NAME",
)

VERBS = (
    Verb(
        "add-token",
        _GROUP,
        "Make a token and show it once.",
        add_token,
        ("auth", "database_names", "policies"),
        (
            Flag("token-note", "What the token is for.", "TEXT"),
            _EXPIRY,
            _DATABASE,
            _POLICY,
            Flag("attenuable", "Let its holder make narrower tokens of it, with -attenuate."),
        ),
        files=("token_file",),
    ),
    Verb(
        "list-tokens",
        _GROUP,
        "List the tokens.",
        list_tokens,
        ("auth",),
        files=("token_file",),
    ),
    Verb(
        "enable-token",
        _GROUP,
        "Let the token with this id, or this beginning of its hash, work again after it was stopped"
        " for the use of a canary.",
        enable_token,
        ("auth",),
        metavar="ID",
        files=("token_file",),
    ),
    Verb(
        "remove-token",
        _GROUP,
        "Remove the token with this id, or with these first 8 or more characters of its hash.",
        remove_token,
        ("auth",),
        metavar="ID",
        files=("token_file",),
    ),
    Verb(
        "attenuate",
        _GROUP,
        "Make a narrower token of one that was made with -attenuable, or of a narrower one; it "
        'needs no server and no file. "-" reads the token from standard input, where no list of '
        "processes shows it.",
        attenuate,
        flags=(
            _DATABASE,
            _POLICY,
            _EXPIRY,
            Flag("token-tool", "The tools that it may use, with commas between.", "NAMES"),
            Flag("token-rows", "The most rows that a call with it returns.", "NUMBER"),
            Flag(
                "token-network",
                "The addresses and networks that it may be used from, with commas between.",
                "NETWORKS",
            ),
        ),
        metavar="TOKEN",
    ),
)

"""Credential files in our own layout: read without the YAML parser, and read the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.ended import MOST_LINES
from pgmcp.auth.tokens import ApiToken, digest, new_token
from pgmcp.auth.users import new_user
from pgmcp.errors import FileError
from pgmcp.storage import files, replace
from pgmcp.stores import entries, token_file, user_file
from pgmcp.stores.files import FileTokenStore, FileUserStore
from pgmcp.stores.token_file import TokenFile, parse_tokens
from pgmcp.stores.user_file import NO_USERS, UserFile, parse_users

NOW = datetime(2024, 10, 30, 10, 15, 30, tzinfo=UTC)
HASH = bcrypt.hashpw(b"SecurePassword123!", bcrypt.gensalt(4)).decode()

TOKENS = f"""\
tokens:
  - id: token-1
    hash: {digest("1")}
    note: "a: b"
    created_at: "2024-10-30T10:15:30Z"
    expires_at: null
  - id: token-2
    hash: {digest("2")}
    note: it's
    created_at: 2024-10-30T10:15:30Z
    expires_at: "2030-10-30T10:15:30Z"
    database: main
"""
USERS = f"""\
users:
  alice:
    username: alice
    password_hash: {HASH}
    created_at: "2024-10-30T10:15:30Z"
    last_login: null
    enabled: true
    annotation: ""
    failed_attempts: 0
  bob:
    username: bob
    password_hash: {HASH}
    created_at: "2024-10-30T10:15:30Z"
    last_login: "2024-10-30T10:15:30Z"
    enabled: false
    annotation: Developer (lead)
    failed_attempts: 12
"""
# What may be put into a file, or may stand in the place of some of it.
PIECES = [
    *(
        "...\n",
        "---\n",
        "# a comment\n",
        "    # one\n",
        " #",
        "\n",
        "\n\n",
        " ",
        "  - ",
        "    ",
        "\t",
    ),
    *(
        "'",
        '"',
        "\\",
        ":",
        ": ",
        "- ",
        "|",
        ">",
        "|\n      text",
        "&a ",
        "*a",
        "!!str ",
        "{",
        "}",
        "[",
    ),
    *("]", "~", "null", "yes", "on", "y", "0b01", "0x1f", "1e5", "1.5", ".inf", "12:30", "=", "<<"),
    *(
        "note: x\n",
        "    extra: 7\n",
        "    extra: [1, 2]\n",
        "version: 3\n",
        "tokens: []\n",
        "users: {}\n",
    ),
    *(
        "\x85",
        "\u2028",
        "\ufeff",
        "\r\n",
        "\u00e9",
        "\0",
        "%YAML 1.1\n",
        "? ",
        ",",
        "@",
        "`",
        "  carol:\n",
    ),
]


def both(read: Callable[[bytes, str], Any], whole: Callable[[bytes, str], Any], data: bytes) -> Any:
    """What a file reads as; the parser alone must say the same."""

    def result(parse: Callable[[bytes, str], Any]) -> object:
        try:
            return parse(data, "f.yaml")
        except FileError as error:
            return error.message

    fast = result(read)
    assert fast == result(whole)
    return fast


def mutated(text: str) -> st.SearchStrategy[str]:
    cuts = st.tuples(st.integers(0, len(text)), st.integers(0, 12), st.sampled_from(["", *PIECES]))

    def cut(changes: list[tuple[int, int, str]]) -> str:
        changed = text
        for start, length, piece in changes:
            changed = changed[:start] + piece + changed[start + length :]
        return changed

    return st.lists(cuts, min_size=1, max_size=3).map(cut)


@settings(deadline=None, max_examples=400)
@given(mutated(TOKENS))
@example(TOKENS + "...\n")
@example(TOKENS.replace("it's", "|\n      x"))
@example(TOKENS.replace("it's", '"x').replace("main", 'main"'))
@example(TOKENS.replace('"a: b"', "yes").replace("it's", "null"))
@example(TOKENS.replace(digest("1"), "0b" + "01" * 31).replace(digest("2"), "1" * 64))
@example(TOKENS.replace('"2030-10-30T10:15:30Z"', '"\\u0032030-10-30T10:15:30Z"'))
@example(TOKENS.replace("token-2", "token-1"))
@example(TOKENS.replace("token-2", "2"))
@example(TOKENS.replace("it's", "caf\u00e9"))
@example("# kept by hand\n" + TOKENS)
def test_tokens_are_what_yaml_reads(text: str) -> None:
    data = text.encode(errors="surrogatepass")
    both(parse_tokens, token_file.parse_document, data)


@settings(deadline=None, max_examples=400)
@given(mutated(USERS))
@example(USERS.replace("  bob:", "  alice:"))
@example(USERS.replace("bob", "null"))
@example(USERS.replace("bob", "7"))
@example(USERS.replace("  bob:", "  jos\u00e9:").replace(": bob", ": jose\u0301"))
def test_users_are_what_yaml_reads(text: str) -> None:
    data = text.encode(errors="surrogatepass")
    both(parse_users, user_file.parse_document, data)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"note": st.text(), "extra": st.none() | st.booleans() | st.integers() | st.text()}
        ),
        max_size=4,
    )
)
@settings(deadline=None)
def test_what_is_written_reads_back_in_either_way(listed: list[dict[str, object]]) -> None:
    known = TokenFile()
    for number, values in enumerate(listed):
        token = new_token(known, str(number), note="", database=None, now=NOW, expires_at=None)
        entry = {**token.entry, **values}
        known = known.added(
            ApiToken(token.id, token.hash, str(values["note"]), NOW, None, None, entry)
        )
    try:
        data = known.dump()
    except FileError:
        return  # text that is no Unicode
    assert both(parse_tokens, token_file.parse_document, data).tokens == known.tokens
    assert parse_tokens(data, "f").dump() == data


@pytest.mark.parametrize(("text", "section"), [(TOKENS, "tokens"), (USERS, "users")])
def test_our_layout_is_cut_into_entries_that_make_the_same_file(text: str, section: Any) -> None:
    texts = entries.split(text.encode(), section)
    assert texts is not None
    assert entries.join(texts, section) == text.encode()


def parsed_by_yaml(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what the parser is given from here on."""
    sizes: list[int] = []
    genuine = files.parse_yaml

    def counted(text: bytes, origin: str) -> files.Document:
        sizes.append(len(text))
        return genuine(text, origin)

    for module in (entries, token_file, user_file):
        monkeypatch.setattr(module, "parse_yaml", counted)
    return sizes


def entries_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the entries that are read from here on."""
    made: list[str] = []
    genuine = entries.read

    def counted(text: str, section: entries.Section) -> tuple[str, object] | None:
        made.append(text)
        return genuine(text, section)

    monkeypatch.setattr(entries, "read", counted)
    return made


@pytest.mark.parametrize(
    ("text", "parse"),
    [
        (TOKENS.replace("it's", "caf\u00e9"), parse_tokens),
        (USERS.replace("Developer (lead)", "caf\u00e9"), parse_users),
        (USERS.replace("  bob:", "  jos\u00e9:").replace(": bob", ": jos\u00e9"), parse_users),
    ],
)
def test_an_entry_that_is_not_plain_costs_the_parser_that_entry_alone(
    text: str, parse: Callable[[bytes, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = parsed_by_yaml(monkeypatch)
    parse(text.encode(), "f.yaml")
    assert len(sizes) == 1
    assert sizes[0] < 0.7 * len(text.encode())


def many_tokens(count: int, note: str = "Client") -> TokenFile:
    made = []
    for number in range(count):
        hashed = digest(str(number))
        entry = {
            "id": f"token-{number}",
            "hash": hashed,
            "note": note,
            "created_at": "2024-10-30T10:15:30Z",
            "expires_at": None,
        }
        made.append(ApiToken(f"token-{number}", hashed, note, NOW, None, None, entry))
    return TokenFile(tuple(made), {})


class Tokens:
    """A store over a file, and who ended."""

    def __init__(self, path: Path, known: TokenFile) -> None:
        self.path = path
        self.now = NOW
        self.ended: list[dict[str, str]] = []
        self.write(known)
        self.store = ApiTokens(
            FileTokenStore(path),
            clock=lambda: self.now,
            on_ended=lambda ended: self.ended.append(dict(ended)),
        )
        self.store.start()

    def write(self, known: TokenFile) -> None:
        replace.update(self.path, lambda data: known.dump())


@pytest.mark.parametrize("note", ["Client", "caf\u00e9: 'the \"first\"'"])
def test_a_large_file_is_read_again_without_reading_what_stayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    known = many_tokens(3000, note)
    world = Tokens(tmp_path / "tokens.yaml", known)
    sizes, made = parsed_by_yaml(monkeypatch), entries_read(monkeypatch)
    before = world.store.find("7")
    world.write(TokenFile(known.tokens[5:2000], {}))
    world.store.reload()
    world.write(TokenFile(known.tokens[1:], {}))
    world.store.reload()
    assert (world.store.find("0"), world.store.find("7")) == (None, before)
    assert world.store.find("7") is before
    assert len(made) == 4 + 1000  # what came, and nothing of what stayed
    assert max(sizes, default=0) < 1000  # none, or an entry that has odd characters in it


def test_a_start_reads_the_file_once_and_a_login_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.yaml"
    known = NO_USERS
    for number in range(50):
        known = known.with_user(new_user(f"user{number}", HASH, "", NOW))
    replace.update(path, lambda data: known.dump())
    sizes, made = parsed_by_yaml(monkeypatch), entries_read(monkeypatch)
    store = UserAccounts(
        FileUserStore(path), clock=lambda: NOW, lockout=3, on_gone=lambda gone: None
    )
    store.start()
    assert (len(made), sizes) == (50, [])
    for _ in range(2):
        user = store.get("user7")
        assert user is not None
        store.succeeded(user)
        store.failed(user)
        store.equalise_failure_time()
    assert (len(made), sizes) == (50, [])
    assert not store.reload()


def test_a_start_with_tokens_that_last_reads_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = entries_read(monkeypatch)
    Tokens(tmp_path / "tokens.yaml", many_tokens(100)).store.sweep()
    assert len(made) == 100


def test_mass_revocation_is_one_event_and_a_few_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = many_tokens(2002)
    world = Tokens(tmp_path / "tokens.yaml", known)
    valid: list[object] = []
    on_ended = world.store._on_ended

    def look(ended: Any) -> None:
        valid.append(world.store.find("0"))
        on_ended(ended)

    world.store._on_ended = look
    caplog.set_level("INFO", "pgmcp")
    caplog.clear()  # where a test before this one has left the level, loading was logged
    world.write(TokenFile(known.tokens[2000:], {}))
    world.store.reload()
    assert valid == [None]  # they were refused before anybody was told
    assert [len(each) for each in world.ended] == [2000]
    assert set(world.ended[0].values()) == {"token removed"}
    assert len(caplog.messages) == MOST_LINES + 1
    assert caplog.messages[-1] == f"and {2000 - MOST_LINES} more like these at the same time"


def test_tokens_that_expire_together_are_one_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = TokenFile()
    for number in range(200):
        known = known.added(
            new_token(
                known,
                str(number),
                note="",
                database=None,
                now=NOW,
                expires_at=NOW + timedelta(hours=1),
            )
        )
    world = Tokens(tmp_path / "tokens.yaml", known)
    caplog.set_level("INFO", "pgmcp")
    world.now += timedelta(hours=2)
    world.store.sweep()
    assert [len(each) for each in world.ended] == [200]
    assert len(caplog.messages) <= 2 * (MOST_LINES + 1) + 1


def test_a_user_file_of_any_size_is_announced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    known: UserFile = NO_USERS
    for number in range(50):
        known = known.with_user(new_user(f"user{number}", HASH, "", NOW))
    replace.update(path, lambda data: known.dump())
    gone: list[dict[str, str]] = []
    store = UserAccounts(
        FileUserStore(path), clock=lambda: NOW, lockout=0, on_gone=lambda g: gone.append(dict(g))
    )
    store.start()
    replace.update(path, lambda data: known.without("user1").without("user2").dump())
    store.reload()
    assert gone == [{"user1": "user deleted", "user2": "user deleted"}]


@pytest.mark.parametrize("expires_at", [None, "2027-01-01T00:00:00Z"])
def test_a_token_as_written_is_read_in_one_match(
    monkeypatch: pytest.MonkeyPatch, expires_at: str | None
) -> None:
    entry = {
        "id": "token-1",
        "hash": "ab" * 32,
        "note": "of a test",
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": expires_at,
    }
    (text,) = entries.written("tokens", [("", entry)])
    monkeypatch.setattr(entries, "_FIELD", None)
    assert entries.read(text, "tokens") == ("", entry)


@pytest.mark.parametrize("word", ["null", "Yes", "on", "n", "False"])
@pytest.mark.parametrize("key", ["id", "note"])
def test_words_that_are_no_text_to_yaml_are_none_in_a_whole_token_either(
    key: str, word: str
) -> None:
    lines = {"id": "a", "hash": "ab" * 32, "note": "b", key: word}
    text = "\n    ".join(f"{name}: {value}" for name, value in lines.items())
    text += '\n    created_at: "2026-01-01T00:00:00Z"\n    expires_at: null'
    value = files.parse_yaml(entries.join([text], "tokens"), "").value
    read = entries.read(text, "tokens")
    assert isinstance(value, dict)
    assert read == ("", value["tokens"][0])

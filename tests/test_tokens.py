"""Tokens: the file's two forms, ids, expiry."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.auth.times import describe_expiry, parse_expiry
from pgmcp.auth.tokens import digest, new_secret, new_token
from pgmcp.cli.verbs.tokens import find_token
from pgmcp.errors import FileError, UsageError
from pgmcp.stores.token_file import TokenFile, parse_tokens

NOW = datetime(2024, 10, 30, 10, 15, 30, tzinfo=UTC)
HASH = "b3f805a4c2e7d9f1a8b6c3e2d5f4a1b9c8e7d6f5a4b3c2e1d9f8a7b6c5e4d3f2"
OTHER = "b3f805a4" + "0" * 56

GUIDE = f"""\
tokens:
  - id: token-1234567890
    hash: {HASH}
    note: Production API
    created_at: "2024-10-30T10:15:30Z"
    expires_at: "2025-10-30T10:15:30Z"
"""

GO = f"""\
tokens:
    token-1:
        hash: {HASH}
        expires_at: 2025-10-30T10:15:30.123456789+02:00
        annotation: Production API
        created_at: 2024-10-30T10:15:30.5Z
        database: staging
        color: blue
    token-2:
        hash: {OTHER}
        expires_at: null
        annotation: ""
        created_at: 2024-10-30T10:15:30Z
version: 3
"""


def parse(text: str) -> TokenFile:
    return parse_tokens(text.encode(), "f.yaml")


def test_reads_the_guides_file_and_writes_it_back_byte_for_byte() -> None:
    (token,) = parse(GUIDE).tokens
    assert (token.id, token.hash, token.note) == ("token-1234567890", HASH, "Production API")
    at = NOW.replace(year=2025)
    assert (token.created_at, token.expires_at) == (NOW, at)
    assert [token.expired(at - timedelta(seconds=1)), token.expired(at)] == [False, True]
    assert parse(GUIDE).dump().decode() == GUIDE


def test_a_file_of_the_go_program_becomes_a_list_with_nothing_lost() -> None:
    known = parse(GO)
    assert [t.database for t in known.tokens] == ["staging", None]
    assert [t.expires_at is None for t in known.tokens] == [False, True]
    written = yaml.safe_load(known.dump().replace(b'"', b"'"))
    assert written["version"] == 3
    assert written["tokens"][0] == {
        "id": "token-1",
        "hash": HASH,
        "note": "Production API",
        "expires_at": "2025-10-30T10:15:30.123456789+02:00",
        "created_at": "2024-10-30T10:15:30.5Z",
        "database": "staging",
        "color": "blue",
    }
    assert written["tokens"][1]["expires_at"] is None
    assert [t.expires_at for t in parse_tokens(known.dump(), "g").tokens] == [
        t.expires_at for t in known.tokens
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"hash: {HASH}", "hash: b3f8", "line 3: tokens[0].hash is not a SHA-256"),
        (f"hash: {HASH}", "hash: 12", "line 3: tokens[0].hash is not a string"),
        (f"    hash: {HASH}\n", "", "line 2: tokens[0] has no hash"),
        ("id: token-1234567890", "id: 12", "line 2: tokens[0].id is not a string"),
        ("id: token-1234567890", 'id: ""', "line 2: tokens[0] has no id"),
        ('    expires_at: "2025-10-30T10:15:30Z"\n', "", "tokens[0] has no expires_at"),
        ('"2025-10-30T10:15:30Z"', "soon", "line 6: tokens[0].expires_at is not a time"),
        ('"2025-10-30T10:15:30Z"', "12", "line 6: tokens[0].expires_at is not a string"),
        ('"2024-10-30T10:15:30Z"', '"0001-01-01T00:00:00+05:00"', "created_at is not a time"),
        (GUIDE, "", "the file is empty"),
        (GUIDE, "tokens:\n", "line 1: tokens is not a list"),
        (GUIDE, "other: 1\n", "line 1: the file has no tokens"),
        (GUIDE, "tokens: [1]\n", "line 1: tokens[0] is not a mapping"),
        (GUIDE, GUIDE + GUIDE.partition("\n")[2], "line 7: tokens[1].id is there twice"),
        (
            GUIDE,
            GUIDE + GUIDE.partition("\n")[2].replace("1234567890", "2"),
            "line 8: tokens[1].hash is there twice",
        ),
        (GUIDE, GO.replace("annotation: Production API", "annotation: [1]"), "note is not a"),
    ],
)
def test_a_wrong_entry_refuses_the_file_with_line_and_key(old: str, new: str, message: str) -> None:
    assert old in GUIDE
    with pytest.raises(FileError) as caught:
        parse(GUIDE.replace(old, new))
    assert message in caught.value.message
    assert caught.value.message.startswith("f.yaml: ")


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="tokens: []{}-\n&*\"'!#1").map(str.encode))
def test_any_bytes_are_tokens_or_a_file_error(data: bytes) -> None:
    with contextlib.suppress(FileError):
        parse_tokens(data, "f.yaml")


def test_a_secret_is_44_characters_of_32_random_bytes() -> None:
    secret = new_secret()
    assert (len(secret), len(base64.urlsafe_b64decode(secret))) == (44, 32)
    assert secret != new_secret()


def test_two_tokens_of_one_second_have_different_ids() -> None:
    known = TokenFile()
    for secret in ("a", "b", "c"):
        token = new_token(known, secret, note="", database=None, now=NOW, expires_at=None)
        known = known.added(token)
    assert [t.id for t in known.tokens] == [f"token-{int(NOW.timestamp()) + n}" for n in range(3)]
    assert parse_tokens(known.dump(), "f").tokens == known.tokens


def test_a_new_token_keeps_the_hash_and_not_the_secret() -> None:
    token = new_token(TokenFile(), "s3cret", note="n", database="d", now=NOW, expires_at=NOW)
    assert token.hash == digest("s3cret")
    assert b"s3cret" not in TokenFile().added(token).dump()
    assert list(token.entry) == ["id", "hash", "note", "created_at", "expires_at", "database"]


def test_finds_a_token_by_id_or_by_eight_characters_of_its_hash() -> None:
    known = parse(GUIDE).tokens
    for wanted in ("token-1234567890", HASH[:8], HASH[:10].upper(), HASH, f"{HASH[:12]}..."):
        assert find_token(wanted, known).hash == HASH
    for wanted in (HASH[:7], "token-", "deadbeef", ""):
        with pytest.raises(UsageError, match="Token not found"):
            find_token(wanted, known)


def test_an_ambiguous_prefix_is_refused_and_lists_the_candidates() -> None:
    with pytest.raises(UsageError) as caught:
        find_token(HASH[:8], parse(GO).tokens)
    assert "token-1 " in caught.value.hint
    assert "token-2 " in caught.value.hint


@pytest.mark.parametrize(
    ("text", "hours"), [("12h", 12), ("30d", 720), ("2w", 336), ("1y", 8760), (" 1h ", 1)]
)
def test_reads_an_expiry(text: str, hours: int) -> None:
    assert parse_expiry(text, NOW) == NOW + timedelta(hours=hours)


def test_only_the_word_never_is_never() -> None:
    assert parse_expiry("never", NOW) is None


@pytest.mark.parametrize(
    "text",
    ["", "0d", "-1d", "1.5d", "30", "d", "1s", "9999y", "9" * 30 + "d", "1d1h", "٣d", "nevermore"],
)
def test_refuses_what_is_not_an_expiry(text: str) -> None:
    with pytest.raises(UsageError):
        parse_expiry(text, NOW)


def test_months_are_refused_with_the_days_to_write_instead() -> None:
    with pytest.raises(UsageError) as caught:
        parse_expiry("6m", NOW)
    assert "180d" in caught.value.hint


def test_says_an_expiry_as_the_guide_does() -> None:
    assert describe_expiry(NOW + timedelta(days=365), NOW) == "2025-10-30 (365 days from now)"
    assert describe_expiry(NOW + timedelta(hours=1), NOW) == "2024-10-30 (1 hour from now)"
    assert describe_expiry(NOW + timedelta(hours=24), NOW) == "2024-10-31 (1 day from now)"
    assert describe_expiry(None, NOW) == "Never"

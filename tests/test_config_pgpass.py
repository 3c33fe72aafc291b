"""Password files by libpq's rules."""

from __future__ import annotations

import pytest

from pgmcp.config import pgpass
from pgmcp.config.values import Host, Secret


def password(text: str, host: str = "h", port: int = 5432) -> str | None:
    found = pgpass.find(pgpass.parse(text.encode()), Host(host, port), "d", "u")
    return found.reveal() if found else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h:5432:d:u:secret", "secret"),
        ("*:*:*:*:secret\n", "secret"),
        ("h:5432:d:u:first\nh:5432:d:u:second", "first"),
        ("other:5432:d:u:no\n*:5432:d:u:yes\n", "yes"),
        ("h:5433:d:u:no", None),
        ("h:5432:other:u:no", None),
        ("h:5432:d:other:no", None),
        ("#h:5432:d:u:no", None),
        ("h:5432:d:u", None),
        ("h:5432:d:u:", None),
        ("", None),
        (r"h:5432:d:u:a\:b\\c", r"a:b\c"),
        ("h:5432:d:u:a:b", "a"),
        (r"\*:5432:d:u:no", None),
        ("h*:5432:d:u:no", None),
        (r"\h:5432:d:u:yes", "yes"),
        ("h:5432:d:u:with space # and more\r\n", "with space # and more"),
    ],
)
def test_the_first_line_that_matches_wins(text: str, expected: str | None) -> None:
    assert password(text) == expected


@pytest.mark.parametrize("folder", ["/var/run/postgresql", "/tmp", "/run/postgresql/"])
def test_a_default_socket_directory_is_localhost(folder: str) -> None:
    assert password("localhost:*:*:*:yes", folder) == "yes"
    assert password("localhost:*:*:*:yes", "/srv/socket") is None
    assert password("/srv/socket:*:*:*:yes", "/srv/socket") == "yes"


def test_an_ipv6_host_is_escaped() -> None:
    assert password(r"\:\:1:*:*:*:yes", "::1") == "yes"


def test_a_line_that_is_not_utf_8_is_skipped() -> None:
    entries = pgpass.parse(b"h:*:*:*:\xff\n*:*:*:*:yes\n")
    assert pgpass.find(entries, Host("h", 1), "d", "u") == Secret("yes")


def test_an_entry_does_not_show_its_password() -> None:
    assert "secret" not in repr(pgpass.parse(b"*:*:*:*:secret"))

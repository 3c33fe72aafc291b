"""Password files by libpq's rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgmcp.config import pgpass
from pgmcp.config.values import Host, Secret
from pgmcp.errors import ConfigError


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


@pytest.mark.parametrize(("mode", "entries"), [(0o600, 1), (0o400, 1), (0o640, 0), (0o604, 0)])
def test_a_file_with_more_permissions_than_0600_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, entries: int
) -> None:
    file = tmp_path / ".pgpass"
    file.write_text("*:*:*:*:secret")
    file.chmod(mode)
    assert len(pgpass.read(file)) == entries
    assert ("chmod 600" in caplog.text) is (entries == 0)


def test_a_missing_file_has_no_entries_and_a_folder_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert pgpass.read(tmp_path / "missing") == []
    assert not caplog.records
    assert pgpass.read(tmp_path) == []
    assert "not a plain file" in caplog.text


@pytest.mark.parametrize("data", [b"pass word\n", b"pass word", b"pass word\r\n"])
def test_a_password_file_is_its_one_line(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    file.chmod(0o600)
    assert pgpass.read_single(file, "key") == Secret("pass word")


@pytest.mark.parametrize("data", [b"", b"\n", b"a\nb\n", b"a\0b", b"\xff", b"x" * 5000])
def test_a_password_file_of_another_shape_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="key: "):
        pgpass.read_single(file, "key")


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="others have access") as caught:
        pgpass.read_single(file, "key")
    assert "chmod 600" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot read"):
        pgpass.read_single(tmp_path / "missing", "key")

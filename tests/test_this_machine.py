"""The files with secrets, and the user, as the machine has them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from pgmcp.config.this_machine import ThisMachine
from pgmcp.config.values import Secret
from pgmcp.errors import ConfigError


def test_a_folder_and_a_path_that_leads_nowhere_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    paths = [tmp_path / "file", tmp_path, tmp_path / "missing", tmp_path / "file" / "below"]
    assert [ThisMachine().is_file(path) for path in paths] == [True, False, False, False]


def test_the_user_is_that_of_the_effective_user_id(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ThisMachine().user() == pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)  # as in a container: nobody's number
    assert ThisMachine().user() == ""


@pytest.mark.parametrize(("mode", "entries"), [(0o600, 1), (0o400, 1), (0o640, 0), (0o604, 0)])
def test_a_file_with_more_permissions_than_0600_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, entries: int
) -> None:
    file = tmp_path / ".pgpass"
    file.write_text("*:*:*:*:secret")
    file.chmod(mode)
    assert len(ThisMachine().pgpass(file)) == entries
    assert ("chmod 600" in caplog.text) is (entries == 0)


def test_a_missing_file_has_no_entries_and_a_folder_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ThisMachine().pgpass(tmp_path / "missing") == []
    assert not caplog.records
    assert ThisMachine().pgpass(tmp_path) == []
    assert "not a plain file" in caplog.text


@pytest.mark.parametrize("data", [b"pass word\n", b"pass word", b"pass word\r\n"])
def test_a_password_file_is_its_one_line(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    file.chmod(0o600)
    assert ThisMachine().secret(file, "key", "password") == Secret("pass word")


@pytest.mark.parametrize("data", [b"", b"\n", b"a\nb\n", b"a\0b", b"\xff", b"x" * 5000])
def test_a_password_file_of_another_shape_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="key: "):
        ThisMachine().secret(file, "key", "password")


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="others have access") as caught:
        ThisMachine().secret(file, "key", "password")
    assert "chmod 600" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot read"):
        ThisMachine().secret(tmp_path / "missing", "key", "password")

"""-check on the files of the log, the audit and the metrics: it says what the server would do, and
touches nothing."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgmcp.audit.audit import AuditLog
from pgmcp.audit.read import mark_of
from pgmcp.cli.finding import Finding
from pgmcp.cli.observing_findings import audit_findings, log_findings, metrics_findings
from pgmcp.config import audit as section
from pgmcp.config.log import Log
from pgmcp.errors import PgmcpError
from pgmcp.logs.log import configure, release
from tests.observing import run
from tests.program import NOWHERE, write_config

_NOBODY = 65534


def settings(folder: Path, key_file: Path | None = None) -> section.Audit:
    file = folder / "audit.jsonl"
    return section.Audit(
        file=file, key_file=key_file or folder / "audit.jsonl.key", max_bytes=1 << 20
    )


def served(audit: section.Audit) -> str | None:
    """What the server says when it does not start; else its audit is begun and ended."""
    try:
        AuditLog(audit, version="1").stop()
    except PgmcpError as error:
        return error.message
    return None


def errors(findings: Iterator[Finding]) -> list[str]:
    return [found.message for found in findings if found.status == "error"]


def shown(findings: Iterator[Finding]) -> str:
    return "\n".join(f"{found.status} {found.message} {found.next_step}" for found in findings)


def state(folder: Path) -> Mapping[str, tuple[int, int, bytes]]:
    """All that a check could change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        entry = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (entry.st_mode, entry.st_mtime_ns, data)
    return found


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user to whom modes apply."""
    if os.getuid() != 0:
        yield
        return
    os.setresgid(_NOBODY, _NOBODY, 0)
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


@pytest.fixture
def reachable(server_folder: Path) -> Path:
    """A folder for one test, that a user without rights can reach."""
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    folder.chmod(0o755)
    return folder


def nothing(audit: section.Audit) -> None:
    """The audit as it is before the first start."""


def served_once(audit: section.Audit) -> None:
    assert served(audit) is None


def key_lost(audit: section.Audit) -> None:
    served_once(audit)
    audit.key_file.unlink()


def another_key(audit: section.Audit) -> None:
    served_once(audit)
    audit.key_file.write_text("ab" * 32)


def key_open(audit: section.Audit) -> None:
    served_once(audit)
    audit.key_file.chmod(0o644)


def key_first(audit: section.Audit) -> None:
    audit.key_file.write_text("ab" * 32)
    audit.key_file.chmod(0o600)


def no_key(audit: section.Audit) -> None:
    audit.key_file.write_text("secret")


def renamed(audit: section.Audit) -> None:
    served_once(audit)
    audit.file.rename(f"{audit.file}.1")


def renamed_and_key_lost(audit: section.Audit) -> None:
    renamed(audit)
    audit.key_file.unlink()


def renamed_and_key_and_mark_lost(audit: section.Audit) -> None:
    renamed_and_key_lost(audit)
    mark_of(audit.file).unlink()


def mark_changed(audit: section.Audit) -> None:
    served_once(audit)
    mark_of(audit.file).write_text("4 x y\n")


def cut_off(audit: section.Audit) -> None:
    served_once(audit)
    lines = audit.file.read_bytes().splitlines(keepends=True)
    audit.file.write_bytes(b"".join(lines[:2]))


def away(audit: section.Audit) -> None:
    served_once(audit)
    audit.file.rename(audit.file.with_name("earlier"))


def unfinished(audit: section.Audit) -> None:
    served_once(audit)
    with audit.file.open("ab") as stream:
        stream.write(b'{"seq":9')


def changed(audit: section.Audit) -> None:
    served_once(audit)
    audit.file.write_bytes(audit.file.read_bytes().replace(b'"stop"', b'"step"'))


def a_folder(audit: section.Audit) -> None:
    audit.file.mkdir()


def a_link_to_nowhere(audit: section.Audit) -> None:
    audit.file.symlink_to("none/audit.jsonl")


def no_folder(audit: section.Audit) -> None:
    audit.file.parent.rmdir()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (nothing, "will be made, and begins a chain"),
        (served_once, "goes on from record 3; -verify-audit"),
        (key_lost, "there is no key"),
        (another_key, "cannot be verified"),
        (key_open, "has mode 0644"),
        (key_first, "begins a chain"),
        (no_key, "not a key"),
        (renamed, "will be made, and goes on from record 3"),
        (renamed_and_key_lost, "there is no key"),
        (renamed_and_key_and_mark_lost, "there is no key"),
        (mark_changed, "cannot be verified"),
        (cut_off, "its mark tells of record 3, and the last that is there is 2"),
        (away, "its mark tells of record 3, and the last that is there is 0"),
        (unfinished, "the next record will say so"),
        (changed, "cannot be verified"),
        (a_folder, "not a regular file"),
        (a_link_to_nowhere, "no such folder"),
        (no_folder, "no such folder"),
    ],
)
def test_the_audit_is_judged_as_the_server_does_and_left_alone(
    tmp_path: Path, prepare: Callable[[section.Audit], None], said: str
) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    audit = settings(folder)
    prepare(audit)
    before = state(tmp_path)
    assert said in shown(audit_findings(audit))
    wrong = errors(audit_findings(audit))
    assert state(tmp_path) == before
    assert bool(wrong) == (served(audit) is not None)


@pytest.mark.parametrize("mode", [0o500, 0o700])
def test_a_folder_that_nothing_can_be_made_in_is_an_error(reachable: Path, mode: int) -> None:
    closed = mode == 0o500
    folder = reachable / "audit"
    folder.mkdir()
    (folder / "written").touch()
    key = reachable / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    owner = _NOBODY if os.getuid() == 0 else os.getuid()
    for path in (folder, folder / "written", key):
        os.chown(path, owner, -1)
    folder.chmod(mode)
    with without_rights():
        audit = settings(folder)
        assert bool(errors(audit_findings(audit))) == closed
        written = dataclasses.replace(audit, file=folder / "written", key_file=key)
        assert bool(errors(audit_findings(written))) == closed, "its lock is made beside it"
        assert bool(served(written)) == closed
        assert bool(errors(log_findings(folder / "log"))) == closed
        assert not errors(log_findings(folder / "written"))
        assert bool(served(audit)) == closed
    folder.chmod(0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="gives files to other users")
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_key_that_is_somebody_elses_is_not_open_to_others(reachable: Path, mode: int) -> None:
    keys, folder = reachable / "keys", reachable / "audit"
    for made in (keys, folder):
        made.mkdir()
    key = keys / "key"
    key.write_text("ab" * 32)
    os.chown(folder, _NOBODY, _NOBODY)
    os.chown(key, _NOBODY if mode == 0o600 else 0, _NOBODY)
    key.chmod(mode)
    keys.chmod(0o555)  # as systemd's LoadCredential has it: a key to read, and no lock beside it
    with without_rights():
        audit = settings(folder, key)
        wrong = errors(audit_findings(audit))
        assert bool(wrong) == (mode == 0o640)
        assert bool(served(audit)) == (mode == 0o640)
    assert mode == 0o600 or "does not start" in wrong[0]


def test_a_log_is_judged_as_the_server_does_and_left_alone(tmp_path: Path) -> None:
    written, folder, pipe = tmp_path / "written", tmp_path / "folder", tmp_path / "pipe"
    written.write_text("a line\n")
    written.chmod(0o640)
    folder.mkdir()
    os.mkfifo(pipe)
    before = state(tmp_path)
    assert "will be made" in shown(log_findings(tmp_path / "new"))
    assert shown(log_findings(written)).strip() == f"ok {written}: can be written"
    for path in (folder, pipe, Path(os.devnull), tmp_path / "none" / "log"):
        (message,) = errors(log_findings(path))
        handler = configure(io.StringIO())
        try:
            with pytest.raises(PgmcpError):
                handler.apply(Log(file=path))  # type: ignore[attr-defined]
        finally:
            release(handler)
        assert str(path) in message
    assert state(tmp_path) == before
    written.chmod(0o644)
    assert f"chmod 600 {written}" in shown(log_findings(written))


def test_a_token_for_the_metrics_is_read_as_the_server_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    (missing,) = errors(metrics_findings(path))
    assert "no such file" in missing
    path.write_text("short")
    (short,) = errors(metrics_findings(path))
    assert "short" not in short
    path.write_text("0123456789abcdef\n")
    path.chmod(0o644)
    found = shown(metrics_findings(path))
    assert "ok " in found
    assert f"chmod 600 {path}" in found
    assert "0123456789abcdef" not in found


def test_the_command_tells_of_each_of_them_and_makes_none(tmp_path: Path) -> None:
    (tmp_path / "metrics-token").write_text("x")
    config = write_config(
        tmp_path,
        NOWHERE,
        log={"file": str(tmp_path / "log")},
        audit={"file": str(tmp_path / "audit.jsonl")},
        metrics={"enabled": True, "token_file": str(tmp_path / "metrics-token")},
    )
    before = state(tmp_path)
    ended: subprocess.CompletedProcess[str] = run(config, "-http", "-check")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    for subject, status in (
        ("log file", "ok"),
        ("audit key", "ok"),
        ("audit file", "ok"),
        ("metrics token", "error"),
    ):
        assert any(line.startswith(status) and f" {subject} " in line for line in lines), subject
    assert state(tmp_path) == before

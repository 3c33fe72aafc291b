"""Replacing a private file whole."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgmcp.errors import FileError
from pgmcp.storage import replace

as_root = pytest.mark.skipif(os.getuid() != 0, reason="gives files to other users")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_change_sees_the_old_content_and_none_where_there_is_no_file(tmp_path: Path) -> None:
    path, seen = tmp_path / "f", []

    def change(data: bytes | None) -> bytes:
        seen.append(data)
        return b"new"

    assert replace.update(path, change)
    assert replace.update(path, change)
    assert (seen, path.read_bytes()) == ([None, b"new"], b"new")


def test_a_change_that_returns_none_writes_nothing(tmp_path: Path) -> None:
    assert not replace.update(tmp_path / "f", lambda data: None)
    assert not (tmp_path / "f").exists()


def test_the_file_is_private_whatever_the_umask_and_the_old_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        replace.update(path, lambda data: b"new")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(tmp_path / ".f.lock") == 0o600


def test_a_symlink_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "f", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    replace.update(link, lambda data: b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@as_root
def test_the_owner_stays_and_a_new_file_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    path = tmp_path / "f"
    replace.update(path, lambda data: b"new")
    assert path.stat().st_uid == (tmp_path / ".f.lock").stat().st_uid == 65534
    os.chown(path, 1234, 1234)
    replace.update(path, lambda data: b"newer")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)


def test_a_temporary_file_of_a_writer_that_died_is_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / ".f.tmp").write_bytes(b"half")
    replace.update(tmp_path / "f", lambda data: b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".f.lock", "f"]


def test_a_missing_folder_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=f"(?i){os.strerror(errno.ENOENT)}"):
        replace.update(tmp_path / "none" / "f", lambda data: b"new")


_FULL_DISK = """
import resource, sys
from pathlib import Path
from pgmcp.storage import replace
from pgmcp.errors import FileError
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    replace.update(Path(sys.argv[1]), lambda data: b"x" * 10000)
except FileError as error:
    print(error.message)
"""


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}: file too large\n"
    assert path.read_bytes() == b"old"
    assert not (tmp_path / ".f.tmp").exists()


_ENDLESS = """
import sys
from pathlib import Path
from pgmcp.storage import replace
number = 0
while True:
    number += 1
    replace.update(Path(sys.argv[1]), lambda data: (b"%08d" % number) * 4096)
    print(flush=True)
"""


def test_kill_9_at_any_instant_leaves_a_whole_file_and_a_free_lock(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for attempt in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", _ENDLESS, str(path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.0007 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        content = path.read_bytes()
        assert len(content) == 8 * 4096
        assert content == content[:8] * 4096
    replace.update(path, lambda data: b"after")
    assert path.read_bytes() == b"after"


def test_a_file_that_others_can_read_is_tightened(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(0o640)
    assert replace.tighten(path)
    assert mode(path) == 0o600
    assert not replace.tighten(path)
    assert not replace.tighten(tmp_path / "none")


_TIGHTEN = """
import os, sys
from pathlib import Path
from pgmcp.storage import replace
from pgmcp.errors import FileError
os.setuid(65534)
try:
    replace.tighten(Path(sys.argv[1]))
except FileError as error:
    print(error.for_operator())
"""


@as_root
def test_a_file_that_cannot_be_tightened_is_refused(server_folder: Path) -> None:
    path = server_folder / "credentials"
    path.write_bytes(b"x")
    path.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", _TIGHTEN, str(path)], capture_output=True, text=True, check=True
    )
    assert "others can read it" in done.stdout
    assert f"chmod 600 {path}" in done.stdout

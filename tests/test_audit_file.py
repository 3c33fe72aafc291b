"""Appending to an audit: restarts, kills, rotation, other processes, and disks that are full."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgmcp.audit.file import AuditFile
from pgmcp.audit.lock import AuditLock
from pgmcp.audit.read import chain_files, lines_of, load_key, lock_file, rotated, snapshot
from pgmcp.audit.verify import Verification
from pgmcp.errors import FileError
from pgmcp.storage import replace
from tests.serving import until
from tools.serving import ROOT

KEY = bytes(range(32))
CALL = {"event": "call", "name": "query_database"}


def opened(path: Path, max_bytes: int = 1 << 20, *, durable: bool = False) -> AuditFile:
    return AuditFile(path, KEY, max_bytes=max_bytes, durable=durable)


def verified(path: Path) -> Verification:
    """The verification of a chain that is whole."""
    found = Verification(KEY)
    for file in chain_files(path, KEY):
        with file.open("rb") as stream:
            assert found.check(file.name, stream), found.problem
    return found


def events(path: Path) -> list[dict[str, Any]]:
    files = chain_files(path, KEY)
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines() if line]


def names(path: Path) -> list[str]:
    return [event["event"] for event in events(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_a_restart_continues_the_chain(path: Path) -> None:
    for _ in range(3):
        file = opened(path)
        file.append(CALL)
        file.close()
    assert names(path) == ["begin", "call", "call", "call"]
    assert verified(path).records == 4
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_killed_process_left_unfinished_is_vouched_for(path: Path) -> None:
    opened(path).append(CALL, CALL)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 30)
    opened(path).append(CALL)
    assert b"recovered" in path.read_bytes()
    found = verified(path)
    assert found.notes == ["audit.jsonl, line 3: unfinished, and the next record says so"]


def test_a_file_with_nothing_but_an_unfinished_line_is_begun(path: Path) -> None:
    path.write_bytes(b'{"seq":1,"ti')
    opened(path).append(CALL)
    assert verified(path).records == 2


def test_a_last_line_without_its_end_is_completed(path: Path) -> None:
    opened(path).append(CALL)
    path.write_bytes(path.read_bytes()[:-1])
    opened(path).append(CALL)
    assert names(path) == ["begin", "call", "call"]
    assert verified(path).notes == []


def test_a_process_that_dies_between_records_leaves_a_whole_chain(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pgmcp.audit.file import AuditFile\n"
        "file = AuditFile(Path(sys.argv[1]), bytes(range(32)), max_bytes=20000, durable=False)\n"
        "while True: file.append({'event': 'call', 'filler': 'x' * 500})"
    )
    for size in (2_000, 30_000):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT)
        try:
            until(partial(_is_larger, path, size))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    opened(path).append(CALL)
    assert verified(path).records > 30


def _is_larger(path: Path, size: int) -> bool:
    try:
        return sum(file.stat().st_size for file in path.parent.glob("audit.jsonl*")) > size
    except FileNotFoundError:
        return False  # rotated away since it was listed


def test_a_file_that_is_full_gets_the_number_of_its_last_record(path: Path) -> None:
    file = opened(path, 4096)
    for _ in range(60):
        file.append(CALL)
    rotated = [other.name for other in chain_files(path, KEY)]
    assert len(rotated) > 2
    assert rotated == [*sorted(rotated[:-1]), "audit.jsonl"]
    assert all(other.stat().st_size <= 4096 for other in path.parent.glob("audit.jsonl*"))
    first = (path.parent / rotated[0]).read_bytes().splitlines()
    assert rotated[0] == f"audit.jsonl.{len(first):012d}"
    found = verified(path)
    assert found.first == 1
    assert found.records == 60 + len(rotated)


def test_a_restart_after_a_rotation_continues_even_without_the_newest_file(path: Path) -> None:
    file = opened(path, 4096)
    for _ in range(30):
        file.append(CALL)
    before = file.head
    file.close()
    path.rename(path.with_name("audit.jsonl.old"))
    later = opened(path)
    later.append(CALL)
    assert verified(path).head == later.head
    assert later.head.seq == before.seq + 2


@pytest.mark.parametrize("first", [True, False])
def test_a_file_renamed_by_others_is_followed_by_a_new_one(path: Path, first: bool) -> None:
    one, other = opened(path), opened(path)
    one.append(CALL)
    other.append(CALL)
    path.rename(path.with_name("audit.jsonl.1"))
    for file in (one, other) if first else (other, one):
        file.append(CALL)
    assert names(path) == ["begin", "call", "call", "begin", "call", "call"]
    assert verified(path).records == 6


def test_what_was_cut_off_while_running_leaves_a_gap(path: Path) -> None:
    file = opened(path)
    file.append(CALL, CALL, CALL)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    file.append(CALL)
    found = Verification(KEY)
    assert not found.check("audit.jsonl", path.read_bytes().splitlines(keepends=True))
    assert found.problem == ("audit.jsonl, line 3: record 5 follows record 2: 3 to 4 is missing")


def test_processes_and_threads_write_one_chain(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pgmcp.audit.file import AuditFile\n"
        "file = AuditFile(Path(sys.argv[1]), bytes(range(32)), max_bytes=9000, durable=False)\n"
        "for _ in range(100): file.append({'event': 'call'})"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT) for _ in range(2)
    ]
    file = opened(path, 9000, durable=True)

    def append() -> None:
        for _ in range(50):
            file.append(CALL)

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in processes] == [0, 0]
    verified(path)
    assert names(path).count("call") == 400


def test_a_write_that_fails_half_way_leaves_no_half_record(path: Path) -> None:
    file = opened(path)
    file.append(CALL)
    with full(path.stat().st_size + 50), pytest.raises(OSError) as caught:
        file.append(CALL)
    assert caught.value.errno == errno.EFBIG
    assert names(path) == ["begin", "call"]
    file.append(CALL)
    assert verified(path).records == 3


@contextmanager
def full(file_bytes: int) -> Iterator[None]:
    """Every file of this process is full at this size: what a full disk looks like to it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_unfinished_line_stays_in_the_file_of_the_record_that_vouches_for_it(path: Path) -> None:
    opened(path, 4096).append({"event": "call", "filler": "x" * 3000})
    with path.open("ab") as stream:
        stream.write(b"{" * 400)
    file = opened(path, 4096)
    file.append({"event": "call", "filler": "x" * 300})
    file.append(CALL)
    assert names_of_files(path) == ["audit.jsonl.000000000004", "audit.jsonl"]
    assert verified(path).notes == [
        "audit.jsonl.000000000004, line 3: unfinished, and the next record says so"
    ]


def names_of_files(path: Path) -> list[str]:
    return [file.name for file in chain_files(path, KEY)]


@pytest.mark.parametrize("damage", [b"\n", b"x", b'{"seq":1,"mac":"x"}\n'])
def test_a_file_whose_first_line_is_broken_stays_in_its_place(path: Path, damage: bytes) -> None:
    file = opened(path, 4096)
    for _ in range(60):
        file.append(CALL)
    before = names_of_files(path)
    for name in before:
        other = path.with_name(name)
        whole = other.read_bytes()
        other.write_bytes(damage + whole)
        assert names_of_files(path) == before
        other.write_bytes(whole)
    for name in before[:-1]:
        other = path.with_name(name)
        whole = other.read_bytes()
        other.write_bytes(b"nothing\n")
        assert names_of_files(path) == before, "by the number in its name"
        other.write_bytes(whole)


def test_a_file_renamed_by_others_counts_when_a_record_is_in_it(path: Path) -> None:
    opened(path).append(CALL)
    renamed = path.rename(path.with_name("audit.jsonl.old"))
    renamed.write_bytes(b"x" + renamed.read_bytes())
    for name in ("audit.jsonl.key", "audit.jsonl.mark", "audit.jsonl.gz", "audit.jsonl-x"):
        path.with_name(name).write_bytes(b"\x1f\x8b no record\n")
    assert rotated(path, KEY) == ([renamed], [path.with_name("audit.jsonl.gz")])


def test_where_an_audit_stands_is_seen_while_it_is_written_and_rotated(path: Path) -> None:
    done = threading.Event()
    file = opened(path, 4096)
    file.start({"event": "start"})

    def write_on() -> None:
        while not done.is_set():
            file.append(CALL)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(150):
            found = snapshot(path, KEY)
            assert found.newest is not None
            checked = Verification(KEY, found.mark)
            with found.newest:
                for other in found.rotated:
                    assert checked.check(other.name, other.read_bytes().splitlines(True))
                whole = checked.check(path.name, lines_of(found.newest, found.size))
                assert whole, checked.problem
            assert checked.end(), checked.problem
            for other in found.rotated[:-2]:
                other.unlink()
    finally:
        done.set()
        writer.join()


def test_looking_where_an_audit_stands_makes_nothing(path: Path) -> None:
    path.write_bytes(b"")
    found = snapshot(path, KEY)
    assert found.newest is not None
    found.newest.close()
    assert list(path.parent.iterdir()) == [path]


def test_a_file_whose_end_cannot_be_verified_is_not_continued(path: Path) -> None:
    opened(path).append(CALL)
    with pytest.raises(FileError, match="last record cannot be verified"):
        AuditFile(path, b"x" * 32, max_bytes=1 << 20, durable=False).append(CALL)
    path.write_bytes(path.read_bytes() + b"hello\n")
    with pytest.raises(FileError, match="last record cannot be verified"):
        opened(path).append(CALL)


def test_a_last_record_longer_than_what_is_read_at_once_is_found(path: Path) -> None:
    opened(path, 10 << 20).append(CALL, {"event": "call", "sql": ["x" * 900_000]})
    opened(path, 10 << 20).append(CALL)
    assert verified(path).records == 4


def test_the_key_is_made_once_and_for_its_owner_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    key = load_key(path, create=True)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, create=True) == load_key(path, create=False) == key
    assert caplog.text == ""
    path.chmod(0o644)
    load_key(path, create=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"WARNING: others could read the audit's key {path}" in caplog.text


@pytest.mark.parametrize("text", ["", "00", "x" * 64, "é" * 64])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(FileError, match="not a key"):
        load_key(path, create=True)
    with pytest.raises(FileError, match="there is no key"):
        load_key(tmp_path / "other", create=False)


def test_a_lock_that_another_holds_is_not_waited_for_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgmcp.audit.read.LOCK_WAIT_SECONDS", 0.05)
    program = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(60)"
    )
    lock = path.with_name(".audit.jsonl.lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FileError, match="another process keeps it locked"):
            opened(path).append(CALL)
    finally:
        holder.kill()
        holder.communicate()
    assert not path.exists() or path.stat().st_size == 0


def test_a_lock_that_was_taken_away_is_made_anew(tmp_path: Path) -> None:
    """Whoever opens it later must be kept out by whoever had it open before."""
    lock = AuditLock(tmp_path / "audit.jsonl")
    file = lock_file(tmp_path / "audit.jsonl")
    for _ in range(2):
        with lock:
            other = os.open(file, os.O_RDWR)
            assert not replace.try_lock(other)
        assert replace.try_lock(other)
        os.close(other)
        file.unlink()
    lock.close()

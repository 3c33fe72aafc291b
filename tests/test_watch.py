"""Noticing changed files."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgmcp.errors import FileError
from pgmcp.storage.watch import (
    LAST_RETRY_SECONDS,
    QUIET_SECONDS,
    Debounce,
    Retry,
    Signature,
    Watcher,
)


def sig(inode: int = 1, size: int = 10, mtime_ns: int = 0, ctime_ns: int = 0) -> Signature:
    return Signature(1, inode, size, mtime_ns, ctime_ns)


def test_a_replaced_file_is_due_at_once() -> None:
    debounce = Debounce(sig(inode=1))
    assert not debounce.due(sig(inode=1), 0.0)
    assert debounce.due(sig(inode=2), 0.02)
    assert not debounce.due(sig(inode=2), 0.04)


def test_a_file_edited_in_place_is_due_when_it_has_been_quiet() -> None:
    debounce = Debounce(sig())
    assert not debounce.due(sig(size=11), 0.00)
    assert not debounce.due(sig(size=12), 0.09)
    assert not debounce.due(sig(size=12), 0.18)
    assert debounce.due(sig(size=12), 0.19)
    assert not debounce.due(sig(size=12), 0.40)


def test_a_burst_of_new_files_is_one_load_in_100_ms_and_the_last_is_loaded() -> None:
    debounce = Debounce(sig(inode=1))
    loaded = [
        (step, inode)
        for step in range(60)
        if debounce.due(sig(inode=(inode := min(2 + step, 30))), 10.0 + step * 0.02)
    ]
    assert loaded[0] == (0, 2)  # nothing came before it
    assert loaded[-1][1] == 30
    assert all(b - a >= 5 for (a, _), (b, _) in itertools.pairwise(loaded))
    assert len(loaded) == 7


def test_a_new_file_waits_after_an_edit_was_loaded_too() -> None:
    debounce = Debounce(sig())
    debounce.due(sig(size=11), 0.00)
    assert debounce.due(sig(size=11), 0.10)
    assert not debounce.due(sig(inode=2), 0.12)
    assert not debounce.quiet
    assert debounce.due(sig(inode=2), 0.20)
    assert debounce.quiet


def test_a_load_that_changed_nothing_holds_up_no_other() -> None:
    debounce = Debounce(sig())
    assert debounce.due(sig(inode=2), 0.00)
    debounce.allow_next()
    assert debounce.due(sig(inode=3), 0.02)


def test_an_edit_that_keeps_size_and_mtime_shows_in_ctime() -> None:
    debounce = Debounce(sig())
    assert not debounce.due(sig(ctime_ns=1), 0.0)
    assert debounce.due(sig(ctime_ns=1), 0.1)


def test_an_edit_that_is_undone_before_it_is_due_is_none() -> None:
    debounce = Debounce(sig())
    debounce.due(sig(size=11), 0.0)
    assert not debounce.due(sig(), 0.05)
    assert not debounce.due(sig(size=11), 0.2)


def test_a_new_file_that_is_empty_and_a_file_that_is_gone_get_time_to_fill_and_return() -> None:
    debounce = Debounce(sig())
    assert not debounce.due(None, 0.0)
    assert not debounce.due(sig(inode=2, size=0), 0.05)
    assert debounce.due(sig(inode=2, size=9), 0.07)
    assert not debounce.due(None, 0.1)
    assert debounce.due(None, 0.2)
    assert not debounce.due(None, 9.0)


def test_a_new_file_of_one_byte_is_due_at_once() -> None:
    assert Debounce(sig()).due(sig(inode=2, size=1), 0.0)


def test_a_file_that_appears_is_due_at_once() -> None:
    debounce = Debounce(None)
    assert not debounce.due(None, 0.0)
    assert debounce.due(sig(), 1.0)


def test_a_failed_load_is_tried_again_ever_more_rarely() -> None:
    retry, now = Retry(), 0.0
    attempts: list[float] = []
    assert not retry.due(now)
    while now < 300:
        if not attempts or retry.due(now):
            retry.begin(now)
            attempts.append(now)
        now += 0.5
    assert attempts[:6] == [0, 1, 3, 7, 15, 31]
    assert attempts[-1] - attempts[-2] == LAST_RETRY_SECONDS
    retry.reset()
    assert not retry.due(1e9)
    retry.begin(1000)
    assert retry.due(1001)


def test_a_failure_is_news_once() -> None:
    retry = Retry()
    assert [retry.should_log(reason) for reason in ("a", "a", "b", "a")] == [
        True,
        False,
        True,
        True,
    ]
    retry.reset()
    assert retry.should_log("a")


class Loads:
    """Counts the loads of a watched file and keeps what each one read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: list[str] = []
        self.watcher = Watcher()
        self._changed = threading.Condition()
        self.watcher.watch(path, self._load, "auth")
        self.watcher.start()

    def _load(self) -> None:
        text = self.path.read_text() if self.path.exists() else "gone"
        with self._changed:
            self.read.append(text)
            self._changed.notify_all()

    def wait(self, ready: Callable[[list[str]], bool]) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: ready(self.read), 5.0), self.read
            return list(self.read)


@pytest.fixture
def loads(tmp_path: Path) -> Iterator[Loads]:
    path = tmp_path / "f"
    path.write_text("old")
    loads = Loads(path)
    yield loads
    loads.watcher.stop()


def replace_by(path: Path, text: str) -> None:
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def test_a_rename_over_the_file_is_loaded(loads: Loads) -> None:
    replace_by(loads.path, "new")
    loads.wait(lambda read: read == ["new"])


def test_a_burst_of_writes_is_one_load(loads: Loads) -> None:
    with loads.path.open("w") as stream:
        for _ in range(10):
            stream.write("x")
            stream.flush()
    assert loads.wait(lambda read: read[-1:] == ["x" * 10]) == ["x" * 10]


def test_an_edit_that_keeps_size_and_mtime_is_loaded(loads: Loads) -> None:
    before = loads.path.stat()
    loads.path.write_text("NEW")
    os.utime(loads.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    loads.wait(lambda read: read == ["NEW"])


@pytest.mark.parametrize(
    "command",
    [
        "sed -i s/old/new/ f",
        "echo new > f",
        "echo new > g && cp g f",
        "echo new > g && mv g f",
        "rm f && echo new > f",
        "mv f backup && echo new > f",
        "echo new > g && ln -sf g f",
    ],
)
def test_what_shells_and_editors_do_is_loaded(loads: Loads, command: str) -> None:
    subprocess.run(command, shell=True, check=True, cwd=loads.path.parent)
    loads.wait(lambda read: read[-1:] == ["new\n"] or read[-1:] == ["new"])


@pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")
def test_what_vim_does_is_loaded(loads: Loads) -> None:
    subprocess.run(["vim", "-es", "-u", "NONE", "-c", "s/old/new/|wq", str(loads.path)], check=True)
    loads.wait(lambda read: read[-1:] == ["new\n"])


def test_a_kubernetes_swap_of_the_folders_symlink_is_loaded(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "f").write_text(version)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "f").symlink_to("..data/f")
    loads = Loads(tmp_path / "f")
    try:
        (tmp_path / "..data_tmp").symlink_to("v2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        loads.wait(lambda read: read == ["v2"])
    finally:
        loads.watcher.stop()


def test_a_file_that_appears_after_the_start_is_loaded(tmp_path: Path) -> None:
    loads = Loads(tmp_path / "later")
    try:
        (tmp_path / "later").write_text("here")
        loads.wait(lambda read: read[-1:] == ["here"])
    finally:
        loads.watcher.stop()


def test_the_log_says_what_was_reloaded_and_what_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f"
    answers = [FileError("line 3: tokens[0] has no hash", origin=str(path)), None]

    def load() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    watcher = Watcher()
    watcher.watch(path, load, "auth")
    watcher.start()
    try:
        with caplog.at_level(logging.INFO, "pgmcp"):
            path.write_text("broken")
            poll(lambda: len(caplog.messages) == 1)
            replace_by(path, "whole")
            poll(lambda: len(caplog.messages) == 2)
    finally:
        watcher.stop()
    assert caplog.messages == [
        f"Failed to reload {path}: line 3: tokens[0] has no hash",
        f"Reloaded {path}",
    ]


def test_a_load_that_changed_nothing_is_not_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, answers = tmp_path / "f", [True, False, False]
    watcher = Watcher()
    watcher.watch(path, lambda: answers.pop(), "auth")
    watcher.start()
    try:
        with caplog.at_level(logging.INFO, "pgmcp"):
            for left in (2, 1, 0):
                replace_by(path, f"{left}")
                poll(lambda: len(answers) == left)  # noqa: B023 - called in this round only
            poll(lambda: bool(caplog.messages))
    finally:
        watcher.stop()
    assert caplog.messages == [f"Reloaded {path}"]


def test_a_load_that_succeeds_after_a_failure_is_told_of(
    failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    failing.failure = FileError("too many open files", origin=str(failing.path))
    failing.changed = False
    with caplog.at_level(logging.INFO, "pgmcp"):
        replace_by(failing.path, "old")
        poll(lambda: failing.loads == 1)
        failing.failure = None
        failing.later()
        poll(lambda: f"Reloaded {failing.path}" in caplog.messages)


@pytest.mark.parametrize("area", ["auth", "tls"])
def test_a_reload_is_told_of_in_the_log_of_its_area(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, area: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    watcher = Watcher()
    watcher.watch(first, lambda: None, area)
    watcher.watch_together([second], lambda: None, area)
    watcher.start()
    try:
        with caplog.at_level(logging.INFO, "pgmcp"):
            first.write_text("new")
            second.write_text("new")
            poll(lambda: len(caplog.records) == 2)
    finally:
        watcher.stop()
    assert {record.name for record in caplog.records} == {f"pgmcp.{area}"}


def test_a_slow_or_failing_task_delays_no_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, loaded, entered = tmp_path / "f", threading.Event(), threading.Event()
    leave: list[None] = []

    def fail() -> None:
        leave.append(None)
        raise ZeroDivisionError

    def hang() -> None:
        entered.set()
        loaded.wait(5.0)

    watcher = Watcher()
    watcher.watch(path, loaded.set, "auth")
    watcher.every(0.001, hang, "hang")
    watcher.every(0.001, fail, "fail")
    watcher.start()
    try:
        assert entered.wait(5.0)
        path.write_text("new")
        assert loaded.wait(3.0)
        poll(lambda: len(leave) > 1)
    finally:
        watcher.stop()
    assert ("pgmcp.fail", "the background task fail failed") in {
        (record.name, record.message) for record in caplog.records
    }


class Failing:
    """A watched file whose loading fails as it is told; `clock` moves when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self.loads = path, 0.0, 0
        self.failure: Exception | None = None
        self.changed = True
        path.write_text("old")
        self.watcher = Watcher(clock=lambda: self.now)
        self.watcher.watch(path, self._load, "auth")
        self.watcher.start()

    def _load(self) -> bool:
        self.loads += 1
        if self.failure is not None:
            raise self.failure
        return self.changed

    def later(self) -> None:
        """Let the time of the next attempt come, and wait for it."""
        before = self.loads
        self.now += LAST_RETRY_SECONDS
        poll(lambda: self.loads > before)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Failing]:
    failing = Failing(tmp_path / "f")
    yield failing
    failing.watcher.stop()


def test_what_could_not_be_loaded_is_loaded_when_it_can_be(
    failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pgmcp"):
        failing.failure = FileError("too many open files", origin=str(failing.path))
        replace_by(failing.path, "new")
        poll(lambda: failing.loads == 1)
        failing.later()
        failing.failure = full = OSError(errno.ENOSPC, "the disk is full")
        failing.later()
        failing.later()
        failing.failure = None
        failing.later()
        poll(lambda: len(caplog.messages) == 3)
        again, looks = failing.loads, Looks(failing.watcher)
        failing.now += 10 * LAST_RETRY_SECONDS
        looks.wait()
    assert failing.loads == again
    assert caplog.messages == [
        f"Failed to reload {failing.path}: too many open files",
        f"Failed to reload {failing.path}: {full}",
        f"Reloaded {failing.path}",
    ]


def test_a_new_state_that_fails_in_the_same_way_is_news(
    failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    failing.failure = FileError("line 1: no", origin=str(failing.path))
    for count in (1, 2):
        failing.now += QUIET_SECONDS
        replace_by(failing.path, "new")
        poll(lambda: len(caplog.messages) == count)  # noqa: B023 - called in this round only


def test_a_defect_in_a_load_is_tried_again_too(
    failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    failing.failure = ZeroDivisionError()
    replace_by(failing.path, "new")
    poll(lambda: failing.loads == 1)
    failing.failure = None
    with caplog.at_level(logging.INFO, "pgmcp"):
        failing.later()
        poll(lambda: f"Reloaded {failing.path}" in caplog.messages)


def test_a_file_that_is_being_written_is_not_tried_again_meanwhile(failing: Failing) -> None:
    failing.failure = FileError("no", origin=str(failing.path))
    replace_by(failing.path, "new")
    poll(lambda: failing.loads == 1)
    failing.failure = None
    looks = Looks(failing.watcher)
    failing.now = 0.97
    failing.path.write_text("hal")  # edited in place, so it has to be quiet first
    looks.wait()
    failing.now = 1.02  # the time of the next attempt
    looks.wait()
    assert failing.loads == 1
    failing.now = 1.2  # and now it has been
    poll(lambda: failing.loads == 2)


class Looks:
    """Waits until the watcher has looked once more at all it watches."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._count = 0
        watcher.watch_together([Path("/")], lambda: None, "auth")
        (watched,) = [each for each in watcher._watched if each.name == "/"]
        look = watched.look

        def counted() -> object:
            self._count += 1
            return look()

        object.__setattr__(watched, "look", counted)

    def wait(self) -> None:
        """For two looks: the first may have begun before."""
        before = self._count
        poll(lambda: self._count >= before + 2)


def test_stopping_ends_the_threads() -> None:
    watcher = Watcher()
    watcher.every(60.0, lambda: None, "rare")
    before = threading.active_count()
    watcher.start()
    assert threading.active_count() == before + 2
    watcher.stop()
    assert threading.active_count() == before


def poll(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

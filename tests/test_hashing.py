"""Passwords are hashed in a process of their own, and also where there can be none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import bcrypt
import pytest

from pgmcp.auth import hashing, passwords
from pgmcp.auth.hashing import InHelper
from pgmcp.cli.main import HASH_PASSWORDS
from pgmcp.errors import LoginError
from pgmcp.net.outbound import Outbound, OutboundRefusedError

pytestmark = pytest.mark.starts_process

COMMAND = (sys.executable, "-m", "pgmcp", HASH_PASSWORDS)
HASH = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()


@pytest.fixture
def helper() -> Iterator[InHelper]:
    hasher = InHelper(COMMAND)
    yield hasher
    hasher.close()


def test_a_process_of_low_priority_checks_and_hashes(
    helper: InHelper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(passwords, "matches", None)  # not in this process
    monkeypatch.setattr(passwords, "hash_password", None)
    assert helper.matches("s3cret", HASH, 4)
    assert not helper.matches("other", HASH, 4)
    assert not helper.matches("s3cret", None, 4)
    assert not helper.matches("\ud800\0é", HASH, 4)
    assert bcrypt.checkpw("é".encode(), helper.hash_password("é").encode())
    process = helper._helper
    assert process is not None
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 10
    assert not caplog.records


def test_a_helper_that_has_gone_is_started_again(
    helper: InHelper, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert helper.matches("s3cret", HASH, 4)
    process = helper._helper
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(passwords, "matches", None)
    assert helper.matches("s3cret", HASH, 4)
    assert helper._helper is not process


def test_a_helper_is_used_beside_more_than_1024_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("not so many descriptors are allowed here")
    monkeypatch.setattr(passwords, "matches", None)  # not in this process
    hasher = InHelper(COMMAND)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    taken: list[int] = []
    try:
        while not taken or taken[-1] < 1100:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        assert hasher.matches("s3cret", HASH, 4)
        process = hasher._helper
        assert not hasher.matches("other", HASH, 4)
        assert hasher._helper is process
    finally:
        hasher.close()
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_answer_that_nobody_took_is_not_the_next_logins(
    helper: InHelper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> bool:
        raise MemoryError

    assert helper.matches("s3cret", HASH, 4)
    with monkeypatch.context() as broken:
        broken.setattr(hashing, "is_ready", out_of_memory)
        with pytest.raises(MemoryError):
            helper.matches("s3cret", HASH, 4)
    assert not helper.matches("other", HASH, 4)


@pytest.mark.parametrize(
    "command",
    [
        ("/does/not/exist",),
        (sys.executable, "-c", "pass"),
        (sys.executable, "-c", "input(); print('x', flush=True)"),
        (sys.executable, "-c", "input(); print('[]', flush=True)"),
    ],
)
def test_without_a_helper_logins_go_on_and_the_log_says_so_once(
    command: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    hasher = InHelper(command)
    assert hasher.matches("s3cret", HASH, 4)
    assert not hasher.matches("other", HASH, 4)
    assert len(caplog.records) <= 1
    assert "s3cret" not in caplog.text
    hasher.close()


def test_a_helper_that_takes_too_long_is_ended_and_the_login_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hashing, "_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(passwords, "matches", None)
    hasher = InHelper((sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(LoginError, match="busy"):
        hasher.matches("s3cret", HASH, 4)
    assert hasher._helper is None


def test_the_helper_gets_no_secret_of_the_environment_and_may_connect_to_nothing() -> None:
    asked = subprocess.run(
        [*COMMAND], input=b'["a password"]\n', capture_output=True, check=True, timeout=60
    )
    assert asked.stdout.startswith(b'"$2b$12$')
    assert not [name for name in hashing._ENVIRONMENT if name.startswith("PG")]


def test_the_outbound_hook_lets_that_one_command_pass() -> None:
    outbound = Outbound(lambda: (), commands=[COMMAND])
    event = "subprocess.Popen"
    outbound.audit(event, (COMMAND[0], list(COMMAND), None, None))
    for program, words, folder in (
        (COMMAND[0], [*COMMAND, "-x"], None),
        (COMMAND[0], list(COMMAND[:-1]), None),
        ("/bin/sh", list(COMMAND), None),
        (COMMAND[0], list(COMMAND), "/tmp"),
        (COMMAND[0], " ".join(COMMAND), None),
    ):
        with pytest.raises(OutboundRefusedError):
            outbound.audit(event, (program, words, folder, None))

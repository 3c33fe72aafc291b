"""The thread that writes the log: a reader that does not read costs lines, and holds nobody."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgmcp.config.log import Log
from pgmcp.errors import ConfigError
from pgmcp.logs import log
from pgmcp.logs.writer import LogWriter
from tests.observing import get, run
from tests.program import NOWHERE, command, running, write_config
from tests.serving import Reader, post, rpc, until
from tests.test_audit_program import _limit, _unlimit, linux
from tools.child import spawn
from tools.postgres import free_port
from tools.serving import ROOT, add_token, end, environment, wait_until_ready

PAGE = 4096


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds one page: its ends to read and to write."""
    ends = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PAGE)
    yield ends
    for end_of_pipe in ends:
        os.close(end_of_pipe)


def notice(lines: int) -> str:
    return f"{lines} missing\n"


def held_up(descriptor: int, max_bytes: int) -> LogWriter:
    """A writer that waits for the reader of a pipe, in the middle of a line."""
    writer = LogWriter(descriptor, notice, max_bytes=max_bytes)
    writer.write("x" * (2 * PAGE - 1) + "\n")
    until(lambda: not writer._lines)
    return writer


def all_of(descriptor: int, last: bytes) -> bytes:
    """What comes, until a line that ends it."""
    data = b""
    while not data.endswith(last):
        data += os.read(descriptor, PAGE)
    return data


def test_lines_are_written_in_order_and_those_left_out_are_told_of_in_their_place(
    pipe: tuple[int, int],
) -> None:
    writer = held_up(pipe[1], 10 * PAGE)
    lines = [f"{number:05d} {'x' * 93}\n" for number in range(2000)]
    for line in lines:
        writer.write(line)
    assert writer.dropped == 2000 - 10 * PAGE // 100
    read = all_of(pipe[0], b" missing\n").decode().splitlines(keepends=True)[1:]
    assert read == [*lines[: 2000 - writer.dropped], notice(writer.dropped)]
    writer.write("last\n")
    assert all_of(pipe[0], b"last\n") == b"last\n"
    writer.close(10)


def test_a_short_line_does_not_overtake_one_that_did_not_fit(pipe: tuple[int, int]) -> None:
    writer = held_up(pipe[1], 2 * PAGE)
    writer.write("y" * PAGE + "\n")
    writer.write("z" * 2 * PAGE + "\n")
    writer.write("short\n")
    read = all_of(pipe[0], b" missing\n")
    assert b"short" not in read
    assert read.endswith(b"y\n2 missing\n")
    writer.close(10)


def test_closing_writes_what_waits_and_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1], notice)
    writer.write("first\n")
    writer.close(10)
    assert os.read(pipe[0], PAGE) == b"first\n"
    stuck = held_up(pipe[1], 2 * PAGE)
    stuck.write("early\n")
    stuck.close(0)
    stuck.write("late\n")
    assert stuck.dropped == 2
    all_of(pipe[0], b"x\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_lines_that_a_full_disk_does_not_take_are_counted() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full, notice, owned=True)
    for _ in range(3):
        writer.write("lost\n")
    writer.close(10)
    assert writer.dropped == 3
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(full)


def test_a_pipe_that_others_made_non_blocking_gets_every_line(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LogWriter(pipe[1], notice)
    for number in range(500):
        writer.write(f"{number} {'x' * 100}\n")
    writer.write("last\n")
    assert all_of(pipe[0], b"last\n").count(b"\n") == 501
    writer.close(10)
    assert writer.dropped == 0


def test_a_descriptor_above_1023_is_waited_for_as_well(pipe: tuple[int, int]) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        high = fcntl.fcntl(pipe[1], fcntl.F_DUPFD_CLOEXEC, 1100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.set_blocking(high, False)
    writer = held_up(high, 1 << 20)
    assert os.read(pipe[0], 1) == b"x"  # a byte less than the pipe holds makes no room in it
    writer.write("last\n")
    assert all_of(pipe[0], b"last\n").count(b"\n") == 2
    writer.close(10)
    os.close(high)
    assert writer.dropped == 0


def test_no_logging_call_waits_in_the_queued_block(pipe: tuple[int, int]) -> None:
    with os.fdopen(os.dup(pipe[1]), "w", encoding="utf-8") as stderr:
        handler = log.configure(stderr)
        try:
            with log.queued():
                for number in range(100):
                    logging.getLogger("pgmcp.auth").warning("%d %s", number, "x" * 100)
                reading = threading.Thread(target=all_of, args=(pipe[0], b"last\n"))
                reading.start()
                logging.getLogger("pgmcp.auth").warning("last")
            reading.join(10)
            assert not reading.is_alive()
            assert log.dropped() == 0
            logging.getLogger("pgmcp.auth").warning("late")
            assert log.dropped() == 1
        finally:
            log.release(handler)


def test_a_notice_has_the_form_of_the_log(pipe: tuple[int, int], tmp_path: Path) -> None:
    handler = log.configure(io.StringIO())
    try:
        log.apply(Log(format="json"))
        line = handler._notice(7)  # type: ignore[attr-defined]
    finally:
        log.release(handler)
    assert '"message": "7 log lines were dropped: ' in line
    assert line.endswith("}\n")


# -- the program -----------------------------------------------------------------------------------


def test_a_server_whose_standard_error_nobody_reads_answers_and_stops(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    port = free_port()
    config = write_config(tmp_path, NOWHERE, port=port)
    add_token(config, "tests")
    process = spawn(
        command(config, "-http", "-debug"), folder=ROOT, environment=environment(), output=pipe[1]
    )
    try:
        wait_until_ready(process, port)
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            reader = Reader(sock)
            for _ in range(300):  # a line of 100 bytes each
                sock.sendall(post(path="/health", method="GET", token=None, length=None))
                assert reader.reply().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        end(process)


def test_a_client_over_stdio_that_reads_no_standard_error_is_answered(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    config = write_config(tmp_path, NOWHERE)
    process = subprocess.Popen(
        command(config, "-debug"),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=pipe[1],
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(100):
            params = {"name": "read_resource", "arguments": {"list": True}}
            process.stdin.write(rpc("tools/call", params, number) + b"\n")
            process.stdin.flush()
            assert b'"result"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0
        process.stdout.close()
    finally:
        end(process)


@linux
def test_a_full_disk_costs_lines_that_are_counted_and_told_of(tmp_path: Path) -> None:
    file = tmp_path / "pgmcp.log"
    settings = {"file": str(file), "level": "debug"}
    with running(tmp_path, log=settings, metrics={"enabled": True}) as program:
        until(lambda: "Listening on" in file.read_text())
        _limit(program, file.stat().st_size)
        for _ in range(5):
            assert get(program, "/health").status == 200
        until(lambda: b"lines_dropped_total 0\n" not in get(program, "/metrics").body)
        _unlimit(program)
        get(program, "/health")
        until(lambda: "log lines were dropped" in file.read_text())


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def device(path: Path) -> None:
    path.symlink_to(os.devnull)


@pytest.mark.parametrize("make", [fifo, unix_socket, device])
def test_a_log_that_is_no_regular_file_is_refused(
    make: Callable[[Path], None], server_folder: Path, tmp_path: Path
) -> None:
    path = server_folder / f"{make.__name__}.{os.getpid()}"  # a socket's path must be short
    make(path)
    handler = log.configure(io.StringIO())
    try:
        with pytest.raises(ConfigError, match="not a regular file"):
            log.apply(Log(file=path))
    finally:
        log.release(handler)
        path.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "pgmcp.log",
        "audit.jsonl",
        ".audit.jsonl.lock",
        "audit.jsonl.mark",
        "audit.jsonl.key",
        "metrics.token",
        "tokens.yaml",
        "users.yaml",
    ],
)
def test_a_fifo_among_the_files_ends_the_start_with_its_name(name: str, tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        NOWHERE,
        log={"file": str(tmp_path / "pgmcp.log")},
        audit={"file": str(tmp_path / "audit.jsonl")},
        metrics={"enabled": True, "token_file": str(tmp_path / "metrics.token")},
    )
    (tmp_path / "metrics.token").write_text("a-token-for-prometheus")
    (tmp_path / "tokens.yaml").write_text("tokens: []")
    (tmp_path / "audit.jsonl.key").write_text("ab" * 32)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    done = run(config, "-http")
    assert done.returncode == 1
    assert f"{tmp_path / name}: not a regular file" in done.stderr

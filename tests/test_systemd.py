"""Being a unit of systemd: sockets come in, readiness, reloads and life signs go out."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgmcp.errors import ConfigError
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.systemd import Notifier, take
from tests.databases import eventually
from tests.operated import operated
from tests.program import NOWHERE, command, write_config
from tests.serving import Reader, post, rpc, serving, until
from tools.postgres import free_port
from tools.serving import ROOT, environment

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_HAND_OVER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); "
    "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])"
)
"""What systemd does between fork and exec."""


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """The init system's end of the notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0", 1))
        sock.settimeout(20)
        yield sock


def received(sock: socket.socket) -> dict[str, str]:
    lines = sock.recv(4096).decode().split("\n")
    return dict(line.split("=", 1) for line in lines)


def next_but_alive(sock: socket.socket) -> dict[str, str]:
    """The next message that is not a life sign."""
    while True:
        message = received(sock)
        if message != {"WATCHDOG": "1"}:
            return message


def test_the_variables_are_taken_once_and_no_child_sees_them() -> None:
    environ = {
        "NOTIFY_SOCKET": "@name",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": "7",
        "LISTEN_PID": "8",
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "web",
        "HOME": "/",
    }
    handover = take(environ, pid=7)
    assert environ == {"HOME": "/"}
    assert handover.notifier == Notifier("@name", 3.0)
    assert handover.notifier.path == "\0name"
    assert handover.listeners == ()  # they were another process's


def test_a_number_of_sockets_that_nobody_hands_over_is_refused() -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS=99999999999"):
        take({"LISTEN_PID": "7", "LISTEN_FDS": "99999999999"}, pid=7)


@pytest.mark.parametrize(
    ("environ", "notifier"),
    [
        ({}, Notifier()),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, Notifier()),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "x"}, Notifier("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1000000"}, Notifier("/run/n", 1.0)),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}, Notifier()),
    ],
)
def test_what_is_not_meant_for_this_process_is_left_out(
    environ: dict[str, str], notifier: Notifier
) -> None:
    assert take(environ, pid=7).notifier == notifier


def test_nobody_who_listens_is_no_trouble(tmp_path: Path) -> None:
    Notifier().ready("x")
    Notifier(str(tmp_path / "missing")).ready("x")


def test_a_unit_s_life_is_told(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    config = write_config(tmp_path, NOWHERE, port=free_port())
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    with manager(address) as sock, operated(config, "-no-auth", environ=environ) as server:
        ready = next_but_alive(sock)
        assert (ready["READY"], ready["STATUS"][:18]) == ("1", "Serving on http://")
        until(lambda: received(sock) == {"WATCHDOG": "1"})
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.reload()
        reloading = next_but_alive(sock)
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) >= before
        assert next_but_alive(sock)["READY"] == "1"
        server.config.write_text("nonsense: 1")
        server.reload("not reloaded")
        assert next_but_alive(sock)["RELOADING"] == "1"
        assert next_but_alive(sock)["READY"] == "1"
        server.process.terminate()
        assert next_but_alive(sock)["STOPPING"] == "1"
        assert server.process.wait(20) == 0


def test_the_watchdog_hears_nothing_from_a_server_that_stands_still(tmp_path: Path) -> None:
    with serving() as served:
        until(served.server.answers)
        until(served.server.answers)  # going round is enough, also without requests
        served.server.stop(0)
        served.server.answers()
        assert not served.server.answers()


def test_the_watchdog_hears_nothing_when_requests_are_not_taken() -> None:
    release: list[bool] = []
    with serving(HttpLimits(workers=1, running=0)) as served:
        served.script.methods["ping"] = lambda params, call: until(lambda: release)
        with served.connect() as sock, served.connect() as other:
            sock.sendall(post(rpc("ping")))
            until(lambda: served.inflight.count)
            until(served.server.answers)
            other.sendall(post(rpc("ping")))
            until(served.server._workers.waiting)
            served.server.answers()
            time.sleep(0.3)
            assert not served.server.answers()
            release.append(True)
            assert Reader(sock).reply().status == 200


def test_sockets_that_were_handed_over_are_served(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, port=1)
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _HAND_OVER, str(listener.fileno())),
                    *command(config, "-http", "-no-auth"),
                ],
                cwd=ROOT,
                env=environment() | {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"},
                stderr=output,
                pass_fds=[listener.fileno()],
            )
        try:
            with socket.create_connection(listener.getsockname(), 20) as sock:
                sock.sendall(HEALTH)  # waits in the backlog until it is served
                assert Reader(sock).reply().status == 200
            port = listener.getsockname()[1]
            # The log is written by a thread of its own.
            assert eventually(lambda: f"Listening on http://127.0.0.1:{port}" in log.read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def test_a_handed_socket_that_cannot_be_served_ends_the_start(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, port=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unfit:
        done = subprocess.run(
            [
                *(sys.executable, "-c", _HAND_OVER, str(unfit.fileno())),
                *command(config, "-http", "-no-auth"),
            ],
            cwd=ROOT,
            env=environment() | {"LISTEN_FDS": "1"},
            capture_output=True,
            pass_fds=[unfit.fileno()],
            check=False,
            timeout=20,
        )
    assert done.returncode == 1
    assert b"ERROR: the socket" in done.stderr
    assert b"not a listening TCP socket" in done.stderr

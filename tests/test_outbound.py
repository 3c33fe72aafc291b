"""No connection goes anywhere but to the configured databases."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pgmcp.config.values import Host
from pgmcp.net.outbound import Outbound, OutboundRefusedError
from tests.operated import operated, text_of, tool
from tests.program import settings_of, write_config
from tests.serving import Reader
from tools.postgres import Server, free_port
from tools.serving import ROOT, environment

DATABASE = Host("db.example", 5432)
LOCAL = Host("/run/postgresql", 5432)
ABSTRACT = Host("@pg", 5433)


def connect(outbound: Outbound, address: object) -> None:
    outbound.audit("socket.connect", (None, address))


def test_a_host_may_be_reached_where_it_was_found_and_on_its_port_only() -> None:
    outbound = Outbound(lambda: [DATABASE])
    with pytest.raises(OutboundRefusedError):
        connect(outbound, ("192.0.2.7", 5432))
    outbound.allow(DATABASE, [("192.0.2.7", 5432), ("2001:db8:0::7", 5432, 0, 0)])
    connect(outbound, ("192.0.2.7", 5432))
    connect(outbound, ("2001:db8::7", 5432, 0, 0))
    for address in (("192.0.2.7", 80), ("192.0.2.8", 5432), ("db.example", 5432), (1, 2), ()):
        with pytest.raises(OutboundRefusedError):
            connect(outbound, address)


def test_sockets_in_the_file_system_are_reached_by_their_whole_path() -> None:
    outbound = Outbound(lambda: [LOCAL, ABSTRACT], fixed=["/run/notify"])
    connect(outbound, "/run/postgresql/.s.PGSQL.5432")
    connect(outbound, b"/run/postgresql/.s.PGSQL.5432")
    connect(outbound, "\0pg/.s.PGSQL.5433")
    outbound.audit("socket.sendto", (None, "/run/notify"))
    for path in ("/run/postgresql/.s.PGSQL.5433", "/run/docker.sock", "/run/notify2"):
        with pytest.raises(OutboundRefusedError):
            connect(outbound, path)


def test_only_configured_names_are_looked_up() -> None:
    outbound = Outbound(lambda: [DATABASE], names=["listen.example"])
    for name in ("db.example", "listen.example", "192.0.2.1", b"::1", "fe80::1%eth0", None, ""):
        outbound.audit("socket.getaddrinfo", (name, 1, 0, 0, 0))
    for event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        with pytest.raises(OutboundRefusedError, match="evil"):
            outbound.audit(event, ("evil.example", 1, 0, 0, 0))


def test_what_is_not_configured_any_more_is_forgotten() -> None:
    hosts = [DATABASE]
    outbound = Outbound(lambda: hosts)
    outbound.allow(DATABASE, [("192.0.2.7", 5432)])
    connect(outbound, ("192.0.2.7", 5432))
    hosts.clear()
    for _ in range(2):
        with pytest.raises(OutboundRefusedError):
            connect(outbound, ("192.0.2.7", 5432))
        hosts.append(DATABASE)


def test_where_a_host_was_lately_stays_allowed_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbound = Outbound(lambda: [DATABASE])
    for number in range(100):
        outbound.allow(DATABASE, [(f"192.0.2.{number}", 5432)])
    connect(outbound, ("192.0.2.99", 5432))
    connect(outbound, ("192.0.2.40", 5432))
    with pytest.raises(OutboundRefusedError):
        connect(outbound, ("192.0.2.1", 5432))
    assert "192.0.2.1 port 5432 is not configured" in caplog.text


def test_an_installed_hook_holds_whoever_asks() -> None:
    script = """
import json, os, socket, subprocess, urllib.request
from pgmcp.net.outbound import Outbound
listener = socket.create_server(("127.0.0.1", 0))
url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
Outbound(lambda: []).install()
said = []
def connect(): socket.create_connection(listener.getsockname())
def connect_ex(): socket.socket().connect_ex(listener.getsockname())
def fetch(): urllib.request.urlopen(url)
def send(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 53))
def look_up(): socket.getaddrinfo("example.com", 80)
def run(): subprocess.run(["true"])
def shell(): os.system("true")
def replace(): os.execv("/bin/true", ["true"])
def spawn(): os.posix_spawn("/bin/true", ["true"], {})
def name(): socket.getnameinfo(("192.0.2.1", 80), 0)
def reverse(): socket.gethostbyaddr("192.0.2.1")
connecting = (connect, connect_ex, fetch, send, look_up, name, reverse)
for attempt in (*connecting, run, shell, replace, spawn):
    try:
        attempt()
    except OSError as error:
        said.append(str(error))
a, b = socket.socketpair()
a.sendmsg([b"still works"])
listener.setblocking(False)
try:
    listener.accept()
except BlockingIOError:
    said.append("nobody came")
print(json.dumps(said))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    *refused, last = json.loads(done.stdout)
    assert len(refused) == 11
    assert all("is not configured: the connection was refused" in text for text in refused)
    assert last == "nobody came"


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: which connections are made is the same with each."""
    return newest_postgres


def test_the_program_reaches_its_database_and_refuses_code_that_goes_elsewhere(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    # What a dependency with other ideas would do, put into the process as a site's own module.
    (tmp_path / "sitecustomize.py").write_text(
        """
import os, socket, threading, time
def call_home():
    while True:
        time.sleep(0.05)
        try:
            socket.create_connection(("127.0.0.1", int(os.environ["HOME_PORT"])), 1).close()
        except PermissionError:
            pass
threading.Thread(target=call_home, daemon=True).start()
"""
    )
    port = free_port()
    config = write_config(tmp_path, settings_of(postgres, database), port=port)
    with socket.create_server(("127.0.0.1", 0)) as home:
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        environ = {"HOME_PORT": str(home.getsockname()[1]), "PYTHONPATH": path}
        with operated(config, "-no-auth", environ=environ) as server:
            place = (
                f"refused an outbound connection: the address 127.0.0.1 port {environ['HOME_PORT']}"
            )
            server.expect(place)
            home.setblocking(False)
            with suppress(BlockingIOError):
                while True:  # from before the hook was there
                    home.accept()[0].close()
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(tool("query_database", None, query="SELECT 41 + 1"))
                assert "42" in text_of(Reader(sock).reply())
            server.mark = server.log.stat().st_size
            server.expect(place)
            with pytest.raises(BlockingIOError):
                home.accept()

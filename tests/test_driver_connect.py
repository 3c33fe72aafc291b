"""Getting to PostgreSQL: hosts in order, TLS as libpq's sslmode says, and reasons that help."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.sslmode import Ssl, SslMode
from pgmcp.config.values import Host, Secret
from pgmcp.errors import CallEndedError, DatabaseUnavailableError
from pgmcp.net.wire import Wire, WireClosedError
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Step
from tests.certificates import Authority
from tests.conftest import StartPostgres
from tests.databases import connect, settings_for, unreachable
from tools.binaries import available
from tools.postgres import Server

ENCRYPTED = Step("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


def encrypted(
    server: Server,
    mode: SslMode,
    root: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    **changes: Any,
) -> bool:
    """Whether a connection made in this mode is encrypted, in the server's eyes."""
    ssl = Ssl(mode, root, cert, key)
    connection = connect(settings_for(server, ssl=ssl, **changes))
    try:
        outcome = connection.run([ENCRYPTED], Call(10), limit_bytes=10_000)
        assert connection.wire.tls == (outcome.replies[0].rows[0][0] == b"t")
        return connection.wire.tls
    finally:
        connection.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server(start_postgres: StartPostgres, authority: Authority) -> Server:
    """A server whose certificate names localhost, and not 127.0.0.1."""
    cert, key = authority.issue("localhost")
    for binaries in available():
        server = start_postgres(binaries=binaries)
        if server.psql("show ssl_library"):
            break
    else:
        pytest.skip("no PostgreSQL here was built with TLS")
    files = {"ssl_cert_file": cert, "ssl_key_file": key, "ssl_ca_file": authority.cert}
    for setting, file in files.items():
        path = server.write(f"{setting}.pem", file.read_bytes())
        server.psql(f"alter system set {setting} = '{path}'")
    server.psql("alter system set ssl = on")
    server.restart()
    return server


def test_a_server_without_tls_is_reached_by_the_modes_that_do_not_need_it(
    postgres: Server,
) -> None:
    plain = postgres.psql("show ssl") == "off"
    for mode in get_args(SslMode):
        if mode in ("disable", "allow", "prefer"):
            assert not (plain and encrypted(postgres, mode))
        elif plain:
            with pytest.raises(DatabaseUnavailableError, match=r"does not offer TLS|sslrootcert"):
                encrypted(postgres, mode)


def test_each_mode_encrypts_and_verifies_what_libpq_would(
    tls_server: Server, authority: Authority, tmp_path: Path
) -> None:
    by_name = (Host("localhost", tls_server.port),)
    other = Authority(tmp_path).cert
    assert not encrypted(tls_server, "disable")
    assert not encrypted(tls_server, "allow")
    assert encrypted(tls_server, "prefer")
    assert encrypted(tls_server, "require")
    assert encrypted(tls_server, "require", root=authority.cert)
    assert encrypted(tls_server, "verify-ca", root=authority.cert)
    assert encrypted(tls_server, "verify-full", root=authority.cert, hosts=by_name)
    for mode in get_args(SslMode)[3:]:
        with pytest.raises(DatabaseUnavailableError):
            encrypted(tls_server, mode, root=other, hosts=by_name)
    with pytest.raises(DatabaseUnavailableError):  # of another name
        encrypted(tls_server, "verify-full", root=authority.cert)
    with pytest.raises(DatabaseUnavailableError, match="needs sslrootcert"):
        encrypted(tls_server, "verify-ca")
    unix = (Host(tls_server.socket_dir, tls_server.port),)
    assert not encrypted(tls_server, "verify-full", root=authority.cert, hosts=unix)


def test_pg_hba_decides_for_allow_and_prefer(tls_server: Server, authority: Authority) -> None:
    hba = tls_server.data / "pg_hba.conf"
    good = hba.read_text()
    hba.write_text("local all all trust\nhostssl all all all scram-sha-256\n")
    _reload(tls_server)
    assert encrypted(tls_server, "allow")
    hba.write_text("local all all trust\nhostnossl all all all scram-sha-256\n")
    _reload(tls_server)
    assert not encrypted(tls_server, "prefer")
    with pytest.raises(DatabaseUnavailableError, match="28000"):
        encrypted(tls_server, "require")
    hba.write_text("hostssl all all all cert\n")
    _reload(tls_server)
    cert, key = authority.issue("postgres")
    assert encrypted(tls_server, "require", cert=cert, key=key)
    hba.write_text(good)
    _reload(tls_server)


def test_a_cancel_travels_over_tls_as_well(tls_server: Server) -> None:
    connection = connect(settings_for(tls_server, ssl=Ssl("require", None, None, None)))
    began = time.monotonic()
    with pytest.raises(CallEndedError):
        connection.run([Step("SELECT pg_sleep(60)")], Call(0.2), limit_bytes=1000)
    assert time.monotonic() - began < 20.0
    assert connection.closed


def test_a_unix_socket_is_found_by_its_directory(postgres: Server) -> None:
    connection = connect(settings_for(postgres, hosts=(Host(postgres.socket_dir, postgres.port),)))
    connection.close()


def test_hosts_are_tried_in_order_until_one_answers(postgres: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = (
            Host("127.0.0.1", 1),
            Host("no-such-host.invalid", 5432),
            Host("127.0.0.1", silent.getsockname()[1]),
            Host("localhost", postgres.port),
        )
        settings = settings_for(postgres, hosts=hosts, connect_timeout_seconds=0.5)
        connect(settings).close()


def test_every_place_that_failed_is_named_with_its_reason() -> None:
    hosts = (Host("127.0.0.1", 1), Host("no-such-host.invalid", 5432), Host("/nowhere", 5432))
    with pytest.raises(DatabaseUnavailableError) as caught:
        connect(unreachable(1, hosts=hosts))
    message = caught.value.message
    assert message.startswith("cannot connect to postgres@127.0.0.1:1,no-such-host.invalid")
    refused, missing = map(os.strerror, (errno.ECONNREFUSED, errno.ENOENT))
    for part in (f"127.0.0.1: {refused}", "no-such-host.invalid: ", missing):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"passwords": (None,)}, "asks for a password, and none is configured"),
        ({"passwords": (Secret("wrong-one"),)}, r"28P01"),
        ({"user": "nobody-here"}, r"28P01|28000"),
        ({"database": "nosuch"}, r'"nosuch".* \(SQLSTATE 3D000\)'),
    ],
)
def test_a_refusal_is_said_in_postgresqls_words_and_without_the_password(
    postgres: Server, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DatabaseUnavailableError, match=reason) as caught:
        connect(settings_for(postgres, **changes))
    assert "wrong-one" not in str(caught.value)
    assert postgres.password not in str(caught.value)


def test_something_that_is_not_postgresql_is_an_error() -> None:

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):  # the client has seen enough
                for _ in range(2):
                    line, _ = server.accept()
                    with line:
                        line.recv(100)
                        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(DatabaseUnavailableError, match="cannot connect"):
            connect(unreachable(server.getsockname()[1], connect_timeout_seconds=2.0))


def test_without_a_descriptor_left_the_database_is_unavailable_and_later_is_not(
    postgres: Server,
) -> None:
    connection = connect(settings_for(postgres))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for spare in range(2):  # none for the socket, and none for what wakes it
            taken = descriptors(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (taken, before[1]))
            with pytest.raises(DatabaseUnavailableError, match="no socket to be had here"):
                connect(settings_for(postgres))
            with pytest.raises(CallEndedError):  # no CancelRequest can be sent either
                cancelled_at_once(connection)
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            connection = connect(settings_for(postgres))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        connection.close()


def descriptors(spare: int) -> int:
    """The limit that leaves so many descriptors free."""
    lowest = [os.open(os.devnull, os.O_RDONLY) for _ in range(spare + 1)]
    for descriptor in lowest:
        os.close(descriptor)
    return lowest[-1]


def cancelled_at_once(connection: Connection) -> None:
    call = Call(10)
    call.cancel("nobody wants it")
    connection.run([Step("SELECT pg_sleep(1)")], call, limit_bytes=1000)


# The ssl module itself leaves the socket that it could not wrap to be collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_is_gone_before_the_handshake_is_a_closed_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    wire = Wire(sock)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    try:
        with pytest.raises(WireClosedError):
            wire.start_tls(ssl.create_default_context(), "localhost")
    finally:
        wire.close()


def test_the_kind_of_server_can_be_asked_for(postgres: Server) -> None:
    for wanted in ("any", "read-write", "primary", "prefer-standby"):
        connect(settings_for(postgres, target_session_attrs=wanted)).close()
    for wanted in ("read-only", "standby"):
        with pytest.raises(DatabaseUnavailableError, match=f"the server is not {wanted}"):
            connect(settings_for(postgres, target_session_attrs=wanted))


def _reload(server: Server) -> None:
    """Have the server read pg_hba.conf again, past any pg_hba.conf."""

    began = server.log.read_text().count("reloading configuration")
    os.kill(server.pid, signal.SIGHUP)
    deadline = time.monotonic() + 5
    while server.log.read_text().count("reloading configuration") == began:
        assert time.monotonic() < deadline
        time.sleep(0.01)

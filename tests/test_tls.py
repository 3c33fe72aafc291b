"""TLS: the pair that is shown, the pair that is refused, and clients that say nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from pgmcp.calls.call import Call
from pgmcp.config.tls import Tls
from pgmcp.errors import ConfigError
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.tls import ServerTls, load
from tests.serving import Reader, Served, post, rpc, serving, until

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def write_pair(folder: Path, authority: trustme.CA, name: str = "localhost") -> Tls:
    """A new certificate for `name`; the chain file holds what leads to the root."""
    issued = authority.issue_cert(name)
    certificate, *intermediates = issued.cert_chain_pems
    certificate.write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for pem in intermediates:
        pem.write_to_path(str(folder / "chain.pem"), append=True)
    chain = folder / "chain.pem" if intermediates else None
    return Tls(True, folder / "cert.pem", folder / "key.pem", chain)


@contextmanager
def dial(
    served: Served, authority: trustme.CA, version: ssl.TLSVersion | None = None
) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with (
        served.connect() as sock,
        context.wrap_socket(
            sock, server_hostname="localhost", suppress_ragged_eofs=False
        ) as secure,
    ):
        yield secure


def serial(served: Served, authority: trustme.CA) -> object:
    with dial(served, authority) as sock:
        certificate = sock.getpeercert()
        assert certificate
        return certificate["serialNumber"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_are_served_over_tls(tmp_path: Path, version: ssl.TLSVersion) -> None:
    authority = trustme.CA()
    tls = ServerTls(write_pair(tmp_path, authority))
    with serving(tls=tls.context) as served, dial(served, authority, version) as sock:
        reader = Reader(sock)
        sock.sendall(HEALTH + post(rpc()))
        assert [reader.reply().status, reader.reply().status] == [200, 200]
        text = "x" * 1_000_000
        sock.sendall(post(rpc("tools/call", {"t": text})))
        assert reader.reply().json["result"]["t"] == text
        sock.sendall(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert reader.reply().closes
        assert reader.ended()  # with a close_notify: an SSLEOFError otherwise


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_versions_are_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ServerTls(write_pair(tmp_path, authority))
    assert tls.context().minimum_version == ssl.TLSVersion.TLSv1_2
    with (
        serving(tls=tls.context) as served,
        pytest.raises((ssl.SSLError, ConnectionError)),
        dial(served, authority, ssl.TLSVersion.TLSv1_1),
    ):
        pass


def test_the_chain_file_leads_to_the_root(tmp_path: Path) -> None:
    root = trustme.CA()
    config = write_pair(tmp_path, root.create_child_ca())
    with serving(tls=ServerTls(config).context) as served, dial(served, root) as sock:
        sock.sendall(HEALTH)
        assert Reader(sock).reply().status == 200
    alone = Tls(True, config.cert_file, config.key_file, None)
    with (
        serving(tls=ServerTls(alone).context) as served,
        pytest.raises(ssl.SSLCertVerificationError),
        dial(served, root),
    ):
        pass


def test_a_chain_joins_a_certificate_without_a_last_line_end(tmp_path: Path) -> None:
    config = write_pair(tmp_path, trustme.CA().create_child_ca())
    assert config.cert_file is not None
    config.cert_file.write_bytes(config.cert_file.read_bytes().rstrip())
    load(config)


def test_a_new_pair_is_shown_to_new_clients_and_a_broken_one_to_nobody(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ServerTls(write_pair(tmp_path, authority))
    with serving(tls=tls.context) as served, dial(served, authority) as old:
        first = serial(served, authority)
        write_pair(tmp_path, authority)
        assert serial(served, authority) == first
        tls.reload()
        second = serial(served, authority)
        assert second != first
        (tmp_path / "cert.pem").write_text("half a certif")
        with pytest.raises(ConfigError):
            tls.reload()
        assert serial(served, authority) == second
        old.sendall(HEALTH)
        assert Reader(old).reply().status == 200


def test_pairs_that_are_no_good_are_named(tmp_path: Path) -> None:
    good = write_pair(tmp_path, trustme.CA())
    other = tmp_path / "other"
    other.mkdir()
    unrelated = write_pair(other, trustme.CA())
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    missing = tmp_path / "missing.pem"
    for config, words in {
        Tls(True, None, good.key_file, None): "-cert",
        Tls(True, good.cert_file, None, None): "-key",
        Tls(True, missing, good.key_file, None): "cannot read the TLS certificate .*missing.pem",
        Tls(True, good.cert_file, missing, None): "cannot read the TLS key .*missing.pem",
        Tls(True, good.cert_file, good.key_file, missing): "cannot read the TLS chain",
        Tls(True, good.cert_file, unrelated.key_file, None): "key does not belong",
        Tls(True, nothing, good.key_file, None): "nothing.pem",
        Tls(True, good.cert_file, nothing, None): "nothing.pem",
        Tls(True, good.cert_file, good.key_file, nothing): "nothing.pem",
    }.items():
        with pytest.raises(ConfigError, match=words) as caught:
            ServerTls(config)
        assert caught.value.hint


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    config = write_pair(tmp_path, trustme.CA())
    assert config.key_file is not None
    key = pem.load_pem_private_key(config.key_file.read_bytes(), None)
    config.key_file.write_bytes(
        key.private_bytes(
            pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(ConfigError, match="is encrypted"):
        load(config)


def test_silent_clients_delay_nobody_and_are_closed(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ServerTls(write_pair(tmp_path, authority))
    limits = HttpLimits(handshake_seconds=0.5)
    with serving(limits, tls.context) as served, ExitStack() as stack:
        silent = [stack.enter_context(served.connect()) for _ in range(50)]
        for sock in silent[::2]:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the start of a ClientHello
        with dial(served, authority) as sock:
            sock.sendall(HEALTH)
            assert Reader(sock).reply().status == 200
        for sock in silent:
            assert Reader(sock).ended()
        until(lambda: not served.server.open_connections)


def test_plain_http_on_the_tls_port_is_told_so(tmp_path: Path) -> None:
    tls = ServerTls(write_pair(tmp_path, trustme.CA()))
    with serving(tls=tls.context) as served, served.connect() as sock:
        sock.sendall(HEALTH)
        reply = Reader(sock).reply()
        assert (reply.status, reply.closes) == (400, True)
        assert "https://" in reply.json["error"]


NOW = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def write_dated(folder: Path, begins: datetime, ends: datetime) -> Tls:
    issued = trustme.CA().issue_cert("localhost", not_before=begins, not_after=ends)
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return Tls(True, folder / "cert.pem", folder / "key.pem", None)


def test_a_pair_that_is_not_valid_now_is_shown_when_there_is_none_better(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for begins, ends, words in (
        (NOW - 3 * DAY, NOW - DAY, "expired on 2026-06-30"),
        (NOW + DAY, NOW + 3 * DAY, "is not valid before 2026-07-02 00:00 UTC"),
    ):
        tls = ServerTls(write_dated(tmp_path, begins, ends), clock=lambda: NOW)
        tls.reload()  # it replaces one that is no better
        assert len(caplog.records) == 2
        for record in caplog.records:
            assert record.levelname == "ERROR"
            assert words in record.getMessage()
            assert str(tmp_path / "cert.pem") in record.getMessage()
        caplog.clear()


def test_a_pair_that_is_not_valid_now_does_not_replace_one_that_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [NOW]
    tls = ServerTls(write_dated(tmp_path, NOW - DAY, NOW + 2 * DAY), clock=lambda: now[0])
    good = tls.context()
    write_dated(tmp_path, NOW - 3 * DAY, NOW - DAY)
    with pytest.raises(ConfigError, match=r"expired on .*still valid, and stays"):
        tls.reload()
    config = write_dated(tmp_path, NOW + DAY, NOW + 9 * DAY)
    with pytest.raises(ConfigError, match=r"not valid before .*still valid, and stays"):
        tls.reload()
    with pytest.raises(ConfigError, match="still valid, and stays"):
        ServerTls(config, tls, clock=lambda: NOW)
    assert tls.context() is good
    now[0] = NOW + DAY
    tls.reload()  # its time has come
    assert tls.context() is not good
    assert not caplog.records


def test_an_old_pair_that_has_expired_itself_makes_way(tmp_path: Path) -> None:
    now = [NOW]
    tls = ServerTls(write_dated(tmp_path, NOW - DAY, NOW + DAY), clock=lambda: now[0])
    old = tls.context()
    write_dated(tmp_path, NOW - 3 * DAY, NOW - DAY)
    now[0] = NOW + 2 * DAY
    tls.reload()
    assert tls.context() is not old


def test_a_context_leaves_no_file_behind(tmp_path: Path) -> None:
    config = write_pair(tmp_path, trustme.CA())
    folder = tmp_path / "temporary"
    folder.mkdir()
    script = (
        "import sys; from pathlib import Path; from pgmcp.config.tls import Tls; "
        "from pgmcp.transport.tls import load; "
        "load(Tls(True, Path(sys.argv[1]), Path(sys.argv[2]), None))"
    )
    command = [sys.executable, "-c", script, str(config.cert_file), str(config.key_file)]
    environment = {"TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run(command, env=environment, check=True, timeout=30)
    assert list(folder.iterdir()) == []


def test_a_client_that_hangs_up_over_tls_is_noticed(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ServerTls(write_pair(tmp_path, authority))
    params = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
    reasons: list[str | None] = []
    with serving(tls=tls.context) as served:

        def wait(params: Any, call: Call) -> None:
            until(lambda: call.cancelled)
            reasons.append(call.cancelled)

        served.script.methods["wait"] = wait
        with dial(served, authority) as sock:
            sock.sendall(post(rpc("wait", params)))
            until(lambda: served.inflight.count)
            sock.shutdown(socket.SHUT_RDWR)
        until(lambda: reasons)
        assert reasons == ["the client disconnected"]

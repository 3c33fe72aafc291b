"""Clients' certificates, and certificates that change while the program serves."""

from __future__ import annotations

import datetime
import json
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from pgmcp.config.load import load
from pgmcp.config.model import Config
from pgmcp.errors import ConfigError
from tests.operated import Operated, operated
from tests.program import NOWHERE, add_token, command, write_config
from tests.serving import Reader, Reply, post, rpc, until
from tools.postgres import free_port
from tools.serving import ROOT, environment

LIST = rpc("tools/list")


class Site:
    """A server's folder: its certificate, its authority for clients, its configuration."""

    def __init__(self, folder: Path, **tls: object) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority = trustme.CA()
        self.clients = trustme.CA()
        self.show(self.authority)
        (folder / "clients.pem").write_bytes(self.clients.cert_pem.bytes())
        self.config = write_config(folder, NOWHERE, port=self.port)
        settings = json.loads(self.config.read_text())
        settings["http"]["tls"] = {
            "enabled": True,
            "cert_file": "cert.pem",
            "key_file": "key.pem",
            **tls,
        }
        self.config.write_text(json.dumps(settings))
        self.token = add_token(self.config, "tests")
        tokens = folder / "tokens.yaml"
        tokens.write_text(re.sub(r"token-\d+", "token-1", tokens.read_text()))

    def show(self, authority: trustme.CA, folder: Path | None = None) -> None:
        """Write a new pair for localhost."""
        issued = authority.issue_cert("localhost")
        where = folder or self.folder
        issued.private_key_pem.write_to_path(str(where / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(where / "cert.pem"))

    def client(
        self, authority: trustme.CA | None = None, name: str = "app1", **options: object
    ) -> ssl.SSLContext:
        """A client that trusts the server, with a certificate of `authority` if it has one."""
        options = {
            "common_name": name,
            "organization_name": "Example",
            "organization_unit_name": "apps",
        } | options
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if authority is not None:
            issued = authority.issue_cert("client@example.com", **options)  # type: ignore[arg-type]
            issued.configure_cert(context)
        return context

    @contextmanager
    def dial(
        self, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(("127.0.0.1", self.port), 20) as sock,
            context.wrap_socket(sock, server_hostname="localhost", session=session) as secure,
        ):
            yield secure

    def ask(self, context: ssl.SSLContext, token: str | None = None) -> Reply:
        with self.dial(context) as sock:
            sock.sendall(post(LIST, token=token))
            return Reader(sock).reply()

    def serial(self) -> object:
        with self.dial(self.client()) as sock:
            found = sock.getpeercert()
            assert found
            return found["serialNumber"]


SUBJECTS = {"CN=app1, OU=apps,O=Example": "token-1", "CN=gone,OU=apps,O=Example": "token-9"}


@pytest.fixture
def optional(tmp_path: Path) -> Iterator[tuple[Site, Operated]]:
    site = Site(tmp_path, client_ca_file="clients.pem", client_subjects=SUBJECTS)
    with operated(site.config) as server:
        yield site, server


def test_a_certificate_acts_as_its_token_until_the_token_is_removed(
    optional: tuple[Site, Operated],
) -> None:
    site, server = optional
    with site.dial(site.client(site.clients)) as sock:
        reader = Reader(sock)
        sock.sendall(post(LIST, token=None))
        assert reader.reply().status == 200
        server.expect('token="token-1"')
        sock.sendall(post(LIST, token="wrong"))
        assert reader.reply().status == 401  # what was sent must be valid
        sock.sendall(post(LIST, token=site.token))
        assert reader.reply().status == 200
        (site.folder / "tokens.yaml").write_text("tokens: []")
        server.expect("token ended")
        sock.sendall(post(LIST, token=None))
        assert reader.reply().status == 401


def test_without_a_mapped_certificate_a_client_is_anonymous(
    optional: tuple[Site, Operated],
) -> None:
    site, _ = optional
    for context in (
        site.client(),
        site.client(site.clients, organization_unit_name="others"),
        site.client(site.clients, "App1"),
        site.client(site.clients, "app1,OU=apps"),
        site.client(site.clients, "gone"),
    ):
        assert site.ask(context).status == 401
        assert site.ask(context, site.token).status == 200


def test_certificates_of_other_authorities_and_old_ones_do_not_get_in(
    optional: tuple[Site, Operated],
) -> None:
    site, _ = optional
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    for context in (
        site.client(trustme.CA()),
        site.client(site.authority),
        site.client(site.clients, not_after=past),
    ):
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            site.ask(context, site.token)


def test_a_certificate_that_expires_on_an_open_connection_ends_to_count(
    optional: tuple[Site, Operated],
) -> None:
    site, _ = optional
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    context = site.client(site.clients, not_after=soon)
    with site.dial(context) as sock:
        reader = Reader(sock)

        def status() -> int:
            sock.sendall(post(LIST, token=None))
            return reader.reply().status

        assert status() == 200
        until(lambda: status() == 401)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("auth", ["optional", "require"])
def test_no_session_is_resumed_past_the_check(
    tmp_path: Path, version: ssl.TLSVersion, auth: str
) -> None:
    """Python's client offers the session as `openssl s_client -sess_in` does."""
    site = Site(tmp_path, client_ca_file="clients.pem", client_auth=auth, client_subjects=SUBJECTS)
    context = site.client(site.clients)
    context.minimum_version = context.maximum_version = version
    with operated(site.config), site.dial(context) as first:
        first.sendall(post(LIST, token=None))
        assert Reader(first).reply().status == 200
        session = first.session  # OpenSSL forgets it when its connection ends without a goodbye
        assert session is None or not session.has_ticket
        for _ in range(2):  # a client that keeps sessions is served, from the beginning
            with site.dial(context, session) as sock:
                sock.sendall(post(LIST, token=None))
                assert Reader(sock).reply().status == 200
                assert not sock.session_reused
        # A session belongs to its context, so the context gets a certificate that acts as nobody.
        issued = site.clients.issue_cert("nobody@example.com", common_name="nobody")
        issued.configure_cert(context)
        with site.dial(context, session) as sock:
            sock.sendall(post(LIST, token=None))
            assert Reader(sock).reply().status == 401


def test_required_certificates_are_required(tmp_path: Path) -> None:
    site = Site(
        tmp_path, client_ca_file="clients.pem", client_auth="require", client_subjects=SUBJECTS
    )
    with operated(site.config):
        assert site.ask(site.client(site.clients)).status == 200
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            site.ask(site.client(), site.token)


def test_clients_of_an_authority_that_has_gone_must_connect_again(
    optional: tuple[Site, Operated],
) -> None:
    site, server = optional
    with site.dial(site.client(site.clients)) as sock:
        sock.sendall(post(LIST, token=None))
        reader = Reader(sock)
        assert reader.reply().status == 200
        (site.folder / "clients.pem").write_bytes(trustme.CA().cert_pem.bytes())
        server.expect("Reloaded")
        assert reader.ended()
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        site.ask(site.client(site.clients))


def test_subjects_are_reloaded(optional: tuple[Site, Operated]) -> None:
    site, server = optional
    settings = json.loads(site.config.read_text())
    settings["http"]["tls"]["client_subjects"] = {"CN=app2,OU=apps,O=Example": "token-1"}
    server.settings(http=settings["http"])
    server.reload()
    assert site.ask(site.client(site.clients)).status == 401
    assert site.ask(site.client(site.clients, "app2")).status == 200


def test_a_new_pair_is_taken_and_a_broken_one_is_not(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with operated(site.config) as server:
        first = site.serial()
        server.mark = server.log.stat().st_size
        site.show(site.authority)
        server.expect("Reloaded")
        second = site.serial()
        assert second != first
        server.mark = server.log.stat().st_size
        (tmp_path / "key.pem").write_text("nonsense")
        assert "cannot be used" in server.expect("Failed to reload")
        assert site.serial() == second
        settings = json.loads(site.config.read_text())
        server.settings(**settings, max_connections_total=9)
        server.reload("nothing has changed")
        server.mark = server.log.stat().st_size
        site.show(site.authority)
        server.expect("Reloaded")
        assert site.serial() not in (first, second)


def test_a_folder_of_links_that_is_swapped_is_noticed(tmp_path: Path) -> None:
    """As Kubernetes does it: every file is a link through one that is renamed over the old one."""
    site = Site(tmp_path, cert_file="mount/cert.pem", key_file="mount/key.pem")
    mount = tmp_path / "mount"
    mount.mkdir()
    for version in ("..1", "..2"):
        (mount / version).mkdir()
        site.show(site.authority, mount / version)
    (mount / "..data").symlink_to("..1")
    for name in ("cert.pem", "key.pem"):
        (mount / name).symlink_to(f"..data/{name}")
    with operated(site.config) as server:
        first = site.serial()
        server.mark = server.log.stat().st_size
        (mount / "..new").symlink_to("..2")
        (mount / "..new").rename(mount / "..data")
        server.expect("Reloaded")
        assert site.serial() != first
        assert "Failed" not in server.log.read_text()


def test_other_files_are_followed_after_a_reload(tmp_path: Path) -> None:
    site = Site(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    site.show(site.authority, other)
    with operated(site.config) as server:
        first = site.serial()
        settings = json.loads(site.config.read_text())
        settings["http"]["tls"] |= {"cert_file": "other/cert.pem", "key_file": "other/key.pem"}
        server.settings(http=settings["http"])
        assert "http.tls.cert_file" in server.reload()
        second = site.serial()
        assert second != first
        server.mark = server.log.stat().st_size
        (tmp_path / "key.pem").write_text("nobody looks at this one any more")
        site.show(site.authority, other)
        server.expect("Reloaded")
        assert site.serial() != second
        assert str(tmp_path / "key.pem") not in server.log.read_bytes()[server.mark :].decode()


def test_new_pairs_under_load_break_no_request(tmp_path: Path) -> None:
    site = Site(tmp_path, client_ca_file="clients.pem", client_subjects=SUBJECTS)
    context, over = site.client(site.clients), threading.Event()
    wrong: list[object] = []

    def call() -> None:
        while not over.is_set():
            try:
                if site.ask(context).status != 200:
                    wrong.append("status")
            except (OSError, EOFError) as error:
                wrong.append(error)

    with operated(site.config) as server:
        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for _ in range(3):
            server.mark = server.log.stat().st_size
            site.show(site.authority)
            server.expect("Reloaded")
        over.set()
        for caller in callers:
            caller.join(20)
    # A fresh connection may be closed as an idle one at the very moment of the change.
    assert len([each for each in wrong if each == "status"]) == 0
    assert len(wrong) <= 12


def loaded(folder: Path, **tls: object) -> Config:
    config = write_config(folder, NOWHERE)
    settings = json.loads(config.read_text())
    pair = {"enabled": True, "cert_file": "c", "key_file": "k"}
    settings["http"]["tls"] = pair | tls
    config.write_text(json.dumps(settings))
    return load({"config": str(config), "http": True}, {"HOME": "/"}, folder, None)


def test_subjects_are_read_in_any_spelling(tmp_path: Path) -> None:
    tls = loaded(
        tmp_path, client_ca_file="ca", client_subjects={"cn=a.b , o=c": "token-1"}
    ).http.tls
    assert tls.client_subjects == (("CN=a.b,O=c", "token-1"),)
    assert tls.client_auth == "optional"
    assert tls.client_ca_file == tmp_path / "ca"
    assert loaded(tmp_path).http.tls.client_auth == "none"


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"client_auth": "require"}, "client_ca_file is missing"),
        ({"client_auth": "sometimes"}, "client_auth"),
        ({"client_subjects": {"CN=a": "token-1"}}, "no effect"),
        ({"client_ca_file": "ca", "client_subjects": {"app": "token-1"}}, "it is no subject"),
        ({"client_ca_file": "ca", "client_subjects": {"CN=a": "1", "cn=a": "2"}}, "twice"),
        ({"client_ca_file": "ca", "client_subjects": {"CN=a": 7}}, "client_subjects.CN=a"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(
    tmp_path: Path, tls: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        loaded(tmp_path, **tls)


def test_an_authority_without_a_certificate_ends_the_start(tmp_path: Path) -> None:
    site = Site(tmp_path, client_ca_file="clients.pem")
    (tmp_path / "clients.pem").write_text("nothing")
    done = subprocess.run(
        command(site.config, "-http"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert b"holds no certificate that can be read" in done.stderr

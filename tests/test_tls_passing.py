"""Certificates that cannot be taken for a while, in a program that goes on serving."""

from __future__ import annotations

import datetime
import os
import resource
import ssl
from pathlib import Path

import pytest

from tests.operated import operated
from tests.test_tls_clients import Site


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """No descriptors are left while a new pair and new tokens are put in place."""
    site = Site(tmp_path)
    with operated(site.config) as server:
        first = site.serial()
        server.mark = server.log.stat().st_size
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        site.show(site.authority)
        (site.folder / "tokens.yaml").write_text("tokens: []")
        assert "too many open files" in server.expect("Failed to reload " + str(tmp_path / "cert"))
        server.expect("Failed to reload " + str(tmp_path / "tokens"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        server.expect("Reloaded " + str(tmp_path / "cert"))
        server.expect("Reloaded " + str(tmp_path / "tokens"))
        assert site.serial() != first
        assert site.ask(site.client(), site.token).status == 401
        failures = [line for line in server.log.read_text().splitlines() if "Failed" in line]
        assert len(failures) == 2


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "clients.pem"])
def test_a_fifo_in_place_of_a_file_holds_up_neither_tokens_nor_the_end(
    tmp_path: Path, name: str
) -> None:
    site = Site(tmp_path, client_ca_file="clients.pem")
    with operated(site.config) as server:
        assert site.ask(site.client(), site.token).status == 200
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        assert "not a regular file" in server.expect("Failed to reload")
        (tmp_path / "tokens.yaml").write_text("tokens: []")
        server.expect("token ended")
        assert site.ask(site.client(), site.token).status == 401
        server.reload("nothing has changed")
        server.process.terminate()
        assert server.process.wait(20) == 0


def test_an_expired_pair_is_served_at_the_start_and_replaces_no_valid_one(tmp_path: Path) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    site = Site(tmp_path)
    valid = {name: (tmp_path / name).read_bytes() for name in ("key.pem", "cert.pem")}
    issued = site.authority.issue_cert("localhost", not_after=past)
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    expired = {name: (tmp_path / name).read_bytes() for name in ("key.pem", "cert.pem")}
    with operated(site.config) as server:
        assert "expired on" in server.expect("Clients will refuse to connect")
        with pytest.raises(ssl.SSLCertVerificationError):
            site.serial()
        for name, data in valid.items():
            (tmp_path / name).write_bytes(data)
        server.expect("Reloaded")
        good = site.serial()
        server.mark = server.log.stat().st_size
        for name, data in expired.items():
            (tmp_path / name).write_bytes(data)
        assert "still valid, and stays" in server.expect("Failed to reload")
        assert "still valid, and stays" in server.reload("nothing has changed")
        assert site.serial() == good

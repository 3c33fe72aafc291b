"""-check: what would work and what would not, each with what to do next."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from pgmcp.cli.database_findings import database_findings
from pgmcp.cli.finding import Finding, error, ok, render
from pgmcp.cli.http_findings import address_findings, certificate_findings, subject_findings
from pgmcp.cli.server_findings import attenuation_findings, file_findings, unseen_findings
from pgmcp.config.load import load
from pgmcp.config.model import Config
from pgmcp.config.tls import Tls
from pgmcp.config.values import Address, Secret
from pgmcp.errors import FileError
from pgmcp.transport.certificate import certificates
from tests import admin_commands
from tests.databases import settings_for, unreachable
from tests.observing import run
from tests.operated import operated
from tests.program import NOWHERE, add_token, write_config
from tests.test_check_observing import without_rights
from tools.postgres import Server, free_port

NOW = datetime(2026, 7, 1, tzinfo=UTC)
EARLY = datetime(1955, 1, 1, tzinfo=UTC)
PRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def described(data: bytes, origin: str) -> str:
    if data == b"bad":
        raise FileError("not a token file", "Write another.", origin=origin)
    return f"{len(data)} bytes"


def with_time(tag: str, text: str) -> bytes:
    """The outline of a certificate that is valid from then until then."""

    def item(tag: str, content: str) -> str:
        return f"{tag}{chr(len(content))}{content}"

    time = item(tag, text)
    number, sequence = item("\x02", "1"), item("0", "")
    fields = [number, sequence, sequence, item("0", time + time), sequence]
    return item("0", item("0", "".join(fields))).encode("latin-1")


def test_the_outline_is_read_when_its_time_can_be() -> None:
    (found,) = certificates(ssl.DER_cert_to_PEM_cert(with_time("\x18", "20260701000000Z")).encode())
    assert found.ends == NOW


def statuses(findings: list[Finding]) -> list[str]:
    return [finding.status for finding in findings]


def test_a_finding_is_a_line_and_its_next_step_stands_below() -> None:
    assert render(ok("a", "b"))[0].split() == ["ok", "a", "b"]
    lines = render(error("a", "b", "do\nthis\n"))
    assert [line.strip() for line in lines[1:]] == ["do", "this"]


def test_a_credential_file_is_missing_open_to_others_or_wrong(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"

    def look(*, required: bool = True) -> list[Finding]:
        return list(file_findings("token file", path, described, "-add-token", required=required))

    assert statuses(look()) == ["error"]
    assert statuses(look(required=False)) == ["warning"]
    assert "-add-token" in look()[0].next_step
    path.write_bytes(b"good")
    path.chmod(0o644)
    assert statuses(look()) == ["ok", "warning"]
    assert f"chmod 600 {path}" in look()[1].next_step
    path.chmod(0o600)
    assert statuses(look()) == ["ok"]
    path.write_bytes(b"bad")
    assert statuses(look()) == ["error"]


def pair(folder: Path, authority: trustme.CA | None = None, **options: object) -> Tls:
    """A certificate that is valid for long, unless options say otherwise, and its key."""
    cert, key, chain = folder / "cert.pem", folder / "key.pem", folder / "chain.pem"
    times = {"not_before": NOW - timedelta(days=400), "not_after": NOW + timedelta(days=90)}
    authority = authority or trustme.CA()
    issued = authority.issue_cert("localhost", **(times | options))  # type: ignore[arg-type]
    issued.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    first, *more = issued.cert_chain_pems
    first.write_to_path(str(cert))
    chain.write_bytes(b"".join(blob.bytes() for blob in more))
    return Tls(True, cert, key, chain if more else None)


@pytest.mark.parametrize(("days", "status"), [(90, "ok"), (10, "warning"), (-1, "error")])
def test_a_certificate_is_valid_ends_soon_or_has_ended(
    tmp_path: Path, days: int, status: str
) -> None:
    ends = NOW + timedelta(days=days)
    (found,) = certificate_findings(pair(tmp_path, not_after=ends), NOW)
    assert found.status == status
    assert f"{ends:%Y-%m-%d}" in found.message


def test_a_certificate_that_is_not_valid_yet_is_an_error(tmp_path: Path) -> None:
    (found,) = certificate_findings(pair(tmp_path, not_before=NOW + timedelta(hours=1)), NOW)
    assert found.status == "error"
    assert "not valid before 2026-07-01 01:00" in found.message


def test_a_key_that_others_can_use_is_told(tmp_path: Path) -> None:
    tls = pair(tmp_path)
    assert tls.key_file is not None
    for mode, wanted in ((0o640, 0o640), (0o644, 0o640)) if os.getuid() == 0 else ((0o640, 0o600),):
        tls.key_file.chmod(mode)
        told = [found.next_step for found in certificate_findings(tls, NOW)][1:]
        assert told == ([] if mode == wanted else [f"chmod {wanted:o} {tls.key_file}"])


def test_a_chain_that_is_anothers_or_has_expired_is_told(tmp_path: Path) -> None:
    root = trustme.CA()
    tls = pair(tmp_path, root.create_child_ca())
    assert tls.chain_file is not None
    assert statuses(list(certificate_findings(tls, NOW))) == ["ok"]
    soon = datetime.now(UTC) + timedelta(days=365 * 1000)  # what trustme's authorities never see
    assert statuses(list(certificate_findings(tls, soon)))[1:] == ["warning"]
    tls.chain_file.write_bytes(trustme.CA().cert_pem.bytes())
    _, found = certificate_findings(tls, NOW)
    assert (found.status, found.subject) == ("warning", "chain")
    assert "issuer" in found.message


def test_an_expired_certificate_behind_the_servers_is_told(tmp_path: Path) -> None:
    tls = pair(tmp_path)
    old = trustme.CA().issue_cert("x", not_before=EARLY, not_after=NOW - timedelta(days=1))
    assert tls.cert_file is not None
    with tls.cert_file.open("ab") as file:
        file.write(old.cert_chain_pems[0].bytes())
    assert statuses(list(certificate_findings(tls, NOW))) == ["ok", "warning"]


def test_a_form_that_only_openssl_reads_is_told(tmp_path: Path) -> None:
    tls = pair(tmp_path)
    assert tls.cert_file is not None
    pem = tls.cert_file.read_text()
    tls.cert_file.write_text(pem.replace(" CERTIFICATE", " X509 CERTIFICATE"))
    (found,) = certificate_findings(tls, NOW)
    assert found.status == "warning"
    assert "dates cannot be read" in found.message


def test_an_authority_for_clients_that_has_expired_is_told(tmp_path: Path) -> None:
    authority = trustme.CA()
    (tmp_path / "clients.pem").write_bytes(authority.cert_pem.bytes())
    tls = dataclasses.replace(
        pair(tmp_path), client_ca_file=tmp_path / "clients.pem", client_auth="optional"
    )
    assert statuses(list(certificate_findings(tls, NOW))) == ["ok"]
    never = datetime.now(UTC) + timedelta(days=365 * 1000)
    assert list(certificate_findings(tls, never))[-1].subject == "client authority"


@pytest.mark.parametrize("kind", ["cert_file", "key_file"])
def test_a_fifo_in_place_of_a_file_does_not_hold_the_check(tmp_path: Path, kind: str) -> None:
    tls = pair(tmp_path)
    path = getattr(tls, kind)
    path.unlink()
    os.mkfifo(path)
    (found,) = certificate_findings(tls, NOW)
    assert found.status == "error"
    assert f"{path}: not a regular file" in found.message


def test_an_address_is_free_in_use_or_not_ours() -> None:
    (found,) = address_findings(Address("127.0.0.1", 0))
    assert found.status == "ok"
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        (found,) = address_findings(Address("127.0.0.1", port))
        assert found.status == "warning"
        assert f"127.0.0.1:{port} is in use by another process" in found.message
        assert "running already" in found.next_step
    (found,) = address_findings(Address("127.0.0.1", port))  # and nothing listens afterwards
    assert found.status == "ok"
    (found,) = address_findings(Address("192.0.2.1", 8080))  # TEST-NET-1
    assert found.status == "error"
    (found,) = address_findings(Address("no.such.host.invalid", 8080))
    assert found.status == "error"


@pytest.mark.skipif(
    not PRIVILEGED.exists() or int(PRIVILEGED.read_text()) == 0, reason="no port needs a privilege"
)
def test_a_port_that_needs_a_privilege_is_told() -> None:
    with without_rights():
        (found,) = address_findings(Address("127.0.0.1", 1))
    assert found.status == "warning"
    assert "may not listen on this port" in found.message
    assert "systemd" in found.next_step


def serving_config(folder: Path, **http: object) -> Config:
    path = write_config(folder, NOWHERE, port=free_port())
    settings = json.loads(path.read_text())
    settings["http"] |= http
    path.write_text(json.dumps(settings))
    return load({"config": str(path)}, {"HOME": "/"}, folder, None)


def test_a_subject_that_acts_as_no_token_is_told(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    tls = {
        "enabled": True,
        "cert_file": "c",
        "key_file": "k",
        "client_ca_file": "ca",
        "client_subjects": {f"CN={name}": f"token-{name}" for name in ("1", "2", "3")},
    }
    config = serving_config(tmp_path, enabled=True, tls=tls)
    assert list(subject_findings(config.http, NOW)) == []  # there is no file, which is said of it
    made = {"note": "", "created_at": "2026-01-01T00:00:00Z"}
    tokens = [
        {"id": "token-1", "hash": digest, "expires_at": None, **made},
        {"id": "token-2", "hash": digest[::-1], "expires_at": "2026-06-01T00:00:00Z", **made},
    ]
    config.http.auth.token_file.write_text(json.dumps({"tokens": tokens}))
    found = list(subject_findings(config.http, NOW))
    assert statuses(found) == ["warning", "warning"]
    assert "CN=2 acts as token-2" in found[0].message
    assert "CN=3 acts as token-3" in found[1].message
    config.http.auth.token_file.write_text("]")
    assert list(subject_findings(config.http, NOW)) == []  # said of the file


def test_the_key_of_attenuable_tokens_is_looked_at_where_there_are_some(tmp_path: Path) -> None:
    config = admin_commands.configuration(tmp_path)
    auth = config.http.auth
    details: dict[str, str | bool] = {"token-note": "n", "token-expiry": "never"}
    assert list(attenuation_findings(auth)) == []
    admin_commands.run(config, "add-token", details)
    assert list(attenuation_findings(auth)) == []
    admin_commands.run(config, "add-token", details | {"attenuable": True})
    assert statuses(list(attenuation_findings(auth))) == ["ok"]
    auth.attenuation_key_file.chmod(0o640)
    assert statuses(list(attenuation_findings(auth))) == ["ok", "warning"]
    auth.attenuation_key_file.chmod(0o602)
    assert statuses(list(attenuation_findings(auth))) == ["error"]
    auth.attenuation_key_file.chmod(0o600)
    auth.attenuation_key_file.write_text("00" * 32)
    (other,) = attenuation_findings(auth)
    assert (other.status, "another key made 1" in other.message) == ("error", True)
    auth.attenuation_key_file.unlink()
    (missing,) = attenuation_findings(auth)
    assert (missing.status, "no key" in missing.message) == ("error", True)
    auth.token_file.write_text("]")
    assert list(attenuation_findings(auth)) == []  # said of the file


def test_what_was_not_looked_at_is_said(tmp_path: Path) -> None:
    (found,) = unseen_findings(serving_config(tmp_path, enabled=False))
    assert "address, credentials, certificate" in found.message
    assert "-http" in found.message
    half = {"enabled": False, "cert_file": "c", "key_file": "k"}
    (found,) = unseen_findings(serving_config(tmp_path, enabled=True, tls=half))
    assert "TLS is off" in found.message
    (found,) = unseen_findings(serving_config(tmp_path, enabled=True, auth={"enabled": False}))
    assert "authentication is off" in found.message
    assert list(unseen_findings(serving_config(tmp_path, enabled=True))) == []


def test_the_verb_looks_at_the_http_side_of_a_server_that_runs(tmp_path: Path) -> None:
    path = write_config(tmp_path, NOWHERE, port=free_port())
    add_token(path, "tests")
    with operated(path):
        shown = run(path, "-check", "-http").stdout
        assert "is in use by another process" in shown
        assert "not looked at" not in shown
        assert "not looked at" in run(path, "-check").stdout
    settings = json.loads(path.read_text())
    settings["http"]["address"] = "192.0.2.1:8080"
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    tls = pair(tmp_path)
    settings["http"]["tls"] = {
        "enabled": True,
        "cert_file": str(tls.cert_file),
        "key_file": str(tls.key_file),
        "client_ca_file": "ca.pem",
        "client_subjects": {"CN=app": "token-none"},
    }
    path.write_text(json.dumps(settings))
    shown = run(path, "-check", "-http").stdout
    assert "error    address" in shown
    assert "CN=app acts as token-none" in shown


def test_a_certificate_without_its_key_is_an_error(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    trustme.CA().issue_cert("localhost").cert_chain_pems[0].write_to_path(str(cert))
    (found,) = certificate_findings(Tls(True, cert, tmp_path / "none", None), NOW)
    assert found.status == "error"


def test_the_date_is_the_one_that_openssl_reads() -> None:
    for year in (1960, 2030, 2060):  # two forms of time, and two centuries of the short one
        ends = datetime(year, 5, 6, 7, 8, 9, tzinfo=UTC)
        pem = (
            trustme.CA()
            .issue_cert("localhost", not_before=EARLY, not_after=ends)
            .cert_chain_pems[0]
            .bytes()
        )
        assert certificates(pem)[0].ends == ends


@pytest.mark.parametrize(
    "pem",
    [
        "",
        ssl.DER_cert_to_PEM_cert(b""),
        ssl.DER_cert_to_PEM_cert(b"\x30"),
        ssl.DER_cert_to_PEM_cert(b"\x30\x84\xff\xff\xff\xff"),
        ssl.DER_cert_to_PEM_cert(b"\x30\x04\x30\x02\x02\x00"),
        ssl.DER_cert_to_PEM_cert(with_time("T", "20260701000000Z")),
        ssl.DER_cert_to_PEM_cert(with_time("\x18", "2026070100000?")),
    ],
)
def test_what_is_no_certificate_has_no_date(pem: str) -> None:
    with pytest.raises(ValueError, match="certificate"):
        certificates(pem.encode())


def test_a_database_is_described_with_what_its_role_could_do(
    postgres: Server, database: str
) -> None:
    first, *rest = database_findings(settings_for(postgres, database))
    assert first.status == "ok"
    assert f"PostgreSQL {postgres.version // 10000}." in first.message
    assert any("superuser" in finding.message for finding in rest)
    assert any("CREATE ROLE" in finding.next_step for finding in rest)


def test_a_role_that_can_only_read_is_well(postgres: Server, database: str) -> None:
    name = f"check_{database}"
    postgres.psql(
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM public;"
        f"GRANT SET ON PARAMETER log_min_messages TO {name}",
        database,
    )
    try:
        reader = settings_for(postgres, database, user=name, passwords=(Secret("x"),))
        assert statuses(list(database_findings(reader))) == ["ok", "ok", "ok"]
    finally:
        postgres.psql(f"DROP OWNED BY {name}; DROP ROLE {name}", database)


def test_a_domain_whose_check_runs_a_function_is_told(postgres: Server, database: str) -> None:
    postgres.psql(
        "CREATE FUNCTION looks(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
        "CREATE DOMAIN checked AS text CHECK (looks(VALUE))",
        database,
    )
    settings = settings_for(postgres, database)
    assert any("looks" in finding.message for finding in database_findings(settings))


def test_code_that_runs_without_being_named_is_told(postgres: Server, database: str) -> None:
    owner = f"adds_{database}"
    postgres.psql(
        "CREATE FUNCTION in_index(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';"
        "CREATE FUNCTION vouched_for(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';"
        "CREATE FUNCTION in_check(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN RETURN true; END';"
        "CREATE TABLE t (a text CHECK (in_check(a))); CREATE INDEX indexed ON t (in_index(a));"
        "CREATE INDEX ON t (vouched_for(a)); CREATE EXTENSION citext;"
        f"CREATE ROLE {owner}; GRANT CREATE ON DATABASE {database} TO {owner};"
        f"GRANT CREATE ON SCHEMA public TO {owner}; SET ROLE {owner}; CREATE EXTENSION hstore",
        database,
    )
    settings = settings_for(postgres, database, trusted_functions=("public.vouched_for",))
    try:
        told = [f.message for f in database_findings(settings) if f.subject.endswith("expression")]
        assert len(told) == 2
        assert "indexed" in "".join(told)
        assert "in_check" in "".join(told)
        extensions = [f for f in database_findings(settings) if f.subject.endswith("extension")]
        assert [owner in found.message for found in extensions] == [True]
    finally:
        postgres.psql(f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}", database)


def test_a_database_that_does_not_answer_is_an_error() -> None:
    (found,) = database_findings(unreachable(free_port()))
    assert found.status == "error"
    assert found.next_step


def test_the_verb_ends_with_1_when_something_would_not_work(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    def do(verb: str, port: int) -> tuple[int, str]:
        options: dict[str, str | bool] = {
            "db-host": "127.0.0.1",
            "db-port": str(port),
            "db-name": database,
            "db-user": postgres.user,
            "db-password": postgres.password,
        }
        environ = {"HOME": str(tmp_path)} | {k: v for k, v in os.environ.items() if k == "PATH"}
        config = load(options, environ, tmp_path, None, system_file=tmp_path / "none")
        done = admin_commands.run(config, verb, options)
        return done.status, done.out + done.err

    status, shown = do("check", postgres.port)
    assert status == 0, shown
    assert "superuser" in shown
    assert postgres.password not in shown
    status, shown = do("check", free_port())
    assert status == 1
    assert "error" in shown
    status, shown = do("self-test", free_port())
    assert status == 1
    assert "cannot connect" in shown

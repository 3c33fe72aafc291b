"""-check: what would work and what would not, each with what to do next."""

from __future__ import annotations

import io
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from pgmcp.cli import admin
from pgmcp.cli.admin_check import certificate_findings, file_findings
from pgmcp.cli.certificate import valid_until
from pgmcp.cli.console import Console
from pgmcp.cli.database_findings import database_findings
from pgmcp.cli.finding import Finding, error, ok, render
from pgmcp.config.load import load
from pgmcp.config.model import Secret, Tls
from pgmcp.errors import FileError
from tests.databases import settings_for, unreachable
from tools.postgres import Server, free_port

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def described(data: bytes, origin: str) -> str:
    if data == b"bad":
        raise FileError("not a token file", "Write another.", origin=origin)
    return f"{len(data)} bytes"


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


@pytest.mark.parametrize(("days", "status"), [(90, "ok"), (10, "warning"), (-1, "error")])
def test_a_certificate_is_valid_ends_soon_or_has_ended(
    tmp_path: Path, days: int, status: str
) -> None:
    ends = NOW + timedelta(days=days)
    issued = trustme.CA().issue_cert(
        "localhost", not_before=NOW - timedelta(days=400), not_after=ends
    )
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(cert))
    (found,) = certificate_findings(Tls(True, cert, key, None), NOW)
    assert found.status == status
    assert f"{ends:%Y-%m-%d}" in found.message


def test_a_certificate_without_its_key_is_an_error(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    trustme.CA().issue_cert("localhost").cert_chain_pems[0].write_to_path(str(cert))
    (found,) = certificate_findings(Tls(True, cert, tmp_path / "none", None), NOW)
    assert found.status == "error"


def test_the_date_is_the_one_that_openssl_reads() -> None:
    for year in (2030, 2060):  # two forms of time
        ends = datetime(year, 5, 6, 7, 8, 9, tzinfo=UTC)
        pem = trustme.CA().issue_cert("localhost", not_after=ends).cert_chain_pems[0].bytes()
        assert valid_until(pem.decode()) == ends


@pytest.mark.parametrize(
    "pem",
    [
        "",
        ssl.DER_cert_to_PEM_cert(b""),
        ssl.DER_cert_to_PEM_cert(b"\x30"),
        ssl.DER_cert_to_PEM_cert(b"\x30\x84\xff\xff\xff\xff"),
        ssl.DER_cert_to_PEM_cert(b"\x30\x04\x30\x02\x02\x00"),
    ],
)
def test_what_is_no_certificate_has_no_date(pem: str) -> None:
    with pytest.raises(ValueError, match="certificate"):
        valid_until(pem)


def test_a_database_is_described_with_what_its_role_could_do(
    postgres: Server, database: str
) -> None:
    first, *rest = database_findings(settings_for(postgres, database))
    assert first.status == "ok"
    assert f"PostgreSQL {postgres.version // 10000}." in first.message
    assert any("superuser" in finding.message for finding in rest)
    assert "CREATE ROLE" in rest[-1].next_step


def test_a_role_that_can_only_read_is_well(postgres: Server, database: str) -> None:
    name = f"check_{database}"
    postgres.psql(
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM public",
        database,
    )
    try:
        reader = settings_for(postgres, database, user=name, passwords=(Secret("x"),))
        assert statuses(list(database_findings(reader))) == ["ok", "ok"]
    finally:
        postgres.psql(f"DROP ROLE {name}")


def test_a_domain_whose_check_runs_a_function_is_told(postgres: Server, database: str) -> None:
    postgres.psql(
        "CREATE FUNCTION looks(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
        "CREATE DOMAIN checked AS text CHECK (looks(VALUE))",
        database,
    )
    settings = settings_for(postgres, database)
    assert any("looks" in finding.message for finding in database_findings(settings))


def test_a_database_that_does_not_answer_is_an_error() -> None:
    (found,) = database_findings(unreachable(free_port()))
    assert found.status == "error"
    assert found.next_step


def test_the_verb_ends_with_1_when_something_would_not_work(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    def run(verb: str, port: int) -> tuple[int, str]:
        options: dict[str, str | bool] = {
            "db-host": "127.0.0.1",
            "db-port": str(port),
            "db-name": database,
            "db-user": postgres.user,
            "db-password": postgres.password,
        }
        environ = {"HOME": str(tmp_path)} | {k: v for k, v in os.environ.items() if k == "PATH"}
        config = load(options, environ, tmp_path, None, system_file=tmp_path / "none")
        out, err = io.StringIO(), io.StringIO()
        status = admin.run(verb, options, config, Console(io.StringIO(), out, err))
        return status, out.getvalue() + err.getvalue()

    status, shown = run("check", postgres.port)
    assert status == 0, shown
    assert "superuser" in shown
    assert postgres.password not in shown
    status, shown = run("check", free_port())
    assert status == 1
    assert "error" in shown
    status, shown = run("self-test", free_port())
    assert status == 1
    assert "cannot connect" in shown

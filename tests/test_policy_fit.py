"""How policies fit databases: what -check, -policy-check and the log say of those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.cli.policy_findings import fit_findings
from pgmcp.config import masks, patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.policy.active import ActivePolicy
from tests.databases import open_databases, settings_for, unreachable
from tests.program import run_program, settings_of, write_config
from tools.postgres import Server, free_port

SCHEMA = """
CREATE TABLE users (id int, email text, pin int, born date, active boolean);
CREATE TABLE made (id int, code text, start text GENERATED ALWAYS AS (left(code, 1)) STORED);
CREATE VIEW emails AS SELECT id, email FROM users;
CREATE MATERIALIZED VIEW copied AS SELECT e.email, u.born FROM emails e JOIN users u USING (id);
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE remote (id int, email text) SERVER elsewhere
  OPTIONS (schema_name 'public', table_name 'users');
"""


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: the catalogue's statements are the same for each."""
    return newest_postgres


def policy(read: list[str], mask: Mapping[str, Any], **more: Any) -> Policy:
    rules = ReadRules(tuple(map(patterns.parse, read)))
    return Policy(read=rules, mask=masks.parse(dict(mask)), **more)


def test_what_does_not_fit_is_found_in_the_databases_that_a_policy_is_for(
    postgres: Server, database: str
) -> None:
    postgres.psql(SCHEMA, database)
    here = settings_for(postgres, database)
    elsewhere = settings_for(postgres, "postgres", name="other")
    policies = {
        "p": policy(
            [
                "*.*",
                "not public.userz",
                "not public.users.email",
                "pg_catalog.pg_clas",
                "not public.made.code",
            ],
            {
                "public.users.pin": "partial",
                "public.users.active": "hidden",
                "public.users.born": "partial",
                "public.users.phone": None,
            },
        ),
        "elsewhere": policy(["public.users"], {}, databases=("other",)),
    }
    found = {
        (each.status, each.subject, each.message)
        for each in fit_findings(policies, [here, elsewhere])
    }
    suits = "does not suit the type of public.users"
    kept = "which may be read, holds what was read of public.users"
    assert found == {
        ("error", "policy p, main", f"the mask partial {suits}.pin: the column is refused"),
        ("error", "policy p, main", f"the mask fixed text {suits}.active: the column is refused"),
        ("warning", "policy p", "'not public.userz' matches no table or column"),
        ("warning", "policy p", "'pg_catalog.pg_clas' matches no table or column"),
        ("warning", "policy p", "'public.users.phone' matches no table or column"),
        (
            "warning",
            "policy p, main",
            f"the materialised view public.copied, {kept}.email, which may not be read",
        ),
        (
            "warning",
            "policy p, main",
            f"the materialised view public.copied, {kept}.born, which is masked",
        ),
        (
            "warning",
            "policy p, main",
            "the foreign table public.remote, which may be read, is one of a table "
            "public.users.email, which here may not be read",
        ),
        (
            "warning",
            "policy p, main",
            "the column public.made.start, which may be read, is computed of public.made.code, "
            "which may not be read",
        ),
        ("warning", "policy elsewhere", "'public.users' matches no table or column"),
    }


def test_nothing_is_said_to_be_missing_while_a_database_cannot_be_asked(postgres: Server) -> None:
    gone = unreachable(free_port(), name="gone", connect_timeout_seconds=1.0)
    policies = {"p": policy(["public.nothing"], {})}
    assert list(fit_findings(policies, [settings_for(postgres), gone])) == []


def test_a_column_whose_mask_does_not_suit_it_is_refused(postgres: Server, database: str) -> None:
    postgres.psql("CREATE TABLE t (pin int); INSERT INTO t VALUES (7)", database)
    databases = open_databases([settings_for(postgres, database)])
    active = ActivePolicy(policy(["public.*"], {"public.t.pin": "last4"}))
    reader = databases.database("owner", "main", Call(30), policy=active)
    with pytest.raises(ToolError, match=r"public\.t\.pin has a mask that does not suit its type"):
        reader.query("SELECT pin FROM t", max_rows=1)
    databases.pools.close(5)


def test_the_operator_hears_of_it_from_each_command(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    postgres.psql("CREATE TABLE t (pin int)", database)
    policies = {"p": {"read": ["public.t", "public.u"], "mask": {"public.t.pin": "last4"}}}
    config = write_config(tmp_path, settings_of(postgres, database), policies=policies)
    checked = run_program(config, "-check")
    assert checked.returncode == 1
    for said in (checked.stdout, run_program(config, "-policy-check", "-policy", "p", "x").stderr):
        assert "'public.u' matches no table or column" in said
        assert "the mask last4 does not suit the type of public.t.pin" in said
    allowed = run_program(config, "-policy-check", "-policy", "p", "SELECT count(*) FROM t")
    assert (allowed.returncode, allowed.stdout) == (1, "allow  SELECT count(*) FROM t\n")

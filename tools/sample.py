"""The demo's database and the role that pgmcp gets for it: SELECT, and nothing else.

The rule: a database is either whole, of this version of sample.sql and of this day, or it is made
again.
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

from tools.postgres import Server

DATABASE = "shop"
ROLE = "pgmcp_demo"
_SCRIPT = Path(__file__).with_name("sample.sql")
_TODAY = "SELECT date '2025-06-30'"


def script_for(today: date) -> str:
    """The SQL that makes the sample; its data end at `today`."""
    script = _SCRIPT.read_text(encoding="utf-8")
    assert script.count(_TODAY) == 1
    return script.replace(_TODAY, f"SELECT date '{today}'")


def load(server: Server, today: date) -> bool:
    """Make the sample database, whose data end at `today`; False when it was there already."""
    script = script_for(today)
    made_from = "sample.sql " + hashlib.sha256(script.encode()).hexdigest()[:16]
    comment = (
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
        f"WHERE datname = '{DATABASE}'"
    )
    if server.psql(comment) == made_from:
        return False
    server.drop_database(DATABASE)
    server.create_database(DATABASE)
    server.psql(script, DATABASE)
    server.psql(f"COMMENT ON DATABASE {DATABASE} IS '{made_from}'")  # last: now it is whole
    return True


def grant(server: Server, password: str) -> None:
    """Make the role, or give it this password, and let it read the sample and nothing else.

    Only a role without the right to write is a wall: a READ ONLY transaction is not.
    """
    exists = server.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{ROLE}'") == "1"
    quoted = password.replace("'", "''")
    server.psql(
        f"{'ALTER' if exists else 'CREATE'} ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
        f" NOREPLICATION NOINHERIT CONNECTION LIMIT 50 PASSWORD '{quoted}';"
        f"ALTER ROLE {ROLE} SET default_transaction_read_only = on;"
        f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;"
        f"GRANT CONNECT ON DATABASE {DATABASE} TO {ROLE};"
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;"
        f"GRANT USAGE ON SCHEMA public, support TO {ROLE};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public, support TO {ROLE};",
        DATABASE,
    )

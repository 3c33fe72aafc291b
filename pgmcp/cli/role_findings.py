"""What `-check` finds out about the roles of one database: its user, and those of policies.

The rule: each finding comes from PostgreSQL's own answer, asked as a call would ask, under the role
that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pgmcp.cli.finding import Finding, error, ok, warning
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.policies import Policy
from pgmcp.errors import PolicyRefusedError
from pgmcp.gate.port import Database
from pgmcp.gate.roles import powers as role
from pgmcp.gate.roles import reader_role
from pgmcp.gate.roles.power_queries import PARAMETER_PRIVILEGES_SINCE
from pgmcp.gate.roles.reader_role import Tables
from pgmcp.postgres.rows import texts
from pgmcp.sql.text import quote_identifier

Under = Callable[[Policy], Database]
"""The database as a caller with this policy reaches it."""

_MEMBERSHIP_OPTIONS_SINCE = 16
_SET_ROLE_SQL = """
SELECT major, CASE WHEN major >= 16 THEN pg_catalog.pg_has_role(session_user, r.oid, 'SET')
                   ELSE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') END
FROM (SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major) server
LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $1
"""
_NOT_ALLOWED = "42501"


def user_findings(database: DatabaseSettings, reader: Database) -> Iterator[Finding]:
    """What the database's user could do, and which tables it reads."""
    powers = role.read_powers(reader.fetch, database.trusted_functions)
    tables = reader_role.read_tables(reader.fetch)
    mend = ""
    if any(power.writes for power in powers):
        mend = (
            "Only a role that cannot write is a wall. This makes one; then configure it as the"
            " user of this database:\n"
            + reader_role.reader_role_sql(reader.fetch, database.database, tables)
        )
    yield from _power_findings(f"{database.name}: role", database.user, powers, mend)
    yield _table_finding(f"{database.name}: tables", database.user, tables)


def policy_findings(
    database: DatabaseSettings, policies: Mapping[str, Policy], reader: Database, under: Under
) -> Iterator[Finding]:
    """Whether the roles and the settings of the policies that reach the database can be used, and
    what each role could do. `reader`: as the database's user."""
    asked: set[str] = set()
    for name, policy in policies.items():
        if not policy.sets_session or not policy.allows(database.name):
            continue
        subject = f"{database.name}: {name}"
        refused = list(_refusals(subject, database, policy, reader, under))
        yield from refused
        if refused or policy.role is None or policy.role in asked:
            continue
        asked.add(policy.role)
        fetch = under(Policy(role=policy.role)).fetch
        powers = role.read_powers(fetch, database.trusted_functions)
        mend = "Take that from the role, or name one in the policy that can only read."
        yield from _power_findings(subject, policy.role, powers, mend)
        yield _table_finding(subject, policy.role, reader_role.read_tables(fetch))


def _refusals(
    subject: str, database: DatabaseSettings, policy: Policy, reader: Database, under: Under
) -> Iterator[Finding]:
    """What keeps a policy's role and settings from being used, with what is missing."""
    ((major, may_set),) = texts(reader.fetch(_SET_ROLE_SQL, (policy.role,)).rows)
    user = quote_identifier(database.user)
    if policy.role is not None and may_set != "t":
        group = quote_identifier(policy.role)
        options = " WITH INHERIT FALSE, SET TRUE" if int(major) >= _MEMBERSHIP_OPTIONS_SINCE else ""
        grant = f"GRANT {group} TO {user}{options};"
        if may_set:
            yield error(subject, f"{database.user} may not SET ROLE to {policy.role}", grant)
        else:
            create = f"CREATE ROLE {group} NOLOGIN;"
            yield error(subject, f"there is no role {policy.role}", f"{create}\n{grant}")
        return
    for name, value in policy.settings:
        try:
            under(Policy(settings=((name, value),))).fetch("SELECT 1")
        except PolicyRefusedError as refused:
            mend = "Correct the policy's settings."
            missing = refused.server.sqlstate == _NOT_ALLOWED
            if missing and int(major) >= PARAMETER_PRIVILEGES_SINCE:
                mend = f"GRANT SET ON PARAMETER {name} TO {user};"
            yield error(subject, f"{name}: {refused.server.message}", mend)


def _power_findings(
    subject: str, name: str, powers: Sequence[role.Power], mend: str
) -> Iterator[Finding]:
    """What a role could do beyond reading; `mend` stands behind the last."""
    writes = [power for power in powers if power.writes]
    if not writes:
        yield ok(subject, f"{name} can only read")
    for number, power in enumerate(writes, 1):
        step = mend if number == len(writes) else ""
        yield warning(subject, f"{name}: {power.name} ({power.detail})", step)
    for power in powers:
        if not power.writes:
            yield warning(
                subject,
                f"{name}: {power.name} ({power.detail})",
                "pgmcp refuses to read them. Better grant SELECT on the tables that are meant.",
            )


def _table_finding(subject: str, name: str, tables: Sequence[Tables]) -> Finding:
    """How much of the database a role may read, and what not."""
    count = sum(each.count for each in tables)
    readable = sum(each.readable for each in tables)
    if not count:
        return ok(subject, "there are no tables yet")
    if readable == count:
        return ok(subject, f"reads all {count} tables")
    names = [name for each in tables for name in each.unreadable][: reader_role.MOST_NAMES]
    unnamed = count - readable - len(names)
    message = (
        f"reads {readable} of {count} tables; not {', '.join(names)}"
        f"{f' and {unnamed} more' if unnamed else ''}"
    )
    if readable:
        return ok(subject, message)
    return warning(
        subject,
        message,
        "An administrator lets it read them with:\n"
        + "\n".join(reader_role.grants_sql(name, tables)),
    )

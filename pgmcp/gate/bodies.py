"""Functions in SQL: having PostgreSQL show what their bodies hold, which is then judged.

PostgreSQL's own validator of such functions analyses a body as a call of it would (a BEGIN ATOMIC
tree as it is stored, a string with the search_path in effect), prints the trees like those of any
statement, and locks what they read. It runs nothing.

Our role is that of the session, which a body that was replaced could go back to from a policy's.

The rule: a body is as good as the statements in it, as long as it stays what it was judged to be.
Who could replace a function, or put another one in the way of a name in it, between the judgement
and the run, must have nothing to gain: he is a superuser, or may act as our role anyway, or our
role can do nothing that outlasts the transaction, which is always rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pgmcp.gate import trees
from pgmcp.postgres.messages import Reply, Step
from pgmcp.sql.names import array_literal
from pgmcp.sql.oids import FIRST_USER_OID

_OTHERS = f"""
  (SELECT r.oid FROM pg_catalog.pg_roles r
   WHERE NOT r.rolsuper AND r.oid >= {FIRST_USER_OID}
     AND NOT pg_catalog.pg_has_role(r.oid, me.oid, 'MEMBER'))
"""
# Roles of PostgreSQL's own that only read; any other counts, so that those to come do as well.
_LASTING = """
  EXISTS (SELECT FROM pg_catalog.pg_roles r
          WHERE pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER')
            AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                 OR r.rolname ~ '^pg_' AND r.rolname NOT IN (
                   'pg_read_all_data', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_monitor',
                   'pg_stat_scan_tables', 'pg_use_reserved_connections', 'pg_database_owner')))
"""
_DETAILS_SQL = f"""
WITH me AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user),
lasting AS (SELECT {_LASTING} AS is_true FROM me)
SELECT p.oid, p.prosecdef, p.prosrc,
       (SELECT pg_catalog.substr(setting, 13) FROM pg_catalog.unnest(p.proconfig) setting
        WHERE setting LIKE 'search\\_path=%'),
       EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) setting
               WHERE setting NOT LIKE 'search\\_path=%'),
       lasting.is_true, lasting.is_true AND p.proowner IN {_OTHERS},
       pg_catalog.array_to_string(results.types, ' '),
       (SELECT pg_catalog.string_agg(c.castsource || ':' || c.castfunc, ' ')
        FROM pg_catalog.pg_cast c
        WHERE c.castfunc >= {FIRST_USER_OID} AND c.castcontext <> 'e'
          AND c.casttarget = ANY (results.types))
FROM pg_catalog.pg_proc p CROSS JOIN me CROSS JOIN lasting
CROSS JOIN LATERAL (
  SELECT p.prorettype || COALESCE(p.proallargtypes, '{{}}') || ARRAY(
    SELECT a.atttypid
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
    WHERE t.oid = p.prorettype AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped)
) results (types)
WHERE p.oid = ANY ($1::pg_catalog.oid[])
"""
_OPEN_PATH_SQL = f"""
WITH me AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)
SELECT EXISTS (
  SELECT FROM me CROSS JOIN LATERAL {_OTHERS} other
  WHERE pg_catalog.has_database_privilege(other.oid, pg_catalog.current_database(), 'CREATE')
     OR EXISTS (SELECT FROM pg_catalog.pg_namespace n
                WHERE n.nspname = ANY ($1::pg_catalog.name[]) AND n.nspname !~ '^pg_temp_'
                  AND pg_catalog.has_schema_privilege(other.oid, n.oid, 'CREATE')))
"""
_COMMAND = re.compile(r":commandType\s+(\d+)")
_SELECT = "1"


class SqlBody(NamedTuple):
    """A function in SQL, and the search_path that its body is read with; None is the session's."""

    function: int
    path: str | None = None


class Details(NamedTuple):
    """What of a function in SQL decides how its body is looked at, beside the body.

    `source`: its body, "" where it is stored as a tree, in which every name is resolved.
    `path`: its own search_path. `lasting`: our role could do what outlasts a transaction.
    `replaceable`: so it could, and somebody who could not do it himself may replace the function.
    `casts`: type OIDs, and the functions of users that make a result of a value of that type.
    """

    definer: bool
    source: str
    path: str | None
    has_settings: bool
    lasting: bool
    replaceable: bool
    result_types: frozenset[int]
    casts: tuple[tuple[int, int], ...]

    @property
    def has_tree(self) -> bool:
        """Whether no name in its body is looked up any more."""
        return not self.source

    def objection(self) -> str | None:
        """Why its body need not be looked at, None when it has to be."""
        if self.definer:
            return "it runs with its owner's rights (SECURITY DEFINER)"
        if self.has_settings:
            return "it changes other settings than search_path while it runs"
        if self.replaceable:
            return (
                "its owner could replace it while it is called, and the role of this server could"
                " do what outlasts a transaction (with a role that can only read, it may run)"
            )
        return None


def details(functions: Sequence[int]) -> Step:
    """The question whose rows, as text, `read_details` takes."""
    return Step(_DETAILS_SQL, (array_literal(functions),), describe=True)


def read_details(rows: Sequence[tuple[str, ...]]) -> dict[int, Details]:
    """The answer, by function."""
    read = {}
    for oid, definer, source, path, others, lasting, replaceable, types, casts in rows:
        pairs = (pair.split(":") for pair in casts.split())
        read[int(oid)] = Details(
            definer == "t",
            source,
            path or None,
            others == "t",
            lasting == "t",
            replaceable == "t",
            frozenset(map(int, types.split())),
            tuple((int(source), int(function)) for source, function in pairs),
        )
    return read


def show(body: SqlBody, server_major: int) -> Step:
    """The step in whose reply are the trees of a body, for `shown`; it locks what they read."""
    settings = trees.shown_settings(server_major)
    return Step(
        f"SELECT {settings}, pg_catalog.set_config('check_function_bodies', 'on', true),"
        " pg_catalog.set_config('search_path', $2, true),"
        " pg_catalog.set_config('debug_print_rewritten', 'on', true),"
        " pg_catalog.fmgr_sql_validator($1::pg_catalog.oid),"
        " pg_catalog.set_config('debug_print_rewritten', 'off', true),"
        " pg_catalog.current_schemas(true),"
        f" {trees.QUIET}",
        (str(body.function), body.path),
        describe=True,
    )


def lock(body: SqlBody) -> Step:
    """The step that locks what a body reads, and leaves the session's search_path."""
    return Step(
        "SELECT pg_catalog.set_config('search_path', $2, true),"
        f" pg_catalog.fmgr_sql_validator($1::pg_catalog.oid), {trees.RESTORE_PATH}",
        (str(body.function), body.path),
    )


def shown(reply: Reply) -> list[str]:
    """The trees of the statements in a body; none where PostgreSQL did not analyse it."""
    return [notice.get("D", "") for notice in reply.notices]


def schemas(reply: Reply) -> str:
    """The schemas that the names of the body were looked up in, as an array."""
    return (reply.rows[0][-3] or b"{}").decode()


def open_path(path_schemas: str) -> Step:
    """The question, answered "t" or "f", whether others could put an object in these schemas."""
    return Step(_OPEN_PATH_SQL, (path_schemas,), describe=True)


def reads_only(tree: str) -> bool:
    """Whether a tree is that of a SELECT, and has nothing else in it."""
    return set(_COMMAND.findall(tree)) == {_SELECT}

"""What a plain statement depends on in the catalogue, and a check that none of it has changed.

Where others commit all the time, the state of `gate.state` is never the same twice. The meaning of
a statement that reads tables and calls nothing but PostgreSQL's own depends on few rows: those of
its tables, whatever has their names, and the functions, operators, casts, operator classes and
schemas of users, which could come to mean something in it.

The rule: a row that was there when the statement was judged was written by a transaction that had
ended by then. So nothing has changed as long as there are as many rows, and none is newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pgmcp.postgres.messages import Step
from pgmcp.postgres.rows import Value
from pgmcp.sql.names import array_literal
from pgmcp.sql.oids import FIRST_USER_OID

MAX_RELATIONS = 64
"""Of more, with their partitions, the rows take longer to look at than a judgement."""
_XIDS = 2**32
_LASTS_XIDS = 2**30
"""`age` tells older from newer within half of the 32 bits of a transaction ID."""

# What changes a table's columns, or what the planner calls to read it, writes one of these rows, or
# that of the table in pg_class, which is among those of its name: a CHECK is counted there, and the
# expression of a column marked in pg_attribute.
_OF_A_RELATION = (
    ("pg_attribute", "attrelid"),
    ("pg_index", "indrelid"),
    ("pg_statistic_ext", "stxrelid"),
    ("pg_inherits", "inhparent"),
)
# What else PostgreSQL finds by the names, operators and types in a text. A type is not among them:
# pg_catalog is looked at first, where the types of a plain statement are.
_OF_USERS = ("pg_proc", "pg_operator", "pg_cast", "pg_opclass", "pg_namespace")


class Dependencies(NamedTuple):
    """The rows that a plain statement depends on.

    `relations` and `names` are arrays' texts, `schemas` the search_path in effect; `rows` counts
    them all. `horizon`: they were all written by transactions before this ID, which had ended.
    """

    relations: str
    names: str
    schemas: str
    rows: str
    horizon: int

    @property
    def params(self) -> tuple[str, ...]:
        """The parameters of `unchanged`."""
        lasts = str(self.horizon + _LASTS_XIDS)
        horizon = str(self.horizon % _XIDS)
        return (self.relations, self.names, self.schemas, self.rows, horizon, lasts)


def _rows(relations: str, names: str) -> str:
    """SQL for the xmin of each row; `relations` and `names` are expressions of arrays."""
    # One look-up in an index for each relation, whatever the planner thinks of small tables.
    of_relations = " UNION ALL ".join(
        f"SELECT x.xmin FROM pg_catalog.{table} x WHERE x.{column} OPERATOR(pg_catalog.=) r.oid"
        for table, column in _OF_A_RELATION
    )
    named = "SELECT x.xmin FROM pg_catalog.pg_class x WHERE x.relname OPERATOR(pg_catalog.=) r.name"
    of_users = (
        f"SELECT x.xmin FROM pg_catalog.{table} x"
        f" WHERE x.oid OPERATOR(pg_catalog.>=) {FIRST_USER_OID}"
        for table in _OF_USERS
    )
    parts = (
        f"SELECT y.xmin FROM pg_catalog.unnest({relations}) r(oid), LATERAL ({of_relations}) y",
        f"SELECT y.xmin FROM pg_catalog.unnest({names}) r(name), LATERAL ({named} OFFSET 0) y",
        *of_users,
    )
    return " UNION ALL ".join(parts)


def _older(horizon: str) -> str:
    """SQL for whether all rows were written before a transaction ID."""
    older = f"pg_catalog.age(s.xmin) OPERATOR(pg_catalog.>) pg_catalog.age({horizon})"
    return f"COALESCE(pg_catalog.bool_and({older}), true)"


def unchanged(first: int) -> str:
    """SQL, an expression, for whether nothing has changed; its parameters, `Dependencies.params`,
    begin with this number."""
    relations, names, schemas, rows, horizon, lasts = (f"${first + n}" for n in range(6))
    read = _rows(f"{relations}::pg_catalog.oid[]", f"{names}::pg_catalog.name[]")
    return (
        "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
        f" OPERATOR(pg_catalog.<) {lasts}::pg_catalog.xid8"
        f" AND {SCHEMAS} OPERATOR(pg_catalog.=) {schemas}"
        f" AND (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.=) {rows}::pg_catalog.int8"
        f" AND {_older(f'{horizon}::pg_catalog.xid')} FROM ({read}) s)"
    )


SCHEMAS = "pg_catalog.current_schemas(true)::pg_catalog.text"
"""The search_path in effect: without schemas that are not there, or that the role may not use."""
_LOOK = f"""
WITH RECURSIVE below AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid
  UNION
  SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits i ON i.inhparent = below.oid
), relations AS (
  SELECT COALESCE(pg_catalog.array_agg(c.oid), '{{}}') AS oids,
         COALESCE(pg_catalog.array_agg(c.relname), '{{}}') AS names,
         COALESCE(pg_catalog.bool_and(
           c.relkind IN ('r', 'm', 'p') AND NOT c.relrowsecurity
           AND NOT (c.relispartition AND c.oid = ANY ($1::pg_catalog.oid[]))), true) AS are_plain
  FROM below JOIN pg_catalog.pg_class c USING (oid)
)
SELECT oids, names, (SELECT pg_catalog.count(*) FROM ({_rows("oids", "names")}) s),
       are_plain AND pg_catalog.cardinality(oids) <= {MAX_RELATIONS},
       (SELECT {_older("$2::pg_catalog.xid")} FROM ({_rows("oids", "names")}) s)
FROM relations
"""
"""A partition that is named itself is read with the partition keys above it."""


def look(relations: Iterable[int], snapshot: str) -> Step:
    """The question, for the judge's own search_path, whose reply `read` wants."""
    horizon = str(_horizon(snapshot) % _XIDS)
    return Step(_LOOK, (array_literal(sorted(relations)), horizon))


def read(row: Sequence[Value], snapshot: str, schemas: str) -> tuple[Dependencies | None, bool]:
    """What a statement depends on, None where that cannot be told now, and whether it ever can.

    `snapshot` and `schemas` are those of the state that was shown before the statement was parsed.
    """
    oids, names, rows, are_plain, are_older = ((value or b"").decode() for value in row)
    # Types are looked for in pg_catalog first, unless the search_path has it further behind.
    ever = are_plain == "t" and schemas.startswith(("{pg_catalog,", "{pg_catalog}"))
    if not ever or are_older != "t":
        return None, ever
    return Dependencies(oids, names, schemas, rows, _horizon(snapshot)), True


def _horizon(snapshot: str) -> int:
    """The transactions before this ID have ended."""
    return int(snapshot.partition(":")[0])

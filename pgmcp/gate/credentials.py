"""The catalogue's columns that hold passwords or what verifies them, which no caller may read.

A superuser reads them, and so does a member of pg_read_all_data: verifiers of every role, the
passwords of user mappings and subscriptions, and the samples of these that ANALYZE keeps.

The rule: the column is refused, not the row; what a view of PostgreSQL's own hides of it may be
read. Pure: SQL text and decisions on what `columns` found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgmcp.judging.columns import WHOLE_ROW, ColumnRead

_HOLD_CREDENTIALS = """
pg_catalog.pg_authid.rolpassword pg_catalog.pg_shadow.passwd
pg_catalog.pg_user_mapping.umoptions pg_catalog.pg_user_mappings.umoptions
information_schema._pg_user_mappings.umoptions information_schema.user_mapping_options.option_value
pg_catalog.pg_subscription.subconninfo
""".split()
_MAY_SAMPLE_THEM = """
pg_catalog.pg_statistic.stavalues1 pg_catalog.pg_statistic.stavalues2
pg_catalog.pg_statistic.stavalues3 pg_catalog.pg_statistic.stavalues4
pg_catalog.pg_statistic.stavalues5 pg_catalog.pg_stats.most_common_vals
pg_catalog.pg_stats.histogram_bounds pg_catalog.pg_stats.most_common_elems
""".split()


def _values(columns: Iterable[str], sample: str) -> str:
    return ", ".join(
        "('{}', '{}', '{}', {})".format(*column.split("."), sample) for column in columns
    )


COLUMNS_SQL = f"""
SELECT c.oid, a.attnum, pg_catalog.concat_ws('.', n.nspname, c.relname, a.attname), held.sampled
FROM (VALUES {_values(_HOLD_CREDENTIALS, "false")}, {_values(_MAY_SAMPLE_THEM, "true")})
  held (schema, relation, name, sampled)
JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) held.schema::pg_catalog.name
JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
  AND c.relname OPERATOR(pg_catalog.=) held.relation::pg_catalog.name
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
  AND a.attname OPERATOR(pg_catalog.=) held.name::pg_catalog.name
"""
"""The columns that hold credentials, and those that may hold samples of them."""

SAMPLED_SQL = """
SELECT FROM pg_catalog.pg_stats s
WHERE s.schemaname OPERATOR(pg_catalog.=) 'pg_catalog'
  AND (s.tablename OPERATOR(pg_catalog.=) 'pg_authid'
         AND s.attname OPERATOR(pg_catalog.=) 'rolpassword'
       OR s.tablename OPERATOR(pg_catalog.=) 'pg_user_mapping'
         AND s.attname OPERATOR(pg_catalog.=) 'umoptions'
       OR s.tablename OPERATOR(pg_catalog.=) 'pg_subscription'
         AND s.attname OPERATOR(pg_catalog.=) 'subconninfo')
LIMIT 1
"""
"""A row where the statistics that the role may see hold samples of credentials."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A column that holds credentials or, `sampled`, may hold samples of them."""

    relation: int
    attribute: int
    name: str
    sampled: bool


def credentials(rows: Sequence[tuple[str, ...]]) -> tuple[Credential, ...]:
    """The answer to COLUMNS_SQL as values."""
    return tuple(
        Credential(int(relation), int(attribute), name, sampled == "t")
        for relation, attribute, name, sampled in rows
    )


def read_by(reads: Iterable[ColumnRead], held: Sequence[Credential]) -> Credential | None:
    """A credential that is read, one that surely is before one that may be; None without one.

    What a view reads whose own column is held counts where that column is asked for.
    """
    views = {credential.relation for credential in held}
    read = {(r.relation, r.attribute) for r in reads if r.view not in views}
    for credential in sorted(held, key=lambda credential: credential.sampled):
        if {(credential.relation, credential.attribute), (credential.relation, WHOLE_ROW)} & read:
            return credential
    return None


def objection(credential: Credential) -> str:
    """Why a statement that reads it may not run."""
    what = "samples of passwords" if credential.sampled else "passwords or what verifies them"
    return f"{credential.name} holds {what}; name the other columns instead"

"""The catalogue: tables, columns, keys and comments as values, read in a few queries.

The rule: the values are plain and immutable, so that everything that reasons about a schema can be
tested without a database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

QualifiedName = tuple[str, str]
"""Schema and name."""

RelationKind = Literal["table", "partitioned table", "foreign table", "view", "materialized view"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `type` is PostgreSQL's own spelling of it (`format_type`).

    `category` is pg_type.typcategory of the type under any domain ('N' number, 'S' text, 'D' date
    and time, 'B' boolean, 'E' enum, 'A' array, …). `labels` are an enum's, in order.
    `common_values` are pg_stats' most common values, where there are statistics.
    """

    name: str
    type: str
    category: str
    nullable: bool = True
    default: str | None = None
    identity: bool = False
    generated: bool = False
    virtual: bool = False  # generated when it is read, not when it is written
    comment: str | None = None
    labels: tuple[str, ...] = ()
    common_values: tuple[str, ...] = ()
    dimensions: int | None = None  # of pgvector's vector(n)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference from `columns` to the `ref_columns` of another table."""

    name: str
    columns: tuple[str, ...]
    ref_schema: str
    ref_table: str
    ref_columns: tuple[str, ...]
    definition: str = field(default="", compare=False)  # pg_get_constraintdef


@dataclass(frozen=True, slots=True)
class Index:
    """An index by its definition (`pg_get_indexdef`)."""

    name: str
    definition: str
    unique: bool


@dataclass(frozen=True, slots=True)
class Property:
    """What else is true of a relation: a partition key, bound or partition, what it inherits or
    what inherits it, an exclusion or another constraint that its indexes do not tell, row security,
    a policy. `name` is empty where there can be only one."""

    kind: str
    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class UserType:
    """A type that is not PostgreSQL's own: a domain's base and constraints, a composite's fields,
    what a range is of, or the labels of an enum that is inside another type."""

    name: str
    kind: str  # "domain", "composite", "range" or "enum"
    definition: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A relation as a list of all has it, without its columns.

    `oid` stays the same as long as it exists. `column_count` counts dropped columns too.
    """

    oid: int
    schema: str
    name: str
    kind: RelationKind
    estimated_rows: int | None = None
    comment: str | None = None
    partition_of: str | None = None
    on_search_path: bool = True
    column_count: int = 0


@dataclass(frozen=True, slots=True)
class Relation:
    """Something with rows. `estimated_rows` is the planner's, None when never analysed.

    `partition_of` names the parent ("schema.table") of a partition. `on_search_path` says that the
    bare name finds it. `properties`, `types` and `definition` (of a view) are read only where
    somebody looks at them. `is_whole`: it has no other columns, dropped ones included.
    """

    schema: str
    name: str
    kind: RelationKind
    columns: tuple[Column, ...]
    comment: str | None = None
    primary_key: tuple[str, ...] = ()
    unique_keys: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    estimated_rows: int | None = None
    partition_of: str | None = None
    on_search_path: bool = True
    properties: tuple[Property, ...] = ()
    types: tuple[UserType, ...] = ()
    definition: str | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every relation that the role may select from (wholly or by column), but for the system's."""

    relations: tuple[Relation, ...]
    search_path: tuple[str, ...] = ("public",)
    schema_comments: dict[str, str] = field(default_factory=dict)

"""A policy, and what it says of a statement: that it may run, or what is in the way.

The rule: what is denied is answered as if it were not there. Who writes SQL learns of a table or a
column that the policy leaves out neither by its name nor by its absence from `*`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pgmcp.config.patterns import Access
from pgmcp.config.policies import Policy
from pgmcp.policy.facts import Facts, UsedRelation
from pgmcp.policy.names import names_in
from pgmcp.policy.uses import WHOLE_ROW, ColumnUse, RelationUse
from pgmcp.sql.names import qualified, quoted

_MAX_DECISIONS = 64


class DenialReason(Enum):
    """Why a statement may not run under a policy."""

    TABLE = "a table"
    COLUMN = "a column"
    ALL_COLUMNS = "all columns"
    VIEW = "a view"
    FUNCTION = "a function"
    LOOK_UP = "a look-up"
    PLAN = "a plan"


@dataclass(frozen=True, slots=True)
class Denial:
    """What is in the way. `name`: of the table, the function or the type, as SQL would write it.

    `tables` and `columns` are names that must look as if they were not there. `readable`: the
    columns of the table that may be read.
    """

    reason: DenialReason
    name: str
    tables: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    readable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A decision, with its policy in it, so that the id() it is kept under is no other's."""

    policy: Policy
    denial: Denial | None


def may_use(policy: Policy, relation: UsedRelation, *, children: bool = False) -> bool:
    """Whether a table may be used at all; `children`: with its partitions and those that inherit.

    A denial goes down to them. A child that a `not` line names is in its parent's rows too.
    """
    rules = policy.read
    schema, name = relation.owner_table or (relation.schema, relation.name)
    if rules.table(schema, name) is not Access.ALLOWED:
        return False
    related = relation.ancestors + (relation.descendants if children else ())
    return all(rules.table(*other) is not Access.DENIED for other in related)


def may_read(
    policy: Policy, relation: UsedRelation, column: str, *, children: bool = False
) -> bool:
    """Whether a column of a table that may be used may be read; else as `may_use`."""
    rules = policy.read
    if relation.owner_table is not None:
        return True
    if rules.column(relation.schema, relation.name, column) is not Access.ALLOWED:
        return False
    related = relation.ancestors + (relation.descendants if children else ())
    return all(rules.column(*other, column) is not Access.DENIED for other in related)


def decided(policy: Policy, facts: Facts, text: str, *, explains: bool) -> Denial | None:
    """As `decide`, for the `text` of the statement; kept with the facts."""
    key = (id(policy), explains)
    kept = facts.decisions.get(key)  # a look-up in a dict is atomic
    if not isinstance(kept, _Kept):
        if len(facts.decisions) >= _MAX_DECISIONS:
            facts.decisions.clear()
        denial = decide(policy, facts, names_in(text).words, explains=explains)
        kept = facts.decisions[key] = _Kept(policy, denial)
    return kept.denial


def decide(policy: Policy, facts: Facts, words: frozenset[str], *, explains: bool) -> Denial | None:
    """What is in the way of a statement, None when it may run.

    `words`: the names that its text holds. `explains`: its plan is shown and not its rows.
    """
    for denial in _denials(policy, facts, words, explains=explains):
        return denial
    return None


def _denials(
    policy: Policy, facts: Facts, words: frozenset[str], *, explains: bool
) -> Iterator[Denial]:
    """What is in the way; first what has to look as if it were not there."""
    uses = facts.uses
    denied = [use for use in uses.relations if not _is_usable(policy, facts, use)]
    if tables := frozenset(facts.relations[use.relation].name for use in denied if not use.view):
        yield Denial(DenialReason.TABLE, min(tables), tables=tables)
    unreadable = [column for use in uses.named for column in _unreadable(policy, facts, use)]
    if columns := frozenset(unreadable) & words:
        yield Denial(DenialReason.COLUMN, min(columns), columns=columns)
    computed = [use for use in uses.columns if _unreadable(policy, facts, use)]
    yield from (_all_columns(policy, facts, use) for use in computed if not use.view)
    inside = [use.view for use in denied] + [use.view for use in computed]
    yield from _inside(policy, facts, [view for view in inside if view])
    yield from (Denial(DenialReason.LOOK_UP, name) for name in facts.look_ups)
    for oid, name in facts.functions.items():
        if oid not in facts.bodies and name not in policy.functions:
            yield Denial(DenialReason.FUNCTION, name)
    if explains and any(facts.relations[use.relation].row_security for use in uses.relations):
        yield Denial(DenialReason.PLAN, "row security")


def _inside(policy: Policy, facts: Facts, views: Sequence[int]) -> Iterator[Denial]:
    """For views whose definition uses what may not be read; negative for a function's body."""
    for view in views:
        if view > 0:
            relation = facts.relations[view]
            yield Denial(DenialReason.VIEW, qualified(relation.schema, relation.name))
        elif (name := facts.functions.get(-view, "")) not in policy.functions:
            yield Denial(DenialReason.FUNCTION, name)


def _is_usable(policy: Policy, facts: Facts, use: RelationUse) -> bool:
    relation = facts.relations.get(use.relation)
    return relation is not None and may_use(policy, relation, children=use.children)


def _unreadable(policy: Policy, facts: Facts, use: ColumnUse) -> list[str]:
    """The names of the columns that are used and may not be read, none where the table may not be
    used at all, which is said elsewhere."""
    relation = facts.relations.get(use.relation)
    if relation is None or not may_use(policy, relation, children=use.children):
        return []
    used: Mapping[int, str] = relation.columns
    if use.attribute != WHOLE_ROW:
        name = used.get(use.attribute)
        used = {} if name is None else {use.attribute: name}
    return [c for c in used.values() if not may_read(policy, relation, c, children=use.children)]


def _all_columns(policy: Policy, facts: Facts, use: ColumnUse) -> Denial:
    relation = facts.relations[use.relation]
    readable = [
        quoted(column)
        for column in relation.columns.values()
        if may_read(policy, relation, column, children=use.children)
    ]
    name = qualified(relation.schema, relation.name)
    return Denial(DenialReason.ALL_COLUMNS, name, readable=tuple(readable))

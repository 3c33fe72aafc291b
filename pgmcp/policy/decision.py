"""A policy, and what it says of a statement: that it may run, or what is in the way.

The rule: what is denied is answered as if it were not there. Who writes SQL learns of a table or a
column that the policy leaves out neither by its name nor by its absence from `*`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from pgmcp.config.masks import Mask, MaskRules
from pgmcp.config.patterns import Access
from pgmcp.config.policies import Policy
from pgmcp.policy.canaries import used_canaries
from pgmcp.policy.facts import SET_CONFIG, Facts, UsedRelation
from pgmcp.policy.masking import common, fits, strongest
from pgmcp.policy.names import names_in
from pgmcp.policy.sources import UNITED, ResultSource
from pgmcp.policy.uses import WHOLE_ROW, ColumnUse, RelationUse
from pgmcp.sql.names import qualified, quoted

_MAX_DECISIONS = 64


class DenialReason(Enum):
    """Why a statement may not run under a policy."""

    TABLE = "a table"
    COLUMN = "a column"
    UNNAMED = "a table that the text does not name"
    ALL_COLUMNS = "all columns"
    VIEW = "a view"
    FUNCTION = "a function"
    SETTING = "a setting"
    LOOK_UP = "a look-up"
    PLAN = "a plan"
    MASK = "a masked column"
    MISFIT = "a mask that does not suit its column"
    CANARY = "a canary"


@dataclass(frozen=True, slots=True)
class Denial:
    """What is in the way. `name`: of the table, the function or the type, as SQL would write it.

    `tables` and `columns` are names that must look as if they were not there. `readable`: the
    columns of the table that may be read. `detail`: the full name, for the operator alone.
    """

    reason: DenialReason
    name: str
    tables: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    readable: tuple[str, ...] = ()
    detail: str = ""


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


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says of a statement: what is in the way, and how each result column is shown,
    with the category of its type (pg_type.typcategory); None as it is. `canaries`: those it uses,
    whether or not it may run."""

    denial: Denial | None
    masks: tuple[tuple[Mask, str] | None, ...] = ()
    canaries: tuple[str, ...] = ()


UNRESTRICTED = Decision(None)
UNKNOWN = Decision(Denial(DenialReason.PLAN, ""))
"""Of a statement of which nothing is known."""


def decided(policy: Policy, facts: Facts, text: str, *, explains: bool) -> Decision:
    """As `decide`, for the `text` of the statement; kept with the facts."""
    key = (id(policy), explains)
    kept = facts.decisions.get(key)  # a look-up in a dict is atomic
    if not isinstance(kept, _Kept):
        if len(facts.decisions) >= _MAX_DECISIONS:
            facts.decisions.clear()
        decision = decide(policy, facts, names_in(text).words, explains=explains)
        kept = facts.decisions[key] = _Kept(policy, decision)
    return kept.decision


@dataclass(frozen=True, slots=True)
class _Kept:
    """A decision, with its policy in it, so that the id() it is kept under is no other's."""

    policy: Policy
    decision: Decision


def mask_of(
    policy: Policy, relation: UsedRelation, column: str, *, children: bool = False
) -> Mask | None:
    """How a column is shown, None as it is; a mask goes down, as in `may_use`."""
    by_policy = [
        mask
        for rules in policy.mask.each
        if (mask := _mask_in(rules, relation, column, children=children)) is not None
    ]
    return common(by_policy) if by_policy else None


def _mask_in(
    rules: MaskRules, relation: UsedRelation, column: str, *, children: bool
) -> Mask | None:
    """As `mask_of`, by the masks of one policy."""
    own = (relation.schema, relation.name)
    related = (own, *relation.ancestors, *(relation.descendants if children else ()))
    masks = [mask for name in related if (mask := rules.column(*name, column)) is not None]
    return strongest(masks) if masks else None


def decide(policy: Policy, facts: Facts, words: frozenset[str], *, explains: bool) -> Decision:
    """What is said of a statement.

    `words`: the names that its text holds. `explains`: its plan is shown and not its rows.
    """
    canaries = used_canaries(policy.canaries, facts, words)
    for denials in _denials(policy, facts, words, explains=explains):
        if denials:
            # By its name, so that which one it is tells nothing of the order in the catalogue.
            return Decision(min(denials, key=lambda denial: denial.name), canaries=canaries)
    if canaries and policy.canary_action == "stop":
        return Decision(Denial(DenialReason.CANARY, canaries[0]), canaries=canaries)
    if explains or not policy.mask.rules:
        return Decision(None, canaries=canaries)
    results = facts.uses.results
    # Of each policy by itself first: what one shows of all sources may hide another's source.
    by_policy = [
        [_result_mask(rules, facts, sources) for sources in results] for rules in policy.mask.each
    ]
    shown = [pair for masks in by_policy for pair in zip(results, masks, strict=True)]
    # Beside rows of the caller's own, which are hashed too, a hash tells whether values are equal.
    united = [s for s, mask in shown if UNITED in s and mask is not None and mask[0].kind == "hash"]
    if compared := [_full_name_of(facts, source) for each in united for source in each - {UNITED}]:
        return Decision(Denial(DenialReason.MASK, min(compared)), canaries=canaries)
    misfits = [
        _full_name_of(facts, source)
        for sources, mask in shown
        for source in (sources - {UNITED} if mask is not None and not fits(*mask) else ())
    ]
    if misfits:
        return Decision(Denial(DenialReason.MISFIT, min(misfits)), canaries=canaries)
    return Decision(None, tuple(map(_together, zip(*by_policy, strict=True))), canaries)


def _full_name_of(facts: Facts, source: ResultSource) -> str:
    oid, attribute, _ = source
    relation = facts.relations[oid]
    return f"{_full_name(relation)}.{quoted(relation.columns.get(attribute, ''))}"


def _together(masks: Sequence[tuple[Mask, str] | None]) -> tuple[Mask, str] | None:
    """How a result column is shown that each of several policies shows so."""
    known = [mask for mask in masks if mask is not None]
    return (common([mask for mask, _ in known]), known[0][1]) if known else None


def _result_mask(
    rules: MaskRules, facts: Facts, sources: frozenset[ResultSource]
) -> tuple[Mask, str] | None:
    """How a result column is shown, by the masks of one policy, that has its values from these
    columns."""
    masks: list[tuple[Mask, str]] = []
    for oid, attribute, children in sources - {UNITED}:
        relation = facts.relations[oid]
        column = relation.columns.get(attribute)
        mask = None if column is None else _mask_in(rules, relation, column, children=children)
        if mask is not None:
            masks.append((mask, relation.categories[attribute]))
    if not masks:
        return None
    hides_most = strongest([mask for mask, _ in masks])
    return next(each for each in masks if each[0] == hides_most)


def _denials(
    policy: Policy, facts: Facts, words: frozenset[str], *, explains: bool
) -> Iterator[list[Denial]]:
    """What is in the way, by its kind; first what has to look as if it were not there."""
    uses = facts.uses
    denied = [use for use in uses.relations if not _is_usable(policy, facts, use)]
    hidden = [facts.relations[use.relation] for use in denied if not use.view]
    tables = frozenset(relation.name for relation in hidden)
    yield [
        Denial(DenialReason.TABLE, relation.name, tables=tables, detail=_full_name(relation))
        for relation in hidden
        if relation.name in words
    ]
    yield [Denial(DenialReason.UNNAMED, "", detail=_full_name(relation)) for relation in hidden]
    unreadable = {
        column: _full_name(facts.relations[use.relation])
        for use in uses.named
        for column in _unreadable(policy, facts, use)
        if column in words
    }
    columns = frozenset(unreadable)
    yield [
        Denial(DenialReason.COLUMN, name, columns=columns, detail=f"{table}.{quoted(name)}")
        for name, table in unreadable.items()
    ]
    computed = [use for use in uses.columns if _unreadable(policy, facts, use)]
    yield [_all_columns(policy, facts, use) for use in computed if not use.view]
    yield list(_misused(policy, facts))
    inside = [use.view for use in denied] + [use.view for use in computed]
    yield list(_inside(policy, facts, [view for view in inside if view]))
    yield [Denial(DenialReason.LOOK_UP, name) for name in facts.look_ups]
    called = [name for oid, name in facts.functions.items() if oid not in facts.bodies]
    if policy.sets_session and SET_CONFIG in called:
        yield [Denial(DenialReason.SETTING, SET_CONFIG)]
    yield [Denial(DenialReason.FUNCTION, name) for name in called if name not in policy.functions]
    if explains:
        yield list(_shown_by_plan(policy, facts))


def _shown_by_plan(policy: Policy, facts: Facts) -> Iterator[Denial]:
    """For what a plan would tell: how many rows row security hides, and how wide the values of
    masked columns are."""
    if any(facts.relations[use.relation].row_security for use in facts.uses.relations):
        yield Denial(DenialReason.PLAN, "on tables with row security")
    if any(_masked(policy, facts, use) for use in facts.uses.columns):
        yield Denial(DenialReason.PLAN, "that shows masked columns")


def hides_cost(policy: Policy, facts: Facts) -> bool:
    """Whether the planner's cost of a statement would tell of what is hidden: of rows under row
    security, of how long masked values are, or of what a function reads that is allowed by name."""
    named = any(name in policy.functions for name in facts.functions.values())
    return named or any(_shown_by_plan(policy, facts))


def _full_name(relation: UsedRelation) -> str:
    return qualified(relation.schema, relation.name)


def _misused(policy: Policy, facts: Facts) -> Iterator[Denial]:
    """For masked columns that are used for more than to be put out."""
    for use in facts.uses.columns:
        inside = facts.functions.get(-use.view, "") if use.view < 0 else ""
        if not use.output and not (inside and inside in policy.functions):
            yield from map(partial(Denial, DenialReason.MASK), _masked(policy, facts, use))


def _masked(policy: Policy, facts: Facts, use: ColumnUse) -> list[str]:
    """The full names of the columns that are used and masked."""
    relation = facts.relations.get(use.relation)
    if relation is None or not policy.mask.rules:
        return []
    return [
        f"{_full_name(relation)}.{quoted(column)}"
        for column in _used(relation, use)
        if mask_of(policy, relation, column, children=use.children) is not None
    ]


def _used(relation: UsedRelation, use: ColumnUse) -> list[str]:
    """The names of the columns of a relation that are used; none for one of the system's."""
    if use.attribute == WHOLE_ROW:
        return list(relation.columns.values())
    return [name for number, name in relation.columns.items() if number == use.attribute]


def _inside(policy: Policy, facts: Facts, views: Sequence[int]) -> Iterator[Denial]:
    """For views whose definition uses what may not be read; negative for a function's body."""
    for view in views:
        if view > 0:
            yield Denial(DenialReason.VIEW, _full_name(facts.relations[view]))
        elif not (name := facts.functions.get(-view, "")):  # one that a domain's check calls
            yield Denial(DenialReason.UNNAMED, "")
        elif name not in policy.functions:
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
    return [
        column
        for column in _used(relation, use)
        if not may_read(policy, relation, column, children=use.children)
    ]


def _all_columns(policy: Policy, facts: Facts, use: ColumnUse) -> Denial:
    relation = facts.relations[use.relation]
    readable = [
        quoted(column)
        for column in relation.columns.values()
        if may_read(policy, relation, column, children=use.children)
    ]
    return Denial(DenialReason.ALL_COLUMNS, _full_name(relation), readable=tuple(readable))

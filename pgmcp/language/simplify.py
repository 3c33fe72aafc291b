"""The same question, said in the fewest tables.

The rule: the rows stay the same. It is done before readings are compared, so that two ways to say
one thing are not an ambiguity.
"""

from __future__ import annotations

from dataclasses import replace

from pgmcp.language.question import (
    All,
    Any,
    Compare,
    Condition,
    Measure,
    Missing,
    Not,
    OneOf,
    Operator,
    Question,
    Related,
    Select,
    Term,
    both,
)

_INVERSE: dict[Operator, Operator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def simplified(question: Question) -> Question:
    """ "orders of user 3" is about `orders.user_id`, and needs no users."""
    if not isinstance(question, Select):
        return question
    where = None if question.where is None else both((_plain(question.where),))
    return replace(
        question,
        where=where,
        show=tuple(_term(part) for part in question.show),
        order=tuple(replace(part, by=_term(part.by)) for part in question.order),
    )


def _term(term: Term) -> Term:
    if isinstance(term, Measure) and term.where is not None:
        return replace(term, where=_plain(term.where))
    return term


def _plain(condition: Condition) -> Condition:
    if isinstance(condition, Not):
        inner = _plain(condition.of)
        if isinstance(inner, Related) and inner.count is not None and inner.count[0] != "=":
            operator, count = inner.count
            return replace(inner, count=(_INVERSE[operator], count))
        return inner.of if isinstance(inner, Not) else Not(inner)
    if isinstance(condition, All):
        return both(tuple(_plain(part) for part in condition.of)) or condition
    if isinstance(condition, Any):
        return Any(tuple(_plain(part) for part in condition.of))
    if isinstance(condition, Related):
        return _related(condition)
    return condition


def _related(condition: Related) -> Condition:
    where = None if condition.where is None else _plain(condition.where)
    first, *rest = condition.path
    if not rest and not first.to_many and len(first.on) == 1 and condition.count is None:
        ((own, other),) = first.on
        if where is None:
            return Not(Missing(own))
        if isinstance(where, Compare | OneOf) and where.column == other:
            return replace(where, column=own)
    return replace(condition, where=where)

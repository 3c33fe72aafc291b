"""What PostgreSQL's catalogue says of the objects that a statement names, as values.

The questions are those of `lookups`. The rule: half an answer is none, and nothing is judged by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgmcp.errors import StatementRefusedError
from pgmcp.gate import lookups
from pgmcp.judging import effects
from pgmcp.judging.effects import Function, Objects
from pgmcp.postgres.messages import Outcome, Step
from pgmcp.sql.names import array_literal

Run = Callable[[Sequence[Step]], Outcome]
"""Runs steps in the transaction of the statement that is judged."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The functions behind objects; the domains with checks and the trees of these; and whether a
    type is none of an enum, a domain, a composite type or an array."""

    functions: list[Function]
    checks: list[tuple[str, str]]
    opaque_types: bool


@dataclass(frozen=True, slots=True)
class BehindRelations:
    """What reading relations calls, the programs it runs, and the trees that the planner reads."""

    objects: Objects
    programs: list[str]
    planned: list[str]


def look_up(objects: Objects, run: Run) -> LookedUp:
    """What is behind functions, operators and types; StatementRefusedError if one is gone."""
    parameters = (objects.functions, objects.operators, objects.types)
    oids = tuple(array_literal(sorted(group)) for group in parameters)
    rows = rows_of(run([Step(lookups.LOOKUP_SQL, oids, describe=True)]))
    functions = [Function.of(row) for row in rows if row[0]]
    if not objects.functions <= {function.oid for function in functions}:
        raise StatementRefusedError(
            "A function of this statement has just been dropped.", "Send the statement again."
        )
    types = [(row[-2], row[-1]) for row in rows if not row[0]]
    checks = [(domain, tree) for domain, tree in types if tree]
    return LookedUp(functions, checks, opaque_types=len(checks) < len(types))


def behind_relations(objects: Objects, run: Run, *, writes: bool) -> BehindRelations:
    """What is called or run to read relations, and named in no tree; `writes`: or to plan a write
    to them."""
    oids = tuple(array_literal(sorted(group)) for group in (objects.relations, objects.types))
    question = Step(lookups.BEHIND_RELATIONS_SQL, (*oids, "t" if writes else "f"), describe=True)
    rows = rows_of(run([question]))
    called = Objects(functions=frozenset(int(oid) for oid, *_ in rows if oid))
    for *_, executed in rows:
        called |= effects.objects_in(executed)
    return BehindRelations(
        called,
        [program for _, program, *_ in rows if program],
        [planned for *_, planned, _ in rows if planned],
    )


def name_of(question: str, oid: int, kind: str, run: Run) -> str:
    """An object's kind and name, for people; the kind alone where the name cannot be asked any
    more, and "" for the OID 0. `question`: SQL with the OID as its parameter."""
    if not oid:
        return ""
    outcome = run([Step(question, (str(oid),), describe=True)])
    return kind if outcome.failure is not None else f"{kind} {rows_of(outcome)[0][0]}"


def rows_of(outcome: Outcome, step: int = 0) -> list[tuple[str, ...]]:
    """The rows of a step as text, NULL as ""; StatementRefusedError for half an answer."""
    if outcome.failure is not None or step >= len(outcome.replies) or outcome.replies[step].cut:
        raise StatementRefusedError(
            "PostgreSQL could not say what this statement would call, so it was not run.",
            "Try again, or send a simpler statement.",
        )
    return [
        tuple("" if value is None else value.decode(errors="replace") for value in row)
        for row in outcome.replies[step].rows
    ]

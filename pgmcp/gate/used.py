"""What a judged statement uses, asked in the transaction in which it was analysed.

The rule: it is asked through `run`, as the judge's own questions are, so that the answers hold for
the statement that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgmcp.gate.object_lookup import Run, rows_of
from pgmcp.judging.nodes import Node, flat, parse
from pgmcp.policy import facts
from pgmcp.policy.facts import Facts
from pgmcp.policy.uses import TreeUses, uses_of
from pgmcp.postgres.messages import Step


def facts_of(trees: Sequence[str], bodies: Mapping[int, Sequence[str]], run: Run) -> Facts:
    """The facts of a statement; `bodies`: the trees of the functions in SQL that it runs."""
    uses = _uses(trees)
    for function, inside in bodies.items():
        uses |= _uses(inside, view=-function)
    row_types: list[int] = []
    if params := facts.user_types(uses):
        asked = run([Step(facts.ROW_TYPES_SQL, params, describe=True)])
        row_types = [int(oid) for (oid,) in rows_of(asked)]
    if not (uses.relations or uses.columns or uses.functions or row_types):
        return facts.read(uses, (), (), (), frozenset(bodies))
    asked = run(facts.questions(uses, row_types))
    relations, functions = rows_of(asked), rows_of(asked, 1)
    return facts.read(uses, row_types, relations, functions, frozenset(bodies))


def _uses(trees: Sequence[str], view: int = 0) -> TreeUses:
    parsed = [node for tree in trees for node in flat(parse(tree)) if isinstance(node, Node)]
    return uses_of(parsed, view=view)

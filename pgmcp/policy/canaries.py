"""Which canaries a statement uses: tables and columns that nobody has a reason to read. Pure.

The rule: whatever way the statement uses one in, also through a view, a partition or a plan, it is
used. A partition or a child of a canary is one, and so is what holds the rows of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgmcp.config.patterns import CanaryRules
from pgmcp.policy.facts import Facts, UsedRelation
from pgmcp.policy.names import Names
from pgmcp.policy.uses import WHOLE_ROW
from pgmcp.sql import lexer
from pgmcp.sql.names import parts, qualified, quoted

UTILITIES = frozenset(
    "alter analyze cluster comment copy create drop grant lock refresh reindex revoke truncate"
    " vacuum".split()
)
"""Words that begin statements which name tables, and which nobody may run here."""


def used_canaries(rules: CanaryRules, facts: Facts, words: frozenset[str]) -> tuple[str, ...]:
    """The canaries that a statement uses, as `schema.table` and `schema.table.column`; `words`: the
    names that its text holds."""
    if not rules:
        return ()
    return tuple(sorted({*_tables(rules, facts), *_columns(rules, facts, words)}))


def named_canaries(rules: CanaryRules, relations: Iterable[UsedRelation]) -> dict[str, str]:
    """The tables among these that are canaries, `schema.table`, each with its bare name."""
    return {
        qualified(each.schema, each.name): each.name
        for each in relations
        if rules.holds_table(each.schema, each.name)
    }


def looked_up(text: str, names: Names) -> frozenset[str]:
    """The last parts of the names that the literals of a text may be, where it has what looks
    objects up by name."""
    if names.looking_up(()) is None:
        return frozenset()
    literals = (
        text[lexeme.start : lexeme.end].partition("'")[2].removesuffix("'")
        for lexeme in lexer.lexemes(text)
        if lexeme.kind == "string"
    )
    return frozenset(named[-1] for literal in literals if (named := parts(literal)))


def _tables(rules: CanaryRules, facts: Facts) -> Iterator[str]:
    uses = facts.uses
    used = {(use.relation, use.children) for use in uses.relations}
    used |= {(use.relation, use.children) for use in uses.columns}
    for oid, children in used:
        for name in _related(facts.relations.get(oid), children=children):
            if rules.holds_table(*name):
                yield qualified(*name)


def _columns(rules: CanaryRules, facts: Facts, words: frozenset[str]) -> Iterator[str]:
    for use in facts.uses.columns | facts.uses.named:
        relation = facts.relations.get(use.relation)
        for number, column in {} if relation is None else relation.columns.items():
            if use.attribute not in (WHOLE_ROW, number):
                continue
            if use not in facts.uses.columns and column not in words:
                continue  # one of a joined table, of which only others are named
            for name in _related(relation, children=use.children):
                if rules.names(*name, column) and not rules.holds_table(*name):
                    yield f"{qualified(*name)}.{quoted(column)}"


def _related(relation: UsedRelation | None, *, children: bool) -> Iterator[tuple[str, str]]:
    """A relation, those above it, and with `children` those below."""
    if relation is not None:
        yield relation.owner_table or (relation.schema, relation.name)
        yield from relation.ancestors
        if children:
            yield from relation.descendants

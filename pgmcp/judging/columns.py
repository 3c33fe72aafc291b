"""Which columns of which relations a statement reads, from PostgreSQL's own analysis of it.

PostgreSQL notes, for each relation, the columns that need the SELECT privilege (`selectedCols`): in
the relation's range table entry up to version 15, in RTEPERMISSIONINFO from 16 on. That covers
`*`, whole rows, USING, NATURAL, conditions and every clause, in subqueries, CTEs and views.

The rule: a column that a view's definition names counts as read by that view, whether or not the
statement asks the view for it. Pure functions: a node tree in, values out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.judging.nodes import Node, parse

WHOLE_ROW = 0
_ATTRIBUTE_OF_BIT = -7  # FirstLowInvalidHeapAttributeNumber (access/sysattr.h), PostgreSQL 12+
_RELATION, _SUBQUERY = 0, 1  # RTEKind (nodes/parsenodes.h)


@dataclass(frozen=True, slots=True)
class ColumnRead:
    """A column that is read: OIDs, and pg_attribute.attnum (negative for a system column).

    `attribute` is WHOLE_ROW where the row as a value is read, which is all of its columns.
    `view`: the view whose definition reads it, the innermost; 0 when the statement itself does.
    """

    relation: int
    attribute: int
    view: int = 0


def columns_read(tree: str) -> frozenset[ColumnRead]:
    """The columns that an analysed and rewritten statement reads (nodeToString, outfuncs.c)."""
    return columns_read_in(parse(tree))


def columns_read_in(parsed: list[object]) -> frozenset[ColumnRead]:
    """The columns that a parsed tree reads.

    A relation of which no column is read, as in `count(*)`, is not in it; nor is a column that
    only the table's own row security compares, which needs no privilege.
    """
    reads: set[ColumnRead] = set()
    pending: list[tuple[object, int]] = [(parsed, 0)]
    while pending:
        item, view = pending.pop()
        if isinstance(item, list):
            pending += [(inner, view) for inner in item]
            continue
        if not isinstance(item, Node):
            continue
        reads.update(_selected(item, view))
        inside = expanded_view(item) or view
        for name, value in item.fields.items():
            # The placeholder for the view itself says what the statement around it reads.
            if inside != view and name == "rtable":
                pending += [
                    (e, view if _is_placeholder(e) else inside) for e in item.children(name)
                ]
            else:
                pending.append((value, inside))
    return frozenset(reads)


def _selected(node: Node, view: int) -> list[ColumnRead]:
    relation = node.number("relid")
    if not relation:
        return []
    bits = node.numbers("selectedCols")
    return [ColumnRead(relation, bit + _ATTRIBUTE_OF_BIT, view) for bit in bits]


def expanded_view(node: Node) -> int:
    """The view that a query (up to 15) or a range table entry (from 16 on) stands for, or 0."""
    if node.tag == "QUERY":
        return next((e.number("relid") for e in node.children("rtable") if _is_placeholder(e)), 0)
    if node.number("rtekind") == _SUBQUERY:
        return node.number("relid")
    return 0


def _is_placeholder(entry: Node) -> bool:
    """Whether an entry is OLD or NEW of a view's rule, which stand in its definition up to 15."""
    return (
        entry.fields.get("relkind") == ["v"]
        and entry.number("rtekind") == _RELATION
        and entry.fields.get("inFromCl") == ["false"]
    )

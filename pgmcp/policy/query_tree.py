"""The queries of an analysed statement: their range tables, and what stands around what.

Pure: PostgreSQL's node trees (nodes/parsenodes.h, nodes/primnodes.h) in, nodes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgmcp.judging.columns import expanded_view
from pgmcp.judging.nodes import Node

SELECT, INSERT = 1, 3  # CmdType (nodes/nodes.h)
JOIN, CTE, GROUP = 2, 6, 9  # RTEKind
EXISTS, SCALAR = 0, 4  # SubLinkType
_UNION = 1  # SetOperation
_IMPLICIT_CAST = 2  # CoercionForm: added by PostgreSQL itself


class Queries:
    """The queries of some trees, once `stands_in` was told which stand in which."""

    def __init__(self) -> None:
        self._outer: dict[int, Node] = {}  # the query around a query, by id()
        self._tables: dict[int, list[Node]] = {}  # a query's range table, by id()

    def stands_in(self, inner: Node, outer: Node) -> None:
        """Note the query around a query."""
        self._outer[id(inner)] = outer

    def branches(self, query: Node, operations: Iterable[Node]) -> list[Node]:
        """The queries that a UNION is made of."""
        indexes = [node.number("rtindex") for node in operations if node.tag == "RANGETBLREF"]
        entries = [entry for index in indexes if (entry := self.entry(query, index)) is not None]
        return [inner for entry in entries for inner in entry.children("subquery")]

    def entry(self, query: Node | None, index: int) -> Node | None:
        """The entry of a query's range table with this number, from 1."""
        if query is None:
            return None
        if id(query) not in self._tables:
            self._tables[id(query)] = query.children("rtable")
        entries = self._tables[id(query)]
        return entries[index - 1] if 0 < index <= len(entries) else None

    def around(self, query: Node | None, levels: int) -> Node | None:
        """The query so many levels around a query; itself for 0."""
        for _ in range(levels):
            query = self._outer.get(id(query))
        return query

    def ctes(self, entry: Node, query: Node) -> list[Node]:
        """The part of WITH that an entry of this query's range table names, if it names one."""
        if entry.number("rtekind") != CTE:
            return []
        definer = self.around(query, entry.number("ctelevelsup"))
        return [
            cte
            for cte in (definer.children("cteList") if definer is not None else [])
            if cte.fields.get("ctename") == entry.fields.get("ctename")
        ]


def entry_relation(entry: Node) -> int:
    """The relation that an entry stands for, 0 for any other entry."""
    return entry.number("relid") if entry.number("rtekind") == 0 else 0


def entry_view(entry: Node) -> int:
    """The view that an entry's subquery is put in for, 0 where it is the statement's own."""
    return expanded_view(entry) or next(map(expanded_view, entry.children("subquery")), 0)


def only_appended(operations: Iterable[Node]) -> bool:
    """Whether the parts are put after each other, and no row of them is compared."""
    return all(
        node.number("op") == _UNION and is_true(node, "all")
        for node in operations
        if node.tag == "SETOPERATIONSTMT"
    )


def is_added_cast(node: Node) -> bool:
    """Whether a node is a cast that PostgreSQL added by itself, which shows the value as it is."""
    return (node.tag == "RELABELTYPE" and node.number("relabelformat") == _IMPLICIT_CAST) or (
        node.tag == "FUNCEXPR" and node.number("funcformat") == _IMPLICIT_CAST
    )


def is_true(node: Node, name: str) -> bool:
    """Whether a field holds true."""
    return node.fields.get(name) == ["true"]


def signed(node: Node, name: str) -> int:
    """A field that holds one number, which may be negative; -1 when it does not."""
    value = node.fields.get(name, [])
    word = value[0] if value and isinstance(value[0], str) else ""
    return int(word) if word.lstrip("-").isdigit() else -1


def nodes_in(value: object) -> Iterator[Node]:
    """The nodes in a field, and in the lists in it, but not those inside nodes."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Node):
            yield item
        elif isinstance(item, list):
            pending += reversed(item)


def all_nodes_in(value: object) -> Iterator[Node]:
    """The nodes in a field, and all inside them."""
    for node in nodes_in(value):
        pending = [node]
        while pending:
            item = pending.pop()
            yield item
            pending += nodes_in(list(item.fields.values()))

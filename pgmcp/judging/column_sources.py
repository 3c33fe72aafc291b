"""Where a column of a parsed statement comes from: the expressions that a VAR stands for.

The rule: a table's own column comes from nowhere. Pure; no recursion, whatever the tree.
"""

from __future__ import annotations

from collections.abc import Mapping

from pgmcp.judging.nodes import Node


class ColumnSources:
    """The VARs of a tree, and what is behind each.

    `arguments`: what the PARAMs of bodies in it stand for, by their id().
    """

    def __init__(self, tree: list[object], arguments: Mapping[int, Node] | None = None) -> None:
        self.arguments = arguments or {}
        self.nodes: list[Node] = []
        """All nodes, each before those inside it."""
        self._inside: dict[int, Node | None] = {}  # the query in which a VAR or a query stands
        pending: list[tuple[object, Node | None]] = [(tree, None)]
        while pending:
            item, query = pending.pop()
            if isinstance(item, list):
                pending += [(inner, query) for inner in item]
            elif isinstance(item, Node):
                self.nodes.append(item)
                if item.tag in ("VAR", "QUERY"):
                    self._inside[id(item)] = query
                if item.tag == "QUERY":
                    query = item
                pending += [
                    (inner, query)
                    for value in item.fields.values()
                    for inner in value
                    if not isinstance(inner, str)  # most are, and are no part of anything
                ]

    def behind(self, var: Node) -> list[Node]:
        """The expressions, one level down, whose value the VAR, or the PARAM, may have."""
        if var.tag == "PARAM":
            return [self.arguments[id(var)]] if id(var) in self.arguments else []
        query = self._above(self._inside.get(id(var)), var.number("varlevelsup"))
        number, column = var.number("varno"), var.number("varattno")
        entries = query.children("rtable") if query is not None else []
        if query is None or not 0 < number <= len(entries):
            return []
        entry = entries[number - 1]
        sources: list[Node] = []
        for subquery in [*entry.children("subquery"), *_queries(self.ctes(entry, query))]:
            sources += outputs(subquery, column)
        for name in ("joinaliasvars", "groupexprs"):
            sources += entry.children(name)[column - 1 : column] if column else []
        for row in entry.fields.get("values_lists", []):
            for values in row if isinstance(row, list) else []:
                sources += values[column - 1 : column] if isinstance(values, list) else []
        for function in entry.children("functions"):
            sources += function.children("funcexpr")
        return [expression for expression in sources if isinstance(expression, Node)]

    def given(self, node: Node) -> Node:
        """The argument that a PARAM of a body stands for; any other node itself."""
        known = self.arguments
        while (inner := known.get(id(node)) or _named_argument(node)) is not None:
            node = inner
        return node

    def _above(self, query: Node | None, levels: int) -> Node | None:
        for _ in range(levels):
            query = self._inside.get(id(query))
        return query

    def ctes(self, entry: Node, query: Node) -> list[Node]:
        """The part of WITH that an entry of the query's range table names, if it names one."""
        if "ctename" not in entry.fields:
            return []
        definer = self._above(query, entry.number("ctelevelsup"))
        return [
            cte
            for cte in (definer.children("cteList") if definer is not None else [])
            if cte.fields.get("ctename") == entry.fields["ctename"]
        ]


def _named_argument(node: Node) -> Node | None:
    return next(iter(node.children("arg")), None) if node.tag == "NAMEDARGEXPR" else None


def _queries(ctes: list[Node]) -> list[Node]:
    return [query for cte in ctes for query in cte.children("ctequery")]


def outputs(query: Node, column: int) -> list[Node]:
    """A query's output column, in each branch of a UNION; every column for 0."""
    branches = [query]
    for branch in branches:
        if branch.fields.get("setOperations") not in (None, [], ["<>"]):
            branches += [
                q for entry in branch.children("rtable") for q in entry.children("subquery")
            ]
    return [
        expression
        for branch in branches
        for target in branch.children("targetList")
        if column in (0, target.number("resno"))
        for expression in target.children("expr")
    ]

"""How large a statement becomes when PostgreSQL's planner puts its subqueries into one.

A column of a simple subquery is replaced by its expression wherever it is used. Where each level
uses the one below twice, twenty-five levels are thirty million expressions, made while planning,
where neither statement_timeout nor a row limit reaches.

The rule: a subquery that may be pulled up counts as if it were. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from pgmcp.judging.column_sources import ColumnSources
from pgmcp.judging.inlining import bodies_of
from pgmcp.judging.nodes import Node

MAX_EXPRESSIONS = 400_000
"""About as many as 200 MB of a backend's memory hold."""
_MAX_LEVELS = 100
_KEEPS_APART = (
    "hasAggs hasWindowFuncs hasTargetSRFs groupClause groupingSets havingQual sortClause "
    "distinctClause limitOffset limitCount cteList"
).split()
_NOTHING: tuple[list[object], ...] = ([], ["<>"], ["false"])


_NEVER_MATERIALIZED = 2


def inlined(columns: ColumnSources) -> int:
    """How many parts a tree has with each NOT MATERIALIZED part of WITH where it is named;
    just over the maximum for any more."""
    inlining = _Inlining(columns)
    queries = [node for node in columns.nodes if node.tag == "QUERY"]
    return max((inlining.size(query, 0) for query in queries), default=0)


class _Inlining:
    def __init__(self, columns: ColumnSources) -> None:
        self._columns = columns
        self._sizes: dict[int, int] = {}

    def size(self, query: Node, level: int) -> int:
        """The parts of a query, `level` levels down."""
        if level > _MAX_LEVELS:
            return MAX_EXPRESSIONS + 1
        key = id(query)
        if key not in self._sizes:
            self._sizes[key] = 0  # what refers to itself is recursive, and not inlined
            self._sizes[key] = min(self._walk(query, level), MAX_EXPRESSIONS + 1)
        return self._sizes[key]

    def _walk(self, query: Node, level: int) -> int:
        total = 0
        pending: list[object] = list(query.fields.values())
        while pending and total <= MAX_EXPRESSIONS:
            item = pending.pop()
            if isinstance(item, list):
                pending += item
            elif isinstance(item, Node) and item.tag == "QUERY":
                total += 1 + self.size(item, level + 1)
            elif isinstance(item, Node):
                total += 1 + self._named(item, query, level)
                pending += item.fields.values()
        return total

    def _named(self, entry: Node, query: Node, level: int) -> int:
        """The parts of WITH that an entry of the query's range table puts in its place."""
        if entry.tag != "RANGETBLENTRY":
            return 0
        return sum(
            self.size(part, level + 1)
            for cte in self._columns.ctes(entry, query)
            if cte.number("ctematerialized") == _NEVER_MATERIALIZED
            for part in cte.children("ctequery")
        )


def unfolded(tree: list[object], columns: ColumnSources) -> int:
    """How many expressions a parsed tree makes, unfolded; just over the maximum for any more."""
    return _Statement(columns.arguments).size(tree, None, 0)


class _Statement:
    def __init__(self, arguments: Mapping[int, Node]) -> None:
        self._arguments = arguments
        self._places: dict[int, Node | None] = {}  # the queries in which the arguments stand
        self._argument_sizes: dict[int, int] = {}
        self._columns: dict[tuple[int, int, int], int] = {}
        self._parents: dict[int, Node | None] = {}

    def size(self, part: object, query: Node | None, level: int) -> int:
        """The expressions in a part of `query`, itself unfolded `level` levels down."""
        total = 0
        pending = [(part, query)]
        while pending and total <= MAX_EXPRESSIONS:
            item, inside = pending.pop()
            if isinstance(item, list):
                pending += [(inner, inside) for inner in item]
            elif isinstance(item, Node):
                total += 1
                if item.tag == "QUERY":
                    self._parents[id(item)] = inside
                    inside = item
                elif item.tag == "VAR":
                    source = self._above(inside, item.number("varlevelsup"))
                    number, column = item.number("varno"), item.number("varattno")
                    total += self._column(source, number, column, level + 1)
                    continue
                elif item.tag == "PARAM":
                    total += self._argument(item, level + 1)
                    continue
                elif bodies_of(item):
                    self._enter(item, inside)
                pending += [(value, inside) for value in item.fields.values()]
        return total

    def _enter(self, call: Node, query: Node | None) -> None:
        """Keep where a call of a function in SQL stands, for its arguments and its bodies."""
        for argument in call.children("args"):
            self._places[id(argument)] = query
        for body in bodies_of(call):
            self._parents[id(body)] = query

    def _argument(self, param: Node, level: int) -> int:
        argument = self._arguments.get(id(param))
        if argument is None:
            return 0
        if level > _MAX_LEVELS:
            return MAX_EXPRESSIONS + 1
        key = id(argument)
        if key not in self._argument_sizes:
            size = self.size(argument, self._places.get(key), level)
            self._argument_sizes[key] = min(size, MAX_EXPRESSIONS + 1)
        return self._argument_sizes[key]

    def _above(self, query: Node | None, levels: int) -> Node | None:
        for _ in range(levels):
            query = self._parents.get(id(query))
        return query

    def _column(self, query: Node | None, number: int, column: int, level: int) -> int:
        """The expressions behind a column of the range table's entry `number`, from 1."""
        entries = query.children("rtable") if query is not None else []
        if query is None or not 0 < number <= len(entries):
            return 0
        if level > _MAX_LEVELS:
            return MAX_EXPRESSIONS + 1
        key = (id(query), number, column)
        if key not in self._columns:
            self._columns[key] = 0  # what refers to itself, as a recursive query does, ends here
            self._columns[key] = self._behind(entries[number - 1], query, column, level)
        return self._columns[key]

    def _behind(self, entry: Node, query: Node, column: int, level: int) -> int:
        total = 0
        for name in ("joinaliasvars", "groupexprs"):
            items = entry.children(name)
            chosen = items[column - 1 : column] if column else items
            total += self.size(list(chosen), query, level)
        for function in entry.children("functions"):
            for call in function.children("funcexpr"):
                self._enter(call, query)
        for subquery, parent in self._subqueries(entry, query):
            self._parents.setdefault(id(subquery), parent)
            total += self._output(subquery, column, level)
        return min(total, MAX_EXPRESSIONS + 1)

    def _subqueries(self, entry: Node, query: Node) -> list[tuple[Node, Node]]:
        subqueries = [(subquery, query) for subquery in entry.children("subquery")]
        for function in entry.children("functions"):
            for call in function.children("funcexpr"):
                subqueries += [(body, query) for body in bodies_of(call)]
        if "ctename" in entry.fields:
            definer = self._above(query, entry.number("ctelevelsup"))
            for cte in definer.children("cteList") if definer is not None else []:
                if cte.fields.get("ctename") == entry.fields["ctename"] and definer is not None:
                    subqueries += [(part, definer) for part in cte.children("ctequery")]
        return subqueries

    def _output(self, subquery: Node, column: int, level: int) -> int:
        """The expressions of a subquery's output column, 0 for all; 0 if it stays a subquery."""
        if subquery.fields.get("setOperations") not in _NOTHING:
            return sum(
                self._column(subquery, number, column, level + 1)
                for number in range(1, len(subquery.children("rtable")) + 1)
            )
        if any(subquery.fields.get(name, []) not in _NOTHING for name in _KEEPS_APART):
            return 0
        chosen = [
            target
            for target in subquery.children("targetList")
            if column in (0, target.number("resno"))
        ]
        return self.size(list(chosen), subquery, level)

"""Which columns the values of a result column are, as they are. Pure."""

from __future__ import annotations

from pgmcp.judging.nodes import Node
from pgmcp.policy.query_tree import (
    SCALAR,
    Queries,
    all_nodes_in,
    entry_relation,
    entry_view,
    is_added_cast,
    is_true,
    nodes_in,
    signed,
)

ResultSource = tuple[int, int, bool]
"""A column: relation and attribute, and whether the relation's children count too."""

UNITED: ResultSource = (0, 0, False)
"""In the place of a column: the rows of several queries are put after each other."""


def result_columns(queries: Queries, query: Node) -> tuple[frozenset[ResultSource], ...]:
    """The sources of each column of a query's result, views among them; none where a column is
    computed."""
    targets = [target for target in query.children("targetList") if not is_true(target, "resjunk")]
    return tuple(_sources(queries, query, target.number("resno")) for target in targets)


def _sources(queries: Queries, query: Node, column: int) -> frozenset[ResultSource]:
    sources: set[ResultSource] = set()
    outputs: list[tuple[Node, int]] = [(query, column)]
    followed: set[tuple[int, int]] = set()
    while outputs:
        query, column = outputs.pop()
        if (id(query), column) in followed:
            continue
        followed.add((id(query), column))
        operations = list(all_nodes_in(query.fields.get("setOperations")))
        outputs += [(branch, column) for branch in queries.branches(query, operations)]
        if operations:
            sources.add(UNITED)
        expressions = [] if operations else _expressions(query, column)
        while expressions:
            node, around = expressions.pop()
            if node.tag == "VAR":
                _follow(queries, node, around, sources, outputs, expressions)
            elif node.tag == "SUBLINK" and node.number("subLinkType") == SCALAR:
                outputs += [(inner, 1) for inner in node.children("subselect")]
            elif is_added_cast(node):
                expressions += [(inner, around) for inner in nodes_in(list(node.fields.values()))]
    return frozenset(sources)


def _expressions(query: Node, column: int) -> list[tuple[Node, Node]]:
    return [
        (node, query)
        for target in query.children("targetList")
        if target.number("resno") == column
        for node in nodes_in(target.fields.get("expr"))
    ]


def _follow(
    queries: Queries,
    var: Node,
    query: Node,
    sources: set[ResultSource],
    outputs: list[tuple[Node, int]],
    expressions: list[tuple[Node, Node]],
) -> None:
    """Where the value of a column comes from, one level down."""
    around = queries.around(query, var.number("varlevelsup"))
    entry = queries.entry(around, var.number("varno"))
    column = signed(var, "varattno")
    if around is None or entry is None:
        return
    if relation := entry_relation(entry) or entry_view(entry):
        sources.add((relation, column, is_true(entry, "inh")))
    inner = entry.children("subquery")
    inner += [q for cte in queries.ctes(entry, around) for q in cte.children("ctequery")]
    outputs += [(each, column) for each in inner]
    for name in ("joinaliasvars", "groupexprs"):
        values = list(nodes_in(entry.fields.get(name)))
        expressions += [(node, around) for node in values[column - 1 : column] if column > 0]

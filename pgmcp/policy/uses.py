"""What an analysed statement uses: relations, columns, functions and types, each by its OID.

A use is by the statement itself, or by a view that it names. Of a view, and of a subquery, only
the columns count whose values reach the answer or decide on it; what the statement's own text
names is kept apart (`named`), since a name alone tells whether the thing is there.

The rule: what a tree holds and is not understood here counts as used, never as unused. Pure
functions: node trees in, values out; no recursion, whatever the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgmcp.judging.columns import expanded_view
from pgmcp.judging.nodes import Node
from pgmcp.policy.query_tree import (
    EXISTS,
    GROUP,
    INSERT,
    JOIN,
    SCALAR,
    SELECT,
    Queries,
    all_nodes_in,
    entry_relation,
    entry_view,
    is_added_cast,
    is_true,
    nodes_in,
    only_appended,
    signed,
)
from pgmcp.policy.sources import ResultSource, result_columns
from pgmcp.sql.oids import FIRST_USER_OID

WHOLE_ROW = 0
_ENTRIES = frozenset({"RANGETBLENTRY", "RTE"})
_WRITES = frozenset({"MERGEACTION", "ONCONFLICTEXPR"})
# Fields that hold OIDs, by the ends of their names.
_FUNCTION_FIELDS = ("func", "funcid", "fnoid", "handler", "procid")
_TYPE_FIELDS = ("type", "types", "typeid", "typid")
_TYPE_OF = 1619  # pg_typeof, whose result is the name of a type that is there already
# What a query computes beside its output, whichever columns of it are asked for.
_ALWAYS = (
    "jointree",
    "havingQual",
    "limitOffset",
    "limitCount",
    "onConflict",
    "returningList",
    "mergeActionList",
    "mergeJoinCondition",
    "withCheckOptions",
)
_SORTED = ("groupClause", "groupingSets", "windowClause", "distinctClause", "sortClause")


@dataclass(frozen=True, slots=True)
class RelationUse:
    """A relation whose rows are used, or that is named. `children`: those of it too, as without
    ONLY. `view`: the view whose definition does it, 0 where the statement itself does."""

    relation: int
    view: int = 0
    children: bool = False


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """A column that is used: pg_attribute.attnum, WHOLE_ROW for the row as a value.

    `children` as in `RelationUse`. `output`: it is only put out, as it is.
    """

    relation: int
    attribute: int
    view: int = 0
    children: bool = False
    output: bool = False


@dataclass(frozen=True, slots=True)
class TreeUses:
    """What the trees of a statement use; OIDs.

    `named`: the columns that the statement's own text, or a `*` in it, names. `functions` and
    `types` are those outside of PostgreSQL's own views.
    """

    relations: frozenset[RelationUse] = frozenset()
    columns: frozenset[ColumnUse] = frozenset()
    named: frozenset[ColumnUse] = frozenset()
    functions: frozenset[int] = frozenset()
    types: frozenset[int] = frozenset()
    results: tuple[frozenset[ResultSource], ...] = ()
    """Of each result column the columns whose values it shows, as they are."""

    def __or__(self, other: TreeUses) -> TreeUses:
        return TreeUses(
            self.relations | other.relations,
            self.columns | other.columns,
            self.named | other.named,
            self.functions | other.functions,
            self.types | other.types,
            self.results or other.results,
        )


def uses_of(queries: Sequence[Node], *, view: int = 0) -> TreeUses:
    """What these QUERY nodes use, views put in. `view`: whose definition they are, if one's."""
    walk = _Walk(queries, view)
    for query in queries:
        walk.use_all(query, view)
    walk.finish()
    return TreeUses(
        frozenset(walk.relations),
        frozenset(walk.columns),
        frozenset(walk.named),
        frozenset(walk.functions),
        frozenset(walk.types),
        () if view else walk.results(queries),
    )


class _Walk:
    """Follows the values of a statement back to the columns that they come from.

    `_pending` holds what is still to be followed: a node, the query that it stands in, the view
    whose definition that is, and whether its value is only put out.
    """

    def __init__(self, queries: Sequence[Node], view: int) -> None:
        self.relations: set[RelationUse] = set()
        self.columns: set[ColumnUse] = set()
        self.named: set[ColumnUse] = set()
        self.functions: set[int] = set()
        self.types: set[int] = set()
        self._queries = Queries()
        self._pending: list[tuple[Node, Node, int, bool]] = []
        self._followed: set[tuple[int, int, bool]] = set()  # output columns of queries
        self._entered: set[int] = set()
        self._survey(queries, view)

    # -- all that the trees hold -------------------------------------------------------------------

    def _survey(self, queries: Sequence[Node], view: int) -> None:
        """Note the query around each, what the statement itself names, functions and types."""
        pending: list[tuple[object, Node | None, int]] = [(query, None, view) for query in queries]
        while pending:
            item, query, inside = pending.pop()
            if isinstance(item, list):
                pending += [(inner, query, inside) for inner in item]
                continue
            if not isinstance(item, Node):
                continue
            if item.tag in _ENTRIES and not inside:
                self._note_entry(item)
            inside = expanded_view(item) or inside
            if item.tag == "QUERY":
                if query is not None:
                    self._queries.stands_in(item, query)
                query = item
                if item.number("commandType") != SELECT and not inside:
                    self._note_written(item, query)
            elif query is not None:
                self._note(item, query, inside)
            pending += [
                (value, query, inside)
                for name, value in item.fields.items()
                if name != "securityQuals"  # the table's own row security compares these
            ]

    def _note_entry(self, entry: Node) -> None:
        """A relation that the statement itself names, also where nothing of it is asked for."""
        if relation := entry_relation(entry) or entry_view(entry):
            self.relations.add(RelationUse(relation, 0, is_true(entry, "inh")))

    def _note_written(self, node: Node, query: Node) -> None:
        """The columns that a write names, which is planned and not run."""
        entry = self._queries.entry(query, query.number("resultRelation"))
        if entry is None or not (relation := entry_relation(entry) or entry_view(entry)):
            return
        if node.number("commandType") == INSERT:  # its plan tells how wide all columns are
            self.columns.add(ColumnUse(relation, WHOLE_ROW, output=True))
        for name in ("targetList", "onConflictSet"):
            for target in node.children(name):
                self.named.add(ColumnUse(relation, target.number("resno")))

    def _note(self, node: Node, query: Node, view: int) -> None:
        if 0 < view < FIRST_USER_OID:
            return
        for name in () if node.number("funcid") == _TYPE_OF else node.fields:
            lowered = name.lower()
            if lowered.endswith(_FUNCTION_FIELDS):
                self.functions.update(node.numbers(name))
            elif lowered.endswith(_TYPE_FIELDS):
                self.types.update(node.numbers(name))
        if node.tag in _WRITES and not view:
            self._note_written(node, query)
        if node.tag == "VAR" and not view:
            around = self._queries.around(query, node.number("varlevelsup"))
            entry = self._queries.entry(around, node.number("varno"))
            if entry is not None and (relation := entry_relation(entry) or entry_view(entry)):
                self.named.add(_column(node, entry, relation, view, output=False))

    # -- what is followed --------------------------------------------------------------------------

    def use_all(self, query: Node, view: int) -> None:
        """Follow a query and all of its output, as the statement itself is. What a function's own
        statements put out is a value of the call."""
        self._enter(query, view)
        if query.number("commandType") != SELECT:
            self._push(query.fields.get("targetList"), query, view)
            self._touch(query, query.number("resultRelation"), view)
        for target in query.children("targetList"):
            if not is_true(target, "resjunk"):
                self._follow_output(query, target.number("resno"), view, output=not view)

    def results(self, queries: Sequence[Node]) -> tuple[frozenset[ResultSource], ...]:
        """The sources of each result column; of statements that are the same, all of them."""
        each = [result_columns(self._queries, query) for query in queries]
        return tuple(frozenset().union(*several) for several in zip(*each, strict=False))

    def finish(self) -> None:
        """Follow all that is pending."""
        while self._pending:
            node, query, view, output = self._pending.pop()
            if node.tag == "VAR":
                self._follow_column(node, query, view, output=output)
            elif node.tag == "SUBLINK":
                self._follow_sublink(node, query, view, output=output)
            elif node.tag == "RANGETBLREF":
                self._touch(query, node.number("rtindex"), view)
            elif node.tag == "QUERY":
                self._use_as_value(node, view)
            else:
                passes_on = output and is_added_cast(node)
                self._push(list(node.fields.values()), query, view, output=passes_on)

    def _push(self, value: object, query: Node, view: int, *, output: bool = False) -> None:
        self._pending += [(node, query, view, output) for node in nodes_in(value)]

    def _enter(self, query: Node, view: int) -> None:
        """Follow what a query computes whichever of its columns are asked for; once."""
        if id(query) in self._entered:
            return
        self._entered.add(id(query))
        for name in _ALWAYS:
            self._push(query.fields.get(name), query, view)
        clauses = [node for name in _SORTED for node in nodes_in(query.fields.get(name))]
        references: set[int] = set()
        while clauses:
            clause = clauses.pop()
            references.add(clause.number("tleSortGroupRef"))
            references.update(clause.numbers("content"))  # of a GROUPINGSET
            for name, value in clause.fields.items():
                if name in ("startOffset", "endOffset"):
                    self._push(value, query, view)
                else:
                    clauses += nodes_in(value)
        for target in query.children("targetList"):
            if target.number("ressortgroupref") in references - {0}:
                self._push(target.fields.get("expr"), query, view)
            elif not view or is_true(query, "hasTargetSRFs"):
                # PostgreSQL may compute what nobody asks for, and an error would tell of it.
                self._push_computed(target, query, view)
        self._enter_branches(query, view)

    def _push_computed(self, target: Node, query: Node, view: int) -> None:
        """Follow an output column, unless it is no more than another column."""
        self._pending += [
            (node, query, view, False)
            for node in nodes_in(target.fields.get("expr"))
            if node.tag not in ("VAR", "SUBLINK") and not is_added_cast(node)
        ]

    def _enter_branches(self, query: Node, view: int) -> None:
        """The parts of a UNION: all of their columns are compared, unless each is UNION ALL."""
        operations = list(all_nodes_in(query.fields.get("setOperations")))
        for branch in self._queries.branches(query, operations):
            self._enter(branch, view)
            if not only_appended(operations):
                self._use_as_value(branch, view)

    def _use_as_value(self, query: Node, view: int) -> None:
        """All of a query's output, used for more than to be put out."""
        self._enter(query, view)
        for target in query.children("targetList"):
            self._follow_output(query, target.number("resno"), view, output=False)

    def _touch(self, query: Node, index: int, view: int) -> None:
        """An entry of the range table whose rows count."""
        entry = self._queries.entry(query, index)
        if entry is None:
            return
        if relation := entry_relation(entry):
            self.relations.add(RelationUse(relation, view, is_true(entry, "inh")))
        for subquery in entry.children("subquery"):
            inside = view
            if inner_view := entry_view(entry):
                self.relations.add(RelationUse(inner_view, view))
                inside = inner_view
            self._enter(subquery, inside)
        for cte in self._queries.ctes(entry, query):
            for inner in cte.children("ctequery"):
                self._enter(inner, view)
                if cte.children("search_clause") or cte.children("cycle_clause"):
                    # Their columns are compared, and put into others that the tree does not show.
                    self._use_as_value(inner, view)
                for target in inner.children("targetList"):
                    self._push_computed(target, inner, view)
        for name in ("functions", "tablefunc", "values_lists", "tablesample"):
            self._push(entry.fields.get(name), query, view)

    def _follow_output(self, query: Node, column: int, view: int, *, output: bool) -> None:
        """An output column of a query; WHOLE_ROW for all of them, as a value."""
        if (id(query), column, output) in self._followed:
            return
        self._followed.add((id(query), column, output))
        self._enter(query, view)
        operations = list(all_nodes_in(query.fields.get("setOperations")))
        if operations:
            for branch in self._queries.branches(query, operations):
                self._follow_output(branch, column, view, output=output)
            return
        for target in query.children("targetList"):
            if column in (WHOLE_ROW, target.number("resno")):
                only_put_out = output and column != WHOLE_ROW
                self._push(target.fields.get("expr"), query, view, output=only_put_out)

    def _follow_column(self, var: Node, query: Node, view: int, *, output: bool) -> None:
        around = self._queries.around(query, var.number("varlevelsup"))
        entry = self._queries.entry(around, var.number("varno"))
        column = signed(var, "varattno")
        if entry is None or around is None:
            return
        if relation := entry_relation(entry):
            self.columns.add(_column(var, entry, relation, view, output=output))
            return
        for subquery in entry.children("subquery"):
            inner_view = entry_view(entry)
            if inner_view:
                self.columns.add(_column(var, entry, inner_view, view, output=output))
            self._follow_output(subquery, column, inner_view or view, output=output)
        for cte in self._queries.ctes(entry, around):
            for inner in cte.children("ctequery"):
                self._follow_output(inner, column, view, output=output)
        if entry.number("rtekind") in (JOIN, GROUP):
            only_put_out = output and entry.number("rtekind") == JOIN
            for name in ("joinaliasvars", "groupexprs"):
                values = list(nodes_in(entry.fields.get(name)))
                chosen = values[column - 1 : column] if column > 0 else values
                self._push(list(chosen), around, view, output=only_put_out and column > 0)

    def _follow_sublink(self, link: Node, query: Node, view: int, *, output: bool) -> None:
        self._push(link.fields.get("testexpr"), query, view)
        kind = link.number("subLinkType")
        for inner in link.children("subselect"):
            self._enter(inner, view)
            if kind == SCALAR:
                self._follow_output(inner, 1, view, output=output)
            elif kind != EXISTS:
                self._use_as_value(inner, view)


def _column(var: Node, entry: Node, relation: int, view: int, *, output: bool) -> ColumnUse:
    return ColumnUse(
        relation,
        signed(var, "varattno"),
        view,
        is_true(entry, "inh"),
        output,
    )

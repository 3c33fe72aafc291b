"""The names of what statements use, for the audit.

The rule: they are those of the transaction in which a statement was analysed. Most statements name
tables and PostgreSQL's own functions only: for these one short question is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from pgmcp.calls.trail import UsedNames
from pgmcp.gate.object_lookup import Run, rows_of
from pgmcp.gate.objections import AnalysedStatement, Judgement
from pgmcp.gate.state import State
from pgmcp.gate.used import facts_of
from pgmcp.judging import effects
from pgmcp.judging.selected import selected
from pgmcp.policy import facts
from pgmcp.policy.facts import Facts, UsedRelation
from pgmcp.policy.names import names_in
from pgmcp.policy.uses import WHOLE_ROW
from pgmcp.sql.names import qualified
from pgmcp.sql.oids import FIRST_USER_OID

Columns = Mapping[int, Set[int]]
"""The columns that are used of relations: pg_attribute.attnum by OID."""

_SYSTEM_COLUMNS = {-1: "ctid", -2: "xmin", -3: "cmin", -4: "xmax", -5: "cmax", -6: "tableoid"}
"""By pg_attribute.attnum (access/sysattr.h)."""
_NO_NAMES = UsedNames()


class NamesReader:
    """Reads the names of what the statements of one database use; for any number of threads."""

    def __init__(self) -> None:
        # Replaced whole, so that no lock is needed: the relations that were read in a state.
        self._relations: tuple[State | None, Mapping[int, UsedRelation]] = (None, {})
        self._harmless: frozenset[int] = frozenset()

    def names(
        self, statement: AnalysedStatement, judgement: Judgement, state: State, run: Run
    ) -> UsedNames:
        """The names of what a statement uses that was analysed in this state."""
        objects = statement.objects
        plain = not (statement.rewritten or statement.only_planned or judgement.body_trees)
        if plain and not objects.of_users().types:
            columns = _selected(statement, judgement)
            if columns is not None:
                return self._plain(columns, objects.functions, state, run)
        return names_of(facts_of(statement.trees, judgement.body_trees, run), statement, judgement)

    def _plain(
        self, columns: Columns, functions: frozenset[int], state: State, run: Run
    ) -> UsedNames:
        kept_in, known = self._relations
        known = known if kept_in == state else {}
        relations = sorted(columns.keys() - known.keys())
        functions -= self._harmless | {0}
        steps = []
        if relations:
            steps.append(facts.named_relations(relations))
        if functions:
            steps.append(facts.functions_question(functions))
        if not steps:
            return _named(columns, {}, known, ()) if columns else _NO_NAMES
        asked = run(steps)
        if relations:
            known = {**known, **facts.read_relations(rows_of(asked))}
            self._relations = (state, known)
        allowed = {int(oid): name for oid, name in rows_of(asked, -1)} if functions else {}
        # Those of PostgreSQL's own stay what they are.
        harmless = functions - allowed.keys()
        self._harmless |= {oid for oid in harmless if oid < FIRST_USER_OID}
        return _named(columns, {}, known, sorted(allowed.values()))


def names_of(known: Facts, statement: AnalysedStatement, judgement: Judgement) -> UsedNames:
    """The names of what a statement uses of which the facts are known."""
    uses = known.uses
    direct = {oid: set(columns) for oid, columns in (_selected(statement, judgement) or {}).items()}
    for relation in uses.relations:
        if relation.view <= 0:
            direct.setdefault(relation.relation, set())
    words = names_in(statement.text).words
    for column in uses.columns | uses.named:
        known_relation = known.relations.get(column.relation)
        if column.view <= 0 and known_relation is not None:
            name = known_relation.columns.get(column.attribute)
            if column in uses.columns or name in words:
                direct.setdefault(column.relation, set()).add(column.attribute)
    functions = sorted(name for oid, name in known.functions.items() if oid not in known.bodies)
    return _named(direct, _behind(known, direct), known.relations, functions)


def _behind(known: Facts, direct: Columns) -> dict[int, set[int]]:
    """What views read, and the caller does not."""
    behind: dict[int, set[int]] = {}
    for relation in known.uses.relations:
        if relation.view > 0 and relation.relation not in direct:
            behind[relation.relation] = set()
    for column in known.uses.columns:
        if column.view > 0 and column.attribute not in direct.get(column.relation, ()):
            behind.setdefault(column.relation, set()).add(column.attribute)
    return behind


def _selected(statement: AnalysedStatement, judgement: Judgement) -> Columns | None:
    trees = [*statement.trees, *(tree for body in judgement.body_trees.values() for tree in body)]
    text = "".join(trees)
    return selected(text, effects.objects_in(text).relations)


def _named(
    direct: Columns,
    behind: Columns,
    relations: Mapping[int, UsedRelation],
    functions: Sequence[str],
) -> UsedNames:
    unnamed = {oid for side in (direct, behind) for oid, columns in side.items() if not columns}
    return UsedNames(
        _by_name(direct, relations),
        _by_name(behind, relations),
        {
            _name(relation): next(iter(relation.columns.values()))
            for oid in sorted(unnamed)
            if (relation := relations.get(oid)) is not None and relation.columns
        },
        functions,
    )


def _by_name(used: Columns, relations: Mapping[int, UsedRelation]) -> dict[str, list[str]]:
    return {
        _name(relation): sorted(_column_names(relation, used[oid]))
        for oid in sorted(used)
        if (relation := relations.get(oid)) is not None
    }


def _column_names(relation: UsedRelation, numbers: Set[int]) -> set[str]:
    if WHOLE_ROW in numbers:
        return set(relation.columns.values())
    names = {number: relation.columns.get(number) for number in numbers}
    return {name or _SYSTEM_COLUMNS.get(number, "") for number, name in names.items()} - {""}


def _name(relation: UsedRelation) -> str:
    return qualified(relation.schema, relation.name)

"""Why a statement may not run: what it would read, call and compute.

The rule: every question to the catalogue goes through `run`, in the statement's own transaction, so
that it can be asked again; only what a server's version fixes is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgmcp.config.databases import Statistics
from pgmcp.gate import credentials, lookups
from pgmcp.gate.bodies import SqlBody
from pgmcp.gate.credentials import Credential
from pgmcp.gate.examination import Examined
from pgmcp.gate.function_calls import Calls, Part
from pgmcp.gate.object_lookup import Run, rows_of
from pgmcp.judging import effects, growth, statistics
from pgmcp.judging.columns import columns_read
from pgmcp.judging.effects import Objection, Objects
from pgmcp.postgres.messages import Step
from pgmcp.sql.names import array_literal


@dataclass(frozen=True, slots=True)
class _Builtins:
    """What PostgreSQL's own catalogue has that no statement may use."""

    refused_builtins: Mapping[int, str]
    credentials: Sequence[Credential]


@dataclass(frozen=True, slots=True)
class AnalysedStatement:
    """A statement as PostgreSQL analysed it.

    `trees`: several where it was analysed several times, with the views and policies put in where
    it has any, which `rewritten` says; `objects`: all that it names, before that and after.
    `only_planned`: it may be a write, of which nothing runs but what the planner calls.
    """

    text: str
    trees: Sequence[str]
    objects: Objects
    server_major: int
    only_planned: bool = False
    rewritten: bool = False

    @classmethod
    def of(cls, examined: Examined) -> AnalysedStatement:
        """The statement as it was shown."""
        return cls(
            examined.text,
            examined.trees,
            effects.objects_in("".join(examined.trees)),
            examined.server_major,
            examined.only_planned,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Why a statement may not run, None when it may, and the functions in SQL that it runs.

    `body_trees`: the trees of these functions' statements, by the functions' OIDs.
    `runs_builtins_only`: see `Calls`.
    """

    objection: Objection | None
    bodies: tuple[SqlBody, ...] = ()
    body_trees: Mapping[int, Sequence[str]] = field(default_factory=dict)
    runs_builtins_only: bool = False


class Objections:
    """Finds objections for one configured database; for any number of threads.

    `trusted` are the `schema.function` names which the operator vouches for, `statistics_shown` how
    much of what others do.
    """

    def __init__(self, trusted: Collection[str] = (), statistics_shown: Statistics = "own") -> None:
        self._statistics_shown = statistics_shown
        self._trusted = frozenset(trusted)
        self._builtins: _Builtins | None = None

    def find(self, statement: AnalysedStatement, run: Run, *, behind_relations: bool) -> Judgement:
        """Why a statement may not run; `behind_relations`: whether reading a relation may call what
        no tree names."""
        trees, objects = statement.trees, statement.objects
        for tree in trees:
            if too_large := growth.objection(tree, objects.functions, objects.types):
                return Judgement(Objection(too_large))
        builtins = self._read_builtins(run)
        if credential := _credential(trees, objects, builtins, run):
            return Judgement(Objection(credentials.objection(credential)))
        calls = Calls(
            run,
            statement.server_major,
            self._trusted,
            builtins.refused_builtins,
            behind_relations=behind_relations,
            writes=statement.only_planned,
            statistics_shown=self._statistics_shown,
        )
        if statement.only_planned:
            objects = replace(objects, functions=objects.functions - effects.NEVER_PLANNED)
        objection = calls.objection([Part(tree) for tree in trees], objects)
        if objection is None and calls.views:
            parts = statistics.parts_in_front(statement.text, calls.views)
            shown = [statistics.objection(tree, calls.views, parts) for tree in trees]
            objection = next(filter(None, shown), None)
        if objection is None and calls.bodies:
            objection = self._bodies_objection(trees, calls, builtins, run)
        return Judgement(
            objection, tuple(calls.bodies), _by_function(calls), calls.runs_builtins_only
        )

    def _bodies_objection(
        self, trees: Sequence[str], calls: Calls, builtins: _Builtins, run: Run
    ) -> Objection | None:
        """Why the bodies may not be computed or read, by themselves or in their callers' place."""
        bodies = _by_function(calls)
        inside = [tree for shown in bodies.values() for tree in shown]
        objects = calls.all_objects
        if credential := _credential(inside, objects, builtins, run):
            return Objection(credentials.objection(credential))
        if calls.views:
            texts = [statistics.objection(tree, calls.views, 0) for tree in inside]
            if objection := next(filter(None, texts), None):
                return objection
        placed = _placed(trees, bodies)
        elsewhere = [tree for oid, shown in bodies.items() if oid not in placed for tree in shown]
        for tree in [*trees, *elsewhere]:
            if too_large := growth.objection(tree, objects.functions, objects.types, bodies):
                return Objection(too_large)
        return None

    def _read_builtins(self, run: Run) -> _Builtins:
        if self._builtins is None:
            names = (
                array_literal(sorted(effects.HARMLESS)),
                array_literal(sorted(effects.REFUSED)),
            )
            asked = run(
                [
                    Step(lookups.BUILTINS_SQL, names, describe=True),
                    Step(credentials.COLUMNS_SQL, describe=True),
                ]
            )
            refused = {
                int(oid): signature
                for oid, name, signature in rows_of(asked)
                if name not in self._trusted
            }
            self._builtins = _Builtins(refused, credentials.credentials(rows_of(asked, 1)))
        return self._builtins


def _by_function(calls: Calls) -> dict[int, list[str]]:
    """The trees of the bodies, by the functions' OIDs."""
    bodies: dict[int, list[str]] = {}
    for body, shown in calls.bodies.items():
        bodies.setdefault(body.function, []).extend(shown)
    return bodies


def _placed(trees: Sequence[str], bodies: Mapping[int, Sequence[str]]) -> set[int]:
    """Those of `bodies` that the trees, or bodies in them, call by name."""
    placed: set[int] = set()
    pending = list(trees)
    while pending:
        called = effects.objects_in(pending.pop()).functions & bodies.keys()
        pending += [tree for oid in called - placed for tree in bodies[oid]]
        placed |= called
    return placed


def _credential(
    trees: Sequence[str], objects: Objects, builtins: _Builtins, run: Run
) -> Credential | None:
    """A column with credentials that the trees read."""
    if objects.relations.isdisjoint(credential.relation for credential in builtins.credentials):
        return None
    reads = frozenset(read for tree in trees for read in columns_read(tree))
    credential = credentials.read_by(reads, builtins.credentials)
    if credential is None or not credential.sampled:
        return credential
    return credential if rows_of(run([Step(credentials.SAMPLED_SQL, describe=True)])) else None

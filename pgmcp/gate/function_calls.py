"""What a statement calls, and what that calls in turn, judged until nothing new comes.

The rule: whatever may run is looked up, wherever it is named: in the statement, in a view, in a
function's body or the default of its argument, in a domain's check, in what is kept with a table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pgmcp.config.databases import Statistics
from pgmcp.gate import bodies, lookups
from pgmcp.gate.bodies import Details, SqlBody
from pgmcp.gate.object_lookup import Run, behind_relations, look_up, name_of, rows_of
from pgmcp.judging import (
    effects,
    expansion,
    growth,
    inlining,
    origins,
    statistics,
    table_expressions,
)
from pgmcp.judging.effects import Function, Objection, Objects
from pgmcp.judging.extension_costs import COSTS, Cost
from pgmcp.judging.statistics import StatisticsView
from pgmcp.postgres.messages import Step
from pgmcp.sql.oids import FIRST_USER_OID

_MAX_ROUNDS = 12  # of functions that call functions, and domains whose checks use other domains
_MAX_BODIES = 200


@dataclass(frozen=True, slots=True)
class Part:
    """A tree that may run: `where` it stands, "" for the statement itself with its views, and the
    search_path in effect there, None for the session's."""

    tree: str
    where: str = ""
    path: str | None = None


class Calls:
    """The calls of one statement. `refused` are the built-in functions that may not be called,
    `trusted` the `schema.function` names that the operator vouches for."""

    def __init__(
        self,
        run: Run,
        server_major: int,
        trusted: Collection[str],
        refused: Mapping[int, str],
        *,
        behind_relations: bool,
        writes: bool = False,
        statistics_shown: Statistics = "own",
    ) -> None:
        self.views: tuple[StatisticsView, ...] = ()
        """The views that show what others do, once a function that does so is called."""
        self.bodies: dict[SqlBody, list[str]] = {}
        """The functions in SQL that may run, and the trees of each."""
        self.all_objects = Objects()
        """All that is named anywhere."""
        self._opaque_types = False
        self._run = run
        self._server_major = server_major
        self._trusted = trusted
        self._refused = refused
        self._behind_relations = behind_relations
        self._writes = writes
        self._statistics_shown = statistics_shown
        self._parts: list[Part] = []
        self._paths: dict[int, set[str | None]] = {}  # of functions that parts name
        self._via: dict[int, str] = {}
        self._costs: dict[int, Cost] = {}  # of functions of extensions, by OID
        self._results = Objects()  # what makes the results of functions in SQL

    @property
    def runs_builtins_only(self) -> bool:
        """Whether all that may run, once nothing is to be said against it, is PostgreSQL's own.

        Types of users may be among it. An enum, a domain, a composite type and an array are read
        and written by functions of PostgreSQL's (enum_out, record_out, array_out), which call those
        of the parts, of which none is a user's here, and neither is a function of a domain's check
        or of a cast to JSON. All of these were looked up. A range is none of them: it may have an
        operator class, and its multirange is not followed to it.
        """
        of_users = self.all_objects.of_users()
        return not (of_users.functions or of_users.operators or self._opaque_types)

    def objection(self, parts: Sequence[Part], objects: Objects) -> Objection | None:
        """Why something may not be called, None when all may."""
        fresh = objects
        for _ in range(_MAX_ROUNDS):
            self._add(parts)
            fresh |= self._named(parts) | self._results
            if self._behind_relations and fresh.relations - self.all_objects.relations:
                behind = behind_relations(fresh, self._run, writes=self._writes)
                if behind.programs:
                    return Objection(f"reading {behind.programs[0]} runs a program on the server")
                fresh |= behind.objects | self._planned(behind.planned)
            if (problem := self._builtin_objection(fresh)) is not None:
                return problem
            asked, before = fresh.of_users(), self.all_objects
            self.all_objects |= fresh
            if asked | before == before:
                return self._costs_objection()
            functions, parts = self._look_up(asked)
            self._note_costs(functions)
            if (problem := self._own_objection(functions)) is not None:
                return problem
            shown = self._show(functions)
            if isinstance(shown, Objection):
                return shown
            parts = [*parts, *shown]
            fresh = Objects(functions=frozenset(function.oid for function in functions))
        return Objection(
            "the functions and domains it uses are nested too deeply to be judged",
            "Leave out what needs them.",
        )

    def _add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._parts.append(part)
            for oid in effects.objects_in(part.tree).functions:
                self._paths.setdefault(oid, set()).add(part.path)

    def _named(self, parts: Sequence[Part]) -> Objects:
        named = Objects()
        for part in parts:
            if part.where:  # the statement's own objects are known
                named |= effects.objects_in(part.tree)
        return named

    def _builtin_objection(self, objects: Objects) -> Objection | None:
        for oid in sorted(objects.functions & self._refused.keys()):
            signature = self._refused[oid]
            if oid in statistics.OF_BUILTINS:
                if self._shows_others(oid):
                    return self._statistics_refusal(oid, signature)
                continue
            return self._refusal(
                oid,
                signature,
                f"pg_catalog.{signature.partition('(')[0].removeprefix('pg_catalog.')}",
                "it has effects, or reaches beyond this read",
            )
        return None

    def _own_objection(self, functions: Iterable[Function]) -> Objection | None:
        """Why functions that are neither PostgreSQL's own nor in SQL may not run."""
        for function in functions:
            if function.oid < FIRST_USER_OID or self._is_trusted(function):
                continue
            if (function.extension, function.name) in statistics.OF_EXTENSION:
                if function.of_superusers and not self._shows_others(function.oid):
                    continue
                return self._statistics_refusal(function.oid, function.signature)
            problem = None if function.in_sql else effects.objection(function)
            if problem is not None:
                return self._refused_function(function, problem)
        return None

    def _shows_others(self, oid: int) -> bool:
        """Whether a function that shows what others do may not be called as it is."""
        if self._statistics_shown != "own":
            return self._statistics_shown == "none"
        if oid in statistics.WITHOUT_TEXT:
            return False
        self.views = self.views or self._ask_views()
        views = {view.oid for view in self.views}
        called = [place for part in self._parts for place in origins.places(part.tree, oid)]
        return not called or oid in self._via or any(place.view not in views for place in called)

    def _ask_views(self) -> tuple[StatisticsView, ...]:
        outcome = self._run([Step(statistics.VIEWS_SQL, describe=True)])
        return statistics.read_views(rows_of(outcome))

    def _statistics_refusal(self, oid: int, signature: str) -> Objection:
        caller = self._caller(oid)
        called = f"{signature}, which {caller} calls," if caller else signature
        return Objection(
            f"{called} shows what other callers do", statistics.HINTS[self._statistics_shown]
        )

    def _note_costs(self, functions: Iterable[Function]) -> None:
        for function in functions:
            if (cost := COSTS.get((function.extension, function.name))) is not None:
                self._costs[function.oid] = cost

    def _costs_objection(self) -> Objection | None:
        """Why the calls of extensions' functions take too long, None when they do not."""
        for part in self._parts if self._costs else ():
            if too_long := growth.costs_objection(part.tree, self._costs):
                return Objection(too_long)
        return None

    def _planned(self, trees: Sequence[str]) -> Objects:
        """What the planner may run of the expressions that are kept with the tables."""
        called = Objects()
        for tree in trees:
            called |= effects.objects_in(tree)
        of_users = called.of_users().functions
        if not of_users:
            return Objects()
        folded = table_expressions.foldable(trees, of_users)
        runs = {
            function.oid
            for function in look_up(Objects(functions=of_users), self._run).functions
            if function.in_sql or (function.volatility == "i" and function.oid in folded)
        }
        for oid in runs:
            self._via.setdefault(oid, "an index, statistics, a key or a constraint of a table")
        return Objects(functions=frozenset(runs))

    def _look_up(self, objects: Objects) -> tuple[list[Function], list[Part]]:
        """The functions behind the objects, and the trees that may run with them."""
        looked_up = look_up(objects, self._run)
        functions = looked_up.functions
        self._opaque_types |= looked_up.opaque_types
        for function in functions:
            if function.via:
                self._via.setdefault(function.oid, function.via)
        parts = [Part(tree, f"the domain {domain}") for domain, tree in looked_up.checks]
        parts += [
            Part(function.defaults, f"the default of an argument of {function.signature}")
            for function in functions
            if function.defaults
        ]
        return functions, parts

    # -- functions in SQL --------------------------------------------------------------------------

    def _show(self, functions: Iterable[Function]) -> list[Part] | Objection:
        """The bodies of those in SQL, which are kept."""
        in_sql = {f.oid: f for f in functions if f.in_sql and not self._is_trusted(f)}
        if not in_sql:
            return []
        asked = self._run([bodies.details(sorted(in_sql))])
        parts: list[Part] = []
        for oid, details in bodies.read_details(rows_of(asked)).items():
            function = in_sql[oid]
            for path in self._paths_of(oid, details):
                if len(self.bodies) >= _MAX_BODIES:
                    return Objection(f"it uses more than {_MAX_BODIES} functions in SQL")
                trees = self._body(SqlBody(oid, path), function, details)
                if isinstance(trees, Objection):
                    return trees
                parts += trees
        return parts

    def _paths_of(self, oid: int, details: Details) -> set[str | None]:
        if details.path is not None:
            return {details.path}
        # Whoever calls it without a name may do so from anywhere.
        everywhere = {part.path for part in self._parts}
        return {None} if details.has_tree else self._paths.get(oid, everywhere)

    def _body(self, body: SqlBody, function: Function, details: Details) -> list[Part] | Objection:
        if (problem := details.objection()) is not None:
            return self._refused_function(function, problem)
        if not details.has_tree and (problem := expansion.objection(details.source)) is not None:
            return self._refused_function(function, problem)
        outcome = self._run([bodies.show(body, self._server_major)])
        if outcome.failure is not None:
            return self._refused_function(
                function, f"PostgreSQL cannot analyse its body: {outcome.failure.server.message}"
            )
        reply = outcome.replies[0]
        trees = bodies.shown(reply)
        if not trees:
            return self._refused_function(
                function, "its body is not known before it is called (its types are polymorphic)"
            )
        if not all(map(bodies.reads_only, trees)):
            return self._refused_function(function, "its body has more than SELECT")
        if max(map(len, trees)) > inlining.MAX_BYTES:
            return self._refused_function(function, "its body is too long to be judged")
        if details.lasting and not details.has_tree:
            path = self._run([bodies.open_path(bodies.schemas(reply))])
            if rows_of(path) != [("f",)]:
                return self._refused_function(
                    function,
                    "its body is a string, in which others could give a name another meaning while"
                    " it is called, and the role of this server could do what outlasts a"
                    " transaction (with BEGIN ATOMIC, or a role that can only read, it may run)",
                )
        self.bodies[body] = trees
        where = f"the function {function.signature}"
        parts = [Part(tree, where, body.path) for tree in trees]
        self._note_results(parts, details, function)
        return parts

    def _note_results(self, parts: Sequence[Part], details: Details, function: Function) -> None:
        """Keep what makes results of the last statement's columns, which stands in no tree."""
        sources = {oid for part in parts for oid in effects.objects_in(part.tree).types}
        self._results |= Objects(
            functions=frozenset(cast for source, cast in details.casts if source in sources),
            types=details.result_types,
        )
        for _, cast in details.casts:
            self._via.setdefault(cast, f"the result of {function.signature}")

    # -- what to say -------------------------------------------------------------------------------

    def _is_trusted(self, function: Function) -> bool:
        return f"{function.schema}.{function.name}" in self._trusted

    def _refused_function(self, function: Function, problem: str) -> Objection:
        name = f"{function.schema}.{function.name}"
        return self._refusal(function.oid, function.signature, name, problem)

    def _refusal(self, oid: int, signature: str, name: str, problem: str) -> Objection:
        caller = self._caller(oid)
        called = f"{signature}, which {caller} calls" if caller else signature
        return effects.refused((name,), f"{called}: {problem}")

    def _caller(self, oid: int) -> str:
        """Who calls a function, in words; "" where the statement itself does so, by its name."""
        for part in self._parts:
            for place in origins.places(part.tree, oid):
                operator = name_of(lookups.OPERATOR_SQL, place.operator, "the operator", self._run)
                inside = (
                    name_of(lookups.RELATION_SQL, place.view, "the view", self._run)
                    or name_of(lookups.POLICIES_SQL, place.policy_of, "the policy", self._run)
                    or part.where
                )
                return " in ".join(filter(None, (operator, inside)))
        return self._via.get(oid, "")

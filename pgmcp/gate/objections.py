"""Why a statement may not run: what it would read, call and compute.

The rule: every question to the catalogue goes through `run`, in the statement's own transaction, so
that it can be asked again; only what a server's version fixes is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pgmcp.errors import StatementRefusedError
from pgmcp.gate import credentials, effects, growth, kept
from pgmcp.gate.columns import columns_read
from pgmcp.gate.credentials import Credential
from pgmcp.gate.effects import Function, Objects
from pgmcp.postgres.messages import Outcome, Step

_MAX_ROUNDS = 8  # of domains whose checks use other domains

Run = Callable[[Sequence[Step]], Outcome]


@dataclass(frozen=True, slots=True)
class _Own:
    """What PostgreSQL's own catalogue has that no statement may use."""

    refused_builtins: Mapping[int, str]
    credentials: Sequence[Credential]


@dataclass(frozen=True, slots=True)
class _Behind:
    """What reading relations calls, the programs it runs, and the trees that the planner reads."""

    objects: Objects
    programs: list[str]
    planned: list[str]


class Objections:
    """Finds objections for one configured database; for any number of threads.

    `trusted` are the `schema.function` names which the operator vouches for.
    """

    def __init__(self, trusted: Collection[str] = ()) -> None:
        self._trusted = frozenset(trusted)
        self._own: _Own | None = None

    def find(
        self, trees: Sequence[str], objects: Objects, run: Run, *, behind_relations: bool
    ) -> str | None:
        """Why a statement may not run, None when it may.

        `trees`: the statement as analysed, several where it was analysed several times, with the
        views and policies put in where it has any; `objects`: all that it names.
        `behind_relations`: whether reading a relation may call what no tree names.
        """
        for tree in trees:
            if too_large := growth.objection(tree, objects.functions, objects.types):
                return too_large
        own = self._postgresqls_own(run)
        if credential := _credential(trees, objects, own, run):
            return credentials.objection(credential)
        if behind_relations:
            behind = _behind_relations(objects, run)
            if behind.programs:
                return f"reading {behind.programs[0]} runs a program on the server"
            if problem := self._planning_objection(behind.planned, run):
                return problem
            objects |= behind.objects
        return self._calls_objection(trees, objects, own, run)

    def _calls_objection(
        self, trees: Sequence[str], objects: Objects, own: _Own, run: Run
    ) -> str | None:
        """Why what is called may not run, with what that calls by its declaration."""
        seen = Objects()
        for _ in range(_MAX_ROUNDS):
            for oid in objects.functions & own.refused_builtins.keys():
                return f"{own.refused_builtins[oid]} has effects, or reaches beyond this read"
            asked = objects.of_users()
            if asked | seen == seen:
                return None
            seen |= asked
            functions, checks = _look_up(asked, run)
            multiplying = {
                function.oid
                for function in functions
                if (function.extension, function.name) in effects.MULTIPLYING_OF_EXTENSIONS
            }
            for tree in trees if multiplying else ():
                if too_long := growth.multiplied(tree, multiplying):
                    return too_long
            for function in functions:
                if function.oid >= effects.FIRST_USER_OID:
                    problem = effects.objection(function, self._trusted)
                    if problem is not None:
                        return f"{function.signature}: {problem}"
            objects = Objects(functions=frozenset(function.oid for function in functions))
            for check in checks:
                objects |= effects.objects_in(check)
        return "the domains it uses are nested too deeply to be judged"

    def _planning_objection(self, trees: Sequence[str], run: Run) -> str | None:
        """Why the planner may not read expressions that are kept with the tables."""
        called = Objects()
        for tree in trees:
            called |= effects.objects_in(tree)
        of_users = called.of_users().functions
        if not of_users:
            return None
        folded = kept.foldable(trees, of_users)
        for function in _look_up(Objects(functions=of_users), run)[0]:
            runs = function.language == "sql" or (
                function.volatility == "i" and function.oid in folded
            )
            problem = effects.objection(function, self._trusted) if runs else None
            if problem is not None:
                return f"planning it may run {function.signature}, which a table uses: {problem}"
        return None

    def _postgresqls_own(self, run: Run) -> _Own:
        if self._own is None:
            names = (
                effects.array_literal(sorted(effects.HARMLESS)),
                effects.array_literal(sorted(effects.REFUSED)),
            )
            asked = run(
                [
                    Step(effects.BUILTINS_SQL, names, describe=True),
                    Step(credentials.COLUMNS_SQL, describe=True),
                ]
            )
            refused = {
                int(oid): signature
                for oid, name, signature in _rows(asked)
                if name not in self._trusted
            }
            self._own = _Own(refused, credentials.credentials(_rows(asked, 1)))
        return self._own


def _look_up(objects: Objects, run: Run) -> tuple[list[Function], list[str]]:
    """The functions behind the objects, and the trees of the domains' checks."""
    parameters = (objects.functions, objects.operators, objects.types)
    oids = tuple(effects.array_literal(sorted(group)) for group in parameters)
    rows = _rows(run([Step(effects.LOOKUP_SQL, oids, describe=True)]))
    functions = [_function(row) for row in rows if row[0]]
    if not objects.functions <= {function.oid for function in functions}:
        raise StatementRefusedError("A function of this statement has just been dropped.")
    return functions, [row[-1] for row in rows if not row[0]]


def _behind_relations(objects: Objects, run: Run) -> _Behind:
    oids = tuple(effects.array_literal(sorted(g)) for g in (objects.relations, objects.types))
    rows = _rows(run([Step(effects.BEHIND_RELATIONS_SQL, oids, describe=True)]))
    called = Objects(functions=frozenset(int(oid) for oid, *_ in rows if oid))
    for *_, executed in rows:
        called |= effects.objects_in(executed)
    return _Behind(
        called,
        [program for _, program, *_ in rows if program],
        [planned for *_, planned, _ in rows if planned],
    )


def _credential(trees: Sequence[str], objects: Objects, own: _Own, run: Run) -> Credential | None:
    """A column with credentials that the statement reads."""
    if objects.relations.isdisjoint(credential.relation for credential in own.credentials):
        return None
    reads = frozenset(read for tree in trees for read in columns_read(tree))
    credential = credentials.read_by(reads, own.credentials)
    if credential is None or not credential.sampled:
        return credential
    return credential if _rows(run([Step(credentials.SAMPLED_SQL, describe=True)])) else None


def _function(row: tuple[str, ...]) -> Function:
    oid, schema, name, signature, volatility, parallel, language, extension, superusers, _ = row
    return Function(
        int(oid),
        schema,
        name,
        signature,
        volatility,
        parallel,
        language,
        extension,
        of_superusers=superusers == "t",
    )


def _rows(outcome: Outcome, step: int = 0) -> list[tuple[str, ...]]:
    """The rows of a step as text, NULL as ""; refuses to judge by half an answer."""
    if outcome.failure is not None or step >= len(outcome.replies) or outcome.replies[step].cut:
        raise StatementRefusedError(
            "PostgreSQL could not say what this statement would call, so it was not run."
        )
    return [
        tuple("" if value is None else value.decode(errors="replace") for value in row)
        for row in outcome.replies[step].rows
    ]

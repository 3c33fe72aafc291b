"""The judge behind the gate: what a caller's statement would call, judged before it runs.

The gate is PostgreSQL's grammar (`sql.GATE`), which lets a single read through. The judge asks
PostgreSQL to analyse that read without running it, and has the functions behind it judged.

The rule: a verdict holds for one state: the server, what is committed there, and the session's
settings that decide what a text means. It is used again only where the server itself confirms, in
the same transaction as the statement, that this state is the same.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pgmcp.errors import StatementRefusedError
from pgmcp.gate import credentials, effects, expansion, growth, kept
from pgmcp.gate.columns import columns_read
from pgmcp.gate.credentials import Credential
from pgmcp.gate.effects import Function, Objects
from pgmcp.postgres.messages import Outcome, Reply, Step

MAX_REMEMBERED = 4096
MAX_TREE_BYTES = 8 * 1024 * 1024
"""Reading a tree takes a second for each 30 MB, in which no other thread runs."""
_MAX_ROUNDS = 8  # of domains whose checks use other domains

ALTERED = "22012"
"""The SQLSTATE with which SAME_STATE says no: division by zero."""
# The start time tells the hosts of one database apart, and a server from its restored copy. The
# others change without a commit (a reloaded configuration), or in new sessions only (ALTER ROLE).
_STATE = (
    "pg_catalog.concat_ws(' ', pg_catalog.pg_current_snapshot(),"
    " pg_catalog.pg_postmaster_start_time(), current_user,"
    " pg_catalog.current_setting('standard_conforming_strings'),"
    " pg_catalog.current_setting('backslash_quote'),"
    " pg_catalog.current_setting('row_security'),"
    " pg_catalog.current_setting('search_path'))"
)
SAME_STATE = f"1 / (CASE WHEN {_STATE} OPERATOR(pg_catalog.=) $3 THEN 1 ELSE 0 END)"
"""An expression that ends the transaction unless its state is `$3`."""

# The printed tree also goes to the server's log, unless the role may raise log_min_messages.
_SHOW_TREES = (
    f"SELECT {_STATE}, {effects.ODD_RELATIONS},"
    " pg_catalog.set_config('debug_pretty_print', 'off', true),"
    " pg_catalog.set_config('client_min_messages', 'log', true),"
    " CASE WHEN {may_hush} THEN pg_catalog.set_config('log_min_messages', 'fatal', true) END,"
    " pg_catalog.set_config('debug_print_rewritten', 'on', true)"
)
_MAY_HUSH = {
    True: "pg_catalog.has_parameter_privilege('log_min_messages', 'SET')",
    False: "pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on'",
}
# The first one is printed as well: a SET has a short tree.
_HIDE_TREES = (
    Step("SET LOCAL debug_print_rewritten = off"),
    Step("SET LOCAL client_min_messages = notice"),
)
_PARAMETER_PRIVILEGES_SINCE = 15

Run = Callable[[Sequence[Step]], Outcome]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a statement in one state: why it may not run, None when it may.

    A refusal is remembered too: to examine a statement again is work for the server, and for some
    roles an entry in its log.
    """

    state: str
    objection: str | None

    def require_harmless(self) -> None:
        """StatementRefusedError unless the statement may run."""
        if self.objection is not None:
            refused = StatementRefusedError(f"This statement may not run here: {self.objection}.")
            refused.gate = "judge"
            raise refused


@dataclass(frozen=True, slots=True)
class _Own:
    """What PostgreSQL's own catalogue has that no statement may use."""

    refused_builtins: Mapping[int, str]
    credentials: Sequence[Credential]


class Judge:
    """Judges statements for one configured database; for any number of threads.

    `trusted` are the `schema.function` names which the operator vouches for.
    """

    def __init__(self, trusted: Collection[str] = ()) -> None:
        self._trusted = frozenset(trusted)
        self._own: _Own | None = None
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()
        self._verdicts_lock = threading.Lock()

    def known(self, text: str) -> Verdict | None:
        """What was found of `text`, and in which state; None when it was not judged yet."""
        with self._verdicts_lock:
            return self._verdicts.get(_key(text))

    def examination(self, text: str, server_major: int) -> tuple[Step, ...]:
        """The steps, inside a transaction, whose replies `judge` wants: nothing of it runs.

        StatementRefusedError for a text that PostgreSQL could not even analyse at a bearable cost.
        """
        if (too_much := expansion.objection(text)) is not None:
            refused = StatementRefusedError(f"This statement may not run here: {too_much}.")
            refused.gate = "judge"
            raise refused
        may_hush = _MAY_HUSH[server_major >= _PARAMETER_PRIVILEGES_SINCE]
        show = Step(_SHOW_TREES.format(may_hush=may_hush), describe=True)
        return show, Step(text, execute=False), *_HIDE_TREES

    def judge(self, text: str, replies: Sequence[Reply], run: Run) -> None:
        """Return for a harmless statement; StatementRefusedError for any other.

        `replies` are those of `examination`; `run` asks the catalogue in the same transaction.
        """
        shown, analysed, *_ = replies
        state, odd_relations = shown.rows[0][:2]
        tree = "".join(notice.get("D", "") for notice in analysed.notices)
        if state is None or not tree:
            raise StatementRefusedError(
                "PostgreSQL did not show what this statement would do, so it was not run."
            )
        if len(tree) > MAX_TREE_BYTES:
            objection: str | None = "it has too many parts to be judged; send a shorter one"
        else:
            objection = self._objection(tree, run, behind_relations=odd_relations != b"f")
        verdict = Verdict(state.decode(), objection)
        with self._verdicts_lock:
            self._verdicts[_key(text)] = verdict
            while len(self._verdicts) > MAX_REMEMBERED:
                self._verdicts.popitem(last=False)
        verdict.require_harmless()

    def _objection(self, tree: str, run: Run, *, behind_relations: bool) -> str | None:
        objects = effects.objects_in(tree)
        if too_large := growth.objection(tree, objects.functions, objects.types):
            return too_large
        own = self._postgresqls_own(run)
        if credential := _credential(tree, objects, own, run):
            return credentials.objection(credential)
        if behind_relations:
            behind = _behind_relations(objects, run)
            if behind.programs:
                return f"reading {behind.programs[0]} runs a program on the server"
            if problem := self._planning_objection(behind.planned, run):
                return problem
            objects |= behind.objects
        refused = own.refused_builtins
        seen = Objects()
        for _ in range(_MAX_ROUNDS):
            for oid in objects.functions & refused.keys():
                return f"{refused[oid]} has effects, or reaches beyond this read"
            asked = objects.of_users()
            if asked | seen == seen:
                return None
            seen |= asked
            functions, trees = self._look_up(asked, run)
            multiplying = {
                function.oid
                for function in functions
                if (function.extension, function.name) in effects.MULTIPLYING_OF_EXTENSIONS
            }
            if multiplying and (too_long := growth.multiplied(tree, multiplying)):
                return too_long
            for function in functions:
                if function.oid >= effects.FIRST_USER_OID:
                    problem = effects.objection(function, self._trusted)
                    if problem is not None:
                        return f"{function.signature}: {problem}"
            called = frozenset(function.oid for function in functions)
            objects = Objects(functions=called)
            for check in trees:
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
        for function in self._look_up(Objects(functions=of_users), run)[0]:
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

    def _look_up(self, objects: Objects, run: Run) -> tuple[list[Function], list[str]]:
        """The functions behind the objects, and the trees of the domains' checks."""
        parameters = (objects.functions, objects.operators, objects.types)
        oids = tuple(effects.array_literal(sorted(group)) for group in parameters)
        rows = _rows(run([Step(effects.LOOKUP_SQL, oids, describe=True)]))
        functions = [_function(row) for row in rows if row[0]]
        found = {function.oid for function in functions}
        if not objects.functions <= found:
            raise StatementRefusedError("A function of this statement has just been dropped.")
        return functions, [row[-1] for row in rows if not row[0]]


@dataclass(frozen=True, slots=True)
class _Behind:
    """What reading relations calls, the programs it runs, and the trees that the planner reads."""

    objects: Objects
    programs: list[str]
    planned: list[str]


def _behind_relations(objects: Objects, run: Run) -> _Behind:
    oids = tuple(effects.array_literal(sorted(g)) for g in (objects.relations, objects.types))
    rows = _rows(run([Step(effects.BEHIND_RELATIONS_SQL, oids, describe=True)]))
    found = Objects(functions=frozenset(int(oid) for oid, *_ in rows if oid))
    for *_, executed in rows:
        found |= effects.objects_in(executed)
    return _Behind(
        found,
        [program for _, program, *_ in rows if program],
        [planned for *_, planned, _ in rows if planned],
    )


def _credential(tree: str, objects: Objects, own: _Own, run: Run) -> Credential | None:
    """A column with credentials that the statement reads."""
    if objects.relations.isdisjoint(credential.relation for credential in own.credentials):
        return None
    credential = credentials.read_by(columns_read(tree), own.credentials)
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


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

"""The judge behind the gate: what a caller's statement would call, judged before it runs.

The gate is PostgreSQL's grammar (`sql.GATE`), which lets a single read through. The judge asks
PostgreSQL to analyse that read without running it, and has the functions behind it judged.

The rule: what was judged is what runs. A verdict holds for one state (`state`). The statement is
first parsed and bound, which takes the locks on what it reads and may wait for them; then the
server confirms the state; then that bound statement runs, which PostgreSQL does not analyse again.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pgmcp.calls.trail import UsedNames
from pgmcp.config.databases import Statistics
from pgmcp.gate import dependencies, lookups, trees
from pgmcp.gate.examination import Examined, not_shown
from pgmcp.gate.object_lookup import Run
from pgmcp.gate.objections import AnalysedStatement, Judgement, Objections
from pgmcp.gate.state import State, all_invalidations_sent
from pgmcp.gate.used import facts_of
from pgmcp.gate.used_names import NamesReader, names_of
from pgmcp.gate.verdict import Contents, Scope, StateChangedError, Verdict
from pgmcp.judging import effects
from pgmcp.judging.effects import Objection
from pgmcp.judging.statistics import StatisticsView
from pgmcp.policy.facts import Facts
from pgmcp.postgres.messages import Outcome, Step
from pgmcp.sql import text as sql

T = TypeVar("T")

MAX_REMEMBERED = 4096
_UNSTEADY_CALLS = 32
"""So many statements are not expected to find their state again once one did not."""
MAX_TREE_BYTES = 8 * 1024 * 1024
"""Reading a tree takes a second for each 30 MB, in which no other thread runs."""

_CONTENTS = Step(
    f"SELECT {lookups.ODD_RELATIONS}, EXISTS (SELECT FROM pg_catalog.pg_policy),"
    " EXISTS (SELECT FROM pg_catalog.pg_foreign_table)"
)
_VIEW = re.compile(r":relkind\s+v\b")
_TOO_LARGE = "it has too many parts to be judged; send a shorter one"


@dataclass(slots=True)
class _Finding:
    """What was found of trees: `again` once they came again. `has_dependencies`: what a verdict on
    them depends on may be told."""

    judgement: Judgement
    again: bool = False
    has_dependencies: bool = True


class _Latest(Generic[T]):
    """What was put in last, MAX_REMEMBERED at most, under texts of any length; for any number of
    threads."""

    def __init__(self) -> None:
        self._items: OrderedDict[bytes, T] = OrderedDict()
        self._items_lock = threading.Lock()

    def get(self, text: str) -> T | None:
        """What is kept under a text."""
        return self._items.get(_digest(text))  # a look-up in a dict is atomic

    def put(self, text: str, item: T) -> None:
        """Keep it, and drop the oldest if there are too many."""
        with self._items_lock:
            self._items[_digest(text)] = item
            while len(self._items) > MAX_REMEMBERED:
                self._items.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Judge:
    """Judges statements for one configured database; for any number of threads.

    `trusted` are the `schema.function` names which the operator vouches for, `statistics_shown` how
    much of what others do. `names_uses`: each verdict says what the statement uses, by name.
    """

    def __init__(
        self,
        trusted: Collection[str] = (),
        statistics_shown: Statistics = "own",
        *,
        names_uses: bool = False,
    ) -> None:
        self._names = NamesReader() if names_uses else None
        self.withholds = statistics_shown == "own"
        """Whether the statistics views are shown without the text of other callers."""
        self.views: tuple[StatisticsView, ...] | None = None
        """These views, as they were when last asked for."""
        self._objections = Objections(trusted, statistics_shown)
        self._trusts_builtins = any(name.startswith("pg_catalog.") for name in trusted)
        self._contents: Contents | None = None
        self._verdicts: _Latest[Verdict] = _Latest()
        self._findings: _Latest[_Finding] = _Latest()
        self._unsteady = 0

    def note_commits(self) -> None:
        """Note that a state did not stay for as long as a statement is judged."""
        self._unsteady = _UNSTEADY_CALLS

    def expects_commits(self) -> bool:
        """Whether a state need not be looked for again, since others commit all the time.

        Threads that count at once may lose a count: it decides only what is tried first.
        """
        if self._unsteady <= 0:
            return False
        self._unsteady -= 1
        return True

    def known(self, text: str) -> Verdict | None:
        """What was found of `text`, and in which state; None when it was not judged yet."""
        return self._verdicts.get(text)

    def remember(self, text: str, verdict: Verdict, *, confirmed: bool) -> None:
        """Keep a verdict: a refusal, one whose state was confirmed after the judging, or one that
        holds everywhere."""
        if confirmed:
            self._contents = verdict.scope.contents
        if not (verdict.scope.lasting or verdict.scope.everywhere):
            return
        self._verdicts.put(text, verdict)

    def judge(
        self, examined: Examined, run: Run, *, strict: bool, with_facts: bool = False
    ) -> Verdict:
        """The verdict on a statement; `run` asks the catalogue in the transaction that it was
        examined in. StatementRefusedError where nothing can be said of it.

        `strict`: the state will be confirmed, so that what was seen in it before holds.
        `with_facts`: what it uses is wanted, for a policy.
        StateChangedError where what was shown need not be what was bound.
        """
        if not (strict or examined.same_relations):
            raise StateChangedError
        state, contents = examined.state, self._contents
        if contents is None or contents.state != state or not strict:
            # The locks are held: from now on nobody can give a table that is read a policy.
            contents = _read_contents(state, run)
        lasting = all_invalidations_sent(state.snapshot, examined.locks)
        scope = Scope(contents, examined.exact, lasting)
        if not _is_readable(examined.trees):
            return Verdict(scope, Objection(_TOO_LARGE))
        statement = AnalysedStatement.of(examined)
        if _has_parts_to_put_in(statement, contents):
            statement = _with_parts_put_in(statement, run)
            if not _is_readable(statement.trees):
                return Verdict(scope, Objection(_TOO_LARGE))
        return self._verdict(statement, scope, run, with_facts=with_facts)

    def _verdict(
        self, statement: AnalysedStatement, scope: Scope, run: Run, *, with_facts: bool
    ) -> Verdict:
        """The verdict on a statement whose trees are there."""
        contents, objects = scope.contents, statement.objects
        behind_relations = contents.odd_relations or statement.only_planned
        finding = self._find(statement, run, behind_relations=behind_relations)
        judgement = finding.judgement
        names_any = objects.relations or objects.functions or objects.operators
        everywhere = not names_any and sql.names_nothing(statement.text)
        leaves_nothing = not judgement.bodies and self._leaves_nothing(objects, judgement, contents)
        # Those rows do not say what is behind a view, nor all that a policy asks of.
        may_depend = leaves_nothing and not (statement.rewritten or with_facts or everywhere)
        if may_depend and _is_plain(statement, judgement, contents):
            scope = self._with_dependencies(scope, finding, objects.relations, run)
        facts = facts_of(statement.trees, judgement.body_trees, run) if with_facts else None
        return Verdict(
            replace(scope, everywhere=everywhere),
            judgement.objection,
            judgement.bodies,
            reads_relations=bool(objects.relations or judgement.bodies),
            rewritten=statement.rewritten,
            leaves_nothing=leaves_nothing,
            facts=facts,
            used=self._used_names(statement, judgement, facts, contents.state, run),
        )

    def _find(self, statement: AnalysedStatement, run: Run, *, behind_relations: bool) -> _Finding:
        """As `Objections.find`. What was found of the same trees without asking the catalogue
        depends on nothing else, and is not found again."""
        asked = False

        def ask(steps: Sequence[Step]) -> Outcome:
            nonlocal asked
            asked = True
            return run(steps)

        flags = f"{statement.server_major} {behind_relations} {statement.only_planned}"
        key = "\0".join([flags, statement.text, *statement.trees])
        finding = self._findings.get(key)
        if finding is not None:
            finding.again = True
            return finding
        finding = _Finding(self._objections.find(statement, ask, behind_relations=behind_relations))
        if not asked:
            self._findings.put(key, finding)
        return finding

    def _with_dependencies(
        self, scope: Scope, finding: _Finding, relations: Collection[int], run: Run
    ) -> Scope:
        """The scope of a plain statement, whose tree calls nothing but what PostgreSQL brings, and
        which has been judged before: what it depends on is worth a question then."""
        if not (finding.again and finding.has_dependencies and scope.exact and scope.lasting):
            return scope
        state = scope.contents.state
        outcome = run((dependencies.look(relations, state.snapshot),))
        if outcome.failure is not None:  # the role may not read one of these catalogues
            finding.has_dependencies = False
            raise StateChangedError
        row = outcome.replies[0].rows[0]
        depends, finding.has_dependencies = dependencies.read(row, state.snapshot, state.schemas)
        return replace(scope, dependencies=depends)

    def _leaves_nothing(
        self, objects: effects.Objects, finding: Judgement, contents: Contents
    ) -> bool:
        """See `Verdict`; `objects` are all that the statement names. An operator class of a user
        may be behind a relation, or behind a user's type."""
        behind = contents.odd_relations or contents.foreign_tables
        odd = behind and (objects.relations or objects.of_users().types)
        return finding.runs_builtins_only and not (self._trusts_builtins or odd)

    def _used_names(
        self,
        statement: AnalysedStatement,
        judgement: Judgement,
        facts: Facts | None,
        state: State,
        run: Run,
    ) -> UsedNames | None:
        """The names of what a statement uses, where they are wanted; `facts` if they are known."""
        if self._names is None:
            return None
        if facts is not None:
            return names_of(facts, statement, judgement)
        return self._names.names(statement, judgement, state, run)


def _read_contents(state: State, run: Run) -> Contents:
    outcome = run((_CONTENTS,))
    if outcome.failure is not None:
        raise StateChangedError
    return Contents(state, *(value != b"f" for value in outcome.replies[0].rows[0]))


def _is_plain(statement: AnalysedStatement, judgement: Judgement, contents: Contents) -> bool:
    """Whether a statement that may run means nothing but PostgreSQL's own and the tables in it."""
    behind_relations = contents.odd_relations or contents.foreign_tables or contents.policies
    by_users = behind_relations or statement.objects.of_users()
    return judgement.objection is None and not (by_users or statement.only_planned)


def _is_readable(trees_shown: Sequence[str]) -> bool:
    return max(map(len, trees_shown)) <= MAX_TREE_BYTES


def _has_parts_to_put_in(statement: AnalysedStatement, contents: Contents) -> bool:
    """Whether PostgreSQL puts views or policies in when it runs the statement; what is only planned
    has them already."""
    if not statement.objects.relations or statement.only_planned:
        return False
    return contents.policies or any(map(_VIEW.search, statement.trees))


def _with_parts_put_in(statement: AnalysedStatement, run: Run) -> AnalysedStatement:
    """The statement with views and policies put in; its objects are all that it names before and
    after. StateChangedError where that need not be the same statement any more."""
    outcome = run(trees.rewriting(statement.text, statement.server_major))
    if outcome.failure is not None:
        raise StateChangedError
    tree = trees.rewritten(outcome.replies[1])
    if not tree:
        raise not_shown()
    statement = replace(statement, trees=[tree], rewritten=True)
    if not _is_readable([tree]):
        return statement
    below = effects.objects_in(tree)
    if not statement.objects.relations <= below.relations:
        raise StateChangedError  # another table by the same name, between two parses
    return replace(statement, objects=statement.objects | below)

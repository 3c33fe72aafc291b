"""What a policy says of attempts to get past it, and of ordinary reads.

The rule: nothing is written, and nothing is trusted: an attempt is only called stopped where it was
refused, or answered as it is for names that nothing has; a masked value must not be in an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.masks import MaskRules
from pgmcp.config.patterns import ReadRules
from pgmcp.config.patterns import parse as parse_pattern
from pgmcp.config.policies import Policy, PolicyLimits
from pgmcp.errors import AuthError, RpcError, StatementRefusedError, ToolError
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.mcp.content import Text
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.result import Result
from pgmcp.policy.active import ActivePolicy
from pgmcp.pool.pools import Pools
from pgmcp.rpc.schema import build
from pgmcp.selftest import leaks, leaks_computed, leaks_elsewhere, leaks_existence, ordinary
from pgmcp.selftest.attempt import Attempt, AttemptFamily, parse
from pgmcp.selftest.protected import (
    ProtectedColumn,
    Protection,
    is_plain,
    protected_columns,
    protection,
    relations_of,
)
from pgmcp.selftest.runner import CALL_SECONDS, OWNER, AttemptResult, Ending, OneDatabase
from pgmcp.sql.names import qualified

_SHORTEST_VALUE = 3
"""A value of fewer characters is in an answer by chance."""
_MOST_RELATIONS = 3
"""Of so many relations ordinary reads are made."""
_SQL = "query_database"
_NOT_THERE = frozenset({Protection.TABLE, Protection.COLUMN})
"""What is protected in these ways must look as if it were not there."""
_CATEGORIES = {"number": "N", "text": "S"}  # pg_type.typcategory


def families_of(kind: Protection) -> tuple[AttemptFamily, ...]:
    """The attempts on a column that is protected in this way."""
    texts = [leaks.TEXT, leaks_computed.TEXT, leaks_elsewhere.TEXT]
    if kind is Protection.TABLE:
        texts += [leaks_existence.OF_TABLES, leaks_existence.NAMES]
    if kind is Protection.COLUMN:
        texts.append(leaks_existence.OF_COLUMNS)
    return parse(texts)


@dataclass(frozen=True, slots=True)
class Trial:
    """An attempt on one column, or an ordinary read of one table (`column` None)."""

    attempt: Attempt
    places: Mapping[str, str]
    column: ProtectedColumn | None = None

    @property
    def arguments(self) -> Mapping[str, object]:
        """The arguments of the tool."""
        return self.attempt.filled(self.places)

    @property
    def is_sql(self) -> bool:
        """Whether it is a statement, and no call of a tool with arguments."""
        return not self.attempt.text.startswith(f"{self.attempt.tool} ")

    @property
    def shown(self) -> Attempt:
        """The attempt with its text as it is made."""
        arguments = self.arguments
        text = str(arguments.get("query", arguments))
        return Attempt(text, self.attempt.tool, arguments, self.attempt.may_answer)


def leak_trials(
    columns: Sequence[ProtectedColumn],
) -> Iterator[tuple[Protection, AttemptFamily, list[Trial]]]:
    """Each attempt on one column of each kind, on all columns of that kind in turn."""
    for kind in Protection:
        of_kind = [column for column in columns if column.kind is kind]
        number = 0
        for family in families_of(kind) if of_kind else ():
            trials = []
            for attempt in family.attempts:
                column = of_kind[number % len(of_kind)]
                number += 1
                trials.append(Trial(attempt, column.places, column))
            yield kind, family, trials


def ordinary_trials(relations: Sequence[tuple[Mapping[str, str], bool]]) -> Iterator[Trial]:
    """Each ordinary read of each of these tables; whether it may be read as a whole."""
    for family in parse([ordinary.NO_TABLE]):
        yield from (Trial(attempt, {}) for attempt in family.attempts)
    for places, whole in relations:
        for family in parse([ordinary.PARTS, ordinary.WHOLE] if whole else [ordinary.PARTS]):
            yield from (Trial(attempt, places) for attempt in family.attempts)


def readable_tables(
    policy: Policy, reader: ReadOnlyDatabase, most: int
) -> list[tuple[Mapping[str, str], bool]]:
    """The places of ordinary reads: tables with a number and a text that may be read as they are,
    and whether all of their columns may; at most so many of them. ToolError."""
    places: list[dict[str, str]] = []
    whole: list[bool] = []
    for listed in relations_of(reader):
        relation = listed.relation
        columns = [
            (number, name)
            for number, name in relation.columns.items()
            if is_plain(name)
            and protection(policy, reader, relation, name, is_view=listed.is_view) is None
        ]
        chosen = {
            place: name
            for place, category in _CATEGORIES.items()
            for number, name in reversed(columns)
            if relation.categories[number] == category
        }
        if chosen.keys() == _CATEGORIES.keys() and listed.is_small and len(places) < most:
            table = qualified(relation.schema, relation.name)
            places.append({**chosen, "table": table, "name": relation.name})
            whole.append(len(columns) == len(relation.columns))
    others = places[1:] + places[:1]
    return [
        ({**each, "other": other["table"], "other_number": other["number"]}, is_whole)
        for each, other, is_whole in zip(places, others, whole, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class TrialAnswer:
    """What a caller reads, and the error that it is, if it is one."""

    text: str
    error: ToolError | RpcError | AuthError | None = None


class PolicyBench:
    """Makes attempts on one database, under a policy and without."""

    def __init__(
        self,
        database: DatabaseSettings,
        policy: ActivePolicy,
        tools: Mapping[str, Tool],
        make_context: Callable[[OneDatabase], Context],
    ) -> None:
        self._pools = Pools([database], require_safe_role)
        self._databases = DatabaseSet.of(self._pools)
        self._name = database.name
        self._label = database.label
        # The rows may differ by themselves: they are cut by the one, and chosen by the other.
        self.policy = replace(policy, policy=replace(policy.policy, limits=PolicyLimits()))
        self._free = _reading_all(self.policy)
        self._tools = tools
        self._make_context = make_context

    def close(self) -> None:
        """Close the connections."""
        self._pools.close(CALL_SECONDS)

    def columns(self) -> list[ProtectedColumn]:
        """What the policy protects in the database. ToolError."""
        reader = self._databases.database(OWNER, self._name, Call(CALL_SECONDS))
        return list(protected_columns(self.policy.policy, reader))

    def tables(self, most: int = _MOST_RELATIONS) -> list[tuple[Mapping[str, str], bool]]:
        """As `readable_tables`, of the database. ToolError."""
        reader = self._databases.database(OWNER, self._name, Call(CALL_SECONDS))
        return readable_tables(self.policy.policy, reader, most)

    def answer(
        self, tool: str, arguments: Mapping[str, object], policy: ActivePolicy | None
    ) -> TrialAnswer:
        """What a caller is told under this policy."""
        databases = OneDatabase(self._databases, self._name, Call(CALL_SECONDS), policy)
        called = self._tools[tool]
        try:
            outcome = called.run(build(called.args, arguments), self._make_context(databases))
        except ToolError as error:
            return TrialAnswer(self._without_place(error.for_client()), error)
        except (RpcError, AuthError) as error:
            return TrialAnswer(error.message, error)
        parts = outcome.content if isinstance(outcome, Result) else ()
        shown = [part.text for part in parts if isinstance(part, Text)]
        return TrialAnswer(self._without_place("\n".join(shown)))

    def _without_place(self, text: str) -> str:
        return text.replace(self._label, "the database")

    def leak_ending(self, trial: Trial) -> Ending:
        """What becomes of an attempt on a protected column."""
        column = trial.column
        assert column is not None
        attempt, said = trial.shown, self.answer(trial.attempt.tool, trial.arguments, self.policy)
        layer = _layer(said)
        tells = _tells(trial, attempt, said)
        if column.kind is Protection.MASKED and said.error is None and trial.attempt.may_answer:
            result = AttemptResult.THROUGH if tells else AttemptResult.HARMLESS
            return Ending(attempt, result, layer, said.text)
        if said.error is not None and (layer == "policy" or column.kind not in _NOT_THERE):
            result = AttemptResult.THROUGH if tells else AttemptResult.STOPPED
            return Ending(attempt, result, layer, said.text)
        absent = self.answer(trial.attempt.tool, trial.attempt.filled(column.absent), self.policy)
        if column.kind is not Protection.MASKED and _same(trial, column, said, absent):
            return Ending(attempt, AttemptResult.STOPPED, "as if not there", said.text)
        return Ending(attempt, AttemptResult.THROUGH, layer, said.text)

    def ordinary_ending(self, trial: Trial) -> Ending:
        """What becomes of an ordinary read: harmless where it is answered as without a policy."""
        tool, arguments = trial.attempt.tool, trial.arguments
        free = self.answer(tool, arguments, self._free)
        if free.error is not None:  # it names what does not fit here, which proves nothing
            return Ending(trial.shown, AttemptResult.ABSENT, "", free.text)
        said = self.answer(tool, arguments, self.policy)
        if said.text == free.text:
            return Ending(trial.shown, AttemptResult.HARMLESS, "", said.text)
        return Ending(trial.shown, AttemptResult.THROUGH, _layer(said), said.text)


def _reading_all(active: ActivePolicy) -> ActivePolicy | None:
    """What reads everything as the same role with the same settings, None where that needs no
    policy."""
    if not active.policy.sets_session:
        return None
    everything = ReadRules((parse_pattern("*.*"),))
    return replace(active, policy=replace(active.policy, read=everything, mask=MaskRules()))


def _tells(trial: Trial, attempt: Attempt, said: TrialAnswer) -> bool:
    """Whether an answer holds a value that the attempt does not hold itself."""
    value = trial.places["plain_value"]
    return len(value) >= _SHORTEST_VALUE and value not in attempt.text and value in said.text


def _same(trial: Trial, column: ProtectedColumn, said: TrialAnswer, absent: TrialAnswer) -> bool:
    """Whether this is said of names that nothing has too; what tools suggest instead follows from
    the name."""
    texts = [said.text, column.put_back(absent.text)]
    if said.error is not None and trial.attempt.tool != _SQL:
        texts = [text.partition("\nHint: ")[0] for text in texts]
    return texts[0] == texts[1]


def _layer(answer: TrialAnswer) -> str:
    if isinstance(answer.error, StatementRefusedError):
        return answer.error.gate
    return "" if answer.error is None else "error"

"""Making the attempts, one after another, with a witness looking before and after each.

The rule: an attempt is only called stopped for what was raised, and only called harmless when the
witness saw nothing change; whatever else happens counts as got through.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import ArgumentError, AuthError, RpcError, ToolError
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.gate.port import Database as Database
from pgmcp.mcp.feature import Context, Tool
from pgmcp.policy.active import ActivePolicy
from pgmcp.pool.pools import Pools
from pgmcp.postgres.connector import Connector
from pgmcp.rpc.schema import build
from pgmcp.selftest import bounds, calls, derived, layers, statements
from pgmcp.selftest.attempt import Attempt, AttemptFamily, parse
from pgmcp.selftest.witness import OURS, SESSION_SQL, Witness

OWNER = "self-test"
CALL_SECONDS = 20.0
_RUN_SECONDS = 3600.0


class AttemptResult(enum.Enum):
    """How an attempt ended. ABSENT: it named what is not there, which proves nothing."""

    STOPPED = "stopped"
    HARMLESS = "harmless"
    ABSENT = "not here"
    THROUGH = "GOT THROUGH"


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one attempt: which layer stopped it, what it said, what had changed."""

    attempt: Attempt
    result: AttemptResult
    layer: str = ""
    message: str = ""
    changed: tuple[str, ...] = ()


def corpus(tools: Mapping[str, Tool]) -> tuple[AttemptFamily, ...]:
    """Every attempt there is with these tools: those that are written down, and those that follow
    from the tools' schemas."""
    written = parse((statements.TEXT, calls.TEXT, bounds.TEXT))
    return (*written, derived.family(tools.values()))


def run(
    database: DatabaseSettings,
    tools: Mapping[str, Tool],
    make_context: Callable[[OneDatabase], Context],
) -> Iterator[tuple[AttemptFamily, list[Ending]]]:
    """Each family and what became of its attempts. DatabaseUnavailableError."""
    call = Call(_RUN_SECONDS)
    witness = Witness(Connector(database, require_safe_role).connect(call), call)
    try:
        with bench(database, tools, make_context, witness) as ready:
            for family in corpus(tools):
                yield family, [ready.ending(attempt) for attempt in family.attempts]
    finally:
        witness.close()


@contextmanager
def bench(
    database: DatabaseSettings,
    tools: Mapping[str, Tool],
    make_context: Callable[[OneDatabase], Context],
    witness: Witness,
) -> Iterator[Bench]:
    """What makes attempts, until the block ends."""
    pools = Pools([database], require_safe_role)
    try:
        yield Bench(DatabaseSet.of(pools), database.name, tools, make_context, witness)
    finally:
        pools.close(CALL_SECONDS)


@dataclass(frozen=True, slots=True)
class OneDatabase:
    """`mcp.feature.Databases` with one in it."""

    databases: DatabaseSet
    name: str
    call: Call
    policy: ActivePolicy | None = None

    def names(self) -> tuple[str, ...]:
        """Its name."""
        return (self.name,)

    def get(self, name: str | None = None) -> Database:
        """It; ToolError for another."""
        if name not in (None, self.name):
            raise ToolError(
                f"there is no database {name!r} that you may use", f"Use {self.name!r}."
            )
        return self.databases.database(OWNER, self.name, self.call, policy=self.policy)


@dataclass(slots=True)
class Bench:
    """Makes attempts on one database, with connections of its own."""

    databases: DatabaseSet
    name: str
    tools: Mapping[str, Tool]
    make_context: Callable[[OneDatabase], Context]
    witness: Witness
    session: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)

    def ending(self, attempt: Attempt) -> Ending:
        """What becomes of an attempt; made twice when it ended as expected and yet
        something changed meanwhile, which on a busy server somebody else may have done."""
        missing = attempt.needs() - self.witness.places.keys()
        if missing:
            return Ending(
                attempt, AttemptResult.ABSENT, message=f"there is no {', '.join(sorted(missing))}"
            )
        ending = self._once(attempt)
        expected = ending.layer or attempt.may_answer
        if ending.changed and expected and OURS.isdisjoint(ending.changed):
            ending = self._once(attempt)
        return ending

    def _once(self, attempt: Attempt) -> Ending:
        before = self.seen or self.witness.look()
        error = self._try(attempt)
        session = self._session()  # which also waits until the attempt's own ROLLBACK is through
        after = self.seen = self.witness.look()
        changed = tuple(name for name in after if after[name] != before[name])
        if self.session and session != self.session:
            changed += ("the session",)
        self.session = self.session or session
        layer = layers.layer(error) if error is not None else ""
        message = error.message if error is not None else ""
        if changed:
            return Ending(attempt, AttemptResult.THROUGH, layer, message, changed)
        if error is None:
            result = AttemptResult.HARMLESS if attempt.may_answer else AttemptResult.THROUGH
            return Ending(attempt, result)
        absent = layers.proves_nothing(error)
        return Ending(
            attempt, AttemptResult.ABSENT if absent else AttemptResult.STOPPED, layer, message
        )

    def _try(self, attempt: Attempt) -> ToolError | None:
        """What a caller's tool call raises."""
        tool = self.tools[attempt.tool]
        databases = OneDatabase(self.databases, self.name, Call(CALL_SECONDS))
        filled = attempt.filled(self.witness.places)
        try:
            tool.run(build(tool.args, filled), self.make_context(databases))
        except ToolError as error:
            if type(error) is ToolError and set(filled) == {"query"}:
                return _past_the_tool(databases, filled["query"])
            return error
        except RpcError as error:
            return ArgumentError(error.message)
        except AuthError as error:
            return ToolError(error.message, error.hint)
        return None

    def _session(self) -> str:
        """The state of the session that the next call gets."""
        databases = OneDatabase(self.databases, self.name, Call(CALL_SECONDS))
        return (databases.get().fetch(SESSION_SQL).rows[0][0] or b"").decode(errors="replace")


def _past_the_tool(databases: OneDatabase, text: str) -> ToolError | None:
    """What the gate says of a text that the tool took for a question in plain language."""
    try:
        databases.get().query(text, max_rows=1)
    except ToolError as error:
        return error
    return None

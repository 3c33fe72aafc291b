"""Calling tools as the server does, against a real database and without a transport."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pgmcp.auth.principal import Principal, local
from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Secret
from pgmcp.errors import ToolError
from pgmcp.features.all import ALL
from pgmcp.gate import port
from pgmcp.gate.databases import DatabaseSet
from pgmcp.mcp.content import Text
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.result import Result
from pgmcp.policy.active import ActivePolicy
from pgmcp.rpc.schema import build
from tests import conforming
from tests.databases import open_databases, settings_for
from tools.postgres import Server

_numbers = itertools.count(1)

PRINCIPAL: Principal = local(("main",))
RESOURCES = Registry(ALL).resources


def configured(
    server: Server, database: str, user: str = "", password: str = ""
) -> DatabaseSettings:
    """The server's database as a configuration describes it, named "main"."""
    return settings_for(
        server,
        database,
        user=user or server.user,
        passwords=(Secret(password or server.password),),
        ssl=Ssl("disable", None, None, None),
        pool_max_conns=2,
        statement_timeout_seconds=20.0,
    )


@dataclass(frozen=True)
class Reach:
    """The databases as one call reaches them."""

    databases: DatabaseSet
    call: Call
    policy: ActivePolicy | None = None

    def names(self) -> tuple[str, ...]:
        return ("main",)

    def get(self, name: str | None = None) -> port.Database:
        return self.databases.database(PRINCIPAL.key, name or "main", self.call, policy=self.policy)


class Calls:
    """Runs tools; `context` is what they run in."""

    def __init__(
        self, databases: DatabaseSet, database: str, policy: ActivePolicy | None = None
    ) -> None:
        self._pools = databases
        self.database = database
        self.policy = policy

    def under(self, policy: ActivePolicy) -> Calls:
        """Calls on the same database under a policy."""
        return Calls(self._pools, self.database, policy)

    def get(self) -> port.Database:
        return Reach(self._pools, Call(30), self.policy).get()

    @property
    def context(self) -> Context:
        call = Call(30)
        return Context(PRINCIPAL, call, Reach(self._pools, call, self.policy), resources=RESOURCES)

    def __call__(self, tool: Tool, **arguments: Any) -> str:
        """The text of a call that succeeds."""
        return text_of(self.result(tool, **arguments))

    def result(self, tool: Tool, **arguments: Any) -> Result:
        """The result of a call that succeeds."""
        outcome = tool.run(build(tool.args, arguments), self.context)
        assert isinstance(outcome, Result)
        conforming.check(tool, outcome)
        return outcome

    def failure(self, tool: Tool, **arguments: Any) -> str:
        """What a client reads of a call that fails."""
        with pytest.raises(ToolError) as failed:
            self(tool, **arguments)
        return failed.value.for_client()


@contextmanager
def calls(server: Server, database: str, user: str = "", password: str = "") -> Iterator[Calls]:
    """Calls against one database of a server."""
    databases = open_databases((configured(server, database, user, password),))
    try:
        yield Calls(databases, database)
    finally:
        databases.pools.close(5)


@contextmanager
def fresh(server: Server, sql: str = "") -> Iterator[Calls]:
    """Calls against a new database that this SQL has filled, dropped afterwards."""
    name = f"calls_{next(_numbers)}"
    server.create_database(name)
    try:
        if sql:
            server.psql(sql, name)
        with calls(server, name) as ready:
            yield ready
    finally:
        server.drop_database(name)


def text_of(outcome: object) -> str:
    """The text of a result that is one text."""
    assert isinstance(outcome, Result)
    (part,) = outcome.content
    assert isinstance(part, Text)
    return part.text


def sections(text: str) -> list[list[str]]:
    """The parts of a text that blank lines divide, as lines."""
    return [part.split("\n") for part in text.split("\n\n")]


def cells(lines: list[str]) -> list[dict[str, str]]:
    """TSV lines as one dictionary a row, by the names in the header."""
    header, *rows = [line.split("\t") for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]

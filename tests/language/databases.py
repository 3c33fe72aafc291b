"""A database with one of the schemas of this folder, reached the way a tool reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pgmcp.calls.call import Call
from pgmcp.gate.port import Database
from pgmcp.language.lexicon import Lexicon
from pgmcp.postgres.messages import Step
from tests.databases import connect, open_databases, settings_for
from tests.language.questions import FOLDER
from tools.postgres import Server


@dataclass(frozen=True)
class Loaded:
    """The database, its lexicon and its name on `server`."""

    server: Server
    name: str
    database: Database
    lexicon: Lexicon

    def verdicts(self, texts: list[str]) -> list[str | None]:
        """The SQLSTATE of the server's Parse for each text, None when it accepts it."""
        connection = connect(settings_for(self.server, self.name))
        found: list[str | None] = []
        for text in texts:
            step = Step(text, describe=True, execute=False)
            call = Call(30)
            outcome = connection.run([step], call, limit_bytes=10_000)
            connection.ensure_clean(call)
            found.append(outcome.failure.server.sqlstate if outcome.failure else None)
        connection.close()
        return found


@contextmanager
def load_schema(server: Server, name: str, schema: str) -> Iterator[Loaded]:
    """Fill the empty database `name` from a file of this folder."""
    server.psql((FOLDER / schema).read_text(encoding="utf-8"), database=name)
    databases = open_databases([settings_for(server, name)])
    try:
        database = databases.database("test", "main", Call(600))
        yield Loaded(server, name, database, Lexicon.of(database.catalogue()))
    finally:
        databases.pools.close(1)

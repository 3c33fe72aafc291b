"""The configured databases, each behind its judge: where pools, judging and the catalogue meet.

The rule: what was learnt of a database (judgements, catalogue) lasts as long as its settings. What
asks a database is loaded with the first call that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import ToolError
from pgmcp.pool.pools import Pools, Source

if TYPE_CHECKING:
    from pgmcp.catalog.tables import TablesCache
    from pgmcp.gate.database import ReadOnlyDatabase
    from pgmcp.gate.judge import Judge
    from pgmcp.policy.active import ActivePolicy
    from pgmcp.policy.budget import CallBudget
    from pgmcp.postgres.driver import Connection


_MAX_CATALOGUES = 16
"""Of so many policies the tables of a database are kept."""


class _DatabaseCaches:
    """The judge and the tables of one database, for the calls of all owners; each is made when it
    is first asked for."""

    def __init__(self, source: Source, *, names_uses: bool) -> None:
        self.source = source
        self._names_uses = names_uses
        self._catalogues: dict[ActivePolicy | None, TablesCache] = {}

    @cached_property
    def judge(self) -> Judge:
        """Judges statements, and knows those that it has judged."""
        from pgmcp.gate.judge import Judge

        settings = self.source.database
        return Judge(settings.trusted_functions, settings.statistics, names_uses=self._names_uses)

    def catalogues(self, policy: ActivePolicy | None) -> TablesCache:
        """The tables under a policy, as they were when last asked for."""
        catalogue = self._catalogues.get(policy)
        if catalogue is None:
            from pgmcp.catalog.tables import TablesCache

            if len(self._catalogues) >= _MAX_CATALOGUES:
                self._catalogues.clear()
            catalogue = self._catalogues.setdefault(policy, TablesCache())
        return catalogue


@dataclass(frozen=True, slots=True)
class DatabaseSet:
    """The databases as one configuration has them, in its order, also once there is a newer."""

    pools: Pools
    _caches: Mapping[str, _DatabaseCaches]

    @classmethod
    def of(
        cls, pools: Pools, before: DatabaseSet | None = None, *, names_uses: bool = False
    ) -> DatabaseSet:
        """The databases that the pools have now.

        Those that have not changed since `before` keep their judge and their tables. `names_uses`:
        trails are told what statements use, by name.
        """
        known = {each.source: each for each in before._caches.values()} if before else {}
        return cls(
            pools,
            {
                name: known.get(source) or _DatabaseCaches(source, names_uses=names_uses)
                for name, source in pools.sources.items()
            },
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order of the configuration."""
        return tuple(self._caches)

    def database(
        self,
        owner: str,
        name: str,
        call: Call,
        trail: Trail | None = None,
        policy: ActivePolicy | None = None,
        most_rows: int | None = None,
        budget: CallBudget | None = None,
    ) -> ReadOnlyDatabase:
        """The database `name` for one call of `owner`; no connection is made yet.

        `trail` is told what the caller had run; None where nobody reads it. `policy`: what the
        caller may read, None for all that the role may; `most_rows`: that a statement returns, None
        as many as it wants; `budget`: what the call may take, None for all. ToolError when there is
        no such database.
        """
        from pgmcp.gate.database import ReadOnlyDatabase

        caches = self._caches.get(name)
        if caches is None:
            raise ToolError(f"there is no database {name}", f"Configured: {', '.join(self.names)}.")
        source = caches.source
        pool = self.pools.for_call(owner, source, call)
        return ReadOnlyDatabase(
            source.database,
            pool,
            caches.judge,
            caches.catalogues(policy),
            call,
            trail or Trail(),
            policy,
            most_rows,
            budget,
        )


def require_safe_role(database: DatabaseSettings, connection: Connection, call: Call) -> None:
    """Close a new connection of a role that could do more than read, where the operator wants that.

    DatabaseUnavailableError then, and when what the role could do cannot be found out.
    """
    if database.require_safe_role:
        from pgmcp.gate.roles.safe_role import close_unless_safe

        close_unless_safe(database, connection, call)

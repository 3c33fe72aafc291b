"""The share of one worker process in what all of them may have together.

The rule: the shares add up to what the operator allowed, never to more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.layers import Settings
from pgmcp.config.model import Config

_HINT = "Each process needs a connection of its own: lower http.workers, or raise the other."


def share_of(config: Config, number: int, count: int) -> Config:
    """The configuration of worker `number` of `count`, of which the first is 0.

    What does not divide falls to other workers with each database.
    """
    databases = tuple(
        _of_database(database, (number + place) % count, count)
        for place, database in enumerate(config.databases)
    )
    connections = _part(config.http.max_connections, number, count)
    return replace(
        config,
        http=replace(config.http, max_connections=connections),
        databases=databases,
        max_connections_total=_part(config.max_connections_total, number, count),
    )


def check_workers(settings: Settings, databases: Sequence[DatabaseSettings]) -> None:
    """ConfigError when there are more workers than connections to share among them."""
    workers, total = settings["http.workers"], settings["max_connections_total"]
    if workers.value > total.value:
        workers.refuse(
            f"{workers.value} is more than max_connections_total, {total.value} ({total.source})",
            _HINT,
        )
    for database in databases:
        if workers.value > database.pool_max_conns:
            workers.refuse(
                f"{workers.value} is more than pool_max_conns of the database {database.name}, "
                f"{database.pool_max_conns}",
                _HINT,
            )


def _of_database(database: DatabaseSettings, number: int, count: int) -> DatabaseSettings:
    """The share in one database. No part of the smaller number is above that of the larger."""
    return replace(
        database,
        pool_max_conns=_part(database.pool_max_conns, number, count),
        pool_min_conns=_part(database.pool_min_conns, number, count),
    )


def _part(total: int, number: int, count: int) -> int:
    """The parts of a total differ by one at most."""
    return total // count + (number < total % count)

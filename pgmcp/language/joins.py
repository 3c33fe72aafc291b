"""Foreign keys as a graph, and the one path between two tables.

The rule: a path is taken only when no other could have been meant. Two are an ambiguity, and the
answer says which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pgmcp.catalog.catalogue import Relation
from pgmcp.language import naming
from pgmcp.language.question import Hop, Path, TableRef
from pgmcp.language.stemming import stems

MAX_HOPS = 3
_SEARCHED = 2000  # steps before a graph counts as too dense to be sure of anything


@dataclass(frozen=True, slots=True)
class Graph:
    """`hops`: the steps out of a table. `is_bridge`: whether it holds two keys and little else."""

    hops: Callable[[TableRef], tuple[Hop, ...]]
    is_bridge: Callable[[TableRef], bool]


@dataclass(frozen=True, slots=True)
class JoinPaths:
    """Every way from one table to another; `path` when there is exactly one to take."""

    path: Path | None = None
    candidates: tuple[Path, ...] = ()


def noun(table: str) -> tuple[str, ...]:
    """The stems of a table's name, a prefix such as `tbl_` or an ending `_tbl` taken off."""
    parts = stems(table)
    if len(parts) > 1 and parts[0] in naming.TABLE_PREFIXES:
        return parts[1:]
    return parts[:-1] if len(parts) > 1 and parts[-1] in naming.TABLE_ENDINGS else parts


def role_of(columns: tuple[str, ...]) -> tuple[str, ...]:
    """What a key's last column calls its target: `(manager,)` of `manager_id`."""
    parts = stems(columns[-1])
    kept = tuple(part for part in parts if part not in naming.KEY_PARTS)
    return kept or parts


def is_bridge(relation: Relation) -> bool:
    """Whether a table only says which rows of two others belong together, and since when."""
    if len(relation.foreign_keys) != 2:
        return False
    keys = {column for key in relation.foreign_keys for column in key.columns}
    rest = [
        column
        for column in relation.columns
        if column.name not in keys
        and column.name not in relation.primary_key
        and column.category != "D"
    ]
    return not rest


def join_paths(graph: Graph, start: TableRef, goal: TableRef, *, plural: bool) -> JoinPaths:
    """The path from `start` to `goal`; `plural`: the goal was named in the plural."""
    direct = tuple((hop,) for hop in graph.hops(start) if hop.target == goal)
    bridged = tuple(
        (first, second)
        for first in graph.hops(start)
        if first.to_many and graph.is_bridge(first.target)
        for second in graph.hops(first.target)
        if not second.to_many and second.target == goal and second.key != first.key
    )
    if direct:
        if bridged:
            return JoinPaths(None, direct + bridged)
        if len(direct) == 1 and start != goal:
            return JoinPaths(direct[0])
        plain = [path for path in direct if _is_plain(path[0], plural)]
        if len(plain) == 1 and _has_rival(plain[0][0], direct):
            plain = []
        if len(plain) == 1 and start != goal:
            return JoinPaths(plain[0])
        return JoinPaths(None, direct)
    if start == goal:
        return JoinPaths(None, bridged)
    if len(bridged) == 1:
        return JoinPaths(bridged[0])
    paths = _search(graph, start, goal)
    if paths is not None and len(paths) == 1:
        return JoinPaths(paths[0])
    return JoinPaths(None, tuple(paths or ()))


def _is_plain(hop: Hop, plural: bool) -> bool:
    """Whether a key says no more than that the tables belong together: `orders.customer_id`."""
    if hop.to_many:
        return _names(hop.role, noun(hop.source.table))
    return not plural and _names(hop.role, noun(hop.target.table))


def _has_rival(plain: Hop, direct: tuple[Path, ...]) -> bool:
    """Whether another key says the same with a word more: `language_id`, `dubbed_language_id`."""
    if not plain.to_many:
        return False
    target = noun(plain.source.table)
    return any(
        path[0].to_many and path[0] != plain and path[0].role[-len(target) :] == target
        for path in direct
    )


def _names(role: tuple[str, ...], table: tuple[str, ...]) -> bool:
    return role == table or "".join(role) == "".join(table) or role == table[-1:]


def _search(graph: Graph, start: TableRef, goal: TableRef) -> list[Path] | None:
    """All paths of up to MAX_HOPS steps that do not go up to a table and down again; None: many."""
    paths: list[Path] = []
    open_paths: list[Path] = [(hop,) for hop in graph.hops(start) if hop.target != start]
    steps = 0
    while open_paths:
        path = open_paths.pop()
        steps += 1
        if steps > _SEARCHED:
            return None
        last = path[-1]
        if last.target == goal:
            paths.append(path)
            continue
        if len(path) == MAX_HOPS:
            continue
        seen = {start, *(hop.target for hop in path)}
        # Up and down again ("orders with the same customer") relates siblings: nobody says it.
        open_paths.extend(
            (*path, hop)
            for hop in graph.hops(last.target)
            if hop.target not in seen and (last.to_many or not hop.to_many)
        )
    return paths


def describe(path: Path) -> str:
    """A path for people: `orders -> users (user_id)`."""
    steps = [path[0].source.table]
    for hop in path:
        pair = hop.on[0]
        key = pair[1] if hop.to_many else pair[0]
        steps.append(f"{hop.target.table} ({key})")
    return " -> ".join(steps)

"""pgmcp.transport.crowd: who makes room at the limit of connections, and what the log says."""

from __future__ import annotations

from pgmcp.transport.crowd import Crowding, ranking

Open = list[tuple[str, bool, bool]]
"""Connections: the address key, whether it has authenticated, whether it is idle."""


def order(newcomer: str, connections: Open) -> list[tuple[str, bool, bool]]:
    """The connections that may be closed, in the order in which they go."""
    rank = ranking(newcomer, [(key, known) for key, known, _ in connections])
    going = [(place, c) for c in connections if (place := rank(*c)) is not None]
    return [connection for _, connection in sorted(going, key=lambda item: item[0])]


STRANGER_IDLE, STRANGER_BUSY = ("crowd", False, True), ("crowd", False, False)
KNOWN_IDLE, KNOWN_BUSY = ("crowd", True, True), ("crowd", True, False)
OTHER_KNOWN, OTHER_STRANGER = ("other", True, True), ("other", False, True)
ALL: Open = [KNOWN_BUSY, KNOWN_IDLE, OTHER_KNOWN, OTHER_STRANGER, STRANGER_BUSY, STRANGER_IDLE]


def test_strangers_of_the_largest_crowd_go_first_and_the_known_last() -> None:
    assert order("new", ALL) == [
        STRANGER_IDLE,
        STRANGER_BUSY,
        OTHER_STRANGER,
        KNOWN_IDLE,
        OTHER_KNOWN,
        KNOWN_BUSY,
    ]


def test_a_client_with_many_connections_costs_nobody_else_any() -> None:
    assert order("crowd", ALL) == [STRANGER_IDLE, KNOWN_IDLE]
    assert order("crowd", [STRANGER_BUSY, KNOWN_BUSY, OTHER_KNOWN, OTHER_STRANGER]) == []


def test_clients_behind_one_proxy_cost_each_other_idle_connections_only() -> None:
    assert order("crowd", [KNOWN_BUSY, KNOWN_IDLE]) == [KNOWN_IDLE]


def test_a_flood_from_many_addresses_does_not_keep_out_a_new_one() -> None:
    flood = [(f"a{number}", False, False) for number in range(5)]
    known = [("friend", True, True), ("friend", True, False)]
    assert order("new", [*known, *flood])[: len(flood)] == flood


def test_a_crowd_of_known_clients_is_not_cut_for_strangers_that_come_in_numbers() -> None:
    friends = [("friend", True, idle) for idle in (True, False) for _ in range(9)]
    assert order("stranger", [*friends, ("stranger", False, False)]) == []


def test_the_log_is_told_at_the_beginning_and_once_a_minute() -> None:
    now = 0.0
    crowding = Crowding(lambda: now)
    assert crowding.summary() is None
    assert [crowding.add(closed=1) for _ in range(3)] == [True, False, False]
    crowding.refused += 2
    assert crowding.summary() is None
    now = 60.0
    assert crowding.summary() == "3 closed, 2 refused"
    assert not crowding.add(closed=1)
    now = 120.0
    assert crowding.summary() == "1 closed, 0 refused"
    now = 180.0
    assert crowding.summary() is None
    assert crowding.add(closed=1)

"""pgmcp.transport.eviction: who makes room at the limit of connections, and what the log says."""

from __future__ import annotations

from pgmcp.transport.eviction import EvictionReport, eviction_rank

Open = list[tuple[str, bool, bool]]
"""Connections: the address key, whether it has authenticated, whether it is idle."""


def order(newcomer: str, connections: Open) -> list[tuple[str, bool, bool]]:
    """The connections that may be closed, in the order in which they go."""
    rank = eviction_rank(newcomer, [(key, known) for key, known, _ in connections])
    going = [(place, c) for c in connections if (place := rank(*c)) is not None]
    return [connection for _, connection in sorted(going, key=lambda item: item[0])]


UNKNOWN_IDLE, UNKNOWN_BUSY = ("largest", False, True), ("largest", False, False)
KNOWN_IDLE, KNOWN_BUSY = ("largest", True, True), ("largest", True, False)
OTHER_KNOWN, OTHER_UNKNOWN = ("other", True, True), ("other", False, True)
ALL: Open = [KNOWN_BUSY, KNOWN_IDLE, OTHER_KNOWN, OTHER_UNKNOWN, UNKNOWN_BUSY, UNKNOWN_IDLE]


def test_unauthenticated_clients_of_the_largest_address_go_first_and_the_known_last() -> None:
    assert order("new", ALL) == [
        UNKNOWN_IDLE,
        UNKNOWN_BUSY,
        OTHER_UNKNOWN,
        KNOWN_IDLE,
        OTHER_KNOWN,
        KNOWN_BUSY,
    ]


def test_a_client_with_many_connections_costs_nobody_else_any() -> None:
    assert order("largest", ALL) == [UNKNOWN_IDLE, KNOWN_IDLE]
    assert order("largest", [UNKNOWN_BUSY, KNOWN_BUSY, OTHER_KNOWN, OTHER_UNKNOWN]) == []


def test_clients_behind_one_proxy_cost_each_other_idle_connections_only() -> None:
    assert order("largest", [KNOWN_BUSY, KNOWN_IDLE]) == [KNOWN_IDLE]


def test_a_flood_from_many_addresses_does_not_keep_out_a_new_one() -> None:
    flood = [(f"a{number}", False, False) for number in range(5)]
    known = [("friend", True, True), ("friend", True, False)]
    assert order("new", [*known, *flood])[: len(flood)] == flood


def test_many_known_clients_are_not_cut_for_unknown_clients_that_come_in_numbers() -> None:
    friends = [("friend", True, idle) for idle in (True, False) for _ in range(9)]
    assert order("unknown", [*friends, ("unknown", False, False)]) == []


def test_the_log_is_told_at_the_beginning_and_once_a_minute() -> None:
    now = 0.0
    report = EvictionReport(lambda: now)
    assert report.summary() is None
    assert [report.add(closed=1) for _ in range(3)] == [True, False, False]
    report.refused += 2
    assert report.summary() is None
    now = 60.0
    assert report.summary() == "3 closed, 2 refused"
    assert not report.add(closed=1)
    now = 120.0
    assert report.summary() == "1 closed, 0 refused"
    now = 180.0
    assert report.summary() is None
    assert report.add(closed=1)

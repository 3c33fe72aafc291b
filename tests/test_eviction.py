"""pgmcp.transport.eviction: who makes room at the limit of connections, and what the log says."""

from __future__ import annotations

from pgmcp.transport.eviction import EvictionReport, OpenConnections

Open = list[tuple[str, bool, bool]]
"""Connections: the address key, whether it has authenticated, whether it is idle."""


def order(newcomer: str, connections: Open) -> list[tuple[str, bool, bool]]:
    """The connections that may be closed, in the order in which they go."""
    opened: OpenConnections[int] = OpenConnections()
    for number, (key, known, _) in enumerate(connections, 1):
        opened.add(number, key)
        opened.change(number, known=known)
    gone: list[int] = []

    def take(number: int, idle: bool) -> bool:
        goes = number not in gone and connections[number - 1][2] == idle
        if goes:
            gone.append(number)
        return goes

    while opened.make_room(newcomer, take) is not None:
        pass
    return [connections[number - 1] for number in gone]


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


def test_deciding_for_a_flood_from_many_addresses_looks_at_few_connections() -> None:
    opened: OpenConnections[int] = OpenConnections()
    for number in range(1, 2001):
        opened.add(number, f"a{number}")
        opened.change(number, known=number > 1000)
    tried: list[int] = []

    def take(number: int, _: bool) -> bool:
        tried.append(number)
        return True

    for number in range(2001, 2101):
        gone = opened.make_room(f"a{number}", take)
        assert gone is not None
        opened.remove(gone)
        opened.add(number, f"a{number}")
    assert tried == list(range(1, 101))  # the oldest of those that have not authenticated


def test_when_every_request_is_under_way_the_tries_are_bounded_and_go_on_with_the_next() -> None:
    opened: OpenConnections[int] = OpenConnections()
    for number in range(1, 1001):
        opened.add(number, "friend")
        opened.change(number, known=True)
    tried: list[int] = []

    def take(number: int, idle: bool) -> bool:
        tried.append(number)
        return idle and number == 1000

    rounds = 0
    while opened.make_room("new", take) is None:
        rounds += 1
    assert rounds < 4
    assert len(tried) <= 4 * 3 * 256


def test_who_has_the_most_is_known_after_connections_come_and_go() -> None:
    opened: OpenConnections[int] = OpenConnections()
    for number in range(1, 7):
        opened.add(number, "abc"[number % 3])
    for number in (3, 4):
        opened.remove(number)
        opened.remove(number)
    assert opened.make_room("new", lambda _, idle: idle) == 2  # of c, which has two
    assert (len(opened), list(opened)) == (4, [1, 2, 5, 6])


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

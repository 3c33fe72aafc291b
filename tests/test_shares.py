"""Shares: nobody holds everything, and the owners take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.calls.shares import FairQueue, Places

OWNERS = st.sampled_from(["ann", "ben", "eve", "joe"])


def taken_by(places: Places, owner: str) -> int:
    """Take as many as the owner gets; how many it then holds."""
    while places.try_take(owner):
        pass
    return places.held(owner)


@pytest.mark.parametrize(("size", "most"), [(1, 1), (2, 2), (3, 2), (4, 3), (50, 26), (66, 34)])
def test_a_lone_owner_gets_no_more_than_half_and_one(size: int, most: int) -> None:
    assert taken_by(Places(size), "ann") == most


def test_each_newcomer_finds_room_beside_those_who_took_all_they_could() -> None:
    places = Places(50)
    shares = [taken_by(places, f"owner-{number}") for number in range(5)]
    assert shares == [26, 13, 6, 3, 2]
    assert places.taken == 50


def test_an_owner_that_has_more_than_its_share_gets_no_more_until_it_has_less() -> None:
    places = Places(10)
    taken_by(places, "ann")
    taken_by(places, "ben")
    places.give_back("ann")
    assert not places.may_take("ann")
    assert places.may_take("eve")
    for _ in range(places.held("ann")):
        places.give_back("ann")
    assert places.may_take("ann")


def test_a_fixed_bound_holds_however_much_is_free() -> None:
    assert taken_by(Places(1000, most=8), "ann") == 8


@given(st.integers(1, 40), st.lists(st.tuples(OWNERS, st.booleans()), max_size=200))
def test_no_more_are_held_than_there_are(size: int, events: list[tuple[str, bool]]) -> None:
    places, held = Places(size), dict.fromkeys(["ann", "ben", "eve", "joe"], 0)
    for owner, more in events:
        if more:
            held[owner] += places.try_take(owner)
        elif held[owner]:
            places.give_back(owner)
            held[owner] -= 1
        assert {owner: places.held(owner) for owner in held} == held
        assert places.taken == sum(held.values()) <= size


def test_owners_take_turns_whoever_put_how_many() -> None:
    queue: FairQueue[str, str] = FairQueue()
    for item in ("ann 1", "ann 2", "ann 3", "ben 1", "eve 1", "ben 2"):
        queue.put(item[:3], item)
    order = [queue.pop() for _ in range(6)]
    assert order == ["ann 1", "ben 1", "eve 1", "ann 2", "ben 2", "ann 3"]
    assert queue.pop() is None
    assert len(queue) == 0


def test_an_owner_that_may_not_is_passed_over_and_keeps_its_turn() -> None:
    queue: FairQueue[str, str] = FairQueue()
    for item in ("ann 1", "ben 1", "ben 2"):
        queue.put(item[:3], item)
    assert queue.pop(lambda owner: owner == "ben") == "ben 1"
    assert queue.pop(lambda owner: owner == "joe") is None
    assert [queue.pop(), queue.pop()] == ["ann 1", "ben 2"]


def test_what_is_taken_out_is_not_served() -> None:
    queue: FairQueue[str, str] = FairQueue()
    for item in ("ann 1", "ann 2"):
        queue.put(item[:3], item)
    assert queue.remove("ann", "ann 1")
    assert not queue.remove("ann", "ann 1")
    assert not queue.remove("ben", "ann 2")
    assert (queue.waiting("ann"), queue.waiting("ben"), queue.items()) == (1, 0, ["ann 2"])
    assert queue.pop() == "ann 2"

"""What a pool decides, as values: any order of requests, ends, failures and housekeeping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgmcp.calls.call import Call
from pgmcp.errors import DatabaseUnavailableError, PoolClosedError
from pgmcp.pool.back_off import BACK_OFF_SECONDS
from pgmcp.pool.lease import Grant, Waiter
from pgmcp.pool.slots import Slots
from pgmcp.pool.state import JITTER, PoolState
from pgmcp.postgres.driver import Connection
from tests.databases import unreachable

IDLE_SECONDS = 100.0
LIFETIME_SECONDS = 1000.0


@dataclass(eq=False)
class Session:
    """What a pool reads of a connection."""

    reusable: bool = True
    at_work: bool = False
    process_list: object = None
    peer: object = None
    idle_seconds: float = 0.0


def session(**changes: Any) -> Connection:
    return cast("Connection", Session(**changes))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def slots_of(total: int, clock: Clock) -> Slots:
    """Slots whose lock is held, as by whoever decides."""
    slots = Slots(total, clock)
    slots.lock.acquire()
    return slots


def state_of(
    most: int, slots: Slots, clock: Clock, owner: str = "ann", least: int = 0
) -> PoolState:
    database = unreachable(
        1,
        pool_max_conns=most,
        pool_min_conns=least,
        pool_max_conn_idle_seconds=IDLE_SECONDS,
        pool_max_conn_lifetime_seconds=LIFETIME_SECONDS,
    )
    return PoolState(database, owner, slots, clock)


def lent(state: PoolState, connection: Connection | None = None) -> Connection:
    """A connection that was opened for a call."""
    call = Call(10)
    assert isinstance(state.request(call), Grant)
    connection = connection or session()
    state.opened(connection, call)
    return connection


def idle_ones(state: PoolState, count: int) -> list[Connection]:
    connections = [lent(state) for _ in range(count)]
    for connection in connections:
        assert state.take_back(connection).kept
    return connections


class Pooling(RuleBasedStateMachine):
    """Three pools of two owners: nothing is lost, lent twice or above its limit, and nobody waits
    who could be served."""

    @initialize(total=st.integers(1, 6), most=st.integers(1, 3))
    def begin(self, total: int, most: int) -> None:
        self.clock = Clock()
        self.slots = slots_of(total, self.clock)
        owners = ("ann", "ann", "bob")
        self.pools = [state_of(most, self.slots, self.clock, owner, least=1) for owner in owners]
        self.opening: list[tuple[PoolState, Call]] = []
        self.leases: list[tuple[PoolState, Connection]] = []
        self.waiters: list[tuple[PoolState, Waiter]] = []
        self.withdrawn: list[Waiter] = []

    def take(self, pool: PoolState, grant: Grant, call: Call) -> None:
        assert grant.victim is None or all(grant.victim not in other.idle for other in self.pools)
        if grant.connection is not None:
            self.leases.append((pool, grant.connection))
        elif grant.error is None:
            self.opening.append((pool, call))

    def collect(self) -> None:
        """Have those who waited see what they were granted."""
        for pool, waiter in [item for item in self.waiters if item[1].grant is not None]:
            assert waiter.woken.is_set()
            assert waiter.grant is not None
            self.waiters.remove((pool, waiter))
            self.take(pool, waiter.grant, waiter.call)

    @rule(number=st.integers(0, 2))
    def ask(self, number: int) -> None:
        call = Call(10)
        answer = self.pools[number].request(call)
        if isinstance(answer, Grant):
            self.take(self.pools[number], answer, call)
        else:
            self.waiters.append((self.pools[number], answer))
        self.collect()

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def stop_waiting(self, data: st.DataObject) -> None:
        pool, waiter = data.draw(st.sampled_from(self.waiters))
        assert pool.withdraw(waiter)
        self.waiters.remove((pool, waiter))
        self.withdrawn.append(waiter)

    @precondition(lambda self: self.opening)
    @rule(data=st.data(), opens=st.booleans(), slow=st.booleans())
    def connect(self, data: st.DataObject, opens: bool, slow: bool) -> None:
        pool, call = data.draw(st.sampled_from(self.opening))
        self.opening.remove((pool, call))
        if opens:
            connection = session()
            pool.opened(connection, call)
            self.leases.append((pool, connection))
        else:
            pool.connect_failed(DatabaseUnavailableError("down", "", lasting=slow), 10.0)
            pool.not_opened(call)
        self.collect()

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), reusable=st.booleans())
    def end(self, data: st.DataObject, reusable: bool) -> None:
        pool, connection = data.draw(st.sampled_from(self.leases))
        self.leases.remove((pool, connection))
        cast("Session", connection).reusable = reusable
        kept = pool.take_back(connection).kept
        assert not kept or reusable
        self.collect()

    @rule(seconds=st.sampled_from((0.5, 2.0, 150.0, 1200.0)), number=st.integers(0, 2))
    def wait(self, seconds: float, number: int) -> None:
        self.clock.now += seconds
        self.pools[number].give_up_overdue()
        self.collect()

    @rule(number=st.integers(0, 2))
    def drop(self, number: int) -> None:
        self.pools[number].give_up_idle()
        assert not self.pools[number].idle
        self.collect()

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "pools"):
            return
        slots = self.slots
        assert slots.taken == sum(pool.size for pool in self.pools) <= slots.maximum
        assert all(pool.size <= pool.database.pool_max_conns for pool in self.pools)
        in_use = [c for pool in self.pools for c in (*pool.leased, *pool.connecting)]
        assert slots.places.taken == len(in_use) == len(self.leases) + len(self.opening)
        assert set(slots.idle) == {c for pool in self.pools for c in pool.idle}
        assert set(slots.idle).isdisjoint(connection for _, connection in self.leases)
        assert all(waiter.grant is None for waiter in self.withdrawn)
        assert set(slots._waiting) == {pool.owner for pool, _ in self.waiters}
        assert sum(pool.counts["waiting"] for pool in self.pools) == len(self.waiters)


class NobodyWaitsInVain(Pooling):
    """As `Pooling`, without time and failures: then only what is in use keeps anybody waiting."""

    @rule()
    def connect(self) -> None:
        for pool, call in self.opening.copy():
            self.opening.remove((pool, call))
            connection = session()
            pool.opened(connection, call)
            self.leases.append((pool, connection))
            self.collect()

    @invariant()
    def nobody_can_be_served(self) -> None:
        if hasattr(self, "pools") and not self.opening:
            waiting = [pool for pool in self.pools if pool.counts["waiting"]]
            assert not any(pool.serve() for pool in waiting)


TestPooling = Pooling.TestCase
TestPooling.settings = settings(max_examples=40, stateful_step_count=30)
TestNobodyWaitsInVain = NobodyWaitsInVain.TestCase
TestNobodyWaitsInVain.settings = settings(max_examples=40, stateful_step_count=30)


def test_what_is_idle_too_long_goes_but_for_the_minimum_and_what_is_too_old_goes_always() -> None:
    clock = Clock()
    state = state_of(3, slots_of(9, clock), clock, least=1)
    idle_ones(state, 3)
    clock.now = IDLE_SECONDS * (1 - JITTER) - 1
    assert not state.give_up_overdue()
    clock.now = IDLE_SECONDS * (1 + JITTER) + 1
    assert len(state.give_up_overdue()) == 2
    assert state.size == 1
    clock.now = LIFETIME_SECONDS * (1 + JITTER) + 1
    assert len(state.give_up_overdue()) == 1
    assert state.size == 0


def test_the_last_connection_that_there_may_be_is_kept() -> None:
    clock = Clock()
    state = state_of(1, slots_of(1, clock), clock)
    assert idle_ones(state, 1) == state.idle


def test_the_connection_used_last_is_lent_first_and_knows_how_long_it_was_idle() -> None:
    clock = Clock()
    state = state_of(2, slots_of(9, clock), clock)
    _, last = idle_ones(state, 2)
    clock.now = 7.0
    answer = state.request(Call(10))
    assert isinstance(answer, Grant)
    assert answer.connection is last
    assert last.idle_seconds == 7.0


def test_one_connects_at_a_time_unless_an_attempt_hangs() -> None:
    clock = Clock()
    state = state_of(3, slots_of(9, clock), clock)
    assert isinstance(state.request(Call(10)), Grant)
    second = state.request(Call(10))
    assert isinstance(second, Waiter)
    assert not state.serve()
    clock.now = BACK_OFF_SECONDS
    assert not state.serve()
    clock.now = BACK_OFF_SECONDS + 0.1
    assert state.serve()
    assert second.grant is not None and second.grant.error is None


def test_a_failure_speaks_for_the_next_unless_a_connection_in_use_may_come_free() -> None:
    clock = Clock()
    state = state_of(3, slots_of(9, clock), clock)

    def fail() -> None:
        call = Call(10)
        assert isinstance(state.request(call), Grant)
        state.connect_failed(DatabaseUnavailableError("it is down", "", lasting=True), 0.5)
        state.not_opened(call)

    fail()
    answer = state.request(Call(10))
    assert isinstance(answer, Grant) and str(answer.error) == "it is down"
    clock.now = 0.5
    connection = lent(state)
    fail()
    assert waited_for(state) == "1 of 3 are in use; opening another failed: it is down"
    waiter = state.request(Call(10))
    assert isinstance(waiter, Waiter)
    state.take_back(connection)
    assert waiter.grant is not None and waiter.grant.connection is connection


@pytest.mark.parametrize(
    "unwanted",
    [
        lambda state, slots, clock: setattr(state, "draining", True),
        lambda state, slots, clock: state.close("gone"),
        lambda state, slots, clock: setattr(slots, "maximum", 0),
        lambda state, slots, clock: setattr(clock, "now", LIFETIME_SECONDS * (1 + JITTER) + 1),
    ],
    ids=["draining", "closed", "too many", "too old"],
)
def test_a_connection_that_is_not_wanted_any_more_is_closed_after_its_lease(
    unwanted: Callable[[PoolState, Slots, Clock], object],
) -> None:
    clock = Clock()
    slots = slots_of(9, clock)
    state = state_of(3, slots, clock)
    connection = lent(state)
    unwanted(state, slots, clock)
    assert not state.take_back(connection).kept
    assert state.size == slots.taken == 0


def waited_for(state: PoolState) -> str:
    waiter = state.request(Call(10))
    assert isinstance(waiter, Waiter)
    return state.withdraw(waiter)


def test_who_waited_in_vain_is_told_for_what() -> None:
    clock = Clock()
    slots = slots_of(3, clock)
    state = state_of(2, slots, clock)
    connecting = Call(10)
    state.request(connecting)
    assert waited_for(state) == "connecting to the database takes too long"
    state.opened(session(), connecting)
    lent(state)
    assert waited_for(state) == (
        "2 of 2 are in use, and of the 3 for everybody you have your share"
    )
    other = state_of(2, slots, clock, "bob")
    lent(other)
    assert waited_for(other) == ("1 of 2 are in use, and all 3 that this server may open are taken")


def test_a_process_that_nobody_can_be_asked_about_keeps_no_slot() -> None:
    clock = Clock()
    slots = slots_of(9, clock)
    state = state_of(1, slots, clock)
    returned = state.take_back(lent(state, session(reusable=False, at_work=True)))
    assert returned.orphan is None
    assert slots.taken == slots.places.taken == 0


def test_a_process_that_may_be_at_work_keeps_its_slot() -> None:
    clock = Clock()
    slots = slots_of(9, clock)
    state = state_of(1, slots, clock)
    stuck = lent(state, session(reusable=False, at_work=True, process_list=object()))
    returned = state.take_back(stuck)
    assert not returned.kept and returned.orphan is not None
    assert state.size == slots.taken == slots.places.taken == 1
    waiter = state.request(Call(10))
    assert isinstance(waiter, Waiter)
    returned.orphan.confirmed = True
    assert state.serve()
    assert waiter.grant is not None and "cannot interrupt" in str(waiter.grant.error)


def test_a_pool_retires_when_nobody_uses_it_and_says_so_to_who_comes_later() -> None:
    clock = Clock()
    state = state_of(1, slots_of(9, clock), clock)
    (connection,) = idle_ones(state, 1)
    assert not state.retire()
    assert state.give_up_idle() == [connection]
    assert state.retire()
    with pytest.raises(PoolClosedError) as closed:
        state.request(Call(10))
    assert closed.value.unused


def test_closing_turns_away_who_waits_and_names_the_calls_to_cancel() -> None:
    clock = Clock()
    state = state_of(1, slots_of(9, clock), clock)
    lent(state)
    waiter = state.request(Call(10))
    assert isinstance(waiter, Waiter)
    assert state.close("gone") == list(state.leased.values())
    assert waiter.woken.is_set()
    assert waiter.grant is not None and "gone" in str(waiter.grant.error)
    with pytest.raises(PoolClosedError, match="gone"):
        state.request(Call(10))

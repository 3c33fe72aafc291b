"""The sliding window per address."""

from __future__ import annotations

import threading

from pgmcp.auth.limiter import Limiter
from pgmcp.stores.memory import MemoryLimitStore


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_refuses_the_attempt_after_the_limit_until_the_window_has_passed() -> None:
    clock = Clock()
    limiter = Limiter(MemoryLimitStore(clock=clock), 3, 60.0)
    for _ in range(3):
        assert limiter.count("192.0.2.1") is None
        clock.now += 10
    assert limiter.count("192.0.2.1") == limiter.retry_after("192.0.2.1") == 30
    assert limiter.count("192.0.2.2") is None
    clock.now += 29
    assert limiter.retry_after("192.0.2.1") == 1
    clock.now += 1
    assert limiter.retry_after("192.0.2.1") is None


def test_the_window_slides_so_that_attempts_free_up_one_by_one() -> None:
    clock = Clock()
    limiter = Limiter(MemoryLimitStore(clock=clock), 2, 60.0)
    limiter.count("a")
    clock.now += 50
    limiter.count("a")
    clock.now += 10
    assert limiter.count("a") is None
    assert limiter.count("a") == 50


def test_a_refused_attempt_does_not_lengthen_the_wait() -> None:
    clock = Clock()
    limiter = Limiter(MemoryLimitStore(clock=clock), 1, 60.0)
    limiter.count("a")
    clock.now += 30
    for _ in range(5):
        assert limiter.count("a") == 30


def test_a_success_takes_back_its_own_count_and_no_other() -> None:
    limiter = Limiter(MemoryLimitStore(clock=Clock()), 3, 60.0)
    limiter.count("a")
    limiter.count("a")
    limiter.take_back("a")
    assert limiter.count("a") is None
    assert limiter.count("a") is None
    assert limiter.count("a") is not None


def test_parallel_attempts_stay_within_the_limit() -> None:
    limiter = Limiter(MemoryLimitStore(), 10, 60.0)
    start = threading.Barrier(40)
    passed: list[None] = []

    def attempt() -> None:
        start.wait()
        if limiter.count("a") is None:
            passed.append(None)

    threads = [threading.Thread(target=attempt) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 10


def test_a_flood_of_addresses_takes_bounded_memory_and_clears_nobodys_count() -> None:
    limiter = Limiter(MemoryLimitStore(max_keys=100, clock=Clock()), 1, 60.0)
    limiter.count("the attacker")
    for number in range(5000):
        limiter.count(f"address {number}")
    assert len(limiter) <= 100 + 1024
    assert limiter.count("the attacker") is not None


def test_when_the_table_is_full_an_address_beyond_it_is_still_limited() -> None:
    limiter = Limiter(MemoryLimitStore(max_keys=10, clock=Clock()), 2, 60.0)
    for number in range(10):
        limiter.count(f"address {number}")
    assert limiter.count("late") is None
    assert limiter.count("late") is None
    assert limiter.count("late") is not None


def test_room_in_the_table_gives_nobody_a_fresh_count() -> None:
    clock = Clock()
    limiter = Limiter(MemoryLimitStore(max_keys=10, clock=clock), 2, 60.0)
    for number in range(10):
        limiter.count(f"address {number}")
    clock.now += 30
    limiter.count("late")
    limiter.count("late")
    clock.now += 31
    limiter.retry_after("somebody")
    assert len(limiter) == 1
    assert limiter.count("late") == 29


def test_a_lower_limit_says_when_there_is_room_under_it() -> None:
    clock = Clock()
    limiter = Limiter(MemoryLimitStore(clock=clock), 3, 60.0)
    for _ in range(3):
        limiter.count("a")
        clock.now += 10
    limiter.change(1, 60.0)
    wait = limiter.retry_after("a")
    assert wait == 50
    clock.now += wait
    assert limiter.count("a") is None


def test_memory_is_given_back_when_the_window_has_passed() -> None:
    clock = Clock()
    limiter = Limiter(MemoryLimitStore(clock=clock), 2, 60.0)
    for number in range(500):
        limiter.count(f"address {number}")
    clock.now += 60
    limiter.retry_after("somebody")
    assert len(limiter) == 0


def test_a_limit_of_zero_refuses_nothing() -> None:
    limiter = Limiter(MemoryLimitStore(clock=Clock()), 0, 60.0)
    assert [limiter.count("a") for _ in range(50)] == [None] * 50
    assert len(limiter) == 0


def test_clients_behind_one_nat64_have_counts_of_their_own() -> None:
    limiter = Limiter(MemoryLimitStore(clock=Clock()), 1, 60.0)
    assert limiter.count("64:ff9b::192.0.2.1") is None
    assert limiter.count("64:ff9b::192.0.2.2") is None
    assert limiter.count("64:ff9b::192.0.2.1") is not None
    assert limiter.count("192.0.2.1") is not None


def test_a_6to4_site_has_one_count() -> None:
    limiter = Limiter(MemoryLimitStore(clock=Clock()), 1, 60.0)
    assert limiter.count("2002:c000:201:1::1") is None
    assert limiter.count("2002:c000:201:2::1") is not None

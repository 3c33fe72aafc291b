"""What tokens and users have used: counted in memory, divided among savers, and added up in a
file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pgmcp.errors import FileError
from pgmcp.policy.budget import day_text
from pgmcp.stores import usage_file
from pgmcp.stores.usage import MemoryUsageStore
from tests.asking_stores import Parent

DAY = 20_000
DAY_SECONDS = 86_400


class Clock:
    """A clock that a test sets; of both kinds."""

    def __init__(self) -> None:
        self.now = float(DAY * DAY_SECONDS)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryUsageStore:
    return MemoryUsageStore(wall_clock=clock, clock=clock)


def used(store: MemoryUsageStore, owner: str = "a") -> tuple[int, int]:
    before = store.take(owner, 0, 0, None, None)
    return before.rows, before.bytes


def test_of_rows_and_bytes_no_more_is_counted_than_the_limit(store: MemoryUsageStore) -> None:
    store.take("a", 7, 60, 10, 100)
    before = store.take("a", 7, 60, 10, 100)
    assert (before.rows, before.bytes) == (7, 60)
    assert used(store) == (10, 100)
    store.take("a", -2, -70, 10, 100)
    assert used(store) == (8, 30)
    assert used(store, "b") == (0, 0)


def test_a_call_that_begins_with_nothing_left_is_not_counted(store: MemoryUsageStore) -> None:
    store.take("a", 10, 0, 10, None)
    assert store.begin("a", 10, None, 5).rows == 10
    _, changes = store.unsaved()
    assert changes["a"][1] == [10, 0, 0]
    store.begin("a", 11, None, 5)  # the limit was raised
    assert store.unsaved()[1]["a"][1] == [10, 0, 1]


def test_calls_are_counted_within_a_minute_that_slides(
    store: MemoryUsageStore, clock: Clock
) -> None:
    def wait(calls: int) -> int:
        return store.begin("a", None, None, calls).wait_seconds

    assert wait(2) == 0
    clock.now += 20
    assert wait(2) == 0
    clock.now += 20
    assert wait(2) == 20
    assert store.begin("b", None, None, 2).wait_seconds == 0
    assert wait(1) == 40  # the limit was lowered
    clock.now += 19.5
    assert wait(2) == 1
    clock.now += 0.5
    assert wait(2) == 0
    assert wait(2) == 20


def test_a_day_ends_at_midnight_utc_and_a_minute_does_not(
    store: MemoryUsageStore, clock: Clock
) -> None:
    clock.now += DAY_SECONDS - 1
    store.take("a", 5, 5, 5, 5)
    store.begin("a", None, None, 1)
    store.unsaved()
    clock.now += 1
    before = store.begin("a", 5, 5, 1)
    assert (before.day, before.rows, before.wait_seconds) == (DAY + 1, 0, 59)
    store.not_saved()  # of yesterday
    assert store.unsaved() == (DAY + 1, {})


def test_a_clock_that_is_set_back_begins_no_day_anew(store: MemoryUsageStore, clock: Clock) -> None:
    store.take("a", 5, 0, 5, None)
    clock.now -= DAY_SECONDS
    assert store.begin("a", 5, None, None)[:2] == (DAY, 5)


def test_what_is_not_known_counts_as_spent_for_who_has_a_budget(
    store: MemoryUsageStore, clock: Clock
) -> None:
    store.unknown()
    assert not store.begin("a", 5, None, None).known
    assert not store.begin("a", None, 5, None).known
    store.begin("a", None, None, 5)
    assert store.unsaved()[1]["a"][1] == [0, 0, 1], "only the one without a budget has begun"
    store.saved(DAY, {})
    assert store.begin("a", 5, None, None).known
    store.unknown()
    clock.now += DAY_SECONDS
    assert store.begin("a", 5, None, None).known


def test_parallel_calls_share_what_is_left(store: MemoryUsageStore) -> None:
    granted: list[int] = []

    def take() -> None:
        for _ in range(50):
            before = store.take("a", 3, 0, 1000, None)
            granted.append(min(3, 1000 - before.rows))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 1000
    assert used(store) == (1000, 0)


# -- saving ----------------------------------------------------------------------------------------


def save(store: MemoryUsageStore, path: Path, saver: int = 0) -> None:
    day, changes = store.unsaved(saver)
    store.saved(day, usage_file.add(path, day_text(day), changes), saver)


def test_what_a_saver_could_not_write_is_saved_by_another(
    store: MemoryUsageStore, tmp_path: Path
) -> None:
    path = tmp_path / "usage.json"
    store.take("a", 5, 50, None, None)
    store.unsaved(1)
    store.take("a", 1, 10, None, None)
    store.not_saved(1)
    save(store, path, 2)
    assert usage_file.read(path) == (day_text(DAY), {"a": [6, 60, 0]})
    assert store.unsaved(2) == (DAY, {})


def test_servers_that_count_into_one_file_add_up(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "usage.json"
    here, there = (MemoryUsageStore(wall_clock=clock, clock=clock) for _ in range(2))
    here.take("a", 5, 50, None, None)
    there.take("a", 3, 30, None, None)
    there.begin("b", None, None, None)
    for store in (here, there, here):
        save(store, path)
    assert used(there) == (8, 80)
    here.take("a", 1, 10, None, None)
    save(here, path)
    assert used(here) == (9, 90)
    assert usage_file.read(path) == (day_text(DAY), {"a": [9, 90, 0], "b": [0, 0, 1]})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_report_that_comes_late_takes_nothing_back(store: MemoryUsageStore) -> None:
    store.take("a", 5, 0, None, None)
    store.unsaved()
    store.take("a", 2, 0, None, None)
    store.saved(DAY, {"a": [9, 0, 0]})  # 4 of another server
    assert used(store) == (11, 0)
    store.saved(DAY, {"a": [9, 0, 0]})
    assert used(store) == (11, 0)
    store.saved(DAY - 1, {"a": [99, 0, 0]})
    assert used(store) == (11, 0)


def test_of_two_savers_the_slower_report_takes_nothing_back(store: MemoryUsageStore) -> None:
    store.take("a", 5, 0, None, None)
    store.unsaved(1)
    store.take("a", 2, 0, None, None)
    store.unsaved(2)
    store.saved(DAY, {"a": [7, 0, 0]}, 2)
    store.saved(DAY, {"a": [5, 0, 0]}, 1)
    assert used(store) == (7, 0)


def test_workers_count_with_their_parent_and_one_that_ends_leaves_what_it_had_taken() -> None:
    parent = Parent()
    first, second = parent.usage(), parent.usage()
    first.take("a", 7, 60, 10, None)
    assert first.begin("a", 10, None, 1).rows == 7
    assert second.begin("a", 10, None, 1).wait_seconds > 0
    second.take("a", 7, 60, 10, None)
    assert second.begin("a", 10, None, None).rows == 10
    day, changes = first.unsaved()
    assert [list(map(list, pair)) for pair in changes.values()] == [[[10, 120, 1]] * 2]
    assert second.unsaved() == (day, {})
    parent.broker.leave(1)
    assert second.unsaved() == (day, changes)
    second.not_saved()
    assert second.unsaved() == (day, changes)
    second.saved(day, {"a": [12, 130, 2]})
    assert second.unsaved() == (day, {})
    assert first.take("a", 0, 0, None, None)[1:3] == (12, 130)
    first.unknown()
    assert not second.begin("b", 1, None, None).known


def test_a_file_that_was_removed_is_written_as_it_was(
    store: MemoryUsageStore, tmp_path: Path
) -> None:
    path = tmp_path / "usage.json"
    store.take("a", 5, 0, None, None)
    save(store, path)
    path.unlink()
    store.take("a", 1, 0, None, None)
    save(store, path)
    assert usage_file.read(path) == (day_text(DAY), {"a": [6, 0, 0]})


def test_a_file_of_another_day(store: MemoryUsageStore, tmp_path: Path) -> None:
    """An earlier one is begun anew; a later one, from a clock that was wrong, counts as today's."""
    path = tmp_path / "usage.json"
    store.take("a", 5, 0, None, None)
    for day, rows in ((DAY - 1, 5), (DAY + 1, 12)):
        said = {"a": {"rows": 7, "bytes": 0, "calls": 0}}
        path.write_text(json.dumps({"day": day_text(day), "used": said}))
        day, changes = store.unsaved()
        assert usage_file.add(path, day_text(DAY), changes)["a"][0] == rows
        store.not_saved()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"day": "2026-11-28"}',
        '{"day": "never", "used": {}}',
        '{"day": 7, "used": {}}',
        '{"day": "2026-11-28", "used": []}',
        '{"day": "2026-11-28", "used": {"a": 1}}',
        '{"day": "2026-11-28", "used": {"a": {"rows": 1, "bytes": 1}}}',
        '{"day": "2026-11-28", "used": {"a": {"rows": -1, "bytes": 1, "calls": 1}}}',
        '{"day": "2026-11-28", "used": {"a": {"rows": true, "bytes": 1, "calls": 1}}}',
        '{"day": "2026-11-28", "used": {"a": {"rows": 1.5, "bytes": 1, "calls": 1}}}',
        "[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_read_is_left_as_it_is(
    text: str, store: MemoryUsageStore, tmp_path: Path
) -> None:
    path = tmp_path / "usage.json"
    path.write_text(text)
    store.take("a", 5, 0, None, None)
    day, changes = store.unsaved()
    attempts: list[Callable[[], object]] = [
        lambda: usage_file.read(path),
        lambda: usage_file.add(path, day_text(day), changes),
    ]
    for attempt in attempts:
        with pytest.raises(FileError, match="not a file of usage"):
            attempt()
    assert path.read_text() == text


def test_a_file_that_others_could_write_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    path.write_text('{"day": "2026-11-28", "used": {}}')
    path.chmod(0o666)
    with pytest.raises(FileError, match="others can write"):
        usage_file.read(path)

"""What a call may take of the limits in its policy, and what is said when that is little or
nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmcp.config import sizes
from pgmcp.config.policies import PolicyLimits
from pgmcp.errors import BudgetError
from pgmcp.features.tools._common import row_note
from pgmcp.policy.budget import CallBudget, day_text, row_sizes
from pgmcp.postgres.rows import ResultColumn, Rows
from pgmcp.render import tsv
from pgmcp.stores.usage import MemoryUsageStore

NOON = 20_000 * 86_400 + 43_200
MIDNIGHT = "2024-10-05 00:00 UTC"


@pytest.fixture
def store() -> MemoryUsageStore:
    return MemoryUsageStore(wall_clock=lambda: NOON, clock=lambda: 0.0)


def rows_of(count: int, value: bytes = b"123") -> Rows:
    """Rows of 4 bytes."""
    return Rows((ResultColumn("n", 23),), [(value,)] * count)


def begun(store: MemoryUsageStore, limits: PolicyLimits) -> CallBudget:
    budget = CallBudget(store, "a", limits)
    budget.begin()
    return budget


def test_the_call_that_crosses_the_budget_is_cut_and_the_next_one_refused(
    store: MemoryUsageStore,
) -> None:
    limits = PolicyLimits(rows_per_day=20)
    assert len(begun(store, limits).charge(rows_of(15)).rows) == 15
    budget = begun(store, limits)
    cut = budget.charge(replace(rows_of(15), more=True))
    assert len(cut.rows) == 5
    said = row_note(cut)
    assert said == (
        f"5 rows, cut: your credential has used its 20 rows of today. It opens again at {MIDNIGHT}."
    )
    assert budget.note() == f"0 of 20 rows left today (until {MIDNIGHT})."
    with pytest.raises(BudgetError, match="has used its 20 rows of today") as refused:
        begun(store, limits)
    assert f"opens again at {MIDNIGHT}" in refused.value.hint
    assert refused.value.gate == "budget"


def test_bytes_are_those_of_the_values_and_a_row_that_does_not_fit_ends_them(
    store: MemoryUsageStore,
) -> None:
    limits = PolicyLimits(bytes_per_day=50)
    cut = begun(store, limits).charge(rows_of(15))
    assert len(cut.rows) == 12
    assert "has used its 50 bytes of today" in cut.withheld
    with pytest.raises(BudgetError, match="has used its 50 bytes"):
        begun(store, limits)
    assert store.take("a", 0, 0, None, None)[1:3] == (12, 50)


def test_a_row_alone_larger_than_what_is_left_costs_nothing(store: MemoryUsageStore) -> None:
    limits = PolicyLimits(rows_per_day=9, bytes_per_day=50)
    begun(store, limits).charge(rows_of(2))
    with pytest.raises(BudgetError, match="larger than the 42 bytes"):
        begun(store, limits).charge(rows_of(1, b"x" * 60))
    assert store.take("a", 0, 0, None, None)[1:3] == (2, 8)
    assert len(begun(store, limits).charge(rows_of(1)).rows) == 1


def test_the_limit_that_is_reached_first_cuts_and_the_other_counts_what_was_sent(
    store: MemoryUsageStore,
) -> None:
    limits = PolicyLimits(rows_per_day=5, bytes_per_day=30)
    cut = begun(store, limits).charge(rows_of(9))
    assert "5 rows of today" in cut.withheld
    assert store.take("a", 0, 0, None, None)[1:3] == (5, 20)


def test_of_calls_side_by_side_the_later_answer_gets_what_is_left(store: MemoryUsageStore) -> None:
    limits = PolicyLimits(rows_per_day=5)
    first, second, third = (begun(store, limits) for _ in range(3))
    assert len(first.charge(rows_of(4)).rows) == 4
    assert len(second.charge(rows_of(4)).rows) == 1
    with pytest.raises(BudgetError, match="has used its 5 rows"):
        third.charge(rows_of(4))
    assert third.charge(rows_of(0)).rows == []


def test_little_that_is_left_is_said_and_more_is_not(store: MemoryUsageStore) -> None:
    limits = PolicyLimits(rows_per_day=20_000, bytes_per_day=10_000_000)
    budget = begun(store, limits)
    budget.charge(rows_of(17_999))
    assert budget.note() == ""
    budget.charge(rows_of(1589))
    assert budget.note() == f"412 of 20,000 rows left today (until {MIDNIGHT})."
    later = begun(store, limits)
    later.charge_text(rows_of(1, b"x" * 9_000_000))
    assert later.note().startswith("412 of 20,000 rows and 921,647 of 10,000,000 bytes left")


def test_a_plan_is_sent_whole_and_its_bytes_count(store: MemoryUsageStore) -> None:
    limits = PolicyLimits(rows_per_day=5, bytes_per_day=50)
    assert len(begun(store, limits).charge_text(rows_of(20)).rows) == 20
    with pytest.raises(BudgetError, match="50 bytes"):
        begun(store, limits)


def test_a_call_too_many_in_a_minute_hears_when_to_try_again(store: MemoryUsageStore) -> None:
    limits = PolicyLimits(calls_per_minute=2)
    budget = begun(store, limits)
    budget.begin()  # the same call, which looks at another database
    assert budget.note() == ""
    begun(store, limits)
    with pytest.raises(BudgetError, match="2 calls a minute") as refused:
        begun(store, limits)
    assert refused.value.hint == "Try again in 60 seconds."


def test_a_count_that_is_lost_refuses_who_has_a_daily_budget(store: MemoryUsageStore) -> None:
    store.unknown()
    begun(store, PolicyLimits(calls_per_minute=2))
    with pytest.raises(BudgetError, match="not known") as refused:
        begun(store, PolicyLimits(rows_per_day=5))
    assert MIDNIGHT in refused.value.hint


@pytest.mark.parametrize(
    "rows", [[(b"a", b"bc")], [(b"a", None), (None, None)], [(b"", b"")], [(b"1",)] * 3]
)
def test_bytes_are_those_that_are_sent(rows: list[tuple[bytes | None, ...]]) -> None:
    columns = tuple(ResultColumn("", 25) for _ in rows[0])
    sent = tsv.render(Rows(columns, rows)).partition("\n")[2]
    assert sum(row_sizes(rows)) == len(sent) + 1


def test_a_day_has_its_text() -> None:
    assert day_text(20_000) == "2024-10-04"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50MB", 50_000_000),
        ("20MiB", 20 * 1024 * 1024),
        ("1kB", 1000),
        ("1kiB", 1024),
        ("1.5GB", 1_500_000_000),
        ("1TiB", 1 << 40),
        ("512", 512),
        ("512 B", 512),
        (" 3 MB ", 3_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert sizes.parse(text) == size


@pytest.mark.parametrize("text", ["", "MB", "0", "-1MB", "1mb", "1KB", "1 M", "1e3", "0.1", "9PB"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sizes.parse(text)

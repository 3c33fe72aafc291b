"""Sessions in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgmcp.auth.principal import ANONYMOUS, Principal, owner_of, session_key
from pgmcp.auth.sessions import Sessions
from pgmcp.stores.memory import MemorySessionStore


class World:
    """A session store, its clock, and what it announced."""

    def __init__(self, max_per_user: int = 3) -> None:
        self.now = datetime(2024, 11, 14, 9, 30, tzinfo=UTC)
        self.step = timedelta()
        self.ended: list[tuple[str, str]] = []
        self.sessions = Sessions(
            MemorySessionStore(),
            clock=lambda: self.now + self.step,
            elapsed=lambda: self.now.timestamp(),
            max_per_user=max_per_user,
            on_ended=lambda ended: self.ended.extend(ended.items()),
        )


@pytest.fixture
def world() -> World:
    return World()


def test_a_session_is_found_by_its_token_for_24_hours(world: World) -> None:
    token, session = world.sessions.open("alice")
    assert len(token) == 44
    assert session.expires_at == world.now + timedelta(hours=24)
    world.now += timedelta(hours=24, seconds=-1)
    assert world.sessions.find(token) == session
    world.now += timedelta(seconds=1)
    assert world.sessions.find(token) is None


@pytest.mark.parametrize("step", [timedelta(days=-400), timedelta(days=400)])
def test_setting_the_clock_neither_ends_nor_prolongs_a_session(
    world: World, step: timedelta
) -> None:
    token, session = world.sessions.open("alice")
    world.step = step
    world.sessions.sweep()
    assert world.sessions.find(token) == session
    world.now += timedelta(hours=24)
    assert world.sessions.find(token) is None
    world.sessions.sweep()
    assert world.ended == [(session.key, "session expired")]


def test_the_token_itself_is_not_kept(world: World) -> None:
    token, session = world.sessions.open("alice")
    assert token not in repr(vars(world.sessions))
    assert token not in session.key


def test_expired_sessions_are_announced_by_the_sweep(world: World) -> None:
    _, session = world.sessions.open("alice")
    world.sessions.sweep()
    assert world.ended == []
    world.now += timedelta(hours=24)
    world.sessions.sweep()
    world.sessions.sweep()
    assert world.ended == [(session.key, "session expired")]


def test_the_oldest_goes_when_a_user_has_too_many(world: World) -> None:
    other, _ = world.sessions.open("bob")
    opened = [world.sessions.open("alice") for _ in range(4)]
    assert [world.sessions.find(token) is None for token, _ in opened] == [
        True,
        False,
        False,
        False,
    ]
    assert world.ended == [(opened[0][1].key, "more sessions than a user may have")]
    assert world.sessions.find(other) is not None


def test_ending_one_session_leaves_the_others(world: World) -> None:
    first, session = world.sessions.open("alice")
    second, _ = world.sessions.open("alice")
    assert world.sessions.end(session.key, "logged out")
    assert not world.sessions.end(session.key, "logged out")
    assert world.sessions.find(first) is None
    assert world.sessions.find(second) is not None
    assert world.ended == [(session.key, "logged out")]


def test_ending_a_user_ends_all_their_sessions_and_nobody_elses(world: World) -> None:
    tokens = [world.sessions.open("alice")[0] for _ in range(2)]
    other, _ = world.sessions.open("bob")
    world.sessions.end_users({"alice": "user disabled", "nobody": "user deleted"})
    assert [world.sessions.find(token) for token in tokens] == [None, None]
    assert world.sessions.find(other) is not None
    assert [reason for _, reason in world.ended] == ["user disabled"] * 2


@pytest.mark.parametrize("name", ["alice", "a:b", "session:x", ":", "user:alice"])
def test_all_sessions_of_a_user_have_one_owner_and_keys_of_their_own(name: str) -> None:
    first, second = session_key(name, "0123456789abcdef"), session_key(name, "fedcba9876543210")
    assert first != second
    assert owner_of(first) == owner_of(second) == f"user:{name}"
    assert Principal("session", name, first).owner == f"user:{name}"


def test_a_token_is_an_owner_of_its_own() -> None:
    assert owner_of("token:token-1:0123") == "token:token-1:0123"
    assert ANONYMOUS.owner == "anonymous"

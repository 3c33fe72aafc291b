"""Refusals in the log: lines for the first, a summary for the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgmcp.auth.logins import Logins
from pgmcp.auth.passwords import PasswordChecks
from pgmcp.auth.refusals import (
    ADDRESSES,
    LINES,
    LINES_PER_ADDRESS,
    SUMMARIES,
    WINDOW_SECONDS,
    Refusals,
)
from tests.program import running
from tests.serving import Reader, post, rpc
from tests.test_accounts import World
from tests.test_authenticator import World as AuthenticatorWorld
from tests.test_limiter import Clock


def test_the_first_of_an_address_are_lines_and_the_others_one_summary(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    caplog.set_level("INFO", "pgmcp")
    refusals = Refusals(clock)
    shown = [refusals.should_log("192.0.2.1", "missing credential") for _ in range(1000)]
    assert shown == [True] * LINES_PER_ADDRESS + [False] * (1000 - LINES_PER_ADDRESS)
    assert refusals.should_log("192.0.2.2", "malformed header")
    refusals.count("192.0.2.1", "malformed header")
    clock.now += WINDOW_SECONDS - 1
    refusals.sweep()
    assert caplog.messages == []
    clock.now += 1
    refusals.sweep()
    assert caplog.messages == [
        'refused address="192.0.2.1" more=991 in the last 60 seconds: missing credential: 990, '
        "malformed header: 1"
    ]
    refusals.sweep()
    assert len(caplog.messages) == 1
    assert refusals.should_log("192.0.2.1", "missing credential"), "another window"


def test_the_next_refusal_writes_the_summary_of_a_window_that_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    caplog.set_level("INFO", "pgmcp")
    refusals = Refusals(clock)
    refusals.count("192.0.2.1", "missing credential")
    clock.now += WINDOW_SECONDS
    assert refusals.should_log("192.0.2.2", "missing credential")
    assert len(caplog.messages) == 1
    clock.now += WINDOW_SECONDS
    refusals.count("192.0.2.3", "missing credential")
    clock.now += WINDOW_SECONDS
    refusals.count("192.0.2.4", "missing credential")
    assert len(caplog.messages) == 2


def test_the_addresses_of_one_ipv6_network_are_counted_together() -> None:
    refusals = Refusals(Clock())
    shown = [refusals.should_log(f"2001:db8::{number:x}", "x") for number in range(1, 100)]
    assert sum(shown) == LINES_PER_ADDRESS


def test_many_addresses_have_bounded_lines_summaries_and_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "pgmcp")
    refusals = Refusals(Clock())
    addresses = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(5 * ADDRESSES)]
    shown = [refusals.should_log(address, "x") for address in addresses]
    assert sum(shown) == LINES
    assert len(refusals._tallies) == ADDRESSES
    refusals.flush()
    assert len(caplog.messages) == SUMMARIES + 1
    total = sum(int(message.partition("more=")[2].split(" ")[0]) for message in caplog.messages)
    assert total == len(addresses) - LINES


def test_a_flood_without_a_credential_is_a_few_lines(tmp_path: Path) -> None:
    with running(tmp_path) as program, program.connect() as sock:
        reader = Reader(sock)
        for _ in range(200):
            sock.sendall(post(rpc("tools/list"), token=None))
            assert reader.reply().status == 401
    lines = [line for line in program.log.read_text().splitlines() if "] refused " in line]
    assert len(lines) == LINES_PER_ADDRESS + 1
    assert f"more={200 - LINES_PER_ADDRESS} " in lines[-1]


def test_logins_that_are_told_that_the_server_is_busy_are_a_few_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    checks = PasswordChecks(running=1, waiting=0)
    world.accounts = Logins(world.users, world.sessions, world.limiter, checks=checks)
    with checks.slot():
        for _ in range(50):
            assert "busy" in world.refusal().message
    assert len([m for m in caplog.messages if m.startswith("login failed ")]) == LINES_PER_ADDRESS


def test_a_token_used_from_many_addresses_of_one_network_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pgmcp")
    world = AuthenticatorWorld(tmp_path)
    world.add("a-secret")
    for number in range(1, 50):
        world.ask("Bearer a-secret", address=f"2001:db8::{number:x}")
    assert len([m for m in caplog.messages if m.startswith("admitted ")]) == 1

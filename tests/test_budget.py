"""Memory that clients make the server keep: counted, shared, and given back."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.auth.principal import Principal
from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError, MemoryBusyError
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import method_of
from pgmcp.transport.body import KEPT_PER_BYTE
from pgmcp.transport.budget import FREE_BYTES, Budget, Reservation
from pgmcp.transport.limits import BODY_BYTES, HttpLimits, answers_bytes
from tests.serving import OneToken, Reader, Served, ask, post, rpc, serving, until


class ManyTokens(OneToken):
    """An authenticator that takes each token for a principal of its own."""

    def credential(self, authorization: Sequence[str]) -> Principal:
        name = authorization[0].partition(" ")[2]
        return Principal("token", name, name, ("main",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300)), max_size=40))
def test_nobody_holds_more_than_is_left_free_and_all_is_given_back(
    requests: list[tuple[str, int]],
) -> None:
    budget = Budget(1000)
    granted: list[tuple[str, int]] = []
    for owner, count in requests:
        before = budget.used_bytes
        if budget.change(owner, count):
            granted.append((owner, count))
            assert sum(c for o, c in granted if o == owner) <= 1000 - budget.used_bytes or not count
        else:
            assert budget.used_bytes == before
    assert budget.used_bytes <= 1000
    for owner, count in granted:
        budget.change(owner, -count)
    assert budget.used_bytes == 0
    assert budget.change("new", 500)


def test_a_newcomer_finds_room_beside_greedy_owners() -> None:
    budget = Budget(100_000)
    for number in range(3):
        while budget.change(f"greedy {number}", 1000):
            pass
    assert budget.change("newcomer", 5000)


def test_one_may_wait_for_what_others_give_back() -> None:
    budget = Budget(100)
    assert budget.change("a", 50)
    assert not budget.change("a", 10)
    threading.Timer(0.05, budget.change, ["a", -50]).start()
    assert budget.change("a", 10, wait_seconds=30)


def test_the_first_bytes_are_free() -> None:
    budget = Budget(1)
    hold = Reservation(budget, "a")
    assert hold.resize(FREE_BYTES)
    assert not hold.resize(FREE_BYTES + 2)
    hold.close()
    assert budget.used_bytes == 0


def test_a_call_waits_for_memory_until_it_ends() -> None:
    call = Call(30, keep=lambda count, seconds: False)
    call.cancel("gone")
    with pytest.raises(CallEndedError):
        call.keep(1)
    times = iter(range(0, 1000, 3))
    late = Call(3000, keep=lambda count, seconds: False, clock=lambda: float(next(times)))
    with pytest.raises(MemoryBusyError):
        late.keep(1)


def test_the_budgets_add_up_to_what_the_service_file_allows() -> None:
    assert HttpLimits().kept_bytes <= 256 * 1024 * 1024
    # A message of the longest kind, and a result of the default size, fit into one owner's half.
    assert HttpLimits().messages_bytes / 2 >= KEPT_PER_BYTE * BODY_BYTES
    assert answers_bytes(8 * 1024 * 1024) / 2 >= 4 * 8 * 1024 * 1024


def stuff(served: Served, stack: ExitStack, token: str | None, length: int, count: int) -> None:
    """Connections that promise a body and send most of it."""
    for _ in range(count):
        sock = stack.enter_context(served.connect())
        sock.sendall(
            post(b'{"method":"tools/call","x":"' + b"x" * length, token=token, length=2 * length)
        )


def test_a_body_that_is_only_promised_costs_nothing() -> None:
    limits = HttpLimits(messages_bytes=1_000_000)
    with serving(limits, authenticator=ManyTokens()) as served, ExitStack() as stack:
        for _ in range(40):
            sock = stack.enter_context(served.connect())
            sock.sendall(post(b"{", token="greedy", length=4_000_000))
        until(lambda: served.server.open_connections == 40)
        text = "x" * 50_000
        for token in ("greedy", "other"):
            reply = ask(served, post(rpc("tools/call", {"text": text}), token=token))
            assert reply.status == 200


def test_one_client_with_many_bodies_leaves_room_for_others_and_for_log_ins() -> None:
    limits = HttpLimits(messages_bytes=1_200_000)
    with serving(limits, authenticator=ManyTokens()) as served, ExitStack() as stack:
        stuff(served, stack, "greedy", 30_000, 30)
        until(lambda: served.server.message_memory.used_bytes > 400_000)
        refused = ask(served, post(rpc("tools/call", {"t": "x" * 60_000}), token="greedy"))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (
            ask(served, post(rpc("tools/call", {"t": "x" * 30_000}), token="other")).status == 200
        )
        assert ask(served, post(rpc("echo", {"t": "x"}), token="greedy")).status == 200
        assert ask(served, post(rpc("login"), token=None)).status == 200
        stack.close()
        until(lambda: not served.server.message_memory.used_bytes)


def test_an_anonymous_caller_is_told_when_there_is_no_memory_and_not_that_it_is_unknown() -> None:
    with serving(HttpLimits(messages_bytes=1000)) as served:
        assert ask(served, post(rpc("login", {"x": "y" * 30_000}), token=None)).status == 503
        assert ask(served, post(rpc("login"), token=None)).status == 200


def test_answers_that_are_not_read_do_not_keep_others_from_theirs() -> None:
    limits = HttpLimits(answers_bytes=20_000_000)
    with serving(limits, authenticator=ManyTokens()) as served, ExitStack() as stack:
        served.script.methods["much"] = lambda params, call: "r" * 4_000_000
        for _ in range(10):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", served.server.port))
            sock.sendall(post(rpc("much"), token="greedy"))
        until(lambda: len(served.script.seen) == 10)
        until(lambda: 7_900_000 <= served.server.answer_memory.used_bytes <= 10_000_000)
        assert ask(served, post(rpc("much"), token="greedy")).status == 503
        assert ask(served, post(rpc(), token="greedy")).status == 200
        assert ask(served, post(rpc("much"), token="other")).status == 200
        stack.close()
        until(lambda: not served.server.answer_memory.used_bytes)


@pytest.mark.parametrize("method", ["ping", "tools/list", "initialize"])
def test_only_calls_of_tools_may_be_long(method: str) -> None:
    text = "x" * 100_000
    with serving() as served:
        assert ask(served, post(rpc(method, {"x": text}))).status == 413
        late = json.dumps({"jsonrpc": "2.0", "params": {"x": text}, "method": method, "id": 1})
        assert ask(served, post(late.encode())).status == 413
        late = late.replace(f'"{method}"', '"tools/call"')
        assert ask(served, post(late.encode())).status == 200
        # Refused by what has come, not when all has.
        with served.connect() as sock:
            sock.sendall(post(rpc(method, {"x": text})[:80_000], length=3_000_000))
            assert Reader(sock).reply().status == 413


def test_the_method_is_known_by_the_beginning_of_a_message() -> None:
    assert (
        method_of(jsonrpc.encode({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {}})) == "m"
    )
    assert method_of(b' { "id" : "a" , "method" : "tools/call" , "params') == "tools/call"
    assert method_of(b'{"params":{"method":"x"},"method":"m"}') is None
    assert method_of(b'{"a":"\\u0022","method":"m"}') is None
    assert method_of(b"[" * 100) is None

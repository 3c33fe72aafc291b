"""Fairness of the HTTP side: whatever one owner does, others get a place and an answer."""

from __future__ import annotations

import json
import resource
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from pgmcp.auth.principal import ANONYMOUS, Principal
from pgmcp.calls.call import Call
from pgmcp.errors import OverloadedError, UnauthorizedError
from pgmcp.net.polling import Poll, Ready, new_poll
from pgmcp.transport import call_queue
from pgmcp.transport.call_queue import CallQueue, NoThreads, QueuedCall
from pgmcp.transport.limits import HttpLimits
from tests.serving import Reader, Reply, Served, post, rpc, serving, until

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
CALL = "tools/call"


class Names:
    """An authenticator where each token is its owner's name, until that is revoked."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    def authenticate(
        self, authorization: Sequence[str], address: str, subject: str | None
    ) -> Principal | None:
        if not authorization:
            return None
        name = authorization[0].removeprefix("Bearer ")
        if not name or name in self.revoked:
            raise UnauthorizedError
        return Principal("token", name, name, ("main",))

    def anonymous(self, method: str, params: object, address: str) -> Principal:
        if method != CALL:
            raise UnauthorizedError
        return ANONYMOUS


class Clients:
    """Connections that ask and read later. Their calls end with `release`, and not before."""

    def __init__(self, served: Served, stack: ExitStack, authenticator: Names) -> None:
        self.served = served
        self.authenticator = authenticator
        self.release = threading.Event()
        self._stack = stack
        served.script.methods[CALL] = self._answer

    def _answer(self, params: Any, call: Call) -> Any:
        if params.get("slow") and call.cancelled is None:
            with call.waiting:
                self.release.wait(60)
        return params | {"cancelled": call.cancelled}

    def send(self, request: bytes) -> Reader:
        sock = self._stack.enter_context(self.served.connect(30))
        sock.sendall(request)
        return Reader(sock)

    def call(self, name: str | None, *, request_id: int = 1, **params: Any) -> Reader:
        return self.send(post(rpc(CALL, {"name": "t", **params}, request_id), token=name))

    def slow(self, name: str, count: int) -> list[Reader]:
        return [self.call(name, request_id=n, slow=True) for n in range(count)]

    @property
    def queue(self) -> CallQueue:
        return self.served.server.calls

    @property
    def begun(self) -> list[str]:
        """The `tag` of each call that has begun, in order."""
        messages = [getattr(message, "params", {}) for message in self.served.script.seen]
        return [params["tag"] for params in messages if "tag" in params]


@contextmanager
def clients(**limits: Any) -> Iterator[Clients]:
    authenticator = Names()
    with serving(HttpLimits(**limits), authenticator=authenticator) as served, ExitStack() as stack:
        made = Clients(served, stack, authenticator)
        stack.callback(made.release.set)
        yield made


def test_a_token_that_holds_every_connection_leaves_room_for_all_others() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2048 if hard == resource.RLIM_INFINITY else min(hard, 2048)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with clients() as made:
        limits, server = HttpLimits(), made.served.server
        loud = made.slow("ann", 520)
        # All others have been refused, or closed to make room.
        until(lambda: ready(loud) == 520 - limits.share - limits.waiting, 60)
        for _ in range(3):
            assert made.send(HEALTH).reply().status == 200
            assert made.call("ben").reply().status == 200
            assert made.send(post(rpc("tools/list"), token="ben")).reply().status == 200
            assert made.send(post(rpc("ping"), token="ann")).reply().status == 200
        assert server.threads <= limits.share + limits.workers
        assert made.served.inflight.count == limits.share + limits.waiting
        made.release.set()
        replies = [reply for reader in loud if (reply := reply_of(reader)) is not None]
    served = [reply for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status == 429]
    assert len(served) == limits.share + limits.waiting
    assert len(refused) > 0
    for reply in refused:
        assert reply.headers["retry-after"] == "1"
        assert reply.json["error"]["code"] == -32603
    # The others were refused by their heads, before there was an id.
    assert any(isinstance(reply.json.get("id"), int) for reply in refused)
    # A burst beyond all connections is told so by 503, as long as it lasts.
    assert {reply.status for reply in replies} <= {200, 429, 503}


def ready(readers: list[Reader]) -> int:
    """For how many there is an answer, or the end."""
    poll = select.poll()  # select takes no descriptor above 1023
    for reader in readers:
        poll.register(reader._socket, select.POLLIN)
    return len(poll.poll(0))


def reply_of(reader: Reader) -> Reply | None:
    """The answer, None on a connection that was closed to make room for others."""
    try:
        return reader.reply()
    except (EOFError, ConnectionResetError):
        return None


def test_calls_beyond_a_share_wait_without_a_thread_and_owners_take_turns() -> None:
    with clients(running=2, share=1, workers=1) as made:
        first = made.slow("ann", 1)
        until(lambda: made.served.inflight.count == 1)
        readers = []
        for number, (name, tag) in enumerate(
            [("ann", "a1"), ("ann", "a2"), ("ben", "b0"), ("ben", "b1"), ("ben", "b2")], 2
        ):
            readers.append(made.call(name, tag=tag, slow=True))
            until(lambda n=number: made.served.inflight.count == n)  # type: ignore[misc]
        assert made.begun == ["b0"]  # ben's own place was free
        assert made.queue.waiting == 4
        assert made.served.server.threads <= 3
        made.release.set()
        assert [reader.reply().status for reader in [*first, *readers]] == [200] * 6
        # Of each owner in the order in which they came, and neither all of one before the other.
        assert [tag for tag in made.begun if tag[0] == "a"] == ["a1", "a2"]
        assert [tag for tag in made.begun if tag[0] == "b"] == ["b0", "b1", "b2"]


def test_the_only_place_goes_round_the_owners() -> None:
    queue = CallQueue(requests=100, running=1, share=1, waiting=10)
    order: list[str] = []
    running = Call(60, owner="eve")
    assert queue.begin(running)
    turns = {
        name: QueuedCall(Call(60, owner=name[0]), lambda name=name: order.append(name))  # type: ignore[misc]
        for name in ("a1", "a2", "a3", "b1", "c1", "b2")
    }
    for turn in turns.values():
        queue.wait(turn)
    queue.end(running)
    for count in range(1, 7):
        assert len(order) == count
        queue.end(turns[order[-1]].call)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_call_that_is_cancelled_while_it_waits_is_answered_at_once() -> None:
    with clients(share=1) as made:
        made.slow("ann", 1)
        until(lambda: made.served.inflight.count == 1)
        waiting = made.call("ann", request_id=7, slow=True)
        until(lambda: made.queue.waiting == 1)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        made.send(post(json.dumps(note).encode(), token="ann"))
        # The tool hears of it as of any cancelled call, and so does the trail.
        assert waiting.reply().json["result"]["cancelled"] == "the client cancelled the request"
        assert made.queue.waiting == 0
        assert not made.release.is_set()


def test_a_call_whose_time_is_over_waits_no_longer() -> None:
    now = [0.0]
    queue, resumed = CallQueue(requests=9, running=9, share=1, waiting=9), list[str]()
    assert queue.begin(Call(60, owner="ann"))
    call = Call(10, owner="ann", clock=lambda: now[0])
    turn = QueuedCall(call, lambda: resumed.append(turn.state))
    with call.on_cancel(lambda: queue.withdraw(turn)):
        queue.wait(turn)
        queue.withdraw_late()
        assert resumed == []
        now[0] = 10.0
        queue.withdraw_late()
    assert (resumed, queue.waiting) == (["withdrawn"], 0)
    assert call.cancelled is not None


def test_a_call_cancelled_before_it_waits_is_resumed_once() -> None:
    queue, resumed = CallQueue(requests=9, running=9, share=1, waiting=9), list[str]()
    assert queue.begin(Call(60, owner="ann"))
    turn = QueuedCall(Call(60, owner="ann"), lambda: resumed.append(turn.state))
    queue.withdraw(turn)
    assert resumed == []
    queue.wait(turn)
    assert (resumed, queue.waiting) == (["withdrawn"], 0)


def test_a_token_revoked_while_its_call_waits_does_not_run_it() -> None:
    with clients(share=1) as made:
        running = made.slow("ann", 1)
        until(lambda: made.served.inflight.count == 1)
        waiting = made.call("ann", tag="waits")
        until(lambda: made.queue.waiting == 1)
        made.authenticator.revoked.add("ann")
        made.release.set()
        assert running[0].reply().status == 200
        assert waiting.reply().status == 401
        assert made.begun == []


def test_a_token_with_many_slow_bodies_leaves_places_for_others() -> None:
    with clients(requests=8) as made:
        head = post(b"", token="ann", length=100)
        slow = [made.send(head) for _ in range(8)]
        # 5 of 8: one more would be more than what is left for others.
        assert [reader.reply().status for reader in answered(slow, 3)] == [429] * 3
        assert made.call("ben").reply().status == 200
        assert made.send(HEALTH).reply().status == 200


def answered(readers: list[Reader], count: int) -> list[Reader]:
    """Those for which there is an answer, once they are that many."""
    by_socket = {reader._socket: reader for reader in readers}
    until(lambda: len(select.select(by_socket, [], [], 0)[0]) == count)
    return [by_socket[sock] for sock in select.select(by_socket, [], [], 0)[0]]


def test_anonymous_callers_share_by_address_and_leave_places_for_tokens() -> None:
    with clients(requests=8) as made:
        head = post(b"", token=None, length=100)
        slow = [made.send(head) for _ in range(8)]
        assert [reader.reply().status for reader in answered(slow, 3)] == [429] * 3
        assert made.call("ben").reply().status == 200


def test_places_are_free_again_whatever_became_of_their_requests() -> None:
    with clients(requests=4, share=1, waiting=1) as made:
        queue = made.queue
        for _ in range(5):
            made.send(post(b"", token="ann", length=100))._socket.close()
            made.send(post(b"{", token="ann")).reply()
            made.send(post(rpc("ping"), token="ann")).reply()
            made.call("ann").reply()
        running = made.slow("ann", 1)
        until(lambda: made.served.inflight.count == 1)
        waiting = made.slow("ann", 1)
        until(lambda: queue.waiting == 1)
        assert made.call("ann", request_id=5).reply().status == 429
        made.release.set()
        assert [reader.reply().status for reader in [*running, *waiting]] == [200, 200]
        until(lambda: queue._requests.taken == 0 and queue._running.taken == 0)
        assert queue._computing == {}


def test_more_requests_than_there_is_room_for_are_told_whose_fault_it_is() -> None:
    queue = CallQueue(requests=2, running=1, share=1, waiting=1)
    queue.enter("ann")
    queue.enter("ben")
    with pytest.raises(OverloadedError, match="this server has") as full:
        queue.enter("eve")
    assert full.value.status == 503
    queue.leave("ben")
    queue.enter("ann")
    queue.leave("ann")
    queue.enter("eve")
    queue.change(running=3, share=2)
    assert [queue.begin(Call(1, owner="ann")) for _ in range(3)] == [True, True, False]


def test_an_owners_brief_requests_take_turns_with_others_for_the_threads() -> None:
    with clients(workers=1, running=0) as made:
        entered, go_on = threading.Event(), threading.Event()

        def ping(params: Any, call: Call) -> Any:
            if params.get("hold"):
                entered.set()
                go_on.wait(60)
            return params

        made.served.script.methods["ping"] = ping

        def pings(name: str, count: int) -> list[Any]:
            """Connections whose owner is known from a first request."""
            socks = [made._stack.enter_context(made.served.connect(30)) for _ in range(count)]
            for sock in socks:
                sock.sendall(post(rpc("ping"), token=name))
                assert Reader(sock).reply().status == 200
            return socks

        loud, quiet = pings("ann", 20), pings("ben", 1)
        made.send(post(rpc("ping", {"hold": True}), token="eve"))
        assert entered.wait(10)
        for sock in loud:
            sock.sendall(post(rpc("ping", {"tag": "loud"}), token="ann"))
        until(lambda: len(made.served.server._workers._items) == 20)
        quiet[0].sendall(post(rpc("ping", {"tag": "quiet"}), token="ben"))
        until(lambda: len(made.served.server._workers._items) == 21)
        go_on.set()
        for sock in [*loud, *quiet]:
            assert Reader(sock).reply().status == 200
        assert made.begun.index("quiet") <= 1


# -- the processor ---------------------------------------------------------------------------------


def begun_beside(queue: CallQueue, call: Call) -> Callable[[], bool]:
    """Begin a call in a thread of its own; whether it computes by now."""
    computes = threading.Event()

    def begin() -> None:
        assert queue.begin(call)
        computes.set()

    threading.Thread(target=begin, daemon=True).start()
    return computes.is_set


def test_a_call_waits_as_its_threads_do_also_before_there_are_any() -> None:
    class Threads(NoThreads):
        def __init__(self) -> None:
            self.waits: list[tuple[Sequence[int], float]] = []

        def __len__(self) -> int:
            return 0

        def until_readable(self, poll: Poll, descriptors: Sequence[int], seconds: float) -> Ready:
            self.waits.append((descriptors, seconds))
            return []

    threads = Threads()
    queue = CallQueue(requests=9, running=20, share=5, waiting=9, threads=threads)
    call = Call(60, owner="ann")
    assert queue.begin(call)
    call.waiting.until_readable(new_poll(), [7], 5.0)
    assert threads.waits == [([7], 5.0)]
    assert queue._computing["ann"].locked()
    queue.end(call)


def test_an_owners_calls_compute_one_at_a_time_and_others_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_queue, "RESUME_SECONDS", 60.0)
    queue = CallQueue(requests=9, running=20, share=5, waiting=9)
    first, second = Call(60, owner="ann"), Call(60, owner="ann")
    assert queue.begin(first)
    second_computes = begun_beside(queue, second)
    until(lambda: queue._running.held("ann") == 2)
    assert queue.begin(Call(60, owner="ben"))
    assert not second_computes()
    with first.waiting:  # for PostgreSQL, say
        until(second_computes)
        second.waiting.pause()
    queue.end(first)
    second.waiting.resume()
    queue.end(second)


def test_no_call_waits_for_ever_for_its_owners_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_queue, "RESUME_SECONDS", 0.01)
    queue = CallQueue(requests=9, running=20, share=5, waiting=9)
    first, second = Call(60, owner="ann"), Call(60, owner="ann")
    assert queue.begin(first)
    assert queue.begin(second)
    queue.end(second)  # which never had the turn
    queue.end(first)
    assert queue.begin(first)
    queue.end(first)


def test_what_a_call_used_may_wait_after_its_end_and_takes_no_turn_for_it() -> None:
    queue = CallQueue(requests=9, running=20, share=5, waiting=9)
    first, second = Call(60, owner="ann"), Call(60, owner="ann")
    assert queue.begin(first)
    connection_waits = first.waiting
    with connection_waits:
        assert queue.begin(second)
        second.waiting.pause()
    queue.end(first)
    with connection_waits:  # it is closed, say
        pass
    assert not queue._computing["ann"].locked()
    queue.end(second)


def test_a_call_that_waits_for_memory_lets_others_of_its_owner_compute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_queue, "RESUME_SECONDS", 60.0)
    queue = CallQueue(requests=9, running=20, share=5, waiting=9)
    free = threading.Event()

    def keep(count: int, seconds: float) -> bool:
        return free.wait(seconds) if seconds else False

    first, second = Call(60, owner="ann", keep=keep), Call(60, owner="ann")

    def needs_memory() -> None:
        assert queue.begin(first)
        first.keep(1_000_000)
        queue.end(first)

    thread = threading.Thread(target=needs_memory)
    thread.start()
    until(lambda: queue._running.held("ann") == 1)
    until(begun_beside(queue, second))
    queue.end(second)
    free.set()
    thread.join(30)
    assert queue._running.taken == 0


def test_a_call_that_waits_for_its_turn_keeps_its_messages_memory_counted() -> None:
    with clients(share=1) as made:
        memory = made.served.server.message_memory
        running = made.slow("ann", 1)
        until(lambda: made.served.inflight.count == 1)
        assert memory.used_bytes == 0
        waiting = made.call("ann", text="x" * 60_000)
        until(lambda: made.queue.waiting == 1)
        assert memory.used_bytes > 60_000
        made.release.set()
        assert [reader.reply().status for reader in [*running, waiting]] == [200, 200]
        until(lambda: memory.used_bytes == 0)


def test_an_anonymous_caller_beyond_its_share_is_told_so_and_not_that_it_is_unknown() -> None:
    with clients(share=1, waiting=0) as made:
        made.call(None, slow=True)
        until(lambda: made.served.inflight.count == 1)
        refused = made.call(None).reply()
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")


def test_of_the_calls_that_need_one_pool_no_more_run_than_it_has_connections() -> None:
    queue = CallQueue(requests=9, running=9, share=5, waiting=2, pool_sizes={"main": 1})
    resumed: list[str] = []

    def call(owner: str, database: str | None) -> Call:
        return Call(60, owner=owner, pool=None if database is None else (owner, database))

    def wait(tag: str, waiting: Call) -> None:
        queue.wait(QueuedCall(waiting, lambda: resumed.append(tag)))

    first, second, third = (call("ann", "main") for _ in "123")
    assert queue.begin(first)
    assert not queue.begin(second)
    wait("second", second)
    wait("third", third)
    wait("fourth", call("ann", "main"))
    assert resumed == ["fourth"]  # refused: two wait already
    # Neither its calls for other databases nor anybody else's wait behind them.
    others = [call("ann", "other"), call("ann", None), call("ben", "main")]
    for other in others:
        assert queue.begin(other)
        other.waiting.pause()
    queue.end(first)
    assert resumed == ["fourth", "second"]
    queue.change(running=9, share=5, pool_sizes={"main": 2})
    assert resumed == ["fourth", "second", "third"]
    for each in (second, third, *others):
        queue.end(each)
    assert (queue._running.taken, queue._using, queue.waiting) == (0, {}, 0)


def test_addresses_that_share_a_pool_share_its_size() -> None:
    """An open server has one principal, whose callers have shares by their addresses."""
    queue = CallQueue(requests=9, running=9, share=5, waiting=2, pool_sizes={"main": 1})
    pool = ("local", "main")
    assert queue.begin(Call(60, owner="local@a", pool=pool))
    assert not queue.begin(Call(60, owner="local@b", pool=pool))

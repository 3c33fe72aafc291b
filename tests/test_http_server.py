"""Connections: kept, limited, slow, broken off, and never read past their end."""

from __future__ import annotations

import errno
import http.client
import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Address
from pgmcp.errors import ConfigError
from pgmcp.transport.call_queue import QueuedCall
from pgmcp.transport.connection import Wait
from pgmcp.transport.handler import RequestHandler
from pgmcp.transport.head import MAX_EMPTY_LINES, HeadLimits
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.listen import listen
from tests.serving import TOKEN, Reader, Served, ask, post, rpc, serving, until

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"


@contextmanager
def connected(served: Served) -> Iterator[tuple[socket.socket, Reader]]:
    with served.connect() as sock:
        yield sock, Reader(sock)


def test_a_connection_serves_one_request_after_the_other() -> None:
    with serving() as served, connected(served) as (sock, reader):
        for number in range(50):
            sock.sendall(post(rpc("echo", {"n": number})))
            reply = reader.reply()
            assert reply.json["result"] == {"n": number}
            assert not reply.closes


def test_pipelined_requests_are_answered_in_order() -> None:
    with serving() as served, connected(served) as (sock, reader):
        sock.sendall(b"".join(post(rpc("echo", {"n": n})) + b"\r\n" for n in range(100)))
        assert [reader.reply().json["result"]["n"] for _ in range(100)] == list(range(100))


def test_a_few_empty_lines_before_a_request_are_skipped_and_many_are_refused() -> None:
    with serving() as served:
        with connected(served) as (sock, reader):
            for _ in range(2):
                sock.sendall(b"\r\n" * MAX_EMPTY_LINES + HEALTH)
                assert reader.reply().status == 200
            sock.sendall(b"\r\n" * (MAX_EMPTY_LINES + 1) + HEALTH)
            assert (reader.reply().status, reader.ended()) == (400, True)
        with connected(served) as (sock, reader):
            for _ in range(MAX_EMPTY_LINES + 1):
                sock.sendall(b"\r")
                sock.sendall(b"\n")
            assert reader.reply().status == 400


def test_clients_that_always_have_more_to_send_let_others_go_first() -> None:
    with serving(HttpLimits(workers=1)) as served, ExitStack() as stack:
        let_others_go_first = threading.Event()
        hand_back = served.server.hand_back

        def note(handler: RequestHandler, wait: Wait | QueuedCall | None) -> None:
            if wait is None:
                let_others_go_first.set()
            hand_back(handler, wait)

        served.server.hand_back = note  # type: ignore[method-assign]
        sock, reader = stack.enter_context(connected(served))
        sock.sendall(post(b"", length=10**12) + b"x" * 4_000_000)
        sock.shutdown(socket.SHUT_WR)
        assert (reader.reply().status, reader.ended()) == (413, True)
        # The answer has come before the server has taken all that was sent.
        assert let_others_go_first.wait(30)


def test_a_request_may_come_one_byte_at_a_time() -> None:
    with serving() as served, connected(served) as (sock, reader):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(rpc()):
            sock.sendall(bytes([byte]))
        assert reader.reply().status == 200


def test_a_body_of_three_megabytes_goes_in_and_out() -> None:
    with serving() as served, connected(served) as (sock, reader):
        text = "x" * 3_000_000
        request = post(rpc("tools/call", {"t": text}))
        threading.Thread(target=sock.sendall, args=(request,)).start()
        assert reader.reply().json["result"]["t"] == text


def test_chunked_bodies_are_decoded_and_the_connection_goes_on() -> None:
    body = rpc("echo", {"a": 1})
    chunks = b"5\r\n" + body[:5] + b"\r\n%x\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n"
    request = post(chunks, "Transfer-Encoding: chunked", length=None)
    with serving() as served, connected(served) as (sock, reader):
        sock.sendall(request + request)
        assert reader.reply().json["result"] == {"a": 1}
        assert reader.reply().json["result"] == {"a": 1}


def test_http_client_of_the_standard_library_is_content() -> None:
    with serving() as served:
        client = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)
        for _ in range(3):
            client.request("POST", "/mcp/v1", rpc(), {"Authorization": f"Bearer {TOKEN}"})
            assert client.getresponse().read().startswith(b'{"jsonrpc"')
        client.request("POST", "/mcp/v1", iter([rpc()]), {"Authorization": f"Bearer {TOKEN}"})
        assert client.getresponse().status == 200
        client.close()


def test_http_1_0_closes_unless_asked_not_to() -> None:
    with serving() as served, connected(served) as (sock, reader):
        sock.sendall(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert not reader.reply().closes
        sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert reader.reply().closes
        assert reader.ended()


def test_connection_close_is_honoured() -> None:
    with serving() as served, connected(served) as (sock, reader):
        sock.sendall(post(rpc(), "Connection: close"))
        assert reader.reply().closes
        assert reader.ended()


def test_head_has_the_length_and_no_body() -> None:
    with serving() as served, connected(served) as (sock, reader):
        sock.sendall(HEALTH.replace(b"GET", b"HEAD") + HEALTH)
        length = reader.reply(head_only=True).headers["content-length"]
        assert reader.reply().headers["content-length"] == length
        sock.sendall(post(method="HEAD"))
        assert reader.reply(head_only=True).status == 405


def test_an_early_answer_does_not_leave_its_body_to_be_read_as_a_request() -> None:
    smuggled = post(rpc("smuggled"))
    with serving() as served:
        with connected(served) as (sock, reader):  # all of the body is there: it is dropped
            sock.sendall(post(smuggled, token="wrong") + post(rpc("next")))
            assert [reader.reply().status, reader.reply().status] == [401, 200]
        with connected(served) as (sock, reader):  # it is not: the connection ends
            request = post(smuggled, token="wrong", length=len(smuggled) + 10)
            sock.sendall(request)
            reply = reader.reply()
            assert (reply.status, reply.closes) == (401, True)
            sock.sendall(b"0123456789" + post(rpc("too late")))
            assert reader.ended()
        methods = [getattr(message, "method", None) for message in served.script.seen]
        assert methods == ["next"]


def test_a_refused_body_is_taken_so_that_the_client_reads_the_answer() -> None:
    with serving() as served:
        client = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)
        client.request("POST", "/mcp/v1", b"x" * 12_000_000, {"Authorization": f"Bearer {TOKEN}"})
        response = client.getresponse()
        assert (response.status, response.read()[:9]) == (413, b'{"error":')
        client.close()


def test_expect_continue_is_answered_once_the_caller_is_known() -> None:
    body = rpc()
    with serving() as served:
        with connected(served) as (sock, reader):
            head = post(b"", "Expect: 100-continue", length=len(body))
            sock.sendall(head)
            assert reader.reply().status == 100
            sock.sendall(body)
            assert reader.reply().status == 200
        with connected(served) as (sock, reader):
            sock.sendall(head.replace(TOKEN.encode(), b"wrong"))
            reply = reader.reply()
            assert (reply.status, reply.closes) == (401, True)


LIMITS = HttpLimits(
    head=HeadLimits(head_bytes=2000, request_line_bytes=500, fields=20),
    head_seconds=0.3,
    body_seconds=0.3,
    idle_seconds=0.3,
    write_seconds=0.3,
    linger_seconds=0.3,
    body_bytes=1000,
)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 600 + b" HTTP/1.1\r\n\r\n", 414),
        (post(rpc(), "A: " + "b" * 2000), 431),
        (post(rpc(), *["A: b"] * 21), 431),
        (post(rpc("echo", {"a": "b" * 1000})), 413),
        (post(b"", length=10**12), 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xc8\x01\x00\x00", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (post(rpc(), "Transfer-Encoding: chunked"), 400),
    ],
)
def test_what_is_too_much_or_no_request_is_refused_and_closed(
    request_bytes: bytes, status: int
) -> None:
    with serving(LIMITS) as served:
        with connected(served) as (sock, reader):
            sock.sendall(request_bytes)
            reply = reader.reply()
            assert (reply.status, reply.closes) == (status, True)
            assert list(reply.json) == ["error"]
            assert reader.ended()
        assert served.script.seen == []


def drip(sock: socket.socket, data: bytes) -> None:
    """Send a byte now and then, until the server has enough of it."""
    try:
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize(
    ("start", "rest"),
    [(b"", post(rpc())), (HEALTH, post(rpc())), (post(b"", length=900), b" " * 900)],
    ids=["head", "second head", "body"],
)
def test_a_deadline_is_for_the_whole_and_not_for_each_byte(start: bytes, rest: bytes) -> None:
    with serving(LIMITS) as served, connected(served) as (sock, reader):
        sock.sendall(start)
        if start == HEALTH:
            assert reader.reply().status == 200
        began = time.monotonic()
        threading.Thread(target=drip, args=(sock, rest)).start()
        reply = reader.reply()
        assert (reply.status, reply.closes) == (408, True)
        assert 0.25 < time.monotonic() - began < 8


def test_half_a_body_and_then_nothing_ends_without_a_call() -> None:
    with serving(LIMITS) as served:
        with connected(served) as (sock, reader):
            sock.sendall(post(rpc(), length=500))
            assert reader.reply().status == 408
        with connected(served) as (sock, _):
            sock.sendall(post(rpc(), length=500))
        until(lambda: not served.server.open_connections)
        assert served.script.seen == []


def test_silent_and_idle_clients_are_closed_without_a_word() -> None:
    with serving(LIMITS) as served, connected(served) as (sock, reader):
        assert reader.ended()
        with connected(served) as (sock, reader):
            sock.sendall(HEALTH)
            assert reader.reply().status == 200
            assert reader.ended()


def test_a_client_that_does_not_read_loses_its_connection_only() -> None:
    limits = HttpLimits(write_seconds=0.3)
    with serving(limits) as served, connected(served) as (sock, _):
        served.script.methods["much"] = lambda params, call: "x" * 20_000_000
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(post(rpc("much")))
        until(lambda: served.script.seen)
        assert ask(served, HEALTH).status == 200
        until(lambda: not served.server.open_connections)


def test_hundreds_of_slow_clients_cost_their_slots_and_no_thread() -> None:
    with serving() as served, ExitStack() as stack:
        for number in range(200):
            sock, _ = stack.enter_context(connected(served))
            sock.sendall(post(b"", length=900) if number % 2 else b"GET /health HT")
        until(lambda: served.server.open_connections == 200)
        assert ask(served, HEALTH).status == 200
        assert served.server.threads < 100


def test_the_limit_of_connections_may_change_while_it_serves() -> None:
    with serving(HttpLimits(connections=4)) as served, ExitStack() as stack:
        served.server.allow_connections(400)
        for _ in range(300):
            stack.enter_context(connected(served))
        until(lambda: served.server.open_connections == 300)
        assert ask(served, HEALTH).status == 200
        assert served.server.threads < 32
        until(lambda: served.server.open_connections == 300)
        served.server.allow_connections(300)
        sock, reader = stack.enter_context(connected(served))
        sock.sendall(HEALTH)
        assert reader.reply().status == 200
        until(lambda: served.server.open_connections == 300)


def test_a_process_may_open_as_many_files_as_its_connections_need() -> None:
    program = (
        "import resource, sys\n"
        "from pgmcp.transport.descriptors import allow_descriptors\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, min(hard, 900)))\n"
        "print(allow_descriptors(300), allow_descriptors(100), allow_descriptors(5000))\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["300", "300", "900", "900"]


def test_at_the_limit_idle_connections_make_room() -> None:
    with serving(HttpLimits(connections=4)) as served, ExitStack() as stack:
        idle = [stack.enter_context(connected(served)) for _ in range(4)]
        for sock, reader in idle:
            sock.sendall(HEALTH)
            assert reader.reply().status == 200
        # The threads that answered give their connections back a moment later.
        until(lambda: ask(served, HEALTH).status == 200)
        # Which of them is for the threads to say that answered them.
        ended, _, _ = select.select([sock for sock, _ in idle], [], [], 10)
        assert [sock.recv(1) for sock in ended] == [b""]


def test_at_the_limit_one_connection_goes_for_each_that_comes() -> None:
    with serving(HttpLimits(connections=8)) as served, ExitStack() as stack:
        server = served.server
        for _ in range(8):
            stack.enter_context(connected(served))
        until(lambda: server.open_connections == 8)
        for _ in range(3):
            stack.enter_context(connected(served))
        until(lambda: server._evictions.closed == 3 and server.open_connections == 8)


def test_at_the_limit_with_nobody_idle_a_new_client_is_turned_away() -> None:
    release = threading.Event()
    with serving(HttpLimits(connections=2)) as served, ExitStack() as stack:
        served.script.methods["wait"] = lambda params, call: release.wait(10)
        busy = [stack.enter_context(connected(served)) for _ in range(2)]
        for sock, _ in busy:
            sock.sendall(post(rpc("wait")))
        until(lambda: len(served.script.seen) == 2)
        reply = ask(served, b"")
        assert (reply.status, reply.closes) == (503, True)
        release.set()
        assert [reader.reply().status for _, reader in busy] == [200, 200]


@pytest.mark.skipif(sys.platform == "darwin", reason="only 127.0.0.1 is an address there")
def test_one_address_with_slow_requests_does_not_keep_out_others() -> None:
    with serving(HttpLimits(connections=6)) as served, ExitStack() as stack:
        crowd = [stack.enter_context(connected(served)) for _ in range(6)]
        for sock, _ in crowd:
            sock.sendall(b"POST /mcp/v1 HT")
        until(lambda: all(handler.connection.buffer for handler in served.server._handlers))
        for _ in range(3):
            other = stack.enter_context(socket.socket())
            other.settimeout(10)
            other.bind(("127.0.0.2", 0))
            other.connect(("127.0.0.1", served.server.port))
            other.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            until(lambda: served.server.open_connections == 6)
            other.sendall(b"\r\n")
            assert Reader(other).reply().status == 200
        # The crowd has half as many now as it had, and gets no more of them.
        assert ask(served, HEALTH).status == 503
        assert len(select.select([sock for sock, _ in crowd], [], [], 0)[0]) == 3


def test_connections_that_have_authenticated_are_given_up_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(HttpLimits(connections=8)) as served, ExitStack() as stack:
        known = [stack.enter_context(connected(served)) for _ in range(4)]
        for sock, reader in known:
            sock.sendall(post(rpc()))
            assert reader.reply().status == 200
        for _ in range(20):
            stack.enter_context(connected(served))
        until(lambda: not select.select([served.server.socket], [], [], 0)[0])
        until(lambda: "limit of 8 connections" in caplog.text)
        for sock, reader in known:
            sock.sendall(post(rpc()))
            assert reader.reply().status == 200
        assert caplog.text.count("limit of 8 connections") == 1


def test_running_out_of_descriptors_neither_spins_nor_ends_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving() as served, ExitStack() as stack:
        client = socket.socket()
        stack.callback(client.close)
        spare = os.open(os.devnull, os.O_RDONLY)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        try:
            client.connect(("127.0.0.1", served.server.port))
            client.sendall(HEALTH)
            until(lambda: "cannot accept" in caplog.text)
            time.sleep(0.2)
            assert caplog.text.count("cannot accept") == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.settimeout(10)
        assert Reader(client).reply().status == 200


@pytest.mark.parametrize("sleepers", [16, 150])
def test_slow_calls_do_not_delay_others(sleepers: int) -> None:
    release = threading.Event()
    with serving() as served, ExitStack() as stack:
        stack.callback(release.set)
        served.script.methods["sleep"] = lambda params, call: release.wait(20)
        for _ in range(sleepers):
            sock, _ = stack.enter_context(connected(served))
            sock.sendall(post(rpc("sleep")))
        with connected(served) as (sock, reader):
            for _ in range(20):
                sock.sendall(HEALTH)
                assert reader.reply().status == 200
        assert served.server.threads <= HttpLimits().share + HttpLimits().workers
        release.set()
        until(lambda: len(served.script.seen) == sleepers)


def test_extra_threads_end_when_they_are_not_needed() -> None:
    release = threading.Event()
    with serving(HttpLimits(workers=2, worker_idle_seconds=0.1)) as served, ExitStack() as stack:
        served.script.methods["sleep"] = lambda params, call: release.wait(20)
        for _ in range(12):
            sock, _ = stack.enter_context(connected(served))
            sock.sendall(post(rpc("sleep")))
        until(lambda: len(served.script.seen) == 12)
        assert served.server.threads >= 12
        release.set()
        until(lambda: served.server.threads <= 2)


def test_work_that_computes_does_not_breed_threads() -> None:
    def compute(params: Any, call: Call) -> None:
        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            pass

    with serving() as served, ExitStack() as stack:
        served.script.methods["compute"] = compute
        clients = [stack.enter_context(connected(served)) for _ in range(100)]
        for sock, _ in clients:
            sock.sendall(post(rpc("compute")))
        for _, reader in clients:
            assert reader.reply().status == 200
        assert served.server.threads <= 40


def test_a_client_that_pipelines_lets_others_go_first() -> None:
    with (
        serving(HttpLimits(workers=1)) as served,
        connected(served) as (greedy, many),
        connected(served) as (sock, reader),
    ):
        drain = threading.Thread(target=lambda: [many.reply() for _ in range(1000)])
        drain.start()
        greedy.sendall(post(rpc("greedy")) * 1000)
        sock.sendall(post(rpc("modest")))
        assert reader.reply().status == 200
        drain.join()
        methods = [getattr(message, "method", None) for message in served.script.seen]
        assert methods.index("modest") < 500


# -- listening and stopping ------------------------------------------------------------------------


def test_every_interface_is_both_protocols() -> None:
    with serving(host="") as served:
        for address in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            with socket.create_connection((address, served.server.port), 10) as sock:
                sock.sendall(post(rpc()))
                assert Reader(sock).reply().status == 200
        assert {client.address for client in served.clients} <= {"127.0.0.1", "::1"}


def test_localhost_is_both_loopbacks() -> None:
    with serving(host="localhost") as served:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as probe:
                try:
                    probe.bind((address, 0))
                except OSError:
                    continue
            with socket.create_connection((address, served.server.port), 10) as sock:
                sock.sendall(HEALTH)
                assert Reader(sock).reply().status == 200


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1"])
def test_a_port_in_use_says_what_to_do(host: str) -> None:
    (taken,) = listen(Address("127.0.0.1", 0), 1)
    reason = f"(?i){os.strerror(errno.EADDRINUSE)}"
    with taken, pytest.raises(ConfigError, match=reason) as caught:
        listen(Address(host, taken.getsockname()[1]), 1)
    assert "http.address" in caught.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 70])
def test_an_address_of_another_machine_says_what_to_do(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen on") as caught:
        listen(Address(host, 0), 1)
    assert "http.address" in caught.value.hint


def test_ready_sockets_are_served() -> None:
    with serving() as served:
        (ready,) = listen(Address("127.0.0.1", 0), 5)
        other = type(served.server)(Address("", 0), served.server.endpoint, listeners=[ready])
        other.start()
        with socket.create_connection(("127.0.0.1", other.port), 10) as sock:
            sock.sendall(HEALTH)
            assert Reader(sock).reply().status == 200
        other.stop(0)


def waiting(served: Served) -> list[Wait]:
    """What the parked connections wait for."""
    return [wait for _, wait in list(served.server._parking._waits.values())]


def test_stop_lets_running_calls_finish_and_takes_no_new_ones() -> None:
    release = threading.Event()
    with serving() as served, ExitStack() as stack:
        served.script.methods["wait"] = lambda params, call: release.wait(10)
        (busy, answers), (half, refusals), (_, idle) = (
            stack.enter_context(connected(served)) for _ in range(3)
        )
        busy.sendall(post(rpc("wait")))
        half.sendall(HEALTH[:20])
        until(lambda: served.script.seen and len(waiting(served)) == 2)
        until(lambda: [wait.idle for wait in waiting(served)].count(True) == 1)
        outcome: list[Any] = []
        stopping = threading.Thread(target=lambda: outcome.append(served.server.stop(10)))
        stopping.start()
        assert idle.ended()
        half.sendall(HEALTH[20:])
        refusal = refusals.reply()
        assert (refusal.status, refusal.closes) == (503, True)
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        release.set()
        reply = answers.reply()
        assert (reply.status, reply.closes) == (200, True)
        stopping.join(10)
        assert (outcome[0].finished, outcome[0].cancelled) == (2, 0)


def test_stop_cancels_what_does_not_finish() -> None:
    with serving() as served, connected(served) as (sock, reader):

        def wait(params: Any, call: Call) -> str | None:
            ended = threading.Event()
            with call.on_cancel(ended.set):
                ended.wait(10)
            return call.cancelled

        served.script.methods["wait"] = wait
        sock.sendall(post(rpc("wait")))
        until(lambda: served.inflight.count)
        outcome = served.server.stop(0.1, served.inflight.cancel_all)
        assert (outcome.finished, outcome.cancelled) == (0, 1)
        assert reader.reply().json["result"] == "the server is stopping"


def test_stop_does_not_wait_for_a_call_that_ignores_everything() -> None:
    release = threading.Event()
    with serving() as served, connected(served) as (sock, reader):
        served.script.methods["wait"] = lambda params, call: release.wait(30)
        sock.sendall(post(rpc("wait")))
        until(lambda: served.inflight.count)
        began = time.monotonic()
        served.server.stop(0.1, served.inflight.cancel_all, 0.1)
        assert time.monotonic() - began < 15
        assert reader.ended()
        release.set()


def test_nothing_is_left_after_a_stop() -> None:
    def ours() -> list[str]:
        return [t.name for t in threading.enumerate() if t.name.startswith("pgmcp-http")]

    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
    with serving() as served:
        for _ in range(20):
            assert ask(served, HEALTH).status == 200
    until(lambda: not ours())
    assert not before or len(list(descriptors.iterdir())) <= before
    with pytest.raises(ConnectionRefusedError):
        served.connect(1)

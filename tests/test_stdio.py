"""pgmcp.transport.stdio: lines in, lines out, over real pipes and as a real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pytest
from mcp import Client, StdioServerParameters

from pgmcp.errors import UnauthorizedError
from pgmcp.mcp.dispatch import Dispatcher
from pgmcp.mcp.feature import Context
from pgmcp.transport import stdio
from pgmcp.transport.stdio import StdioLimits
from tests.sample_features import context_for, sample_dispatcher

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "tests.stdio_server"]
DEADLINE_SECONDS = 20.0


def line(method: str, request_id: object = None, **params: Any) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if request_id is not None:
        message["id"] = request_id
    return json.dumps(message).encode() + b"\n"


def call(name: str, request_id: object, **arguments: Any) -> bytes:
    return line("tools/call", request_id, name=name, arguments=arguments)


def cancel(request_id: object) -> bytes:
    return line("notifications/cancelled", requestId=request_id)


class Conversation:
    """`serve` in a thread, with a pipe on each side."""

    def __init__(
        self,
        limits: StdioLimits | None = None,
        dispatcher: Dispatcher | None = None,
        context_of: Callable[..., Context] = context_for,
    ) -> None:
        here, there = os.pipe()
        self.reader, self.input = os.fdopen(here, "rb"), os.fdopen(there, "wb")
        here, there = os.pipe()
        self.output, self.writer = os.fdopen(here, "rb"), os.fdopen(there, "wb")
        self.stop = threading.Event()
        self.status: int | None = None
        self._arguments = (dispatcher or sample_dispatcher(), context_of, limits)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        dispatcher, context_of, limits = self._arguments
        self.status = stdio.serve(
            self.reader, self.writer, dispatcher, context_of, stop=self.stop, limits=limits
        )
        with suppress(BrokenPipeError):
            self.writer.close()

    def send(self, *lines: bytes) -> None:
        self.input.write(b"".join(lines))
        self.input.flush()

    def next(self) -> Any:
        return json.loads(self.output.readline())

    def end(self) -> list[Any]:
        """End the input; what was still answered."""
        self.input.close()
        rest = [json.loads(answer) for answer in self.output]
        self._thread.join(DEADLINE_SECONDS)
        assert self.status == 0
        return rest

    def close(self) -> None:
        self.stop.set()
        self.input.close()
        self._thread.join(DEADLINE_SECONDS)
        assert self.status == 0
        self.reader.close()
        self.output.close()


@contextmanager
def conversation(**arguments: Any) -> Iterator[Conversation]:
    talk = Conversation(**arguments)
    try:
        yield talk
    finally:
        talk.close()


def text_of(answer: Any) -> str:
    text: str = answer["result"]["content"][0]["text"]
    return text


def by_id(answers: Iterable[Any]) -> dict[Any, Any]:
    return {answer["id"]: answer for answer in answers}


def test_requests_that_were_piped_in_are_answered_before_the_end() -> None:
    with conversation() as talk:
        talk.send(*(call("echo", number, text=str(number)) for number in range(100)))
        answers = by_id(talk.end())
    assert {number: text_of(answers[number]) for number in range(100)} == {
        number: str(number) for number in range(100)
    }


def test_an_id_used_twice_at_once_is_answered_twice() -> None:
    with conversation() as talk:
        talk.send(call("echo", 1, text="a"), call("echo", 1, text="b"))
        assert {text_of(answer) for answer in talk.end()} == {"a", "b"}


def test_a_slow_call_delays_no_other_and_a_cancelled_one_gets_no_answer() -> None:
    with conversation() as talk:
        talk.send(call("wait", "slow"), call("echo", 2, text="x"))
        assert talk.next()["id"] == 2
        talk.send(cancel("slow"), cancel("slow"), line("ping", 3))
        assert [answer["id"] for answer in talk.end()] == [3]


@pytest.mark.parametrize("wrong", ["1", 2, True, None, [1], {}])
def test_a_cancellation_that_names_no_running_call_ends_none(wrong: object) -> None:
    with conversation(limits=StdioLimits(call_timeout_seconds=0.2)) as talk:
        talk.send(call("wait", 1), cancel(wrong), line("notifications/cancelled"))
        assert text_of(talk.next()).startswith("the call ran out of time")


def test_more_calls_than_workers_wait_and_can_be_cancelled_while_waiting() -> None:
    with conversation(limits=StdioLimits(max_parallel=2)) as talk:
        talk.send(call("wait", 1), call("wait", 2), call("echo", 3, text="x"), line("ping", 4))
        talk.send(cancel(3), cancel(1))
        assert talk.next()["id"] == 4
        talk.send(cancel(2))
        assert talk.end() == []


def test_calls_still_running_when_the_drain_is_over_say_so() -> None:
    with conversation(limits=StdioLimits(drain_seconds=0.2)) as talk:
        talk.send(call("wait", 1), call("wait", 2), cancel(2))
        assert {answer["id"]: text_of(answer) for answer in talk.end()} == {
            1: "the call was cancelled: the input ended"
        }


def test_stopping_cancels_the_running_calls_and_ends_though_the_input_is_open() -> None:
    with conversation() as talk:
        talk.send(call("wait", 1), line("ping", 2))
        talk.next()
        started = time.monotonic()
        talk.stop.set()
        assert text_of(talk.next()) == "the call was cancelled: the server is stopping"
        assert talk.output.readline() == b""
        assert time.monotonic() - started < 10.0


@pytest.mark.parametrize("before", [b"", b"\n"])
def test_a_byte_order_mark_before_the_first_line_is_skipped(before: bytes) -> None:
    mark = b"\xef\xbb\xbf"
    with conversation() as talk:
        talk.send(mark + before + line("ping", 1), mark + line("ping", 2))
        answers = by_id(answer | {"id": answer.get("id")} for answer in talk.end())
    assert answers[1]["result"] == {}
    assert answers[None]["error"]["code"] == -32700, "only there"


def test_blank_lines_and_carriage_returns_are_no_messages() -> None:
    with conversation() as talk:
        talk.send(b"\n", b"\r\n", b"  \t\r\n", line("ping", 1)[:-1] + b"\r\n")
        assert [answer["id"] for answer in talk.end()] == [1]


def test_a_last_line_without_a_line_end_is_a_line() -> None:
    with conversation() as talk:
        talk.send(line("ping", 1)[:-1])
        assert [answer["id"] for answer in talk.end()] == [1]


def test_a_line_that_is_no_message_is_answered_and_the_next_is_served() -> None:
    with conversation() as talk:
        talk.send(b"{nonsense\n", b"\xff\n", b"[]\n", b'{"id":"x","method":"ping"}\n')
        answers = [talk.next() for _ in range(4)]
        assert [answer["error"]["code"] for answer in answers] == [-32700, -32700, -32600, -32600]
        assert ["id" in answer for answer in answers] == [False, False, False, True]
        talk.send(line("ping", 1))
        assert talk.next() == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_a_line_that_is_too_long_is_answered_and_the_next_is_served() -> None:
    limit = 1000
    with conversation(limits=StdioLimits(max_line_bytes=limit)) as talk:
        exact = call("echo", 1, text="").replace(b'""', b'"%s"')
        fits = exact % (b"x" * (limit + 1 - len(exact) + 2))
        assert len(fits) == limit + 1
        talk.send(fits, b"x" * 500_000 + b"\n", line("ping", 2), b"y" * (limit + 1))
        talk.input.close()
        answers = [json.loads(answer) for answer in talk.output]
    assert {answer.get("id") for answer in answers} == {1, 2, None}
    refused = [answer["error"] for answer in answers if "id" not in answer]
    assert [error["code"] for error in refused] == [-32600, -32600]
    assert "1000 bytes" in refused[0]["message"]


def test_notifications_and_responses_get_no_answer() -> None:
    with conversation() as talk:
        talk.send(line("notifications/initialized"), b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
        assert talk.end() == []


def test_a_defect_beneath_the_loop_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> Context:
        raise UnauthorizedError

    with conversation(context_of=refuse) as talk:
        talk.send(line("ping", 1))
        error = talk.next()["error"]
    assert error["code"] == -32603
    assert error["message"][-9:-1] in caplog.text


def test_an_output_that_is_gone_ends_the_loop() -> None:
    with conversation() as talk:
        talk.output.close()
        talk.send(line("ping", 1))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while talk.status is None and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert talk.status == 0


# -- as a process ----------------------------------------------------------------------------------


@contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        COMMAND, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def pipes(child: subprocess.Popen[bytes]) -> tuple[BinaryIO, BinaryIO, BinaryIO]:
    assert child.stdin and child.stdout and child.stderr
    return (child.stdin, child.stdout, child.stderr)  # type: ignore[return-value]


def test_a_three_megabyte_line_is_answered_and_stray_prints_go_to_standard_error() -> None:
    text = "é" * 1_500_000
    request = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": text}},
        },
        ensure_ascii=False,
    ).encode()
    done = subprocess.run(
        COMMAND, cwd=ROOT, input=request + b"\n", capture_output=True, timeout=DEADLINE_SECONDS
    )
    assert text_of(json.loads(done.stdout)) == text
    assert done.stdout.count(b"\n") == 1
    assert (done.returncode, done.stderr.decode()) == (0, "a stray line\n")


def test_the_end_of_an_empty_input_ends_the_process_with_0() -> None:
    done = subprocess.run(
        COMMAND, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_SECONDS
    )
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize("busy", [False, True])
def test_sigterm_ends_the_process_with_0_while_it_waits_for_input(busy: bool) -> None:
    with process() as child:
        stdin, stdout, stderr = pipes(child)
        stdin.write((call("wait", 1) if busy else b"") + line("ping", 2))
        stdin.flush()
        assert json.loads(stdout.readline())["id"] == 2
        started = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE_SECONDS) == 0
        assert time.monotonic() - started < 10.0
        assert stderr.read() == b"a stray line\n"


def test_a_broken_output_pipe_ends_the_process_quietly() -> None:
    with process() as child:
        stdin, stdout, stderr = pipes(child)
        stdin.write(line("ping", 1))
        stdin.flush()
        stdout.readline()
        stdout.close()
        stdin.write(line("ping", 2))
        stdin.flush()
        assert child.wait(DEADLINE_SECONDS) == 0
        assert stderr.read() == b"a stray line\n"


@pytest.mark.starts_process
@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
def test_the_official_client_is_served(mode: Literal["auto", "legacy", "2026-07-28"]) -> None:
    async def talk() -> None:
        server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], cwd=ROOT)
        async with Client(server, mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["echo", "refuse", "defect", "wait"]
            result = await client.call_tool("echo", {"text": "hi"})
            assert not result.is_error
            assert (await client.call_tool("refuse", {})).is_error
            assert (await client.list_resources()).resources[0].name == "doc"
            assert (await client.read_resource("test://doc")).contents
            assert (await client.get_prompt("explore", {"topic": "x"})).messages

    asyncio.run(asyncio.wait_for(talk(), DEADLINE_SECONDS))

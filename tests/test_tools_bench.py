"""The benchmark's numbers mean what they say."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tools import benchmark
from tools.benchmark import Sample
from tools.load import LoadError, measure


def test_a_percentile_is_the_latency_that_this_share_did_not_exceed() -> None:
    sample = Sample()
    sample.add(range(100_000, 0, -1000), 2.0)
    sample.add([1000], 2.0)
    assert sample.percentile_ms(0.5) == 50.0
    assert sample.percentile_ms(0.99) == 99.0
    assert sample.percentile_ms(1.0) == 100.0
    assert sample.calls_per_second == 101 / 4


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n{"result":{"isError":true,"content":[]}}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"error":{"code":-32603}',
        b"",
    ],
)
def test_an_answer_that_is_no_result_ends_the_measurement(answer: bytes) -> None:
    with one_answer(answer) as port, pytest.raises(LoadError):
        measure("127.0.0.1", port, b"GET / HTTP/1.1\r\n\r\n", 1, 5.0)


def test_it_measures_a_real_server_beside_its_yardstick(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--seconds", "0.2", "--connections", "2"]) == 0
    printed = capsys.readouterr().out
    assert "PostgreSQL 1" in printed
    for name in ("tools/list", "SELECT 1", "1,000 rows of 6"):
        assert re.search(rf"\| {name} \| 2 \| [\d,]+ \| [\d.]+ \| [\d.]+ \| [\d,]+ \|", printed)


@contextmanager
def one_answer(answer: bytes) -> Iterator[int]:
    """A server that gives `answer` to its first request, and then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)

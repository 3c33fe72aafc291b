"""The benchmark's numbers mean what they say."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.benchmarks import background, command, figures, page, profile, relay, session
from tools.benchmarks.client import ClientError, HttpLine, Measured, StdioLines, over_http
from tools.benchmarks.figures import Figure
from tools.benchmarks.peers import PEERS

_REQUEST = b'{"id":"bench-0"}\n'


def test_a_percentile_is_the_latency_that_this_share_did_not_exceed() -> None:
    measured = Measured([n / 1000 for n in range(100, 0, -1)], 2.0)
    assert measured.percentile_ms(0.5) == 51.0
    assert measured.percentile_ms(0.99) == 100.0
    assert measured.calls_per_second == 50
    assert Measured().percentile_ms(0.99) == Measured().calls_per_second == 0.0


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
    with http_answers(answer) as port, pytest.raises(ClientError):
        over_http(("127.0.0.1", port), [b"GET / HTTP/1.1\r\n\r\n"], 1, 5.0)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{", b"}  "),
        (b"HTTP/1.1 200 OK\r\nCont", b"ent-Length: 4\r\n\r\n", b"{}  "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}  \r\n0\r", b"\n\r", b"\n"),
    ],
)
def test_an_answer_in_pieces_is_taken_whole(pieces: tuple[bytes, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = HttpLine(listener.getsockname(), set())
        with line.socket, listener.accept()[0] as peer:
            for turn in range(2):  # the second time its length is known
                for piece in pieces[:-1]:
                    peer.sendall(piece)
                    assert not line.receive(), turn
                peer.sendall(pieces[-1])
                assert line.receive()
                assert line.answer == b"".join(pieces)


def test_over_stdio_answers_are_told_apart_in_any_order() -> None:
    answering = """
import os, sys
while data := os.read(0, 65536):
    answers = ['{"method":"a notification"}', *reversed(data.decode().splitlines()), '']
    os.write(1, '\\n'.join(answers).encode())
"""
    with stdio_server(answering) as server:
        measured = StdioLines(server).measure(_REQUEST, 3, 0.05)
    assert len(measured.latencies) > 3


def test_over_stdio_an_error_ends_the_measurement() -> None:
    answering = "print(input()[:-1] + ',\"error\":{}}', flush=True)"
    with stdio_server(answering) as server, pytest.raises(ClientError, match="error"):
        StdioLines(server).measure(_REQUEST, 1, 5.0)


def test_the_median_of_the_rounds_counts_and_ratios_are_within_a_way_of_connecting() -> None:
    rates = {"pgmcp": 30.0, "pgmcp, stdio": 9.0, "other": 10.0, "more, stdio": 2.0}
    taken = [
        Figure(server, "SELECT 1", figures.RATE, value * factor, 8)
        for server, value in rates.items()
        for factor in (1, 100, 0.5)
    ]
    said = "\n".join(figures.tables([*taken, Figure("pgmcp", "idle", "stay open", 5000)]))
    for line in (
        "| calls a second, at 8 connections | SELECT 1 |",
        "| pgmcp | 30.0 |",
        "| pgmcp / other | 3.00 |",
        "| pgmcp, stdio / more, stdio | 4.50 |",
        "| idle | pgmcp |",
        "| stay open | 5,000 |",
    ):
        assert line in said
    assert "pgmcp / more, stdio" not in said


def test_runs_are_put_together_and_read_again(tmp_path: Path) -> None:
    old = [Figure("pgmcp", "idle", "x", 1), Figure("pgmcp", "flood", "x", 2)]
    first = session.Session("m", "2026-01-01", "abc", ["tools/bench"], {"Python": "3"}, old)
    again = [Figure("pgmcp", "idle", "x", 3)]
    first.add(session.Session("m", "2026-01-02", "def", ["tools/bench -x"], {"B": "1"}, again))
    assert first.figures == [old[1], *again]
    assert first.commands == ["tools/bench", "tools/bench -x"]
    assert first.versions == {"Python": "3", "B": "1"}
    session.save(first, tmp_path / "results.json")
    assert session.load(tmp_path / "results.json") == first


def test_the_page_says_how_it_was_made_and_the_chart_has_every_server(tmp_path: Path) -> None:
    rates = {"pgmcp": 30.0, "a <server>": 10.0}
    taken = [
        Figure(server, case, figures.RATE, value, connections)
        for server, value in rates.items()
        for case in figures.STANDARD
        for connections in (1, 8)
    ]
    command_line = "tools/bench --peer toolbox"
    run = session.Session("a machine", "2026-01-01", "abc", [command_line], {"B": "1.2"}, taken)
    written, svg, *_ = page.write(run, tmp_path)
    text = written.read_text()
    for words in (command_line, "2026-01-01, commit abc", "B 1.2", "| pgmcp / a <server> | 3.00"):
        assert words in text
    drawn = ElementTree.parse(svg).getroot()
    said = [element.text for element in drawn.iter() if element.text]
    assert said.count("a <server>") == 6
    assert "8 connections" in said


def test_the_relay_counts_messages_however_the_stream_is_cut() -> None:
    startup = (8).to_bytes(4) + b"\0\3\0\0"
    stream = startup + b"P" + (6).to_bytes(4) + b"\0\0" + b"S" + (4).to_bytes(4)
    frames = relay.Frames()
    types = [kind for at in range(len(stream)) for kind in frames.feed(stream[at : at + 1])]
    assert types == relay.Frames().feed(stream) == ["startup", "P", "S"]


def test_samples_are_shared_out_to_rooms_and_modules() -> None:
    shares = dict(profile.layers({"pgmcp.gate.judge": 1, "pgmcp.gate.state": 2, "pgmcp.x": 1}, 100))
    assert shares["time in gate, µs"] == 75
    assert shares["time in gate.state, µs"] == 50
    assert shares["time in x, µs"] == 25


def test_it_measures_a_real_server_beside_its_yardstick(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--seconds 0.1 --rounds 1 --connections 2 --peer bare --case standard,quiet"
    assert command.main(words.split()) == 0
    printed = capsys.readouterr().out
    assert "PostgreSQL 1" in printed
    for server in ("pgmcp", "pgmcp, stdio", "bare http.server"):
        assert re.search(rf"\| {server} \| [\d.,]+ \| [\d.,]+ \| [\d.,]+ \|", printed)
    assert "| pgmcp / bare http.server |" in printed
    assert "| beside four with 1,000 rows, p99 ms |" in printed


def test_a_measurement_fails_with_the_load_beside_it() -> None:
    with (
        http_answers(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as port,
        pytest.raises(ClientError, match="503 Busy"),
        background.calls(port, b"GET / HTTP/1.1\r\n\r\n", 1) as load,
    ):
        load.wait(30)


def test_unknown_names_are_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command.main(["--peer", "toolbox,nobody"])
    said = capsys.readouterr().err
    assert "'nobody'" in said
    assert all(name in said for name in PEERS)


@contextmanager
def http_answers(answer: bytes) -> Iterator[int]:
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


@contextmanager
def stdio_server(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Python with pipes."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        yield server
        server.kill()

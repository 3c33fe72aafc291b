"""Where the time of one `tools/call` of SELECT 1 goes: processor, system calls, messages, layers.

The rule: each is taken from a run of its own, so that one way of looking does not change what
another one sees; all are per call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.benchmarks import ours, relay
from tools.benchmarks.contender import HOST, Running, running
from tools.benchmarks.figures import Figure
from tools.benchmarks.process import Process
from tools.benchmarks.special import Bench

_SYSTEM_CALL = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ )? *(\w+)$", re.MULTILINE)
_SHOWN = 12
_MESSAGES = {"P": "Parse", "B": "Bind", "D": "Describe", "E": "Execute", "S": "Sync", "Q": "Query"}


def profile(bench: Bench) -> Iterator[Figure]:
    """The profile of pgmcp, and of its other commits where the program is only looked at."""
    for source in bench.sources:
        config = ours.settings(bench.folder / f"profile {source.name}", bench.postgres)
        with running(ours.contender(config, source), bench.folder / "profile.log") as server:
            figures = dict(_used(bench, server)) | dict(_system_calls(bench, server))
        figures |= dict(_sent(bench, source))
        if source is ours.HERE:  # the sampler imports the code that is here
            figures |= dict(_layers(bench, figures["whole call, p50 µs"]))
        for measure, value in figures.items():
            yield Figure(source.name, "profile", measure, value)


def _used(bench: Bench, server: Running) -> Iterator[tuple[str, float]]:
    processes = {"server": server.process, "PostgreSQL": Process(bench.postgres.pid)}
    server.measure(server.query("SELECT 1"), 1, 0.2)
    before = {name: process.usage() for name, process in processes.items()}
    measured = server.measure(server.query("SELECT 1"), 1, bench.seconds)
    calls = measured.calls_with_warm_up
    yield "whole call, p50 µs", measured.percentile_ms(0.5) * 1000
    for name, process in processes.items():
        used = process.usage().since(before[name])
        yield f"{name}: processor µs a call", used.cpu_seconds / calls * 1e6
        yield f"{name}: voluntary switches a call", used.switches / calls


def _system_calls(bench: Bench, server: Running) -> Iterator[tuple[str, float]]:
    """Counted by strace, where it is installed and may be used."""
    strace = shutil.which("strace")
    if strace is None:
        return
    counted = bench.folder / "strace.txt"
    words = [strace, "-f", "-q", "-c", "-o", str(counted), "-p", str(server.child.pid)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as tracer:
        measured = server.measure(server.query("SELECT 1"), 1, bench.seconds)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    said = counted.read_text() if counted.exists() else ""
    by_name = {name: int(calls) for calls, name in _SYSTEM_CALL.findall(said) if name != "total"}
    calls = measured.calls_with_warm_up
    if by_name:
        yield "system calls a call", sum(by_name.values()) / calls
    for name, count in Counter(by_name).most_common(_SHOWN):
        if count / calls >= 0.05:
            yield f"system calls a call: {name}", count / calls


def _sent(bench: Bench, source: ours.Source) -> Iterator[tuple[str, float]]:
    """What goes to PostgreSQL, counted by a relay."""
    with relay.counting(bench.postgres.host, bench.postgres.port) as (port, counter):
        config = ours.settings(bench.folder / f"relay {source.name}", bench.postgres, port=port)
        with running(ours.contender(config, source), bench.folder / "profile.log") as server:
            line = server.query("SELECT 1")
            server.measure(line, 1, 0.2)
            counter.clear()
            calls = 50
            for _ in range(calls):
                server.ask("tools/call", server.contender.query("SELECT 1"))
            yield "messages to PostgreSQL a call", counter.messages.total() / calls
            yield "writes to PostgreSQL a call", counter.reads / calls
            yield "bytes to PostgreSQL a call", counter.bytes / calls
            for kind, count in counter.messages.most_common():
                yield f"messages a call: {_MESSAGES.get(kind, kind)}", count / calls


def _layers(bench: Bench, whole_us: float) -> Iterator[tuple[str, float]]:
    """The time of a call by rooms and by the modules that take most of it."""
    config = ours.settings(bench.folder / "sampled", bench.postgres)
    counts_file = bench.folder / "samples.json"
    program: list[str | Path] = [sys.executable, "-m"]
    program += ["tools.benchmarks.sampler", counts_file, "-config", config]
    sampled = dataclasses.replace(
        ours.contender(config), command=lambda port: [*program, "-http", "-addr", f"{HOST}:{port}"]
    )
    with running(sampled, bench.folder / "profile.log") as server:
        server.measure(server.query("SELECT 1"), 1, bench.seconds)
    with contextlib.suppress(OSError):
        counts: dict[str, int] = json.loads(Path(counts_file).read_text())
        yield from layers(counts, whole_us)


def layers(counts: dict[str, int], whole_us: float) -> Iterator[tuple[str, float]]:
    """The microseconds of a call by rooms, then by the modules that take most, from samples."""
    total = sum(counts.values()) or 1
    rooms: Counter[str] = Counter()
    for module, count in counts.items():
        rooms[module.split(".")[1]] += count
    for room, count in rooms.most_common():
        yield f"time in {room}, µs", count / total * whole_us
    for module, count in Counter(counts).most_common(_SHOWN):
        yield f"time in {module.removeprefix('pgmcp.')}, µs", count / total * whole_us

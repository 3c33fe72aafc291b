"""The special cases of pgmcp and its commits alone: flood, tokens, tables, gate and inside.

The rule: each uses what other servers do not have, so another commit is all that it can stand
beside, or itself without what the case is about.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.benchmarks import background, gate_cost, inside_cost, ours
from tools.benchmarks.contender import Running, running
from tools.benchmarks.figures import Figure
from tools.benchmarks.special import Bench
from tools.serving import ROOT, environment

TOKENS = 10_000
TABLES = 20_000
_FEW_TABLES = 100
_LOGINS_A_SECOND = 200
_FLOOD_ADDRESSES = 200
_USER, _PASSWORD = "bench", "A password of the benchmark, 1!"
_REPEATS = 15


def flood(bench: Bench) -> Iterator[Figure]:
    """Calls with a token while others try to log in, from one address and from many."""
    for source in bench.sources:
        config = ours.settings(bench.folder / f"flood {source.name}", bench.postgres)
        _add_user(config)
        contender = ours.contender(config, source)
        for label, addresses in (("one address", 1), ("many addresses", _FLOOD_ADDRESSES)):
            with running(contender, bench.folder / "flood.log") as server:
                call = server.query("SELECT 1")
                alone = server.measure(call, 1, bench.seconds)
                arguments = {"username": _USER, "password": "wrong"}
                parameters = {"name": "authenticate_user", "arguments": arguments}
                login = server.request("tools/call", parameters, None)
                with background.logins(server.port, login, _LOGINS_A_SECOND, addresses=addresses):
                    before, began = server.process.usage(), time.monotonic()
                    beside = server.measure(call, 1, bench.seconds)
                    used = server.process.usage().since(before).cpu_seconds
                    share = 100 * used / (time.monotonic() - began)
            quiet, loud = alone.percentile_ms(0.99), beside.percentile_ms(0.99)
            for measure, value in (
                ("quiet, p99 ms", quiet),
                (f"{_LOGINS_A_SECOND} logins a second, p99 ms", loud),
                ("as a ratio", loud / quiet),
                ("median as a ratio", beside.percentile_ms(0.5) / alone.percentile_ms(0.5)),
                ("processor of the server, % of a core", share),
            ):
                yield Figure(source.name, "flood", f"{label}: {measure}", value)


def _add_user(config: Path) -> None:
    words = ["-add-user", "-username", _USER, "-password", _PASSWORD, "-user-note", "bench"]
    subprocess.run(
        [sys.executable, "-m", "pgmcp", "-config", config, *words],
        cwd=ROOT,
        env=environment(),
        check=True,
        capture_output=True,
    )


def tokens(bench: Bench) -> Iterator[Figure]:
    """The start with one token and with very many."""
    for source in bench.sources:
        for count in (1, TOKENS):
            config = ours.settings(bench.folder / f"{count} {source.name}", bench.postgres)
            contender = ours.contender(config, source, users=count)
            for _ in range(5):
                with running(contender, bench.folder / "tokens.log") as server:
                    taken, memory = server.first_answer_seconds, server.process.memory_mib()
                label = f"{count:,} token{'s' * (count > 1)}"
                yield Figure(source.name, "tokens", f"{label}: first answer ms", taken * 1000)
                yield Figure(source.name, "tokens", f"{label}: MiB at start", memory)


def tables(bench: Bench) -> Iterator[Figure]:
    """Schema and plain questions in a database of few tables and in one of very many."""
    for count in (_FEW_TABLES, TABLES):
        _make_tables(bench, f"tables_{count}", count)
    for source in bench.sources:
        for count in (_FEW_TABLES, TABLES):
            database = f"tables_{count}"
            config = ours.settings(
                bench.folder / f"{database} {source.name}", bench.postgres, database
            )
            with running(ours.contender(config, source), bench.folder / "tables.log") as server:
                for measure, value in _asked(server):
                    yield Figure(source.name, "tables", f"{count:,} tables: {measure}", value)


def _make_tables(bench: Bench, database: str, count: int) -> None:
    bench.postgres.create_database(database)
    bench.postgres.psql(
        f"DO $$ BEGIN FOR n IN 1..{count} LOOP EXECUTE format('CREATE TABLE thing_%s "
        "(id int PRIMARY KEY, name text, price numeric, made_at timestamptz, owner_id int)', n); "
        "IF n % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        database,
    )
    bench.postgres.psql("VACUUM ANALYZE", database)


def _asked(server: Running) -> Iterator[tuple[str, float]]:
    """The first plain question, then what clients ask again and again, then the memory."""
    calls: tuple[tuple[str, int, str, Mapping[str, object]], ...] = (
        ("first plain question", 1, "query_database", {"query": "how many thing_7 are there?"}),
        ("a plain question", _REPEATS, "query_database", {"query": "how many thing_8 are there?"}),
        ("a table's get_schema_info", _REPEATS, "get_schema_info", {"table_name": "thing_50"}),
        ("compact get_schema_info", 3, "get_schema_info", {"compact": True}),
    )
    for label, repeats, tool, arguments in calls:
        parameters = {"name": tool, "arguments": arguments}
        yield f"{label}, ms", _median_ms(server, "tools/call", parameters, repeats)
    yield "peak MiB", server.process.peak_mib()


def _median_ms(
    server: Running, method: str, parameters: Mapping[str, object], repeats: int
) -> float:
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        server.ask(method, parameters)
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2] * 1000


def gate(bench: Bench) -> Iterator[Figure]:
    """What the gate and the judge cost, beside the same transaction without them."""
    for kind, with_them, without in gate_cost.measure(bench.postgres, bench.seconds):
        yield Figure("with", "gate", f"{kind}, p50 µs", with_them)
        yield Figure("without", "gate", f"{kind}, p50 µs", without)


def inside(_: Bench) -> Iterator[Figure]:
    """What three pieces of pure work cost, beside the same amount of plain work."""
    for kind, work, yardstick in inside_cost.measure():
        yield Figure("pgmcp", "inside", f"{kind}, best µs", work)
        yield Figure("yardstick", "inside", f"{kind}, best µs", yardstick)

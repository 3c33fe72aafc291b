"""Counting, and the page that Prometheus reads."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import ToolError
from pgmcp.gate.port import Database
from pgmcp.metrics.metrics import Counter, Histogram, MetricFamily, Sample, gauge, render, value
from pgmcp.server.pages import ReadyPage
from tests.observing import ALICE, add_user, ask, call, get, log_in
from tests.operated import tool
from tests.program import NOWHERE, Program, running, settings_of, write_config
from tests.serving import until
from tools.postgres import Server

TOKEN = "a-token-for-prometheus"

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_LINE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9.e+-]+|\+Inf|NaN)")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}

Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Page:
    """A page, parsed strictly: every sample below its HELP and TYPE, and none twice."""

    kinds: dict[str, str] = field(default_factory=dict)
    samples: dict[Key, float] = field(default_factory=dict)

    def of(self, metric: str, /, **labels: str) -> float:
        return self.samples.get((metric, frozenset(labels.items())), 0.0)


def parse(data: bytes) -> Page:
    page = Page()
    text = data.decode("utf-8")
    assert text.endswith("\n")
    family, helped = "", set[str]()
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert family not in helped, f"{family} comes twice"
            helped.add(family)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            page.kinds[name] = kind
        else:
            _sample(page, family, line)
    _check_histograms(page)
    return page


def _sample(page: Page, family: str, line: str) -> None:
    match = _LINE.fullmatch(line)
    assert match, f"not a sample: {line}"
    name, labels, number = match.groups()
    kind = page.kinds[family]
    assert name.removeprefix(family) in _SUFFIXES[kind], f"{name} is not of {family}"
    assert kind != "counter" or family.endswith("_total")
    pairs = re.findall(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', labels or "")
    assert len(dict(pairs)) == len(pairs)
    key = (name, frozenset(pairs))
    assert key not in page.samples, f"twice: {line}"
    page.samples[key] = math.inf if number == "+Inf" else float(number)


def _check_histograms(page: Page) -> None:
    for (name, labels), number in page.samples.items():
        if name.endswith("_count") and page.kinds.get(name.removesuffix("_count")) == "histogram":
            stem = name.removesuffix("_count")
            buckets = {
                float(dict(found)["le"].replace("+Inf", "inf")): count
                for (other, found), count in page.samples.items()
                if other == f"{stem}_bucket" and labels <= found
            }
            counts = [buckets[bound] for bound in sorted(buckets)]
            assert counts == sorted(counts)
            assert buckets[math.inf] == number
            assert (f"{stem}_sum", labels) in page.samples


def test_a_page_is_what_prometheus_reads() -> None:
    counter = Counter("pgmcp_a_total", "A.", ("x",))
    counter.add('a"b\\c\nd')
    counter.add("plain", amount=2.5)
    assert render([counter.family(), gauge("pgmcp_b", "B\nand \\.", value(3))]) == (
        b"# HELP pgmcp_a_total A.\n"
        b"# TYPE pgmcp_a_total counter\n"
        b'pgmcp_a_total{x="a\\"b\\\\c\\nd"} 1\n'
        b'pgmcp_a_total{x="plain"} 2.5\n'
        b"# HELP pgmcp_b B\\nand \\\\.\n"
        b"# TYPE pgmcp_b gauge\n"
        b"pgmcp_b 3\n"
    )


def test_a_counter_without_labels_is_there_from_the_start() -> None:
    assert Counter("n_total", "N.").family().samples == [Sample(0.0, {})]
    assert parse(render([Counter("n_total", "N.", ("x",)).family()])).samples == {}


def test_a_histogram_counts_each_value_in_every_bucket_that_holds_it() -> None:
    histogram = Histogram("h", "H.", ("x",), (0.1, 1.0))
    for number in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(number, "a")
    page = parse(render([histogram.family()]))
    assert [page.of("h_bucket", x="a", le=le) for le in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert page.of("h_sum", x="a") == pytest.approx(7.65)
    assert page.of("h_count", x="a") == 4


def test_numbers_are_written_in_full() -> None:
    page = parse(
        render([MetricFamily("x", "gauge", "X.", [value(12345678901234), value(1e-7, a="b")])])
    )
    assert page.of("x") == 12345678901234
    assert page.of("x", a="b") == 1e-7


# -- the running program ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is counted of a call is the same with each."""
    return newest_postgres


@pytest.fixture(scope="module")
def program(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("measured")
    write_config(folder, NOWHERE)
    add_user(folder / "pgedge-postgres-mcp.yaml", *ALICE)
    main = settings_of(postgres, "postgres")
    metrics = {"enabled": True}
    with running(folder, main, NOWHERE, metrics=metrics) as started:
        yield started


def page_of(program: Program) -> Page:
    reply = get(program, "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(reply.body)


def test_calls_are_counted_by_tool_and_outcome_with_their_time(program: Program) -> None:
    before = page_of(program)
    for query in ("SELECT 1", "SELECT * FROM generate_series(1, 5)", "SELECT 1/0", "DROP TABLE x"):
        call(program, "query_database", query=query)
    call(program, "made up by a client")
    ask(program, "tools/list", {})
    ask(program, "made/up", {})
    after = page_of(program)

    def more(metric: str, /, **labels: str) -> float:
        return after.of(metric, **labels) - before.of(metric, **labels)

    of_query = {"method": "tools/call", "name": "query_database"}
    assert more("pgmcp_calls_total", **of_query, outcome="ok") == 2
    assert more("pgmcp_calls_total", **of_query, outcome="error") == 1
    assert more("pgmcp_calls_total", **of_query, outcome="refused") == 1
    assert more("pgmcp_calls_total", method="tools/call", name="other", outcome="error") == 1
    assert more("pgmcp_calls_total", method="tools/list", name="", outcome="ok") == 1
    assert more("pgmcp_calls_total", method="other", name="", outcome="error") == 1
    assert more("pgmcp_call_duration_seconds_count", **of_query) == 4
    assert more("pgmcp_rows_total", database="main") == 6
    assert more("pgmcp_call_errors_total", error="StatementError", gate="") == 1
    assert more("pgmcp_call_errors_total", error="StatementRefusedError", gate="grammar") == 1
    assert "made up" not in get(program, "/metrics").body.decode()


def test_what_authentication_refuses_is_counted(program: Program) -> None:
    before = page_of(program)
    log_in(program, *ALICE)
    log_in(program, "alice", "wrong")
    call(program, "query_database", token="no such token", query="SELECT 1")
    ask(program, "tools/list", {}, token=None)
    after = page_of(program)
    for outcome in ("ok", "failed"):
        labels = {"outcome": outcome}
        assert after.of("pgmcp_logins_total", **labels) == 1 + before.of(
            "pgmcp_logins_total", **labels
        )
    refused = ("pgmcp_credentials_refused_total", {"reason": "unauthorized"})
    assert after.of(refused[0], **refused[1]) == 2 + before.of(refused[0], **refused[1])
    assert after.of("pgmcp_sessions") == before.of("pgmcp_sessions") + 1


def test_pools_connections_and_the_process_are_measured(program: Program) -> None:
    call(program, "query_database", query="SELECT 1")
    page = page_of(program)
    assert page.of("pgmcp_database_connections", database="main", state="idle") >= 1
    assert page.of("pgmcp_database_connections", database="nowhere", state="idle") == 0
    assert page.of("pgmcp_connections") >= 1
    assert page.of("pgmcp_http_connections") >= 1
    assert page.of("pgmcp_http_threads") >= 1
    assert page.of("process_resident_memory_bytes") > 1_000_000
    assert page.of("process_open_fds") > 3
    assert {"pgmcp_database_waiters", "pgmcp_in_flight", "pgmcp_lockouts_total"} <= set(page.kinds)


def test_calls_that_wait_for_their_owners_turn_are_measured(
    tmp_path: Path, postgres: Server
) -> None:
    narrow = settings_of(postgres, "postgres") | {"pool_max_conns": 1}
    with running(tmp_path, narrow, metrics={"enabled": True}) as program, ExitStack() as stack:
        assert page_of(program).kinds["pgmcp_calls_waiting"] == "gauge"
        assert page_of(program).of("pgmcp_calls_waiting") == 0
        # No more calls run for a pool than it may have connections: one, and the others wait.
        for _ in range(7):
            sock = stack.enter_context(program.connect(60))
            sock.sendall(tool("query_database", program.token, query="SELECT pg_sleep(120)"))
        until(lambda: page_of(program).of("pgmcp_calls_waiting") == 6)
        assert page_of(program).of("pgmcp_in_flight") == 7
        assert page_of(program).of("pgmcp_database_waiters", database="main") == 0
        stack.close()
        until(lambda: page_of(program).of("pgmcp_in_flight") == 0)
        assert page_of(program).of("pgmcp_calls_waiting") == 0


def test_reloads_and_lockouts_and_limits_are_counted(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE)
    add_user(config, *ALICE)
    http = {
        "auth": {
            "token_file": str(tmp_path / "tokens.yaml"),
            "user_file": str(tmp_path / "users.yaml"),
            "max_failed_attempts_before_lockout": 2,
            "rate_limit_max_attempts": 3,
        }
    }
    with running(tmp_path, metrics={"enabled": True}) as program:
        settings = json.loads(program.config.read_text())
        settings["http"]["auth"] = http["auth"]
        program.config.write_text(json.dumps(settings))
        program.process.send_signal(1)
        until(
            lambda: page_of(program).of("pgmcp_reloads_total", what="configuration", outcome="ok")
        )
        for _ in range(4):
            log_in(program, "alice", "wrong")
        page = page_of(program)
        assert page.of("pgmcp_lockouts_total") == 1
        assert page.of("pgmcp_logins_total", outcome="limited") == 1
        assert page.of("pgmcp_logins_total", outcome="failed") == 3
        tokens = tmp_path / "tokens.yaml"
        tokens.write_text(tokens.read_text() + "\n")
        until(lambda: page_of(program).of("pgmcp_reloads_total", what="tokens", outcome="ok"))
        tokens.write_text("tokens: [")
        until(lambda: page_of(program).of("pgmcp_reloads_total", what="tokens", outcome="failed"))


# -- who may read it -------------------------------------------------------------------------------


def test_without_a_token_only_this_machine_may_read_it(program: Program) -> None:
    assert get(program, "/metrics").status == 200
    for header in ("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Via: 1.1 proxy"):
        reply = get(program, "/metrics", header)
        assert (reply.status, reply.json) == (404, {"error": "not found"}), header
    rebound = b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    assert program.ask(rebound).status == 404
    assert program.ask(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 405


def test_a_trusted_proxy_on_this_machine_is_not_this_machine(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE)
    with running(tmp_path, metrics={"enabled": True}) as program:
        assert get(program, "/metrics").status == 200
        settings = json.loads(config.read_text())
        settings["http"] |= {"trusted_proxies": ["127.0.0.1"], "allowed_hosts": ["a.example"]}
        config.write_text(json.dumps(settings))
        program.process.send_signal(1)
        until(lambda: get(program, "/metrics").status == 404)


def test_with_a_token_nothing_else_counts(tmp_path: Path) -> None:
    file = tmp_path / "metrics-token"
    file.write_text(TOKEN + "\n")
    metrics = {"enabled": True, "token_file": str(file)}
    with running(tmp_path, metrics=metrics) as program:
        wrong = (None, "wrong", TOKEN[:-1], TOKEN + "x", program.token)
        for token in wrong:
            reply = get(program, "/metrics", token=token)
            assert (reply.status, reply.body) == (401, b'{"error": "Unauthorized"}'), token
        twice = get(program, "/metrics", f"Authorization: Bearer {TOKEN}", token=TOKEN)
        assert twice.status == 401
        proxied = get(program, "/metrics", "X-Forwarded-For: 192.0.2.1", token=TOKEN)
        assert parse(proxied.body).kinds
        assert ask(program, "tools/list", {}, token=TOKEN).status == 401
        file.write_text("another-token-for-it\n")
        assert get(program, "/metrics", token=TOKEN).status == 401
        assert get(program, "/metrics", token="another-token-for-it").status == 200
        file.unlink()
        for _ in range(3):
            assert get(program, "/metrics", token="another-token-for-it").status == 401
    assert program.log.read_text().count("nobody may read the metrics") == 1


def test_there_are_no_metrics_unless_they_are_switched_on(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        assert get(program, "/metrics").status == 404


# -- /ready ----------------------------------------------------------------------------------------


def test_ready_says_whether_the_databases_answer(private_postgres: Server, tmp_path: Path) -> None:
    with running(tmp_path, settings_of(private_postgres, "postgres")) as program:
        reply = get(program, "/ready")
        body = {"status": "ready", "databases": 1, "answering": 1}
        assert (reply.status, reply.json) == (200, body)
        private_postgres.stop()
        until(lambda: get(program, "/ready").status == 503)
        reply = get(program, "/ready")
        assert reply.json == {"status": "unavailable", "databases": 1, "answering": 0}
        assert get(program, "/health").status == 200


def test_ready_asks_again_only_after_a_moment() -> None:
    asked, now = list[str](), [100.0]

    def refuse(name: str, call: Call) -> Database:
        assert 0 < call.remaining() <= 2.0
        asked.append(name)
        raise ToolError("not there", "")

    page = ReadyPage(["a", "b"], refuse, clock=lambda: now[0])
    assert page.answering() == 0
    assert sorted(asked) == ["a", "b"]
    now[0] += 0.9
    page.answering()
    assert len(asked) == 2
    now[0] += 0.2
    page.answering()
    assert len(asked) == 4


def test_ready_holds_up_nobody_while_it_asks_again() -> None:
    now, asking, go_on = [100.0], threading.Event(), threading.Event()

    def hang(_name: str, _call: Call) -> Database:
        asking.set()
        assert go_on.wait(10)
        raise ToolError("not there", "")

    page = ReadyPage(["a"], hang, clock=lambda: now[0])
    go_on.set()
    page.answering()
    now[0] += 5
    asking.clear()
    go_on.clear()
    thread = threading.Thread(target=page.answering)
    thread.start()
    assert asking.wait(10)
    assert page.answering() == 0, "the answer before, at once"
    go_on.set()
    thread.join()

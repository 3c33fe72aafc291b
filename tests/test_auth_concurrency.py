"""Many writers at once, from processes of their own: nothing is lost, and servers keep up."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import bcrypt

from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.logins import Logins
from pgmcp.auth.principal import ANONYMOUS
from pgmcp.auth.sessions import Sessions
from pgmcp.auth.users import new_user
from pgmcp.stores.files import FileUserStore
from pgmcp.stores.memory import MemoryLimitStore, MemorySessionStore
from pgmcp.stores.token_file import parse_tokens
from pgmcp.stores.user_file import NO_USERS, parse_users
from tests.revocation import measure, percentile

_PROCESSES, _THREADS = 5, 20  # the file is read and written as a whole: n squared
_ADD = """
import sys, threading
from pathlib import Path
from tests.admin_commands import configuration, run
config = configuration(Path(sys.argv[1]))
def add():
    done = run(config, "add-token", {"token-note": "n", "token-expiry": "1d"})
    sys.stdout.write(done.out or done.err)
threads = [threading.Thread(target=add) for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.read()
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
_NOTE = """
import sys
from pathlib import Path
from tests.admin_commands import configuration, run
config = configuration(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
for number in range(20):
    name = f"user{sys.argv[2]}"
    done = run(config, "update-user", {"username": name, "user-note": f"note {number}"})
    assert done.status == 0, done.err
"""


def start(code: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def release(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let processes that are ready begin together; what they printed."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    printed = []
    for process in processes:
        assert process.stdout is not None
        printed.append(process.stdout.read())
        process.stdout.close()
        assert process.wait() == 0
    return printed


def test_a_hundred_concurrent_commands_lose_no_token(tmp_path: Path) -> None:
    processes = [start(_ADD, tmp_path, _THREADS) for _ in range(_PROCESSES)]
    printed = "".join(release(processes))
    shown = set(re.findall(r"^ID: (token-\d+)$", printed, re.MULTILINE))
    path = tmp_path / "pgedge-postgres-mcp-tokens.yaml"
    written = {token.id for token in parse_tokens(path.read_bytes(), "f").tokens}
    assert len(written) == _PROCESSES * _THREADS
    assert shown == written


def test_logins_and_edits_of_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pgedge-postgres-mcp-users.yaml"
    now = datetime(2024, 10, 30, tzinfo=UTC)
    hashed = bcrypt.hashpw(b"password!", bcrypt.gensalt(4)).decode()
    known = NO_USERS.with_user(new_user("alice", hashed, "", now))
    for number in range(4):
        known = known.with_user(new_user(f"user{number}", hashed, "", now))
    path.write_bytes(known.dump())
    sessions = Sessions(
        MemorySessionStore(), clock=lambda: now, max_per_user=10, on_ended=lambda ended: None
    )
    users = UserAccounts(
        FileUserStore(path), clock=lambda: now, lockout=1000, on_gone=sessions.end_users
    )
    users.start()
    accounts = Logins(users, sessions, Limiter(MemoryLimitStore(), 0, 60.0)).for_request(
        "192.0.2.1", ANONYMOUS
    )
    editors = [start(_NOTE, tmp_path, number) for number in range(4)]
    stop = threading.Event()
    counted: list[int] = []

    def log_in() -> None:
        while not stop.is_set():
            accounts.log_in("alice", "password!")
            counted.append(1)

    thread = threading.Thread(target=log_in)
    thread.start()
    release(editors)
    stop.set()
    thread.join()
    written = parse_users(path.read_bytes(), "f").users
    assert [written[f"user{number}"].annotation for number in range(4)] == ["note 19"] * 4
    assert written["alice"].last_login == now
    assert counted
    assert users.get("alice") == written["alice"]


def test_a_removed_token_stops_working_within_100_ms_of_the_commands_return(
    tmp_path: Path,
) -> None:
    assert percentile(measure(3, tmp_path), 50) < 0.1

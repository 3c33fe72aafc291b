"""Where passwords are hashed: in a helper process that has a low priority.

The rule: a flood of logins costs others nothing that they notice. One password is hashed at a time,
with a tenth of a core while others need all of it. In this process that is not possible: a
thread of low priority would make others wait whenever it is its turn to run Python.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import BinaryIO, Protocol

from pgmcp.auth import passwords
from pgmcp.net.outbound import Outbound
from pgmcp.net.polling import is_ready

_ANSWER_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_NICENESS = 10  # of Linux: a weight of 110, beside 1024 of the server and of PostgreSQL
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")

_log = logging.getLogger("pgmcp.auth")


class Hasher(Protocol):
    """Hashes and checks passwords, for one thread at a time."""

    def matches(self, password: str, password_hash: str | None, cost: int) -> bool:
        """As `passwords.matches`."""

    def hash_password(self, password: str) -> str:
        """As `passwords.hash_password`; FileError."""

    def close(self) -> None:
        """Give back what it holds."""


class InProcess:
    """Hashes in the thread that asks."""

    def matches(self, password: str, password_hash: str | None, cost: int) -> bool:
        """As `passwords.matches`."""
        return passwords.matches(password, password_hash, cost)

    def hash_password(self, password: str) -> str:
        """As `passwords.hash_password`; FileError."""
        return passwords.hash_password(password)

    def close(self) -> None:
        """Nothing is held."""


class InHelper:
    """Hashes in a helper process, which `command` starts, once it is needed.

    Where no helper can be started, this process does the work: logins go on.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._helper: subprocess.Popen[bytes] | None = None
        self._failure_logged = False

    def matches(self, password: str, password_hash: str | None, cost: int) -> bool:
        """As `passwords.matches`."""
        answer = self._ask([password, password_hash, cost])
        if isinstance(answer, bool):
            return answer
        return passwords.matches(password, password_hash, cost)

    def hash_password(self, password: str) -> str:
        """As `passwords.hash_password`; FileError."""
        answer = self._ask([password])
        return answer if isinstance(answer, str) else passwords.hash_password(password)

    def close(self) -> None:
        """End the helper. The next question starts another one."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.communicate()

    def _ask(self, question: list[str | int | None]) -> object:
        """The helper's answer, None when there is no helper; LoginError when it takes too long."""
        reason = ""
        for _ in range(2):  # a helper that has rested for long has ended
            try:
                return self._answer(json.dumps(question).encode() + b"\n")
            except TimeoutError:
                # Not done here instead: the machine is busy, and that would be at others' expense.
                raise passwords.busy() from None
            except (OSError, ValueError) as error:
                reason = str(error) or type(error).__name__
        if not self._failure_logged:
            self._failure_logged = True
            _log.warning("passwords are hashed without a helper process: %s", reason)
        return None

    def _answer(self, question: bytes) -> object:
        if self._helper is None:
            self._helper = _start(self._command)
        answered = False
        try:
            answer = _exchange(self._helper, question)
            answered = True
            return answer
        finally:
            if not answered:  # whatever went wrong: its answer would be taken for the next one's
                self.close()


def _exchange(helper: subprocess.Popen[bytes], question: bytes) -> object:
    into, out = helper.stdin, helper.stdout
    assert into is not None
    assert out is not None
    into.write(question)
    if not is_ready(out.fileno(), _ANSWER_SECONDS):
        raise TimeoutError(f"no answer within {_ANSWER_SECONDS:.0f} s")
    answer: object = json.loads(out.readline())
    return answer


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # The same session as ours: with a session of its own the helper could get a share of the
    # processor as a group, which no priority lowers.
    return subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )


def own_command(flag: str) -> Sequence[str]:
    """The command that starts this program with `flag`, which makes it the helper."""
    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    return (sys.executable, *words[1:], flag)


def serve_standard_streams() -> int:
    """Be the helper, over standard input and output; the exit status."""
    with (
        open(0, "rb", buffering=0, closefd=False) as questions,
        open(1, "wb", buffering=0, closefd=False) as answers,
    ):
        _serve(questions, answers)
    return 0


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer line after line, until there are no more or none for a while."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    Outbound(lambda: ()).install()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICENESS)
    while is_ready(questions.fileno(), _IDLE_SECONDS) and (line := questions.readline()):
        question = json.loads(line)
        if len(question) == 1:
            answer: object = passwords.hash_password(*question)
        else:
            answer = passwords.matches(*question)
        answers.write(json.dumps(answer).encode() + b"\n")

"""Asking and telling the person at the terminal, or the script behind a pipe.

The rule: results go to standard output, questions and complaints to standard error; what does not
print is made visible here; the end of input is never an answer.
"""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO, TypeVar

from pgmcp.errors import FileError, UsageError, visible

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Console:
    """The three streams of a command."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    def say(self, *lines: str) -> None:
        """Lines of the result; BrokenPipeError when its reader has gone, else FileError.

        Each argument is one line, whatever is in it.
        """
        try:
            print(*map(visible, lines), sep="\n", file=self.stdout, flush=True)
        except OSError as error:
            self._discard()
            if isinstance(error, BrokenPipeError):
                raise
            reason = (error.strerror or "input/output error").lower()
            raise FileError(
                f"the result cannot be written: {reason}", "What the command did is done."
            ) from error

    def warn(self, *lines: str) -> None:
        """Lines beside the result, as for `say`."""
        print(*map(visible, lines), sep="\n", file=self.stderr)

    def ask(self, question: str, flag: str) -> str:
        """The answer to a question, stripped; UsageError, naming the flag, when there is none."""
        print(f"{visible(question)}: ", end="", file=self.stderr, flush=True)
        return self._line(flag).strip()

    def ask_until(
        self, question: str, flag: str, check: Callable[[str], T], *, hidden: bool = False
    ) -> T:
        """What `check` makes of the answer; while it raises UsageError, say why and ask again.

        Where nobody sees why, as behind a pipe, a hidden answer is not asked for again: the next
        line is another answer.
        """
        while True:
            answer = (self.ask_hidden if hidden else self.ask)(question, flag)
            try:
                return check(answer)
            except UsageError as error:
                if hidden and not self.stdin.isatty():
                    raise
                self.warn(*error.for_operator().split("\n"))

    def ask_hidden(self, question: str, flag: str) -> str:
        """The answer as it is typed, not shown; from a pipe, its next line."""
        if not self.stdin.isatty():
            return self._line(flag)
        try:
            return getpass.getpass(f"{visible(question)}: ", self.stderr)
        except EOFError:
            self.warn("")
            raise _no_answer(flag) from None

    def read_line(self, flag: str) -> str:
        """The next line of standard input without its line end; UsageError when there is none."""
        return self._line(flag)

    def confirm(self, question: str) -> bool:
        """Whether the answer was a clear yes."""
        try:
            return self.ask(f"{question} [yes/no]", "-yes").lower() in ("y", "yes")
        except UsageError:
            return False

    def _discard(self) -> None:
        """Send what is left to nowhere, or the end of the program would fail over it again."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stdout.fileno())
            os.close(null)

    def _line(self, flag: str) -> str:
        try:
            line = self.stdin.readline()
        except UnicodeDecodeError:
            raise UsageError("the answer is not valid text in this terminal's encoding") from None
        if not line:
            self.warn("")
            raise _no_answer(flag)
        return line.removesuffix("\n").removesuffix("\r")


def _no_answer(flag: str) -> UsageError:
    return UsageError("no answer, the input has ended", f"In a script, give {flag}.")

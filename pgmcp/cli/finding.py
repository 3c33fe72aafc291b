"""A finding of `-check`: its status, about what, and what to do next.

The rule: looking changes nothing, not even a mode.
"""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "error"]
_SUBJECT_WIDTH = 24

OTHERS = 0o077
"""The bits of a mode that let others than the owner use a file."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `next_step` may be SQL of several lines; it stands below."""

    status: Status
    subject: str
    message: str
    next_step: str = ""


def ok(subject: str, message: str) -> Finding:
    """Something that works."""
    return Finding("ok", subject, message)


def warning(subject: str, message: str, next_step: str) -> Finding:
    """Something that works and should not stay so."""
    return Finding("warning", subject, message, next_step)


def error(subject: str, message: str, next_step: str) -> Finding:
    """Something that would not work."""
    return Finding("error", subject, message, next_step)


def render(finding: Finding) -> list[str]:
    """The finding as lines."""
    line = f"{finding.status:<7}  {finding.subject:<{_SUBJECT_WIDTH}}  {finding.message}"
    step = textwrap.indent(finding.next_step.rstrip(), " " * 9)
    return [line, *step.splitlines()]


def exposure(
    what: str, path: Path, others: int = OTHERS, *, can: str = "use", remedy: int = 0o600
) -> Iterator[Finding]:
    """A warning when a regular file's mode has any of the bits `others`; OSError without a file."""
    mode = path.stat().st_mode & 0o777
    if os.name == "posix" and path.is_file() and mode & others:
        said = f"{path} has mode {mode:04o}: others can {can} it"
        yield warning(what, said, f"chmod {remedy:o} {shlex.quote(str(path))}")

"""What a check found: its status, about what, and what to do next. Values and one renderer."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "error"]
_SUBJECT_WIDTH = 24


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

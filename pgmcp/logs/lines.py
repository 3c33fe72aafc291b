"""How an event is written: as text (`time [AREA] what happened key=value …`) or as JSON.

The rule: one event is one line. Whatever a client or a file sent goes through `quote` or a field,
and the formatter escapes what is left, so that nobody can forge a line or drive the operator's
terminal. The message of an exception that is not ours may repeat what a client sent, and so stays
out unless `log.sql` lets such things in.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pgmcp.errors import PgmcpError, visible

_SHOWN_CHARACTERS = 80
_FIELD_CHARACTERS = 2000
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+")

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""Which request a line belongs to; the thread that serves one sets it for as long as it does."""


def quote(text: str, characters: int = _SHOWN_CHARACTERS) -> str:
    """Untrusted text in double quotes, escaped and cut to a length that fits a line."""
    cut = text[:characters]
    dots = "..." if len(text) > len(cut) else ""
    escaped = visible(cut.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}{dots}"'


class _Formatter(logging.Formatter):
    """What both forms share. `foreign_text` lets in what others wrote: exceptions' messages."""

    def __init__(self, *, foreign_text: bool = False) -> None:
        super().__init__()
        self._foreign_text = foreign_text

    def parts(self, record: logging.LogRecord) -> tuple[str, str, dict[str, Any]]:
        """The time in UTC with milliseconds, the area from the logger's name, the fields."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        names = record.name.split(".")
        area = names[1].upper() if len(names) > 1 else "SERVER"
        members: dict[str, Any] = getattr(record, "fields", {})
        request = REQUEST.get()
        return (
            time.replace("+00:00", "Z"),
            area,
            ({"request": request} if request else {}) | members,
        )

    def trace(self, record: logging.LogRecord) -> list[str]:
        """A traceback's lines."""
        if not record.exc_info or record.exc_info[1] is None:
            return []
        return _trace(record.exc_info[1], foreign_text=self._foreign_text)


class TextFormatter(_Formatter):
    """`time [AREA] what happened key=value …`, and a traceback below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time, area, members = self.parts(record)
        pairs = "".join(f" {name}={_shown(value)}" for name, value in members.items())
        line = f"{time} [{area}] {visible(record.getMessage())}{pairs}"
        # Indented: a traceback quotes foreign text, which must not look like a line of ours.
        return line + "".join(f"\n    {visible(part)}" for part in self.trace(record))


class JsonFormatter(_Formatter):
    """A JSON object in ASCII; a field never hides one of the event's own members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time, area, members = self.parts(record)
        event: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "area": area.lower(),
            "message": record.getMessage(),
        }
        if trace := self.trace(record):
            event["traceback"] = trace
        return json.dumps(
            {name: _cut(value) for name, value in members.items()} | event, default=str
        )


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _FIELD_CHARACTERS:
        return f"{value[:_FIELD_CHARACTERS]}..."
    return value


def _shown(value: Any) -> str:
    text = f"{value:.6f}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else quote(text, _FIELD_CHARACTERS)


def _trace(error: BaseException, *, foreign_text: bool) -> list[str]:
    """The frames and the names of an exception and of those behind it."""
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        own = foreign_text or isinstance(current, PgmcpError | OSError)
        message = f": {current}" if own and str(current) else ""
        frames = "".join(traceback.format_tb(current.__traceback__)).splitlines()
        lines = [*frames, f"{type(current).__name__}{message}", *lines]
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return ["Traceback, the cause first:", *lines]

"""Event lines on stderr: `time [AREA] what happened key=value …`.

The rule: one event is one line. Whatever a client or a file sent goes through `quote`, and the
formatter escapes what is left, so that nobody can forge a line or drive the operator's terminal.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TextIO

ROOT = "pgmcp"
_SHOWN_CHARACTERS = 80


def configure(stderr: TextIO, *, debug: bool = False) -> logging.Handler:
    """Send this program's log to `stderr`; returns the handler, for `release`."""
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(_LineFormatter())
    logger = logging.getLogger(ROOT)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
    return handler


def release(handler: logging.Handler) -> None:
    """Undo `configure`."""
    logging.getLogger(ROOT).removeHandler(handler)
    handler.close()


def quote(text: str) -> str:
    """Untrusted text in double quotes, escaped and cut to a length that fits a line."""
    cut = text[:_SHOWN_CHARACTERS]
    dots = "..." if len(text) > len(cut) else ""
    escaped = visible(cut.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}{dots}"'


def visible(text: str) -> str:
    r"""Text with everything that does not print (controls, line ends, bidi marks) as `\uXXXX`."""
    return "".join(
        character if character.isprintable() else _escape(ord(character)) for character in text
    )


def _escape(code: int) -> str:
    short = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}.get(code)
    return short or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


class _LineFormatter(logging.Formatter):
    """Time in UTC with milliseconds, the area from the logger's name, the message on one line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        parts = record.name.split(".")
        area = parts[1].upper() if len(parts) > 1 else "SERVER"
        line = f"{time.replace('+00:00', 'Z')} [{area}] {visible(record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            # Indented: a traceback quotes foreign text, which must not look like a line of ours.
            line += "".join(f"\n    {visible(part)}" for part in trace.splitlines())
        return line

"""The program's log: where its events go, and from which level on.

The rule: one event is one line, and no line holds a secret (`log_lines` sees to both). A disk that
is full or a pipe that is closed costs lines and nothing else.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from pgmcp.config.model import Log
from pgmcp.errors import ConfigError
from pgmcp.log_lines import REQUEST, JsonFormatter, TextFormatter, quote, visible

__all__ = [
    "ROOT",
    "apply",
    "configure",
    "during",
    "fields",
    "held",
    "quote",
    "release",
    "reopen",
    "visible",
]

ROOT = "pgmcp"

_log = logging.getLogger("pgmcp.log")


def configure(stderr: TextIO, *, debug: bool = False) -> logging.Handler:
    """Send this program's log to `stderr`; returns the handler, for `release`."""
    handler = _Output(stderr)
    logger = logging.getLogger(ROOT)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
    return handler


def release(handler: logging.Handler) -> None:
    """Undo `configure`."""
    logging.getLogger(ROOT).removeHandler(handler)
    handler.close()


def apply(settings: Log, *, debug: bool = False) -> None:
    """Write as the configuration says from here on; ConfigError when the file cannot be opened."""
    for handler in _outputs():
        handler.apply(settings)
    level = logging.DEBUG if debug else logging.getLevelNamesMapping()[settings.level.upper()]
    logging.getLogger(ROOT).setLevel(level)


@contextmanager
def held() -> Iterator[None]:
    """Keep what is logged inside the block until its end, when it is known how to write it."""
    outputs = _outputs()
    for handler in outputs:
        handler.hold()
    try:
        yield
    finally:
        for handler in outputs:
            handler.let_go()


def reopen() -> None:
    """Open the log's file anew, after somebody renamed it. The old one stays when that fails."""
    for handler in _outputs():
        handler.reopen()


@contextmanager
def during(request_id: str) -> Iterator[None]:
    """Have the lines that this thread logs inside the block carry a request's id."""
    before = REQUEST.set(request_id)
    try:
        yield
    finally:
        REQUEST.reset(before)


def fields(**values: Any) -> dict[str, Any]:
    """Members of an event, for a logging call's `extra`; None leaves one out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


# -- writing ---------------------------------------------------------------------------------------


def _outputs() -> list[_Output]:
    return [h for h in logging.getLogger(ROOT).handlers if isinstance(h, _Output)]


class _Output(logging.StreamHandler[TextIO]):
    """Writes to standard error, or to the file that the settings name."""

    def __init__(self, stderr: TextIO) -> None:
        super().__init__(stderr)
        self._stderr = stderr
        self._file: Path | None = None
        self._held: list[logging.LogRecord] | None = None
        self.setFormatter(TextFormatter())

    def apply(self, settings: Log) -> None:
        """Take over the settings."""
        form = JsonFormatter if settings.format == "json" else TextFormatter
        if settings.file != self._file:
            try:
                stream = self._stderr if settings.file is None else _opened(settings.file)
            except OSError as error:
                raise ConfigError(
                    f"log.file: {settings.file}: {(error.strerror or 'cannot be opened').lower()}",
                    "Name a file in a folder that pgmcp may write to.",
                ) from error
            self._switch(stream)
            self._file = settings.file
        self.setFormatter(form(foreign_text=settings.sql))

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event, or keep it."""
        if self._held is None:
            super().emit(record)
        else:
            self._held.append(record)

    def hold(self) -> None:
        """Keep events from now on."""
        self._held = []

    def let_go(self) -> None:
        """Write the events that were kept, but for those below the level of now."""
        kept, self._held = self._held or [], None
        level = logging.getLogger(ROOT).level
        for record in kept:
            if record.levelno >= level:
                self.handle(record)

    def reopen(self) -> None:
        """Open the file anew."""
        if self._file is None:
            return
        try:
            self._switch(_opened(self._file))
        except OSError as error:
            _log.error("the log stays in the old file: %s: %s", self._file, error.strerror)

    def close(self) -> None:
        """Close the file."""
        self._switch(self._stderr)
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without a line that a full disk or a closed pipe does not take."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _switch(self, stream: TextIO) -> None:
        """Write there from now on. What a full disk has not taken until now is given up."""
        self.acquire()
        try:
            before, self.stream = self.stream, stream
        finally:
            self.release()
        if before is not self._stderr:
            with suppress(OSError):
                before.close()


def _opened(path: Path) -> TextIO:
    def private(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=private)

"""The program's log: where its events go, and from which level on.

The rule: one event is one line, and no line holds a secret (`log_lines` sees to both). A disk that
is full, a pipe that is closed and one that nobody reads cost lines and nothing else: a server's log
is written by a thread of its own, and what is dropped is counted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pgmcp.config.log import Log
from pgmcp.errors import ConfigError, FileError, visible
from pgmcp.logs.lines import REQUEST, JsonFormatter, TextFormatter, quote
from pgmcp.logs.writer import LogWriter
from pgmcp.storage.regular_file import open_regular

__all__ = [
    "ROOT",
    "apply",
    "configure",
    "dropped",
    "during",
    "fields",
    "forget_held",
    "held",
    "leave_common_to_another",
    "queued",
    "quote",
    "release",
    "reopen",
    "set_request_id",
    "visible",
]

ROOT = "pgmcp"
REQUEST_THREADS = "pgmcp-http"
"""How the names of threads begin that serve requests."""
PROCESSES = "pgmcp.processes"
"""The logger of a server's processes, of which each line is told to one of them."""
FLUSH_SECONDS = 1.0
"""How long a stop or a change of the log waits for lines that are not written yet."""

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


def forget_held() -> None:
    """Inside a `held` block: leave out what was logged in it, which another process writes."""
    for handler in _outputs():
        handler.hold()


def leave_common_to_another() -> None:
    """Write from now on what is told of requests, and warnings: all else, such as what was loaded,
    another process of the same server writes."""
    for handler in _outputs():
        handler.addFilter(_is_own)


def _is_own(record: logging.LogRecord) -> bool:
    threads = (record.threadName or "").startswith(REQUEST_THREADS)
    return threads or record.levelno >= logging.WARNING or record.name == PROCESSES


@contextmanager
def queued() -> Iterator[None]:
    """Have no logging call inside the block wait for whoever reads standard error.

    At its end what waits is written, within FLUSH_SECONDS; nothing is logged after it.
    """
    outputs = _outputs()
    for handler in outputs:
        handler.queue()
    try:
        yield
    finally:
        for handler in outputs:
            handler.drain()


def dropped() -> int:
    """How many lines could not be written since the start."""
    return sum(handler.dropped for handler in _outputs())


def reopen() -> None:
    """Open the log's file anew, after somebody renamed it. The old one stays when that fails."""
    for handler in _outputs():
        handler.reopen()


class _During:
    """A class and no generator: it is on every call's way."""

    __slots__ = ("_before", "_request_id")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def __enter__(self) -> None:
        self._before = REQUEST.set(self._request_id)

    def __exit__(self, *_: object) -> None:
        REQUEST.reset(self._before)


def during(request_id: str) -> _During:
    """Have the lines that this thread logs inside a `with` block carry a request's id."""
    return _During(request_id)


def set_request_id(request_id: str) -> None:
    """Have the lines that this thread logs from now on carry a request's id, "" for none."""
    REQUEST.set(request_id)


def fields(**values: Any) -> dict[str, Any]:
    """Members of an event, for a logging call's `extra`; None leaves one out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


# -- writing ---------------------------------------------------------------------------------------


def _outputs() -> list[_Output]:
    return [h for h in logging.getLogger(ROOT).handlers if isinstance(h, _Output)]


class _Output(logging.StreamHandler[TextIO | LogWriter]):
    """Writes to standard error, or to the file that the settings name."""

    def __init__(self, stderr: TextIO) -> None:
        super().__init__(stderr)
        self._stderr: TextIO | LogWriter = stderr
        self._file: Path | None = None
        self._held: list[logging.LogRecord] | None = None
        self._dropped = 0
        self.setFormatter(TextFormatter())

    @property
    def dropped(self) -> int:
        """How many lines could not be written."""
        writers = {
            writer for writer in (self._stderr, self.stream) if isinstance(writer, LogWriter)
        }
        return self._dropped + sum(writer.dropped for writer in writers)

    def apply(self, settings: Log) -> None:
        """Take over the settings."""
        form = JsonFormatter if settings.format == "json" else TextFormatter
        if settings.file != self._file:
            try:
                stream = self._stderr if settings.file is None else self._opened(settings.file)
            except (OSError, FileError) as error:
                raise ConfigError(
                    f"log.file: {settings.file}: {_reason(error)}",
                    "Name a regular file in a folder that pgmcp may write to. Without log.file the "
                    "log goes to standard error.",
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

    def queue(self) -> None:
        """Write to standard error from a thread of its own from now on."""
        before = self._stderr
        if isinstance(before, LogWriter) or (descriptor := _descriptor(before)) is None:
            return
        self._stderr = LogWriter(descriptor, self._notice, encoding=before.encoding or "utf-8")
        if self.stream is before:
            self._switch(self._stderr)

    def drain(self) -> None:
        """Write what waits. What is logged later is dropped: the next write might never end."""
        for writer in {self._stderr, self.stream}:
            if isinstance(writer, LogWriter):
                writer.close(FLUSH_SECONDS)

    def reopen(self) -> None:
        """Open the file anew."""
        if self._file is None:
            return
        try:
            self._switch(self._opened(self._file))
        except (OSError, FileError) as error:
            _log.error("the log stays in the old file: %s: %s", self._file, _reason(error))

    def close(self) -> None:
        """Close the file."""
        self._switch(self._stderr)
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without a line that a full disk or a closed pipe does not take."""
        self._dropped += 1
        if not isinstance(sys.exc_info()[1], OSError) and not isinstance(self._stderr, LogWriter):
            super().handleError(record)

    def _opened(self, path: Path) -> LogWriter:
        descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        return LogWriter(descriptor, self._notice, owned=True)

    def _notice(self, lines: int) -> str:
        """The line that stands where lines are missing."""
        members = {"name": "pgmcp.log", "levelno": logging.WARNING, "levelname": "WARNING"}
        text = f"{lines} log lines were dropped: they could not be written in time"
        return self.format(logging.makeLogRecord(members | {"msg": text})) + self.terminator

    def _switch(self, stream: TextIO | LogWriter) -> None:
        """Write there from now on. What a full disk has not taken until now is given up."""
        self.acquire()
        try:
            before, self.stream = self.stream, stream
        finally:
            self.release()
        if before is not self._stderr and before is not stream and isinstance(before, LogWriter):
            before.close(FLUSH_SECONDS)
            self._dropped += before.dropped


def _reason(error: OSError | FileError) -> str:
    if isinstance(error, FileError):
        return error.reason
    return (error.strerror or "cannot be opened").lower()


def _descriptor(stream: TextIO | None) -> int | None:
    """That of a stream; None when it has none, or when the process was started without it."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None

"""The section `log`: how events are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pgmcp.config.key import key
from pgmcp.config.kinds import BOOLEAN, DURATION, PATH, choice

Format = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Log:
    """The log. `file` None means standard error; `sql` lets SQL text into it."""

    format: Format = key(
        "text", choice(*get_args(Format)), "One line an event, as text or as a JSON object."
    )
    level: LogLevel = key(
        "info",
        choice(*get_args(LogLevel)),
        "The least important events that are logged; -debug logs all.",
    )
    file: Path | None = key(
        None,
        PATH,
        "A file to log to, made with mode 0600 and opened anew on SIGHUP.",
        default_note="standard error",
    )
    sql: bool = key(
        False,
        BOOLEAN,
        "Let SQL text, and the messages of internal errors, into the log.",
    )
    slow_call_seconds: float = key(
        "5s", DURATION, "A call that takes longer is logged, with who made it."
    )

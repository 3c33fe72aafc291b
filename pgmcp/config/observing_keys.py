"""The keys of what an operator watches a server by: the log, the audit, the metrics."""

from __future__ import annotations

from pgmcp.config.key import Key
from pgmcp.config.kinds import BOOLEAN, DURATION, PATH, choice, whole

OBSERVING_KEYS: tuple[Key, ...] = (
    Key(
        "log.format",
        choice("text", "json"),
        "text",
        "One line an event, as text or as a JSON object.",
    ),
    Key(
        "log.level",
        choice("debug", "info", "warning", "error"),
        "info",
        "The least important events that are logged; -debug logs all.",
    ),
    Key(
        "log.file",
        PATH,
        None,
        "A file to log to, made with mode 0600 and opened anew on SIGHUP.",
        default_note="standard error",
    ),
    Key(
        "log.sql",
        BOOLEAN,
        False,
        "Let SQL text, and the messages of internal errors, into the log.",
    ),
    Key(
        "log.slow_call_seconds",
        DURATION,
        "5s",
        "A call that takes longer is logged, with who made it.",
    ),
    Key(
        "audit.file",
        PATH,
        None,
        "Where each call is recorded, as JSON lines that are chained; without it nowhere.",
    ),
    Key(
        "audit.required",
        BOOLEAN,
        False,
        "Answer a call only when its record is safely on disk; else failures are only logged.",
    ),
    Key("audit.sql", BOOLEAN, False, "Record SQL text; else its fingerprint only."),
    Key(
        "audit.key_file",
        PATH,
        None,
        "The key of the chain, 64 hexadecimal digits; made when there is none yet.",
        default_note="audit.file with `.key` after it",
    ),
    Key(
        "audit.max_bytes",
        whole(4096, 1 << 40),
        64 << 20,
        "The size at which the audit's file is renamed and a new one begun, in bytes.",
    ),
    Key(
        "metrics.enabled",
        BOOLEAN,
        False,
        "Serve /metrics to Prometheus: to its token, or without one to this machine only (behind "
        "a proxy set a token).",
    ),
    Key(
        "metrics.token_file",
        PATH,
        None,
        "A file that holds the bearer token for /metrics, of 16 or more characters.",
    ),
)

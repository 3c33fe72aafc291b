"""The section `audit`: where each call is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgmcp.config.key import key
from pgmcp.config.kinds import BOOLEAN, PATH, whole
from pgmcp.config.layers import Layer, Settings, fill

PREFIX = "audit."


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The record of every call. With `required` no answer goes out before its record is safe."""

    file: Path = key(
        None,
        PATH,
        "Where each call is recorded, as JSON lines that are chained; without it nowhere.",
        required=True,
    )
    required: bool = key(
        False,
        BOOLEAN,
        "Answer a call only when its record is safely on disk; else failures are only logged.",
    )
    sql: bool = key(False, BOOLEAN, "Record SQL text; else its fingerprint only.")
    key_file: Path = key(
        None,
        PATH,
        "The key of the chain, 64 hexadecimal digits; made when there is none yet.",
        required=True,
        default_note="audit.file with `.key` after it",
    )
    max_bytes: int = key(
        64 << 20,
        whole(4096, 1 << 40),
        "The size at which the audit's file is renamed and a new one begun, in bytes.",
    )


def build(settings: Settings) -> Audit | None:
    """Where calls are recorded, None when nowhere. ConfigError when that contradicts itself."""
    file, key_file = settings["audit.file"], settings["audit.key_file"]
    if file.value is None:
        for name in ("required", "sql", "key_file"):
            setting = settings[PREFIX + name]
            if setting.layer is not Layer.DEFAULT and setting.value:
                setting.refuse(f"it has no effect without {file.label}", f"Set {file.label}.")
        return None
    beside = file.value.with_name(file.value.name + ".key")
    return fill(Audit, settings, PREFIX, key_file=key_file.value or beside)

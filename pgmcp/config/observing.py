"""The log, the audit and the metrics, as the configuration has them."""

from __future__ import annotations

from pgmcp.config.layers import Layer, Settings
from pgmcp.config.model import Audit, Log, Metrics


def log(settings: Settings) -> Log:
    """How events are written."""
    return Log(
        format=settings["log.format"].value,
        level=settings["log.level"].value,
        file=settings["log.file"].value,
        sql=settings["log.sql"].value,
        slow_call_seconds=settings["log.slow_call_seconds"].value,
    )


def audit(settings: Settings) -> Audit | None:
    """Where calls are recorded, None when nowhere. ConfigError when that contradicts itself."""
    file, key_file = settings["audit.file"], settings["audit.key_file"]
    if file.value is None:
        for name in ("required", "sql", "key_file"):
            setting = settings[f"audit.{name}"]
            if setting.layer is not Layer.DEFAULT and setting.value:
                setting.refuse(f"it has no effect without {file.label}", f"Set {file.label}.")
        return None
    return Audit(
        file=file.value,
        required=settings["audit.required"].value,
        sql=settings["audit.sql"].value,
        key_file=key_file.value or file.value.with_name(file.value.name + ".key"),
        max_bytes=settings["audit.max_bytes"].value,
    )


def metrics(settings: Settings) -> Metrics:
    """Who may read the metrics."""
    return Metrics(settings["metrics.enabled"].value, settings["metrics.token_file"].value)

"""The audit: one record for each call, before its answer goes out.

The rule: with `audit.required` nobody gets an answer whose record is not on the disk: the answer is
withheld, and no further call runs until records can be written again. Without it a failure is
logged once and counted. Either way the chain says how many records are missing where.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pgmcp.audit.chain import fingerprint
from pgmcp.audit.file import AuditFile
from pgmcp.audit.read import begun, load_key
from pgmcp.calls.call import Waiting
from pgmcp.calls.trail import Trail, UsedNames
from pgmcp.config import audit as section
from pgmcp.errors import AuditError, ConfigError, FileError
from pgmcp.sql.text import MAX_TEXT_BYTES

METHODS = frozenset({"tools/call", "resources/read", "prompts/get"})
"""The methods that are recorded; a log-in is a tools/call. Lists and handshakes are not."""

_MAX_ID_CHARACTERS = 100

_ALONE = Waiting()
_log = logging.getLogger("pgmcp.audit")


class AuditLog:
    """The audit that `settings` describe, opened: ConfigError or FileError when it cannot be."""

    def __init__(
        self,
        settings: section.Audit,
        *,
        version: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        if not settings.file.parent.is_dir():
            raise ConfigError(
                f"audit.file: {settings.file}: there is no such folder", "Make the folder first."
            )
        try:
            old_key = settings.key_file.exists()
            self._key = load_key(settings.key_file, create=not begun(settings.file))
            self._file = AuditFile(
                settings.file,
                self._key,
                max_bytes=settings.max_bytes,
                durable=settings.required,
                clock=clock,
            )
            fields = {"event": "start", "version": version, "pid": os.getpid()}
            self._file.start(fields, old_key=old_key)
        except OSError as error:
            raise ConfigError(
                f"audit.file: {settings.file}: {(error.strerror or 'cannot be written').lower()}",
                "Name a file in a folder that pgmcp may write to.",
            ) from error
        self._failures = 0
        self._lost = 0
        self._lost_lock = threading.Lock()
        # Held while the first record after lost ones is written: one attempt at a time.
        self._resume_lock = threading.Lock()

    @property
    def failures(self) -> int:
        """How many calls could not be recorded since the start."""
        return self._failures

    @property
    def failing(self) -> bool:
        """Whether records are lost that no record tells of yet."""
        return self._lost > 0

    @property
    def sequence(self) -> int:
        """The number of the newest record: kept elsewhere, it shows when the end is cut off."""
        return self._file.head.seq

    def admit(self, method: str) -> None:
        """AuditError when a call may not run now, because it could not be recorded.

        While records cannot be written, one call at a time tries to write how many were lost.
        """
        if self._lost and self._settings.required and method in METHODS:
            self._append()
            if self._lost:
                raise _withheld()

    def record(self, trail: Trail, waiting: Waiting = _ALONE) -> None:
        """Record a call that is over; AuditError when its answer must be withheld.

        Other calls go on while it waits for the disk: one wait then does for several.

        A log-in that the limiter turned away is none: nobody may fill the disk with them.
        """
        if trail.method in METHODS and not (trail.principal.kind == "anonymous" and trail.limited):
            fields = self._fields(trail)
            with waiting if self._settings.required else _ALONE:
                self._append(fields)

    def stop(self) -> None:
        """Say that the server stops, and let go of the file."""
        try:
            self._file.stop(*_resumed(self._lost), {"event": "stop"})
        except (OSError, FileError) as error:
            _log.error("the end of the audit could not be written: %s", error)

    def _append(self, *records: Mapping[str, Any]) -> None:
        if self._lost and self._resume_lock.acquire(blocking=False):
            try:
                self._write(self._lost, *records)
            finally:
                self._resume_lock.release()
        elif records:
            self._write(0, *records)

    def _write(self, lost: int, *records: Mapping[str, Any]) -> None:
        """Write records, and before them that `lost` ones are missing, which then is settled."""
        try:
            self._file.append(*_resumed(lost), *records)
        except (OSError, FileError) as error:
            self._failed(error, len(records))
        else:
            if lost:
                with self._lost_lock:
                    self._lost -= lost
                _log.warning("the audit is written again: %d records are missing", lost)

    def _failed(self, error: OSError | FileError, records: int) -> None:
        with self._lost_lock:
            first = not self._lost
            self._lost += records
            self._failures += records
        if first:
            _log.error("the audit cannot be written: %s", error)
        if self._settings.required:
            raise _withheld()

    def _fields(self, trail: Trail) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "event": "call",
            "request": trail.request_id[:_MAX_ID_CHARACTERS],
            "kind": trail.principal.kind,
            "principal": trail.principal.name,
            "address": trail.address,
            "method": trail.method,
            "name": trail.name,
            "database": trail.database,
            "sql_fingerprints": [fingerprint(self._key, text) for text in trail.statements],
            **used_members(trail.uses),
            "outcome": trail.outcome,
            "error": trail.error,
            "sqlstate": trail.sqlstate,
            "gate": trail.gate or None,
            "rows": trail.rows,
            "seconds": round(trail.seconds, 6),
        }
        if trail.principal.narrowing is not None:
            fields["narrowed"] = trail.principal.narrowing.described()
        if trail.canaries:
            fields["canaries"] = trail.canaries
            fields["canary_action"] = trail.canary_action
        if trail.user is not None:
            fields["user"] = trail.user
        if trail.incident is not None:
            fields["incident"] = trail.incident
        if self._settings.sql:
            fields["sql"] = [self._text(text) for text in trail.statements]
        return fields

    def _text(self, sql: str) -> str | Mapping[str, Any]:
        """A statement, or what is kept of a statement that is too long to run."""
        data = sql.encode("utf-8", "surrogatepass")
        if len(data) <= MAX_TEXT_BYTES:
            return sql
        return {
            "cut": data[:MAX_TEXT_BYTES].decode("utf-8", "ignore"),
            "bytes": len(data),
            "fingerprint": fingerprint(self._key, sql),
        }


def used_members(uses: Sequence[UsedNames]) -> Mapping[str, Any]:
    """What a call's record says of what its statements used; the members that are empty are left
    out, but `relations`, whose absence says that nothing is known."""
    if not uses:
        return _USED_NOTHING
    names = uses[0] if len(uses) == 1 else _joined(uses)
    others = {
        "behind_views": names.behind_views,
        "first_columns": names.first_columns,
        "functions": names.functions,
    }
    return {"relations": names.relations, **{key: value for key, value in others.items() if value}}


_USED_NOTHING: Mapping[str, Any] = {"relations": {}}


def _joined(uses: Sequence[UsedNames]) -> UsedNames:
    relations: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    functions: set[str] = set()
    for names in uses:
        for all_of_them, more in ((relations, names.relations), (behind, names.behind_views)):
            for relation, columns in more.items():
                all_of_them[relation] = sorted({*all_of_them.get(relation, ()), *columns})
        first |= names.first_columns
        functions.update(names.functions)
    return UsedNames(relations, behind, first, sorted(functions))


def _resumed(lost: int) -> tuple[Mapping[str, Any], ...]:
    return ({"event": "resumed", "lost": lost},) if lost else ()


def _withheld() -> AuditError:
    return AuditError(
        "the audit cannot be written, so calls are not answered; the server's log says why"
    )

"""The audit's chain: how a record is written, and how a changed, missing or moved one is found.

A record is one line of JSON in ASCII. Its last member `mac` is HMAC-SHA-256, under the audit's key,
of the bytes of the line before it (up to the comma), and among them is `prev`, the MAC of the
record before. `seq` counts from 1 over all files; each file begins with an event `begin`.

The rule: bytes are checked as they stand, never parsed and written again, so there is one
spelling of a record. What cannot be seen from the records themselves is that the newest ones were
cut off: the note about a missing `stop`, and `pgmcp_audit_sequence` kept elsewhere, are for that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEY_BYTES = 32

_MAC_HEAD = b',"mac":"'
_MAC_TAIL = b'"}'
_MAC_BYTES = len(_MAC_HEAD) + 64 + len(_MAC_TAIL)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the number and the MAC of its last record."""

    seq: int
    mac: str


GENESIS = Head(0, "0" * 64)
"""Before the first record of all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that was read. `intact`: its MAC is right."""

    head: Head
    prev: str
    event: str
    fields: Mapping[str, Any]
    intact: bool


def write(key: bytes, head: Head, fields: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The line of the record after `head`, with its newline, and the chain's new head."""
    body = json.dumps(
        {"seq": head.seq + 1, **fields, "prev": head.mac}, separators=(",", ":"), allow_nan=False
    ).encode("ascii")[:-1]
    mac = _mac(key, body)
    return body + _MAC_HEAD + mac.encode() + _MAC_TAIL + b"\n", Head(head.seq + 1, mac)


def read(key: bytes, line: bytes) -> Entry | None:
    """The record in a line, None when it holds none; whether it is intact is in it."""
    line = line.removesuffix(b"\n")
    body, end = line[:-_MAC_BYTES], line[-_MAC_BYTES:]
    try:
        fields = json.loads(line)
        if not (end.startswith(_MAC_HEAD) and end.endswith(_MAC_TAIL)):
            return None
        head = Head(fields["seq"], fields["mac"])
        prev, event = fields["prev"], fields["event"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(head.seq) is not int or not all(isinstance(x, str) for x in (head.mac, prev, event)):
        return None
    written = end[len(_MAC_HEAD) : -len(_MAC_TAIL)]
    intact = hmac.compare_digest(_mac(key, body).encode(), written)
    return Entry(head, prev, event, fields, intact)


def fingerprint(key: bytes, sql: str) -> str:
    """A statement's fingerprint: HMAC-SHA-256 under the audit's key, in hex, of `sql:` and the text
    in UTF-8 without white space and semicolons around it.

    Keyed, because a plain hash of a short statement gives its constants away to whoever tries.
    """
    text = sql.strip(" \t\r\n\f\v;")
    return _mac(key, b"sql:" + text.encode("utf-8", "surrogatepass"))


def torn(data: bytes) -> dict[str, Any]:
    """The members by which the record after an unfinished line vouches for that line."""
    return {"torn_bytes": len(data), "torn_sha256": hashlib.sha256(data).hexdigest()}


# -- verifying -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Verification:
    """A chain that is checked line by line, over one file or several in order.

    `problem` is the first thing wrong, None while nothing is; `notes` are what an auditor should
    know although nothing is wrong.
    """

    key: bytes
    records: int = 0
    head: Head | None = None
    first: int | None = None
    last_event: str = ""
    problem: str | None = None
    notes: list[str] = field(default_factory=list)

    def check(self, name: str, lines: Iterable[bytes]) -> bool:
        """Check one file, the next in order; False, with `problem`, at the first broken record."""
        stray: tuple[int, bytes] | None = None
        number, already = 0, self.records
        for number, line in enumerate(lines, 1):
            entry = read(self.key, line)
            if entry is None:
                if stray is not None:
                    break
                stray = number, line
                continue
            wrong = self._wrong(entry, first=self.records == already) or _unexplained(stray, entry)
            if wrong:
                broken = stray[0] if stray is not None else number
                return self._broken(name, broken, wrong)
            if stray is not None:
                note = f"{name}, line {stray[0]}: unfinished, and the next record says so"
                self.notes.append(note)
                stray = None
            self._take(entry)
        if number == 0:
            return self._broken(name, 1, "the file is empty")
        if stray is not None:
            return self._broken(name, stray[0], _stray(stray[1]))
        return True

    def _take(self, entry: Entry) -> None:
        if self.first is None:
            self.first = entry.head.seq
        self.head, self.last_event = entry.head, entry.event
        self.records += 1

    def _broken(self, name: str, number: int, wrong: str) -> bool:
        self.problem = f"{name}, line {number}: {wrong}"
        return False

    def _wrong(self, entry: Entry, *, first: bool) -> str | None:
        if not entry.intact:
            hint = "" if self.records else ", or this is not the key that it was written with"
            return f"record {entry.head.seq} was changed: its MAC is wrong{hint}"
        if first != (entry.event == "begin"):
            if first:
                return f"record {entry.head.seq} does not begin a file: what stood before is gone"
            return f"record {entry.head.seq} begins a file, and stands inside one"
        before = self.head
        if before is None:
            # The oldest file at hand: only the very first record can be held to anything.
            before = GENESIS if entry.head.seq == 1 else Head(entry.head.seq - 1, entry.prev)
        return _gap(before, entry)


def _gap(before: Head, entry: Entry) -> str | None:
    seq = entry.head.seq
    if seq > before.seq + 1:
        missing = f"{before.seq + 1} to {seq - 1}" if seq > before.seq + 2 else f"{seq - 1}"
        return f"record {seq} follows record {before.seq}: {missing} is missing"
    if seq <= before.seq:
        return f"record {seq} follows record {before.seq}: out of order, or there twice"
    if entry.prev != before.mac:
        return f"record {seq} does not belong to the record {before.seq} before it"
    return None


def _unexplained(stray: tuple[int, bytes] | None, entry: Entry) -> str | None:
    if stray is None:
        return None
    data = stray[1].removesuffix(b"\n")
    if entry.event in ("recovered", "begin") and torn(data).items() <= entry.fields.items():
        return None
    return _stray(stray[1])


def _stray(line: bytes) -> str:
    if line.endswith(b"\n"):
        return "no record"
    return (
        "the last record is unfinished: the program was killed while it wrote, or the end was cut "
        "off (the program says so in the file when it next starts)"
    )


def _mac(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, hashlib.sha256).hexdigest()

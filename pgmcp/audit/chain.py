"""The audit's chain: how a record is written and read, and the mark that says how far it went.

A record is one line of JSON in UTF-8. Its last member `mac` is HMAC-SHA-256, under the audit's key,
of the bytes of the line before it (up to the comma), and among them is `prev`, the MAC of the
record before. `seq` counts from 1 over all files; each file begins with an event `begin`.

The rule: bytes are checked as they stand, never parsed and written again, so there is one
spelling of a record. What cannot be seen from the records themselves is that the newest ones were
cut off: the mark, and `pgmcp_audit_sequence` kept elsewhere, are for that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY_BYTES = 32

_MAC_HEAD = b',"mac":"'
_MAC_TAIL = b'"}'
_MAC_BYTES = len(_MAC_HEAD) + 64 + len(_MAC_TAIL)

# What would break a line, drive a terminal, turn text around, or is no Unicode stays escaped.
_ESCAPED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of a chain: the number and the MAC of its last record."""

    seq: int
    mac: str


GENESIS = ChainHead(0, "0" * 64)
"""Before the first record of all."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A record that was read. `intact`: its MAC is right."""

    head: ChainHead
    prev: str
    event: str
    fields: Mapping[str, Any]
    intact: bool


def write(key: bytes, head: ChainHead, fields: Mapping[str, Any]) -> tuple[bytes, ChainHead]:
    """The line of the record after `head`, with its newline, and the chain's new head."""
    text = _ENCODER.encode({"seq": head.seq + 1, **fields, "prev": head.mac})
    body = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()[:-1]
    mac = _mac(key, body)
    return body + _MAC_HEAD + mac.encode() + _MAC_TAIL + b"\n", ChainHead(head.seq + 1, mac)


def read(key: bytes, line: bytes) -> AuditRecord | None:
    """The record in a line, None when it holds none; whether it is intact is in it."""
    line = line.removesuffix(b"\n")
    body, end = line[:-_MAC_BYTES], line[-_MAC_BYTES:]
    if not (end.startswith(_MAC_HEAD) and end.endswith(_MAC_TAIL)):
        return None
    try:
        fields = json.loads(line)
        head = ChainHead(fields["seq"], fields["mac"])
        prev, event = fields["prev"], fields["event"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(head.seq) is not int or not all(isinstance(x, str) for x in (head.mac, prev, event)):
        return None
    written = end[len(_MAC_HEAD) : -len(_MAC_TAIL)]
    intact = hmac.compare_digest(_mac(key, body).encode(), written)
    return AuditRecord(head, prev, event, fields, intact)


def fingerprint(key: bytes, sql: str) -> str:
    """A statement's fingerprint: HMAC-SHA-256 under the audit's key, in hex, of `sql:` and the text
    in UTF-8 without white space and semicolons around it.

    Keyed, because a plain hash of a short statement gives its constants away to whoever tries.
    """
    text = sql.strip(" \t\r\n\f\v;")
    return _mac(key, b"sql:" + text.encode("utf-8", "surrogatepass"))


def write_mark(key: bytes, head: ChainHead) -> bytes:
    """The content of the mark's file: the number and the MAC of a record, and their own MAC."""
    said = f"{head.seq} {head.mac}"
    return f"{said} {_mac(key, f'mark:{said}'.encode())}\n".encode()


def read_mark(key: bytes, data: bytes) -> ChainHead | None:
    """What a mark says, None when it was not written with this key."""
    said, _, mac = data.rstrip(b"\n").rpartition(b" ")
    if not hmac.compare_digest(_mac(key, b"mark:" + said).encode(), mac):
        return None
    number, _, newest = said.decode("ascii").partition(" ")
    return ChainHead(int(number), newest)


def unfinished_fields(data: bytes) -> dict[str, Any]:
    """The members by which the record after an unfinished line vouches for that line."""
    return {"torn_bytes": len(data), "torn_sha256": hashlib.sha256(data).hexdigest()}


def _mac(key: bytes, data: bytes) -> str:
    return hmac.digest(key, data, "sha256").hex()

"""What stands in a certificate: the little of X.509 that needs no library.

The rule: what is not understood raises ValueError; a date is never guessed. Pure functions.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_ISSUER, _VALIDITY, _SUBJECT = 2, 3, 4  # after serialNumber and signature
_FIRST_YEAR_OF_1900 = b"50"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who vouches for whom (the names as they are encoded), and from when until when."""

    issuer: bytes
    subject: bytes
    begins: datetime
    ends: datetime

    def validity_problem(self, now: datetime) -> str | None:
        """What is wrong with it at `now`, to follow its name; None while it is valid."""
        if now < self.begins:
            return f"is not valid before {self.begins:%Y-%m-%d %H:%M} UTC"
        if now > self.ends:
            return f"expired on {self.ends:%Y-%m-%d}"
        return None


def certificates(pem: bytes) -> list[Certificate]:
    """All in a PEM file, in their order (RFC 5280, section 4.1).

    ValueError when there is none, or one that cannot be read.
    """
    read = [_certificate(block) for block in _blocks(pem)]
    if not read:
        raise ValueError("no certificate in PEM form")
    return read


def _blocks(pem: bytes) -> Iterator[str]:
    end = 0
    while (start := pem.find(_BEGIN, end)) >= 0:
        end = pem.find(_END, start)
        if end < 0:
            raise ValueError("a certificate that does not end")
        end += len(_END)
        yield pem[start:end].decode("ascii", "replace")


def _certificate(block: str) -> Certificate:
    try:
        signed = next(_items(next(_items(ssl.PEM_cert_to_DER_cert(block)))[1]))[1]
        fields = [value for tag, value in _items(signed) if tag != _VERSION]
        begins, ends = (_time(tag, text) for tag, text in _items(fields[_VALIDITY]))
        return Certificate(fields[_ISSUER], fields[_SUBJECT], begins, ends)
    except (StopIteration, IndexError, ValueError):
        raise ValueError("not a certificate") from None


def _time(tag: int, text: bytes) -> datetime:
    """RFC 5280, section 4.1.2.5: a year of two digits is one from 1950 to 2049."""
    if tag == _UTC_TIME:
        text = (b"19" if text[:2] >= _FIRST_YEAR_OF_1900 else b"20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tagged values that stand one after another (X.690, section 8.1)."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("a value that does not end")
        yield tag, data[at : at + length]
        at += length

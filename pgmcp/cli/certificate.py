"""Until when a certificate is valid: the little of X.509 that needs no library.

The rule: what is not understood raises ValueError; a date is never guessed. Pure functions.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_FIELDS_BEFORE_VALIDITY = 3  # serialNumber, signature, issuer


def valid_until(pem: str) -> datetime:
    """`notAfter` of the first certificate in a PEM file (RFC 5280, section 4.1.2.5).

    ValueError when there is none that can be read.
    """
    start = pem.find(_BEGIN)
    end = pem.find(_END, start)
    if start < 0 or end < 0:
        raise ValueError("no certificate in PEM form")
    certificate = ssl.PEM_cert_to_DER_cert(pem[start : end + len(_END)])
    try:
        signed = next(_items(next(_items(certificate))[1]))[1]
        fields = [item for item in _items(signed) if item[0] != _VERSION]
        validity = fields[_FIELDS_BEFORE_VALIDITY]
        _, (kind, text) = _items(validity[1])
    except (StopIteration, IndexError, ValueError):
        raise ValueError("not a certificate") from None
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[kind]
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)


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

"""Who a client says it is by its certificate.

The rule: only what OpenSSL has verified is looked at, and only for as long as it is valid.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgmcp.config.subject import of_certificate


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a verified certificate says of the client: its canonical subject, and until when
    (seconds since 1970)."""

    subject: str
    not_after: float

    def valid(self, now: float) -> bool:
        """Whether it still holds: a connection may outlive it."""
        return now < self.not_after


def client_certificate(peer: Mapping[str, Any] | None) -> ClientCertificate | None:
    """The client's, from `getpeercert`, which is empty unless OpenSSL verified its chain."""
    if not peer:
        return None
    return ClientCertificate(
        of_certificate(peer["subject"]), ssl.cert_time_to_seconds(peer["notAfter"])
    )

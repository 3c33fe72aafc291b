"""What one client, and all of them together, may take from the HTTP server.

The rule: whatever a client can make us wait for or keep has its limit here. Memory in the worst
mix of clients is the sum of `kept_bytes`, beside what the program needs by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pgmcp.transport.budget import FREE_BYTES
from pgmcp.transport.connection import READ_BYTES
from pgmcp.transport.head import HeadLimits

BODY_BYTES = 4 * 1024 * 1024
"""The longest statement has 1,000,000 bytes, of which an escape in JSON can make three."""
_ANSWERS_BYTES = 96 * 1024 * 1024
_CONNECTION_BYTES = 48 * 1024
"""Python's objects for a connection and its conversation, and OpenSSL's."""
_ANSWERS_PER_RESULT = 12
"""So many times the largest result: an owner has half, and a result takes four while it is made."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Durations cover the whole of what they name, not each read of it.

    `connections` open at once; `head_seconds` from a request's first byte (on a new connection,
    from the connect) to the end of its head; `idle_seconds` between two requests;
    `linger_seconds` for a client to take an answer that ends its connection early;
    `keep_alive_seconds` between two events of an answer that is held open;
    `body_bytes` is for the methods whose texts may be long, `short_body_bytes` for all others.
    `messages_bytes` is what is kept of all requests together, `answers_bytes` of all answers: from
    the first row that is read to the last byte that is sent.
    `requests` between head and answer, `running` calls at once, `share` of them and `waiting` more
    for one owner: see `transport.call_queue`.
    """

    head: HeadLimits = field(default_factory=HeadLimits)
    connections: int = 512
    backlog: int = 512
    body_bytes: int = BODY_BYTES
    short_body_bytes: int = 64 * 1024
    messages_bytes: int = 64 * 1024 * 1024
    answers_bytes: int = _ANSWERS_BYTES
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0
    idle_seconds: float = 75.0
    linger_seconds: float = 5.0
    keep_alive_seconds: float = 20.0
    requests: int = 496
    running: int = 64
    share: int = 16
    waiting: int = 192
    workers: int = 16
    worker_idle_seconds: float = 5.0

    @property
    def kept_bytes(self) -> int:
        """The most that all clients together make the server keep."""
        each = self.head.head_bytes + READ_BYTES + _CONNECTION_BYTES + 2 * FREE_BYTES
        return self.connections * each + self.messages_bytes + self.answers_bytes


def answers_bytes(max_result_bytes: int) -> int:
    """The budget for answers of which one may have `max_result_bytes` of rows."""
    return max(_ANSWERS_BYTES, _ANSWERS_PER_RESULT * max_result_bytes)

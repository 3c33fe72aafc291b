"""What one client, and all of them together, may take from the HTTP server.

The rule: whatever a client can make us wait for or keep has its limit here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pgmcp.transport.head import HeadLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations cover the whole of what they name, not each read of it.

    `connections` open at once; `head_seconds` from a request's first byte (on a new connection,
    from the connect) to the end of its head; `idle_seconds` between two requests;
    `linger_seconds` for a client to take an answer that ends its connection early;
    `bodies_bytes` in all bodies together.
    """

    head: HeadLimits = field(default_factory=HeadLimits)
    connections: int = 512
    backlog: int = 512
    body_bytes: int = 10 * 1024 * 1024
    bodies_bytes: int = 256 * 1024 * 1024
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0
    idle_seconds: float = 75.0
    linger_seconds: float = 5.0
    workers: int = 16
    worker_idle_seconds: float = 5.0

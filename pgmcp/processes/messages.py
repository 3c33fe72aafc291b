"""The messages between worker processes and their parent: one JSON array on each line.

The rule: the first member says what a message is. What a client sent stands in it as text, so a
message is never code.

From a worker: `["ask", id, what, ...]` wants an answer, `["said", id, value]` is what it was asked
for, `["notify", text]` is for the init system, `["others", what, ...]` is for all other workers.
To a worker: `["answer", id, value]`, `["do", id, what, ...]` wants a `said`, `["tell", what, ...]`
wants none.
"""

from __future__ import annotations

import json
from typing import Any

WorkerMessage = list[Any]


class MessageInbox:
    """Puts together the messages of one stream of bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def take(self, data: bytes) -> list[WorkerMessage]:
        """The messages that are complete with these bytes. ValueError for what is none."""
        begun = len(self._rest)
        self._rest += data
        if data.find(b"\n") < 0:
            return []
        end = self._rest.rindex(b"\n", begun) + 1
        lines = bytes(self._rest[:end]).splitlines()
        del self._rest[:end]
        return [json.loads(line) for line in lines]


def encode(*message: Any) -> bytes:
    """The bytes of a message."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"

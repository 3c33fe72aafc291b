"""The calls whose clients are watched: when one hangs up, its call is cancelled."""

from __future__ import annotations

from pgmcp.calls.call import Call
from pgmcp.transport.connection import ClientConnection


class Watching:
    """A `with` block in which the list of watched calls has this one, by its connection."""

    __slots__ = ("_call", "_connection", "_watched")

    def __init__(
        self, watched: dict[ClientConnection, Call], connection: ClientConnection, call: Call
    ) -> None:
        self._watched = watched
        self._connection = connection
        self._call = call

    def __enter__(self) -> None:
        self._watched[self._connection] = self._call

    def __exit__(self, *_: object) -> None:
        del self._watched[self._connection]

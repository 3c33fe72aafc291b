"""Which calls are running, so that a client can cancel its own.

The rule: a call is found by whose it is and by its request id together; when that is not one call,
none is cancelled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from pgmcp.calls.call import Call

RequestId = str | int


class InFlight:
    """The running calls by scope (the connection, or the principal with its address) and id.

    `elsewhere` is told scope and id of a call to cancel that does not run here.
    """

    def __init__(self, elsewhere: Callable[[str, RequestId], object] = lambda *_: None) -> None:
        self._elsewhere = elsewhere
        self._calls: dict[tuple[str, RequestId], list[Call]] = {}
        self._calls_lock = threading.Lock()
        self._none_running = threading.Condition(self._calls_lock)
        self._awaited = False  # by `wait_empty`: to tell nobody takes longer than all else here

    def begin(self, scope: str, request_id: RequestId, call: Call) -> None:
        """Note that `call` runs; `end` must follow."""
        with self._calls_lock:
            self._calls.setdefault((scope, request_id), []).append(call)

    def end(self, scope: str, request_id: RequestId, call: Call) -> None:
        """Note that `call` is over and its answer is out."""
        with self._calls_lock:
            running = self._calls[scope, request_id]
            running.remove(call)
            if not running:
                del self._calls[scope, request_id]
                if self._awaited and not self._calls:
                    self._none_running.notify_all()

    def track(self, scope: str, request_id: RequestId, call: Call) -> Tracking:
        """Have `call` in the list inside a `with` block."""
        return Tracking(self, scope, request_id, call)

    def cancel(self, scope: str, request_id: object, reason: str) -> bool:
        """Cancel one call; False when it is unknown here, over, or not the only one of that id.

        `request_id` is what the client sent, of whatever type.
        """
        if isinstance(request_id, bool) or not isinstance(request_id, str | int):
            return False  # to a dict, True would be 1
        if (scope, request_id) not in self._calls:
            self._elsewhere(scope, request_id)
        return self.cancel_here(scope, request_id, reason)

    def cancel_here(self, scope: str, request_id: RequestId, reason: str) -> bool:
        """The same, and nobody elsewhere is told."""
        with self._calls_lock:
            running = self._calls.get((scope, request_id), [])
            call = running[0] if len(running) == 1 else None
        if call is not None:
            call.cancel(reason)
        return call is not None

    def cancel_keys(self, ended: Mapping[str, str]) -> None:
        """Cancel every call with one of these credentials, or with one that was made of it, each
        with its reason."""
        with self._calls_lock:
            # One look at each running call, of which there are some hundreds at most: the
            # credentials that ended together may be thousands.
            calls = [
                (call, ended[key])
                for running in self._calls.values()
                for call in running
                for key in {call.key, call.owner}
                if key in ended
            ]
        for call, reason in calls:
            call.cancel(reason)

    def cancel_expired(self, now: datetime) -> None:
        """Cancel every call whose credential has ended by itself at `now`."""
        with self._calls_lock:
            calls = [
                call
                for running in self._calls.values()
                for call in running
                if call.expires_at is not None and call.expires_at <= now
            ]
        for call in calls:
            call.cancel("token expired")

    def cancel_all(self, reason: str) -> int:
        """Cancel every call; how many there were."""
        with self._calls_lock:
            calls = [call for running in self._calls.values() for call in running]
        for call in calls:
            call.cancel(reason)
        return len(calls)

    @property
    def count(self) -> int:
        """How many calls are running."""
        with self._calls_lock:
            return sum(len(running) for running in self._calls.values())

    def wait_empty(self, timeout_seconds: float) -> bool:
        """Wait until no call is running; False when the time passed first."""
        with self._none_running:
            self._awaited = True
            return self._none_running.wait_for(lambda: not self._calls, timeout_seconds)


class Tracking:
    """A `with` block in which a call is in the list. A class: it is on every call's way."""

    __slots__ = ("_call", "_inflight", "_request_id", "_scope")

    def __init__(self, inflight: InFlight, scope: str, request_id: RequestId, call: Call) -> None:
        self._inflight = inflight
        self._scope = scope
        self._request_id = request_id
        self._call = call

    def __enter__(self) -> None:
        self._inflight.begin(self._scope, self._request_id, self._call)

    def __exit__(self, *_: object) -> None:
        self._inflight.end(self._scope, self._request_id, self._call)

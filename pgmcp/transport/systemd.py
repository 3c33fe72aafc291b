"""The init system's side: what it hands over at the start, and what it is told (systemd).

The rule: sd_notify(3) and sd_listen_fds(3) are spoken directly, over one datagram socket and the
descriptors from 3 on; without these variables nothing happens, and no child ever sees them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

from pgmcp.errors import ConfigError

_FIRST_DESCRIPTOR = 3
_MOST_LISTENERS = 64
_VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
)


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells the init system how things are. `address` is its socket's path, None for nobody."""

    address: str | None = None
    watchdog_seconds: float | None = None

    @property
    def path(self) -> str | None:
        """The address as the socket module takes it; `@` begins an abstract name."""
        return self.address and self.address.replace("@", "\0", 1)

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. The time is how the init system tells which it was."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The end begins."""
        self._tell("STOPPING=1\nSTATUS=Stopping")

    def alive(self) -> None:
        """The watchdog may rest for another `watchdog_seconds`."""
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if self.path is None:
            return
        # An init system that does not listen is no reason not to serve.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)
            sock.sendto(text.encode(), self.path)


@dataclass(frozen=True, slots=True)
class Handover:
    """What the init system handed over: somebody to tell, and listening sockets."""

    notifier: Notifier
    listeners: tuple[socket.socket, ...]


NOTHING = Handover(Notifier(), ())


def take(environ: MutableMapping[str, str], pid: int | None = None) -> Handover:
    """Take over what is there for this process, and remove the variables.

    ConfigError when a socket is none that can be listened on.
    """
    said = {name: environ.pop(name) for name in _VARIABLES if name in environ}
    own = str(os.getpid() if pid is None else pid)
    address = said.get("NOTIFY_SOCKET")
    if address is not None and not address.startswith(("/", "@")):
        address = None
    watchdog = _number(said.get("WATCHDOG_USEC")) if said.get("WATCHDOG_PID", own) == own else 0
    notifier = Notifier(address, watchdog / 1e6 if watchdog else None)
    count = _number(said.get("LISTEN_FDS")) if said.get("LISTEN_PID") == own else 0
    if count > _MOST_LISTENERS:
        raise ConfigError(
            f"LISTEN_FDS={count}: no more than {_MOST_LISTENERS} sockets are taken over"
        )
    names = said.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (count - len(names))
    listeners = [_listener(_FIRST_DESCRIPTOR + n, names[n]) for n in range(count)]
    return Handover(notifier, tuple(listeners))


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 18 else 0


def _listener(descriptor: int, name: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise _unfit(descriptor, name, error.strerror or str(error)) from None
    stream = sock.type == socket.SOCK_STREAM
    if not listening or not stream or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise _unfit(descriptor, name, "not a listening TCP socket")
    os.set_inheritable(descriptor, False)
    return sock


def _unfit(descriptor: int, name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"the socket {name!r} (descriptor {descriptor}) that was handed over: {reason}",
        "In the .socket unit, give ListenStream= a port or an address with a port.",
    )

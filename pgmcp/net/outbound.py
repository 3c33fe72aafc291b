"""What this process may connect to: the configured databases, and the init system's socket.

The rule: everything else is refused where Python makes the call, by an audit hook, whoever asks,
and no other program is started, which could make it instead, but for commands named beforehand.
A name is looked up only when it is configured; the lookup itself is made by the system's resolver,
which asks its own servers, files and caches and which no hook sees.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pgmcp.config.values import Host

Hosts = Callable[[], Iterable[Host]]

OnResolved = Callable[[Host, Iterable[Any]], object]
"""Told the socket addresses of a host, before any of them is connected to."""

_REMEMBERED_ADDRESSES = 64
"""For each host. A cancel request goes where its connection went, which DNS may have left since."""

_PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
)

_log = logging.getLogger("pgmcp.outbound")


class OutboundRefusedError(PermissionError):
    """A connection or a name lookup that the configuration does not call for."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EACCES, f"{what} is not configured: the connection was refused")


class Outbound:
    """Says what may be reached. `hosts` are the databases' places at this moment, asked each time;
    `fixed` are paths of sockets that may be reached besides, `names` more names to look up.
    `commands` may be started, word by word as they are.
    """

    def __init__(
        self,
        hosts: Hosts,
        fixed: Iterable[str] = (),
        names: Iterable[str] = (),
        commands: Iterable[Sequence[str]] = (),
    ) -> None:
        self._hosts = hosts
        self._fixed = frozenset(fixed)
        self._names = frozenset(names)
        self._commands = frozenset(map(tuple, commands))
        self._resolved: dict[Host, OrderedDict[tuple[str, int], None]] = {}
        self._checks: Mapping[str, Callable[[tuple[Any, ...]], None]] = {
            "socket.connect": lambda args: self._check_address(args[1]),
            "socket.sendto": lambda args: self._check_address(args[1]),
            "socket.sendmsg": lambda args: self._check_address(args[1]),
            "socket.getaddrinfo": lambda args: self._check_name(args[0]),
            "socket.gethostbyname": lambda args: self._check_name(args[0]),
            "socket.gethostbyaddr": lambda args: _refuse(f"the name of {args[0]!r}"),
            "socket.getnameinfo": lambda args: _refuse(f"the name of {args[0][0]!r}"),
            # Another program would not be held to this.
            **dict.fromkeys(_PROGRAMS, lambda args: _refuse_program(args[0])),
            "subprocess.Popen": self._check_command,
        }

    def install(self) -> None:
        """Hold this process to it, for as long as it lives: an audit hook cannot be taken out."""
        sys.addaudithook(self.audit)

    def give_way(self, other: Outbound) -> None:
        """Hold this process to what `other` says instead, in a fork of the process that installed
        this."""
        self._checks = other._checks

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """The hook (PEP 578). It sees every event of the interpreter, so most end here."""
        check = self._checks.get(event)
        if check is not None:
            check(args)

    def allow(self, host: Host, addresses: Iterable[Any]) -> None:
        """Let a configured host be reached at these addresses, which the resolver gave for it."""
        known = self._resolved.setdefault(host, OrderedDict())
        for address in addresses:
            if isinstance(address, tuple):
                known[_ip(address[0]), address[1]] = None
                known.move_to_end((_ip(address[0]), address[1]))
        while len(known) > _REMEMBERED_ADDRESSES:
            known.popitem(last=False)

    def _check_address(self, address: Any) -> None:
        if address is None:  # sendmsg over a connection
            return
        if isinstance(address, str | bytes):
            allowed = self._may_reach_path(os.fsdecode(address))
        else:
            allowed = self._may_reach(address)
        if not allowed:
            _refuse(f"the address {_shown(address)}")

    def _check_name(self, name: Any) -> None:
        text = os.fsdecode(name) if isinstance(name, str | bytes) else None
        if not text or _is_ip(text) or text in self._names:
            return
        if text not in {host.host for host in self._hosts()}:
            _refuse(f"the name {text!r}")

    def _check_command(self, args: tuple[Any, ...]) -> None:
        program, words, folder, _ = args
        named = isinstance(words, list | tuple) and tuple(words) in self._commands
        if not named or program != words[0] or folder is not None:
            _refuse_program(program)

    def _may_reach_path(self, path: str) -> bool:
        return path in self._fixed or path in {
            f"{_folder(host.host)}/.s.PGSQL.{host.port}" for host in self._hosts()
        }

    def _may_reach(self, address: Any) -> bool:
        if not isinstance(address, tuple) or [*map(type, address[:2])] != [str, int]:
            return False  # a family that no database speaks
        place = (_ip(address[0]), address[1])
        hosts = set(self._hosts())
        # A list, made in one step: another thread may add a host meanwhile.
        for host in list(self._resolved):
            if host not in hosts:
                self._resolved.pop(host, None)
        if any(place in self._resolved.get(host, ()) for host in hosts):
            return True
        # Windows has no socketpair: Python makes one out of a connection to itself.
        return os.name == "nt" and _is_loopback(place[0])


def _refuse(what: str) -> None:
    _log.error("refused an outbound connection: %s is not configured", what)
    raise OutboundRefusedError(what)


def _refuse_program(name: Any) -> None:
    _log.error("refused to start a program: %r", name)
    raise OutboundRefusedError(f"the program {name!r}")


def _folder(host: str) -> str:
    """A socket's folder; `@` begins a name in the abstract namespace."""
    return host.replace("@", "\0", 1) if host.startswith("@") else host


def _ip(host: str) -> str:
    """An address without its zone, in its one spelling."""
    text = host.partition("%")[0]
    return str(ipaddress.ip_address(text)) if _is_ip(text) else host


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_ip(text) and ipaddress.ip_address(text).is_loopback


def _shown(address: Any) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]} port {address[1]}"
    return repr(address)[:200]

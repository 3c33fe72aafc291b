"""Small values that several sections are made of: a secret, an address, a host, a URL.

The rule: no I/O and no parsing; `config.addresses` and `config.kinds` make them from text.
"""

from __future__ import annotations

from dataclasses import dataclass


class Secret:
    """A string that no message, log, repr or traceback shows by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself, for the code that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `host` is "" for every interface, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Host:
    """One place where a database may be: a name, an address, or a directory with its socket."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Url:
    """Where an HTTP service is. `path` begins with a slash or is empty, and never ends with one."""

    tls: bool
    host: Host
    path: str

"""The kinds of value a key can have: how each is read from YAML and from text, and what it expects.

The rule: YAML brings its own types, so a quoted number is not a number there; the environment and
the flags bring text only. Both ways end in the same checks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgmcp.config import addresses, durations, hours, masks, patterns, session_settings, sizes
from pgmcp.config.masks import MaskRules
from pgmcp.config.patterns import CanaryRules, ReadRules
from pgmcp.config.values import Secret

_WORDS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """`of_yaml` and `of_text` raise ValueError with the reason; `expects` says what to write.

    `metavar` stands for the value in -help, "" when a flag needs none.
    """

    name: str
    metavar: str
    expects: str
    of_yaml: Callable[[object], Any]
    of_text: Callable[[str], Any]
    secret: bool = False


def _from_text(parse: Callable[[str], Any]) -> Callable[[object], Any]:
    """A reader for YAML that takes text and nothing else."""

    def read(value: object) -> Any:
        if not isinstance(value, str):
            raise ValueError("it must be text: put it in quotes")
        return parse(value)

    return read


def _textual(name: str, metavar: str, expects: str, parse: Callable[[str], Any]) -> Kind:
    return Kind(name, metavar, expects, _from_text(parse), parse)


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds a control character")
    return text


def _name(text: str) -> str:
    if text != text.strip():
        raise ValueError("it begins or ends with a blank")
    return unicodedata.normalize("NFC", _plain(text))


def _secret(text: str) -> Secret:
    if "\0" in text:
        raise ValueError("it holds a NUL byte")
    return Secret(text)


def _path(text: str) -> Path:
    return Path(_plain(text))


def _root_certificates(text: str) -> Path | str:
    return text if text == "system" else _path(text)


def _yaml_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false, without quotes")
    return value


def _text_boolean(text: str) -> bool:
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError("it is neither true nor false") from None


def _yaml_duration(value: object) -> float:
    if isinstance(value, str):
        return durations.parse(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it is not a duration")
    if value > durations.LONGEST_SECONDS:  # before float(), which a huge integer would overflow
        raise ValueError("a duration may be 24 days at most")
    return durations.bounded(float(value))


def _yaml_size(value: object) -> int:
    if isinstance(value, str):
        return sizes.parse(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("it is not a size")
    return sizes.bounded(value)


def _yaml_ports(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        return addresses.parse_ports(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("it is not a port number")
    if not 1 <= value <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return (value,)


def _list_of(item: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("it must be a list")
        return tuple(item(element) for element in value)

    return read


def _list(name: str, expects: str, parse: Callable[[str], Any]) -> Kind:
    return Kind(
        name,
        "LIST",
        expects,
        _list_of(_from_text(parse)),
        lambda text: tuple(parse(part.strip()) for part in text.split(",")),
    )


def whole(lowest: int, highest: int) -> Kind:
    """A whole number within bounds, both included."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("it is not a whole number")
        if not lowest <= value <= highest:
            raise ValueError(f"it is outside {lowest} to {highest}")
        return value

    def parse(text: str) -> int:
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise ValueError("it is not a whole number")
        return check(int(text))

    return Kind("number", "NUMBER", f"Write a whole number, {lowest} to {highest}.", check, parse)


def minutes(lowest: int, highest: int) -> Kind:
    """A whole number of minutes within bounds, both included; its value is in seconds."""
    number = whole(lowest, highest)
    return Kind(
        number.name,
        number.metavar,
        number.expects,
        lambda value: number.of_yaml(value) * 60.0,
        lambda text: number.of_text(text) * 60.0,
    )


def choice(*words: str) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("it is not one of the words known here")
        return text

    return _textual("word", "WORD", f"Write one of: {', '.join(words)}.", parse)


BOOLEAN = Kind("true or false", "", "Write true or false.", _yaml_boolean, _text_boolean)
TEXT = _textual("text", "TEXT", "Write plain text.", _plain)
NAME = _textual("text", "NAME", "Write a name without control characters.", _name)
PATH = _textual("path", "FILE", "Write the path of a file.", _path)
ROOT_CERTIFICATES = _textual(
    "path",
    "FILE",
    "Write the path of a file, or system.",
    _root_certificates,
)
ADDRESS = _textual(
    "address",
    "ADDRESS",
    'Write host:port, ":port" for every interface, or [address]:port, such as "127.0.0.1:8080".',
    addresses.parse_listen,
)
HOSTS = _textual(
    "host",
    "HOST",
    "Write a name, an address or a socket directory, or several separated by commas.",
    addresses.parse_hosts,
)
DURATION = Kind(
    "duration",
    "DURATION",
    'Write a duration such as "500ms", "30s", "5m" or "1h30m", or a number of seconds.',
    _yaml_duration,
    durations.parse,
)
SIZE = Kind(
    "size",
    "SIZE",
    'Write a size such as "50MB" (1000s) or "50MiB" (1024s), or a number of bytes.',
    _yaml_size,
    sizes.parse,
)
PORTS = Kind(
    "port",
    "PORT",
    'Write a port from 1 to 65535, or one for each host, as in "5432,5433".',
    _yaml_ports,
    addresses.parse_ports,
)
SECRET = Kind(
    "text",
    "PASSWORD",
    "Write it as text in quotes, or use password_file.",
    _from_text(_secret),
    _secret,
    secret=True,
)
URL = _textual(
    "URL",
    "URL",
    'Write a URL such as "https://models.example.com" or "http://127.0.0.1:11434".',
    addresses.parse_url,
)
NAMES = _list("list of text", "Write a list of names, such as [alice, bob].", _name)
HOST_NAMES = _list(
    "list of hosts",
    'Write a list of names or addresses, with a port or without, such as ["mcp.example.com"].',
    addresses.parse_host_name,
)
ORIGINS = _list(
    "list of origins",
    'Write a list of origins as browsers send them, such as ["https://app.example.com"].',
    addresses.parse_origin,
)
NETWORKS = _list(
    "list of addresses",
    'Write a list of addresses or networks, such as ["10.0.0.5", "192.0.2.0/24"].',
    addresses.parse_network,
)
_HOURS_LIST = _list(
    "list of hours",
    'Write "Mon-Fri 07:00-19:00 Europe/Berlin", or a list of such texts; 22:00-06:00 lasts '
    "overnight, and 24:00 is the end of a day.",
    hours.parse,
)
HOURS = replace(
    _HOURS_LIST,
    of_yaml=lambda value: _HOURS_LIST.of_yaml([value] if isinstance(value, str) else value),
)
MASKS = Kind(
    "section of masks",
    "MASKS",
    'Write a section such as {"public.users.email": partial}: null, partial, last4, hash, or a '
    "text that stands for every value.",
    masks.parse,
    lambda _: MaskRules(),
)
ROLE = _textual("text", "ROLE", "Write the name of a role.", session_settings.parse_role)
SETTINGS = Kind(
    "section of settings",
    "SETTINGS",
    'Write a section such as {app.tenant_id: "42"}: names with a dot, and text in quotes.',
    session_settings.parse_settings,
    lambda _: (),
)
_PATTERNS = (
    'Write a list such as ["public.*", "not public.users.password_hash"]: schema.table, schema.*, '
    "*.* or schema.table.column, with names quoted where SQL would quote them."
)
READ_RULES = Kind(
    "list of patterns",
    "LIST",
    _PATTERNS,
    lambda value: ReadRules(_list_of(_from_text(patterns.parse))(value)),
    lambda text: ReadRules((patterns.parse(text),)),
)
CANARY_RULES = Kind(
    "list of patterns",
    "LIST",
    _PATTERNS,
    lambda value: CanaryRules(_list_of(_from_text(patterns.parse))(value)),
    lambda text: CanaryRules((patterns.parse(text),)),
)

"""Values as clients really send them, made into the type that a schema asks for.

The rule: only what has one meaning is converted. Text is a number when all of it is one, and JSON
text is an array or object when a reader of messages would take it; everything else stays as it is,
for the check that refuses it.
"""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

from pgmcp.errors import RpcError
from pgmcp.rpc import jsonrpc

# JSON's number (RFC 8259, section 6), with the zeros in front that people write.
_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST_NUMBER = 100
_BOOLEANS = {"true": True, "false": False}
_MOST_BITS = 1024
"""Of a number that is wanted as text: as many as a float can have."""
_EXACT_BELOW = 2.0**53


def converted(kind: Any, value: Any) -> Any:
    """`value`, which is not of `kind`, as that kind; `value` itself where it has no such meaning.

    `kind` is str, int, float, bool, a Literal, a tuple or a dataclass. Integers come as the float
    that their text says where it has a point or an exponent. None for JSON text that says null.
    """
    if kind is str:
        return _as_text(value)
    if not isinstance(value, str):
        return value
    if get_origin(kind) is Literal:
        return _as_choice(get_args(kind), value)
    text = value.strip()
    if text == "null":
        return None
    if kind is bool:
        return _BOOLEANS.get(text.lower(), value)
    if kind in (int, float):
        return _as_number(text, value)
    return _as_structure("[" if get_origin(kind) is tuple else "{", text, value)


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _MOST_BITS else value
    if isinstance(value, float):
        # A client whose numbers are all floats writes 42 as 42.0, which no integer column takes.
        whole = value.is_integer() and abs(value) < _EXACT_BELOW
        return str(int(value)) if whole else repr(value)
    return value


def _as_number(text: str, value: str) -> Any:
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return value
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _as_choice(choices: tuple[Any, ...], value: str) -> Any:
    """The choice that the text names in other letters, or a number among the choices."""
    text = value.strip().lower()
    named = [choice for choice in choices if str(choice).lower() == text]
    return named[0] if len(named) == 1 else value


def _as_structure(bracket: str, text: str, value: str) -> Any:
    if not text.startswith(bracket):
        return value
    try:
        return jsonrpc.parse_value(text)
    except RpcError:
        return value

"""The subject of a certificate, written as RFC 4514 does: `CN=app1,O=Example`.

The rule: two subjects are the same when their canonical texts are equal, byte for byte; a text that
is not wholly understood is a ValueError, never a subject that somebody else might have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PeerName = Sequence[Sequence[tuple[str, str]]]
"""A name as ssl.SSLSocket.getpeercert gives it, the outermost part first."""

# RFC 4514, section 3, and what OpenSSL calls them.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_TYPES = {name.lower(): short for long, short in _SHORT.items() for name in (long, short)}
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+")
_ESCAPED = re.compile(r"\\([0-9A-Fa-f]{2}|[ \"#+,;<=>\\])")
_SPECIAL = frozenset('"+,;<>\\')


def canonical(text: str) -> str:
    """The canonical text of a subject as an operator writes it; ValueError.

    Blanks around separators and the case of a type's name do not matter, everything else does.
    """
    parts = [
        "+".join(sorted(_attribute(attribute) for attribute in _split(part, "+")))
        for part in _split(text, ",")
    ]
    return ",".join(parts)


def of_certificate(name: PeerName) -> str:
    """The canonical text of a certificate's subject, innermost part first (RFC 4514)."""
    parts = [
        "+".join(sorted(f"{_type(kind)}={_escape(value)}" for kind, value in part))
        for part in reversed(name)
    ]
    return ",".join(parts)


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not escaped."""
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def _attribute(text: str) -> str:
    kind, equals, value = text.partition("=")
    kind = kind.strip(" ")
    if not equals or not _TYPE.fullmatch(kind):
        raise ValueError('it is no subject: write it as in "CN=app1,O=Example"')
    return f"{_type(kind)}={_escape(_unescape(_strip(value)))}"


def _type(name: str) -> str:
    return _TYPES.get(name.lower(), name)


def _strip(value: str) -> str:
    """Without the blanks around it; an escaped one at the end belongs to the value."""
    stripped = value.strip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if backslashes % 2 and value.rstrip(" ") != value else stripped


def _unescape(text: str) -> str:
    """RFC 4514, section 3: a backslash before a special character or two hexadecimal digits."""
    data, position = bytearray(), 0
    if not text or text.startswith("#"):
        raise ValueError("a part of the subject has no plain value")
    while position < len(text):
        escaped = _ESCAPED.match(text, position)
        if escaped is not None:
            code = escaped[1]
            data += bytes.fromhex(code) if len(code) == 2 else code.encode()
            position = escaped.end()
        elif text[position] in _SPECIAL:
            raise ValueError(f"{text[position]!r} must be escaped with a backslash")
        else:
            data += text[position].encode()
            position += 1
    return data.decode()


def _escape(value: str) -> str:
    """RFC 4514, section 2.4; controls in hexadecimal, so that a text stays on one line."""
    escaped = "".join(
        f"\\{character}" if character in _SPECIAL else _printable(character) for character in value
    )
    if escaped.startswith((" ", "#")):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(value) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def _printable(character: str) -> str:
    if character == " " or character.isprintable():
        return character
    return "".join(f"\\{byte:02x}" for byte in character.encode(errors="surrogateescape"))

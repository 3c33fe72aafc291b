"""The entries of a credential file in the layout that we write, without YAML's parser.

The rule: what is read here is what YAML reads. What differs from the layout, be it by one space, is
left to the parser: the answer is then None, never a guess and never an error.

The layout, as the guide shows it, is a list (`tokens`) or a mapping (`users`) two spaces in, with
one line for each key of an entry four spaces in. Comments may stand above it. The file is cut into
entries in C, and an entry whose text was known keeps its value: 100,000 tokens are read again in
less than 0.1 s, where the parser takes 6 s, and a token that was removed works for as long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

from pgmcp.errors import FileError
from pgmcp.storage.files import dump_yaml, parse_yaml

T = TypeVar("T")
Section = Literal["tokens", "users"]
Entry = tuple[str, object]
"""The name of an entry, "" among `tokens`, and its value."""

_HEAD = {
    "tokens": re.compile(r"(?:#[ -~]*\n)*tokens:\n  - (?! )"),
    "users": re.compile(r"(?:#[ -~]*\n)*users:\n  (?![ -])"),
}
_NEXT_NAME = re.compile(r"\n  (?! )")
_NEXT_KEY = "\n    "

# Values that are themselves: a letter first, so that it is no number; a time; hexadecimal digits,
# but for those that are a number to YAML (only decimals, or 0b0101).
_PLAIN = r"[A-Za-z$/][\w./$+(),'@=;-]*(?: [\w./$+(),'@=;-]+)*"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_HEX = r"(?=[0-9b]*[acdef])[0-9a-f]{64}"
_QUOTED = r""""([ !#-\[\]-~]*)"|'([ -&(-~]*)\'"""
_FIELD = re.compile(
    rf"([a-z_]+): (?:({_HEX}|{_PLAIN}|{_TIME})|{_QUOTED}|(0|[1-9]\d{{0,8}}))", re.ASCII
)
# A token as -add-token writes it, whole: one match instead of one for each line of it.
_TOKEN = re.compile(
    rf"id: ({_PLAIN})\n    hash: ({_HEX})\n    note: ({_PLAIN})\n"
    rf"    created_at: \"({_TIME})\"\n    expires_at: (?:null|\"({_TIME})\")",
    re.ASCII,
)
_TOKEN_KEYS = ("id", "hash", "note", "created_at", "expires_at")
_WORDS = {"null": None, "true": True, "false": False}
_OTHER_WORDS = frozenset({"yes", "no", "on", "off", "y", "n", *_WORDS})
# One line that does not reach beyond itself, unless a quote or a bracket is left open.
_LINE = re.compile(
    r"[a-z_]+: [^\x00-\x20\x7f-\xa0|>#&*!%@`][^\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff]*"
)
_NAME = re.compile(r"([A-Za-z][\w.@-]*):", re.ASCII)
_ANY_NAME = re.compile(r"[^\x00-\x20\x7f-\xa0|>#&*!%@`?-][^\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff]*:")


def split(data: bytes, section: Section) -> list[str] | None:
    """The text of each entry, for `read` and for `join`; None when the layout is another."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    head = _HEAD[section].match(text)
    if head is None or not text.endswith("\n"):
        return None
    body = text[head.end() : -1]
    return body.split("\n  - ") if section == "tokens" else _NEXT_NAME.split(body)


def join(texts: list[str], section: Section) -> bytes:
    """The file with these entries, of which there is one at least."""
    start = "  - " if section == "tokens" else "  "
    return f"{section}:\n{start}{f'{chr(10)}{start}'.join(texts)}\n".encode()


def written(section: Section, entries: Sequence[Entry]) -> list[str]:
    """The text of each entry, given with its name, "" among `tokens`."""
    if not entries:
        return []
    inside = [entry for _, entry in entries] if section == "tokens" else dict(entries)
    whole = dump_yaml({section: inside})
    texts = split(whole, section)
    if texts is not None and len(texts) == len(entries):
        return texts
    start = len(f"{section}:\n  - " if section == "tokens" else f"{section}:\n  ")
    if len(entries) == 1:
        return [whole.decode()[start:-1]]
    return [text for entry in entries for text in written(section, [entry])]


def read(text: str, section: Section) -> Entry | None:
    """The name ("" among `tokens`) and the value of one entry; None when the parser must look."""
    if section == "tokens" and (token := _whole_token(text)) is not None:
        return "", token
    lines = text.split(_NEXT_KEY)
    name = ""
    if section == "users":
        named = _NAME.fullmatch(lines[0])
        if named is None or named[1].lower() in _OTHER_WORDS:
            return _read_by_yaml(text, lines, section)
        name = named[1]
        lines = lines[1:]
    entry: dict[str, object] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return _read_by_yaml(text, text.split(_NEXT_KEY), section)
        key, plain, double, single, number = field.groups()
        if key in entry:
            return None
        if plain is None:
            entry[key] = int(number) if number else double if double is not None else single
        elif plain in _WORDS:
            entry[key] = _WORDS[plain]
        elif plain.lower() in _OTHER_WORDS:
            return _read_by_yaml(text, text.split(_NEXT_KEY), section)
        else:
            entry[key] = plain
    return (name, entry) if entry else None


def parsed(
    data: bytes, section: Section, known: Mapping[str | None, T], make: Callable[[Entry, str], T]
) -> list[T] | None:
    """What `make` makes of each entry and its text, in the order of the file; what is `known` for
    that text is taken as it is.

    None when the layout is another, or when `make` raises FileError: then the parser must look.
    """
    texts = split(data, section)
    if texts is None:
        return None
    items: list[T] = []
    for text in texts:
        item = known.get(text)
        if item is None:
            entry = read(text, section)
            if entry is None:
                return None
            try:
                item = make(entry, text)
            except FileError:
                return None
        items.append(item)
    return items


def _read_by_yaml(text: str, lines: list[str], section: Section) -> Entry | None:
    """The entry as YAML reads it standing alone, when that is how it reads it among others.

    Each line begins where a key of an entry does, so that no comment, no end of a document and no
    block of text reaches into the next entry; and nothing is left open, or it is no YAML alone.
    """
    if section == "users" and not _ANY_NAME.fullmatch(lines[0]):
        return None
    if not all(map(_LINE.fullmatch, lines[1 if section == "users" else 0 :])):
        return None
    try:
        value = parse_yaml(join([text], section), "").value
    except FileError:
        return None
    inside = value.get(section) if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(inside, list) and len(inside) == 1:
        return "", inside[0]
    if isinstance(inside, dict) and len(inside) == 1:
        return next(iter(inside.items()))
    return None


def _whole_token(text: str) -> dict[str, object] | None:
    """A token that is written as -add-token writes it, None when it is not."""
    token = _TOKEN.fullmatch(text)
    if token is None:
        return None
    values = token.groups()
    if values[0].lower() in _OTHER_WORDS or values[2].lower() in _OTHER_WORDS:
        return None
    return dict(zip(_TOKEN_KEYS, values, strict=True))

"""The token file: API tokens as bytes; no I/O.

The rule: what an entry holds beyond what is understood here goes back as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pgmcp.auth.tokens import ApiToken
from pgmcp.errors import COMMAND, FileError
from pgmcp.storage.files import Document, Where, dump_yaml, parse_yaml
from pgmcp.stores import entries
from pgmcp.stores.fields import Fields

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The tokens of a file, in its order, and its other keys."""

    tokens: tuple[ApiToken, ...] = ()
    others: Mapping[str, object] | None = None

    def dump(self) -> bytes:
        """The file, in the guide's list form."""
        if not self.tokens:
            return dump_yaml({**(self.others or {}), "tokens": []})
        unknown = [("", dict(token.entry)) for token in self.tokens if token.text is None]
        made = iter(entries.written("tokens", unknown))
        texts = [next(made) if token.text is None else token.text for token in self.tokens]
        others = dump_yaml(self.others) if self.others else b""
        return others + entries.join(texts, "tokens")

    def __iter__(self) -> Iterator[ApiToken]:
        return iter(self.tokens)

    def added(self, token: ApiToken) -> TokenFile:
        """With one more token."""
        return replace(self, tokens=(*self.tokens, token))

    def changed(self, hashed: str, change: Callable[[ApiToken], ApiToken]) -> TokenFile:
        """With the token of this hash changed; itself where nothing changes."""
        tokens = tuple(change(token) if token.hash == hashed else token for token in self.tokens)
        same = all(new is old for new, old in zip(tokens, self.tokens, strict=True))
        return self if same else replace(self, tokens=tokens)

    def without(self, drop: Callable[[ApiToken], bool]) -> TokenFile:
        """Without the tokens for which `drop` is true."""
        return replace(self, tokens=tuple(t for t in self.tokens if not drop(t)))


def parse_tokens(data: bytes, origin: str, known: Iterable[ApiToken] = ()) -> TokenFile:
    """The tokens of a file, in the list form or the Go program's map form; FileError.

    `known` are tokens that are taken as they are where the file still says the same.
    """
    tokens = _entries(data, origin, known)
    return parse_document(data, origin) if tokens is None else TokenFile(tokens, {})


def parse_document(data: bytes, origin: str) -> TokenFile:
    """The tokens of a file in any layout, by YAML's parser; FileError says what is wrong."""
    document = parse_yaml(data, origin)
    if document.value is None:
        raise FileError(
            "the file is empty", "A file without tokens says: tokens: []", origin=origin
        )
    top = Fields(document, (), document.value)
    top.need("tokens")
    listed = top.values["tokens"]
    wheres: list[Where]
    if isinstance(listed, list):
        wheres = [("tokens", position) for position in range(len(listed))]
        tokens = [_token(document, where, item) for where, item in zip(wheres, listed, strict=True)]
    elif isinstance(listed, dict):
        wheres = [("tokens", name) for name in listed]
        tokens = [_go_token(document, ("tokens", name), name, listed[name]) for name in listed]
    else:
        raise top.error("tokens", "is not a list", "A file without tokens says: tokens: []")
    seen: set[str] = set()
    for where, token in zip(wheres, tokens, strict=True):
        for name, value in (("id", token.id), ("hash", token.hash)):
            if f"{name} {value}" in seen:
                raise document.error((*where, name), "is there twice")
            seen.add(f"{name} {value}")
    others = {key: value for key, value in top.values.items() if key != "tokens"}
    return TokenFile(tuple(tokens), others)


def _entries(data: bytes, origin: str, known: Iterable[ApiToken]) -> tuple[ApiToken, ...] | None:
    """The tokens of a file in our own layout, None when it is another or something is wrong."""
    document = Document(None, origin, {(): 1})
    tokens = entries.parsed(
        data,
        "tokens",
        {token.text: token for token in known},
        lambda entry, text: _token(document, (), entry[1], text),
    )
    if tokens is None:
        return None
    unique = len({t.id for t in tokens}) == len({t.hash for t in tokens}) == len(tokens)
    return tuple(tokens) if unique else None


def _go_token(document: Document, where: Where, name: str, value: object) -> ApiToken:
    entry = dict(Fields(document, where, value).values)
    note = entry.pop("annotation", None)
    listed: dict[str, object] = {"id": name, "hash": entry.pop("hash", None), "note": note or ""}
    return _token(document, where, {**listed, **entry})


def _token(document: Document, where: Where, value: object, text: str | None = None) -> ApiToken:
    fields = Fields(document, where, value)
    hashed = fields.text("hash").lower()
    if not _HASH.fullmatch(hashed):
        raise fields.error("hash", "is not a SHA-256 hash: 64 hexadecimal digits")
    # Never is something that a file must say: a lost line must not make a token eternal.
    fields.need("expires_at")
    lasting = fields.values["expires_at"] in (None, "", "never")
    return ApiToken(
        id=fields.text("id"),
        hash=hashed,
        note=fields.text("note", ""),
        created_at=fields.time("created_at"),
        expires_at=None if lasting else fields.time("expires_at"),
        database=fields.text("database", "") or None,
        entry=fields.values,
        text=text,
        policy=fields.text("policy") if "policy" in fields.values else None,
        attenuable=fields.text("attenuable") if "attenuable" in fields.values else None,
        disabled_at=fields.text("disabled_at", "") or None,
    )


def missing_token_file(path: Path) -> FileError:
    """The guide's three lines."""
    return FileError(
        f"Token file not found: {path}",
        f"Create tokens with: {COMMAND} -add-token\nOr disable authentication with: -no-auth",
    )

"""Small YAML files: read within a limit, parsed strictly, written in the layout the guide shows.

The rule: a file says one thing. What could be read in two ways (a doubled key, an alias, a second
document, a tag) is refused, and an error names the file, the line and the key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pgmcp.errors import FileError
from pgmcp.storage.regular_file import open_regular

try:
    from yaml import CSafeDumper as Dumper
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeDumper as Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_BYTES = 64 * 1024 * 1024
"""The size of the largest file that is read: 300,000 tokens."""
_MAX_DEPTH = 32
_TAG = "tag:yaml.org,2002:"

Where = tuple[str | int, ...]
"""Where a value stands: mapping keys and list positions from the top."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: `value` is None, bool, int, float, str, list or dict with `str` keys."""

    value: object
    origin: str
    lines: Mapping[Where, int]

    def error(self, path: Where, problem: str, hint: str = "") -> FileError:
        """An error about the value at `path`, with the file, the line and the key."""
        known = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in self.lines)
        return _error(self.origin, self.lines[known], f"{dotted(path)} {problem}", hint)


def read(path: Path, max_bytes: int = MAX_BYTES) -> bytes | None:
    """The bytes of a regular file, None when there is none; FileError when it cannot be read."""
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(path, error) from error
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise os_error(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise FileError(
            f"larger than the {max_bytes} bytes allowed",
            "Name the right file, or take out of it what is not needed.",
            origin=str(path),
        )
    return data


def os_error(path: Path, error: OSError) -> FileError:
    """What the operating system said about a file, as an error that names the file."""
    return FileError((error.strerror or "input/output error").lower(), origin=str(path))


def load_yaml(text: bytes, origin: str) -> object:
    """The value of one YAML document, None when it is empty; FileError names `origin` and the line.

    Mapping keys are strings as written and timestamps stay strings.
    """
    return parse_yaml(text, origin).value


def parse_yaml(text: bytes, origin: str) -> Document:
    """Like `load_yaml`, and remembers on which line every value stands."""
    try:
        source = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _error(origin, line, "not UTF-8 text") from None
    try:
        return _Reader(source, origin).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not valid YAML"
        raise _error(
            origin, mark.line + 1 if mark else None, f"not valid YAML: {problem}"
        ) from None
    except yaml.YAMLError:
        # ReaderError: its text quotes the offending bytes, which may belong to a secret.
        raise _error(origin, None, "not valid YAML: a character that is not allowed") from None


def dump_yaml(value: Mapping[str, object]) -> bytes:
    """A YAML document in the layout of the guide: an indented list, dates in double quotes."""
    return "".join(_dump_key(key, item) for key, item in value.items()).encode() or b"{}\n"


def _dump_key(key: str, item: object) -> str:
    text: str = yaml.dump(
        {key: item},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1 << 30,
    )
    # libyaml, ten times as fast as PyYAML's own emitter, does not indent a list under its key.
    # Every scalar is on one line, so indenting lines changes no value.
    head, _, body = text.partition("\n")
    if not isinstance(item, list) or not body.startswith("- "):
        return text
    return head + "".join(f"\n  {line}" for line in body.rstrip("\n").split("\n")) + "\n"


def dotted(path: Where) -> str:
    """A path as people write it: `http.auth`, `tokens[2].hash`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _error(origin: str, line: int | None, problem: str, hint: str = "") -> FileError:
    place = "" if line is None else f"line {line}: "
    return FileError(f"{place}{problem}", hint, origin=origin)


class _Reader:
    """Makes a document from the parser's events, and never lets PyYAML build an object graph.

    Its own composer recurses without a limit and follows aliases.
    """

    def __init__(self, source: str, origin: str) -> None:
        self._loader: Any = Loader(source)
        self._origin = origin
        self._lines: dict[Where, int] = {(): 1}

    def document(self) -> Document:
        """The one document there is."""
        try:
            self._next(yaml.StreamStartEvent)
            value = None
            if not self._loader.check_event(yaml.StreamEndEvent):
                self._next(yaml.DocumentStartEvent)
                value = self._value((), self._loader.get_event())
                self._next(yaml.DocumentEndEvent)
            if not self._loader.check_event(yaml.StreamEndEvent):
                raise self._error(self._loader.get_event(), "a second document; only one is read")
            return Document(value, self._origin, self._lines)
        finally:
            self._loader.dispose()

    def _next(self, kind: type[yaml.Event]) -> None:
        event = self._loader.get_event()
        assert isinstance(event, kind)

    def _error(self, event: Any, problem: str) -> FileError:
        return _error(self._origin, event.start_mark.line + 1, problem)

    def _value(self, where: Where, event: Any) -> object:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._error(event, "anchors and aliases (& and *) are not accepted")
        if len(where) > _MAX_DEPTH:
            raise self._error(event, f"nested deeper than {_MAX_DEPTH} levels")
        self._lines[where] = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(where, event)
        if isinstance(event, yaml.MappingStartEvent) and event.tag in (None, f"{_TAG}map"):
            return self._mapping(where)
        if isinstance(event, yaml.SequenceStartEvent) and event.tag in (None, f"{_TAG}seq"):
            return self._sequence(where)
        raise self._error(event, f"{dotted(where)} has a tag that is not accepted")

    def _mapping(self, where: Where) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.anchor:
                raise self._error(event, f"a key of {dotted(where)} is not a plain word")
            key = event.value
            if key in mapping:
                raise self._error(event, f"{dotted((*where, key))} is there twice")
            mapping[key] = self._value((*where, key), self._loader.get_event())
        return mapping

    def _sequence(self, where: Where) -> list[object]:
        sequence: list[object] = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            sequence.append(self._value((*where, len(sequence)), event))
        return sequence

    def _scalar(self, where: Where, event: Any) -> object:
        tag = event.tag
        if tag in (None, "!"):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.removeprefix(_TAG)
        if kind in ("str", "timestamp", "merge", "value"):
            return str(event.value)
        if kind not in ("null", "bool", "int", "float"):
            raise self._error(event, f"{dotted(where)} has a tag that is not accepted")
        try:
            scalar: object = self._loader.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, KeyError, OverflowError):
            raise self._error(event, f"{dotted(where)} is not a valid {kind}") from None
        return scalar


class _Dumper(Dumper):
    """Writes no aliases, and quotes what would read back as something else."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True

    def represent_text(self, text: str) -> Any:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise FileError("cannot be written: text that is not valid Unicode") from None
        plain_tag = self.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        quoted = plain_tag != f"{_TAG}str" or len(text.splitlines()) > 1
        return self.represent_scalar(f"{_TAG}str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _Dumper.represent_text)

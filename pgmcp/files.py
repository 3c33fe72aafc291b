"""Small YAML files: read within a limit, parsed strictly, written in the layout the guide shows.

The rule: a file says one thing. What could be read in two ways (a doubled key, an alias, a second
document, a tag) is refused, and an error names the file, the line and the key.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pgmcp.errors import FileError

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_BYTES = 8 * 1024 * 1024
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
        # O_NONBLOCK: opening a FIFO would wait for a writer that never comes.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileError("not a regular file", origin=str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise os_error(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise FileError(f"larger than the {max_bytes} bytes allowed", origin=str(path))
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
        _refuse_ambiguity(source, origin)
        loader = Loader(source)
        try:
            lines: dict[Where, int] = {(): 1}
            node = loader.get_single_node()
            value = None if node is None else _value(loader, node, (), lines, origin)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not valid YAML"
        raise _error(
            origin, mark.line + 1 if mark else None, f"not valid YAML: {problem}"
        ) from None
    except yaml.YAMLError:
        # ReaderError: its text quotes the offending bytes, which may belong to a secret.
        raise _error(origin, None, "not valid YAML: a character that is not allowed") from None
    return Document(value, origin, lines)


def dump_yaml(value: object) -> bytes:
    """A YAML document in the layout of the guide: indented lists, dates in double quotes."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1 << 30,
    )
    return text.encode()


def dotted(path: Where) -> str:
    """A path as people write it: `http.auth`, `tokens[2].hash`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _error(origin: str, line: int | None, problem: str, hint: str = "") -> FileError:
    place = "" if line is None else f"line {line}: "
    return FileError(f"{place}{problem}", hint, origin=origin)


def _refuse_ambiguity(source: str, origin: str) -> None:
    """Walk the events first: composing recurses in C, and follows what is refused here."""
    depth = documents = 0
    for event in _events(source):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _error(origin, line, "a second document; only one is read")
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _error(origin, line, "anchors and aliases (& and *) are not accepted")
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _error(origin, line, f"nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _events(source: str) -> Iterator[Any]:
    yield from yaml.parse(source, Loader=Loader)


def _value(loader: Any, node: Any, path: Where, lines: dict[Where, int], origin: str) -> object:
    lines[path] = line = node.start_mark.line + 1
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = _key(key_node, path, origin)
            if key in mapping:
                where = key_node.start_mark.line + 1
                raise _error(origin, where, f"{dotted((*path, key))} is there twice")
            mapping[key] = _value(loader, value_node, (*path, key), lines, origin)
        return mapping
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [
            _value(loader, item, (*path, position), lines, origin)
            for position, item in enumerate(node.value)
        ]
    if kind in ("str", "timestamp"):
        return str(node.value)
    if kind in ("null", "bool", "int", "float") and isinstance(node, yaml.ScalarNode):
        try:
            scalar: object = loader.construct_object(node)
        except (ValueError, KeyError, OverflowError):
            raise _error(origin, line, f"{dotted(path)} is not a valid {kind}") from None
        return scalar
    raise _error(origin, line, f"{dotted(path)} has a tag that is not accepted")


def _key(node: Any, path: Where, origin: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        line = node.start_mark.line + 1
        raise _error(origin, line, f"a key of {dotted(path)} is not a plain word")
    return str(node.value)


class _Dumper(yaml.SafeDumper):
    """Indents lists, writes no aliases, and quotes what would read back as something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True

    def represent_text(self, text: str) -> Any:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise FileError("cannot be written: text that is not valid Unicode")
        plain_tag = self.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        quoted = plain_tag != f"{_TAG}str" or "\n" in text
        return self.represent_scalar(f"{_TAG}str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _Dumper.represent_text)

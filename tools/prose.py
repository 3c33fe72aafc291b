"""What prose says of flags, keys, variables, metrics and other pages, compared with what there is.

The rule: a name that no longer exists, a link that leads nowhere, and a README over its size are
problems of the documentation check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from pgmcp.cli.flag_table import all_flags
from pgmcp.config import databases, policies
from pgmcp.config.model import KEYS
from pgmcp.reference.pages import TOPICS
from tools.manual import metric_names

MOST_README_BYTES = 10 * 1024
_README = "README.md"
_FOLDER = "pgmcp/reference"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PROGRAM = re.compile(r"(?:^|[\s/])(?:pgedge-postgres-mcp|pgmcp)((?: [^|&;>#\n]*)?)", re.MULTILINE)
_COMMENT = re.compile(r"(?:^|\s)#(?:\s|$)", re.MULTILINE)
_FLAG = re.compile(r"(?:^|(?<=\s))-([a-z][a-z-]*)(?=$|[\s=.,:;])")
_KEY = re.compile(r"^(?:http|log|audit|metrics|llm|builtins|databases\[\])\.[a-z_.]+(?:NAME)?$")
_VARIABLE = re.compile(r"\bPGEDGE_[A-Z_]+\b")
_METRIC = re.compile(r"\bpgmcp_(?:[a-z]+_)*(?:total|seconds|sequence|failing|connections)\b")


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the README and the manual of a clone, one line each."""
    size = len((root / _README).read_bytes())
    if size > MOST_README_BYTES:
        yield f"{_README} has {size} bytes, and {MOST_README_BYTES} at most: it is for users"
    folder = root / _FOLDER
    for topic in TOPICS.keys() ^ {path.stem for path in folder.glob("*.md")}:
        yield f"{_FOLDER}/{topic}.md is a page and no topic, or the other way round"
    for path in (root / _README, *sorted(folder.glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for problem in (*unknown_names(text), *dead_links(text, path)):
            yield f"{path.relative_to(root)}: {problem}"


_A_POLICY = f"{policies.PREFIX}.NAME"
_POLICY_NAME = re.compile(rf"\A{policies.PREFIX}\.\w+")


def unknown_names(text: str) -> Iterator[str]:
    """The flags, keys, variables and metrics that a page names and that are not there."""
    prose = _FENCE.sub("", text)
    for span in _SPAN.findall(prose):
        if span.startswith("-") or span.startswith(("pgedge-postgres-mcp ", "pgmcp ")):
            yield from _unknown_flags(span)
        name = span.partition(":")[0]
        if _KEY.match(name) and not _is_key(name):
            yield f"there is no key {name}"
    for language, block in _FENCE.findall(text):
        if language == "sh" and _COMMENT.search(block):
            yield "a command has a comment, which zsh takes for arguments when it is pasted"
        if language == "sh":
            for words in _PROGRAM.findall(block):
                yield from _unknown_flags(words)
        if language == "yaml":
            yield from _unknown_keys(yaml.safe_load(block))
    known = {key.env for key in (*KEYS, *databases.KEYS)}
    yield from (f"there is no variable {name}" for name in _each(_VARIABLE, text) - known)
    yield from (f"there is no metric {name}" for name in _each(_METRIC, text) - metric_names())


def dead_links(text: str, page: Path) -> Iterator[str]:
    """The links of a page to files and headings that are not there."""
    for target in _LINK.findall(text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists():
            yield f"there is no file {path}"
        elif anchor and anchor not in _anchors(file.read_text(encoding="utf-8")):
            yield f"{path} has no heading #{anchor}"


def blocks(text: str, language: str) -> Sequence[str]:
    """The fenced blocks of one language, in their order."""
    return [block for name, block in _FENCE.findall(text) if name == language]


def _anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub and others make them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


def _unknown_flags(words: str) -> Iterator[str]:
    for name in _FLAG.findall(words):
        if name != "h" and name not in _flags() and f"{name}-" != "db-":
            yield f"there is no flag -{name}"


def _unknown_keys(document: object, prefix: str = "") -> Iterator[str]:
    if not isinstance(document, Mapping):
        return
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            for item in value:
                yield from _unknown_keys(item, f"{path}[].")
        elif isinstance(value, Mapping) and _POLICY_NAME.sub(_A_POLICY, path) not in _keys():
            yield from _unknown_keys(value, f"{path}.")
        elif not _is_key(path):
            yield f"there is no key {path}"


def _is_key(name: str) -> bool:
    """Whether this is a key, or a section of keys."""
    name = _POLICY_NAME.sub(_A_POLICY, name)
    return any(path == name or path.startswith(f"{name}.") for path in _keys())


@cache
def _keys() -> frozenset[str]:
    paths = {key.path for key in KEYS} | {f"databases[].{key.path}" for key in databases.KEYS}
    paths |= {f"{policies.PREFIX}.NAME.{key.path}" for key in policies.KEYS}
    return frozenset(paths | {path.removesuffix(".NAME") for path in paths})


@cache
def _flags() -> frozenset[str]:
    return frozenset(all_flags())


def _each(pattern: re.Pattern[str], text: str) -> set[str]:
    return set(pattern.findall(text))

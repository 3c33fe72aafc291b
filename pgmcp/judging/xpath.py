"""How long XPath expressions take: libxml, which evaluates them, looks for no time-out.

The rule: what may be evaluated anew for each node of the document multiplies, and a function of
strings reads the whole document, since a node's string is all the text inside it. Pure functions.
"""

from __future__ import annotations

import re

_BYTES_PER_NODE = 4  # at least: <a/>
_MAX_POWER = 20
_STEPS_PER_BYTE = 10
"""For each name and each call: to make a string of a node copies it, and then it is read."""

_LITERAL = re.compile(rb"\"[^\"]*\"|'[^']*'")
# [3], [last()], [@id], [name = "x"]: a look at the node, its attributes or its children
_PLAIN_PREDICATE = re.compile(
    rb"\[\s*(?:\d+|last\(\)|(?:@?[\w:-]+|\.|text\(\))\s*(?:(?:!?=|[<>]=?)\s*(?:\"\"|[\d.]+)\s*)?)\]"
)
_MULTIPLIES = re.compile(rb"//|::|\.\.|[<>=]+|[\[|]")

# They look for the second string at each place of the first; translate for each of its characters.
_SEARCHES = frozenset((b"contains", b"substring-before", b"substring-after", b"translate"))
_TOKEN = re.compile(rb"([\w.-]*)\s*\(|\"\"|[\w.-]+|\S")
_NAME = re.compile(rb"[\w.-]+|,")


def steps(path: bytes, document_bytes: int) -> int:
    """About how many nodes are visited and characters are compared, at most."""
    quoted = _LITERAL.sub(b'""', path)
    plain = _PLAIN_PREDICATE.sub(b"", quoted)
    power = min(max(1, len(_MULTIPLIES.findall(plain))), _MAX_POWER)
    nodes = 1 + document_bytes // _BYTES_PER_NODE
    words = len(_NAME.findall(quoted))
    text_bytes = document_bytes
    if b"concat" in quoted:  # each argument is copied again with each behind it
        text_bytes *= words
        words *= words
    return int(nodes**power * _searched(path, quoted, text_bytes)) + (
        _STEPS_PER_BYTE * words * document_bytes
    )


def _searched(path: bytes, quoted: bytes, text_bytes: int) -> int:
    """How often each character is compared: for a search for a string that is not written out, as
    often as the document has characters."""
    if not any(name in quoted for name in _SEARCHES):
        return 1
    searches = sum(_each_search(quoted))
    written = sum(map(len, _LITERAL.findall(path)))
    return 1 + written + searches * text_bytes


def _each_search(quoted: bytes) -> list[bool]:
    """For each search, whether its second argument is other than a string that is written out."""
    answers: list[bool] = []
    frames: list[list[int]] = [[-1, 0]]  # of each bracket: the number of its search, its commas
    for token in _TOKEN.finditer(quoted):
        said, frame = token[0], frames[-1]
        if said == b",":
            frame[1] += 1
        elif said == b")":
            if len(frames) > 1:
                frames.pop()
        elif said != b'""' and frame[0] >= 0 and frame[1] == 1:
            answers[frame[0]] = True
        if said.endswith(b"("):
            is_search = token[1] in _SEARCHES
            frames.append([len(answers) if is_search else -1, 0])
            if is_search:
                answers.append(False)
    return answers

"""PostgreSQL's node trees as values: what nodeToString (outfuncs.c) writes, read again.

The rule: nothing is interpreted here, and no input can exhaust the stack. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# PostgreSQL (outToken) escapes these and no other space: a name may hold U+00A0 or a form feed.
_TOKEN = re.compile(r"[(){}]|(?:[^ \n\t(){}\\]+|\\.)+", re.DOTALL)
_BRACKETS = frozenset("(){}")


@dataclass(slots=True)
class Node:
    """A node of the tree: its tag and its fields, each a list of atoms, lists and nodes."""

    tag: str
    fields: dict[str, list[object]] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """A field that holds one number, 0 when it does not."""
        value = self.fields.get(name)
        return int(value[0]) if value and isinstance(value[0], str) and value[0].isdigit() else 0

    def numbers(self, name: str) -> list[int]:
        """The numbers in a field that holds one or a list of them; a negative one counts as 0."""
        words = (word for word in flat(self.fields.get(name, [])) if isinstance(word, str))
        return [int(word) if word.isdigit() else 0 for word in words if word.lstrip("-").isdigit()]

    def children(self, name: str) -> list[Node]:
        """The nodes in a field that holds one or a list of them."""
        return [item for item in flat(self.fields.get(name, [])) if isinstance(item, Node)]


def parse(tree: str) -> list[object]:
    """A node tree as nested lists and nodes. Deep trees cost memory, not stack."""
    top: list[object] = []
    stack: list[tuple[list[object], Node | None]] = []
    items, node = top, None
    tokens = iter(_TOKEN.findall(tree))
    for word in tokens:
        if word not in _BRACKETS:
            if node is not None and word[0] == ":":
                items = node.fields.setdefault(word[1:], [])
            else:
                items.append(word)
        elif word == "{":
            stack.append((items, node))
            inside: list[object] = []
            node = Node(next(tokens, ""), {"": inside})
            items.append(node)
            items = inside
        elif word == "(":
            stack.append((items, node))
            inner: list[object] = []
            items.append(inner)
            items, node = inner, None
        elif stack:
            items, node = stack.pop()
    return top


def nodes(items: Sequence[object]) -> Iterator[Node]:
    pending: list[object] = list(items)
    while pending:
        item = pending.pop()
        if isinstance(item, Node):
            yield item
            pending.extend(item.fields.values())
        elif isinstance(item, list):
            pending.extend(item)


def flat(value: object) -> Iterator[object]:
    """The items of a list and of the lists in it; of anything else, itself."""
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        if isinstance(item, list):
            yield from flat(item)
        else:
            yield item

"""The columns for which PostgreSQL asks the caller's rights to read, from a statement's trees.

The rule: it says all of them, or that it does not know. A regular expression finds them many times
faster than a tree can be read node by node. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# RTEPERMISSIONINFO, and before PostgreSQL 16 RANGETBLENTRY: a relation, which rights are asked for,
# whose they are (0: the caller's, else a view's owner's), and a set of numbers. Names in a tree are
# escaped, so that none looks like a field (see `effects`).
_SELECTED = re.compile(
    r":relid\s+(\d+)\s(?:(?!:relid\s).)*?"
    r":requiredPerms\s+(\d+)\s+:checkAsUser\s+(\d+)\s+:selectedCols\s+\(b([\d\s]*)\)",
    re.DOTALL,
)
_SELECT = 1 << 1  # ACL_SELECT (nodes/parsenodes.h)
_FIRST = -7  # FirstLowInvalidHeapAttributeNumber (access/sysattr.h), which the numbers count from


def selected(tree: str, relations: frozenset[int]) -> Mapping[int, frozenset[int]] | None:
    """The columns (pg_attribute.attnum, 0 for a row as a value) by relation. `relations`: all that
    the tree names. None where it does not say what is asked for one of them."""
    columns: dict[int, frozenset[int]] = {}
    unknown = relations - {0}
    for relation, rights, owner, numbers in _SELECTED.findall(tree):
        unknown -= {int(relation)}
        if int(rights) & _SELECT and owner == "0":
            more = frozenset(int(number) + _FIRST for number in numbers.split())
            columns[int(relation)] = columns.get(int(relation), frozenset()) | more
    return None if unknown else columns

"""How many steps XPath expressions and calls of extensions take: more than a bound are refused."""

from __future__ import annotations

import pytest

from pgmcp.judging import xpath
from pgmcp.judging.extension_costs import COSTS
from pgmcp.judging.steps import MAX_STEPS

_MEGABYTE = 1_000_000
_QUICK = 500
"""Bytes of a document that stands in a table."""

SLOW = [
    "contains(a, b)",
    "contains (string(/r/a) , string(/r/b))",
    "1+contains('x', b)",
    "substring-before(a, b)",
    "substring-after(a, concat('x', b))",
    "translate(a, b, '')",
    "contains(contains(a, 'b'), c)",
    "/r[contains(a, b)]",
    f"string-length(concat({','.join(['a'] * 100)}))",
    "+".join(["string-length(a)"] * 2000),
    "count(//a[//a])",
]
QUICK = [
    "contains(a, 'x')",
    "//a[contains(., 'abc')]/b",
    'translate(a, "abc", "ABC")',
    "contains(concat(' ', @class, ' '), ' x ')",
    "substring-before(a, ' ')",
    "normalize-space(a)",
    "/r/a[1]/text()",
]


@pytest.mark.parametrize("path", SLOW)
def test_slow_paths_have_many_steps(path: str) -> None:
    header = b"\x48\0\0\0"  # of the constant in the tree
    assert xpath.steps(header + path.encode(), _MEGABYTE) > MAX_STEPS


@pytest.mark.parametrize("path", QUICK)
def test_ordinary_paths_have_few_steps(path: str) -> None:
    assert xpath.steps(path.encode(), _QUICK) < MAX_STEPS // 1000


def test_a_search_for_what_is_written_out_is_quick_in_a_large_document() -> None:
    for path in ("contains(a, 'x')", 'translate(/r/a, "abc", "")', "/r/a[1]"):
        assert xpath.steps(path.encode(), 10 * _MEGABYTE) < MAX_STEPS // 10


def test_costs_of_extensions_name_arguments_in_order() -> None:
    for cost in COSTS.values():
        assert cost.product in (None, (0, 1))
        assert cost.per_byte > 0
        assert cost.output >= 1

"""Which calls in a table's expressions may have constants alone when the planner reads them."""

from __future__ import annotations

import pytest

from pgmcp.judging.table_expressions import foldable

F, G, BUILT_IN = 20001, 20002, 870
VAR = "{VAR :varno 1 :varattno 1 :varlevelsup 0}"
CONST = "{CONST :consttype 25 :constisnull false :constvalue 5 [ 20 0 0 0 97 ]}"
NULL = "{CONST :consttype 25 :constisnull true :constvalue <>}"


def call(function: int, *arguments: str) -> str:
    return f"{{FUNCEXPR :funcid {function} :funcvariadic false :args ({' '.join(arguments)})}}"


@pytest.mark.parametrize(
    ("tree", "may_fold"),
    [
        (call(F, VAR), False),
        (call(F, VAR, CONST), False),
        (call(F, call(BUILT_IN, VAR)), False),
        (call(F, "{RELABELTYPE :arg " + VAR + "}"), False),
        (call(F, "{COERCEVIAIO :arg " + VAR + "}"), False),
        ("{OPEXPR :opno 3 :opfuncid %d :args (%s %s)}" % (F, VAR, CONST), False),  # noqa: UP031
        (call(F), True),
        (call(F, CONST), True),
        (call(F, VAR, NULL), True),
        (call(F, VAR, call(BUILT_IN, CONST)), True),
        (call(F, call(BUILT_IN, VAR, CONST)), True),
        (call(F, call(G, VAR)), True),
        (call(F, "{COALESCEEXPR :args (" + CONST + " " + VAR + ")}"), True),
        (call(F, "{BOOLEXPR :boolop and :args (" + VAR + ")}"), True),
        (call(BUILT_IN, call(F, VAR), call(F, CONST)), True),
        ("{SCALARARRAYOPEXPR :opno 3 :opfuncid %d :args (%s %s)}" % (F, VAR, CONST), True),  # noqa: UP031
        ("{ODD :funcid %d :args (%s)}" % (F, VAR), True),  # noqa: UP031
    ],
)
def test_a_call_may_be_folded_unless_a_value_of_the_table_stays_in_it(
    tree: str, may_fold: bool
) -> None:
    assert (F in foldable([tree], frozenset({F, G}))) is may_fold


def test_a_call_that_may_be_folded_counts_among_others_that_may_not() -> None:
    assert F in foldable([call(F, VAR), call(F, CONST)], frozenset({F}))


def test_a_deep_expression_may_be_folded() -> None:
    tree = VAR
    for _ in range(5_000):
        tree = call(BUILT_IN, tree)
    assert F in foldable([call(F, tree)], frozenset({F}))

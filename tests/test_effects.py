"""Which functions that are not PostgreSQL's own may run, by their rows in pg_proc alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pgmcp.judging.effects import Function, Objects, objection, objects_in
from pgmcp.sql.oids import FIRST_USER_OID

HARMLESS = Function(
    FIRST_USER_OID,
    schema="public",
    name="similarity",
    signature="similarity(text,text)",
    volatility="i",
    parallel="s",
    language="c",
    extension="pg_trgm",
    of_superusers=True,
    kind="f",
    defaults="",
    via="",
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"parallel": "u"},  # immutable is enough
        {"volatility": "s"},
        {"kind": "a", "extension": "", "of_superusers": False, "volatility": "v"},
        {"extension": "pgcrypto", "name": "gen_random_uuid", "volatility": "v", "parallel": "u"},
        {"extension": "tablefunc", "name": "normal_rand", "volatility": "v"},
    ],
)
def test_what_promises_to_have_no_effect_may_run(changes: dict[str, Any]) -> None:
    assert objection(dataclasses.replace(HARMLESS, **changes)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"volatility": "s", "parallel": "u"}, "not parallel safe"),
        ({"volatility": "s", "parallel": "r"}, "not parallel safe"),
        ({"volatility": "v"}, "declared volatile"),
        ({"extension": ""}, "user-defined function in c"),
        ({"of_superusers": False}, "does not belong to a superuser"),
        ({"extension": "isn", "name": "isn_weak"}, "it changes the session"),
        ({"extension": "tablefunc", "name": "crosstab"}, "reaches beyond this read"),
        (
            {"extension": "pgcrypto", "name": "gen_salt", "of_superusers": False},
            "does not belong to a superuser",
        ),
    ],
)
def test_what_could_have_an_effect_is_refused_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    assert reason in (objection(dataclasses.replace(HARMLESS, **changes)) or "")


def test_a_body_is_judged_only_if_a_user_wrote_it_in_sql() -> None:
    in_sql = dataclasses.replace(HARMLESS, language="sql")
    assert in_sql.in_sql
    assert not dataclasses.replace(in_sql, oid=FIRST_USER_OID - 1).in_sql
    assert not HARMLESS.in_sql


def test_objects_are_read_from_the_fields_that_hold_oids() -> None:
    tree = (
        "{QUERY :rtable ({RANGETBLENTRY :relid 16385 :relkind r}) :targetList ({OPEXPR :opno 96"
        " :opfuncid 65 :opresulttype 16 :args ({FUNCEXPR :funcid 16390 :funcresulttype 25})}"
        " {ROWCOMPAREEXPR :opnos (o 97 521)})}"
    )
    objects = objects_in(tree)
    assert objects == Objects(
        functions=frozenset({65, 16390}),
        operators=frozenset({96, 97, 521}),
        types=frozenset({16, 25}),
        relations=frozenset({16385}),
    )
    assert objects.of_users() == Objects(functions=frozenset({16390}))
    first = frozenset({FIRST_USER_OID - 1, FIRST_USER_OID})
    assert Objects(first, first, first, first).of_users() == Objects(*[first - {16383}] * 3)
    assert objects.of_users() and not Objects(relations=frozenset({16385}))

"""Several policies on one credential allow what each of them allows, and show no more."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.config.hours import parse as parse_hours
from pgmcp.config.masks import Mask, MaskRules
from pgmcp.config.patterns import Access, CanaryRules, ReadRules, parse
from pgmcp.config.policies import CanaryAction, Policy, PolicyLimits
from pgmcp.policy import intersection as intersection_
from pgmcp.policy.absence import hidden
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.decision import decide, mask_of, may_read, may_use
from pgmcp.policy.facts import Facts, UsedRelation
from pgmcp.policy.intersection import PolicyConflictError, intersection, together
from pgmcp.policy.masking import TEXT, masked
from pgmcp.policy.sources import ResultSource
from pgmcp.policy.uses import ColumnUse, RelationUse, TreeUses

TABLES = ("parent", "child", "other")
COLUMNS, CATEGORIES = {1: "a", 2: "b"}, {1: TEXT, 2: "N"}
RELATIONS = {
    1: UsedRelation("public", "parent", COLUMNS, CATEGORIES, (), (("public", "child"),)),
    2: UsedRelation("public", "child", COLUMNS, CATEGORIES, (("public", "parent"),)),
    3: UsedRelation("public", "other", COLUMNS, CATEGORIES),
}
KEY = b"k" * 32

_places = st.sampled_from(
    ["public.*", *(f"public.{t}" for t in TABLES), *(f"public.{t}.a" for t in TABLES)]
)
_lines = st.lists(
    st.tuples(st.sampled_from(["", "", "not "]), _places).map("".join), min_size=1, max_size=4
)
_masks = st.lists(
    st.tuples(
        st.sampled_from([f"public.{t}.{c}" for t in TABLES for c in "ab"]).map(parse),
        st.sampled_from(
            [Mask("null"), Mask("partial"), Mask("last4"), Mask("hash"), Mask("text", "x")]
        ),
    ),
    max_size=4,
).map(lambda rules: MaskRules(tuple(rules)))
_names = st.lists(st.sampled_from("pqr"), unique=True).map(tuple)
policies = st.builds(
    Policy,
    databases=_names,
    tools=_names,
    read=_lines.map(lambda lines: ReadRules(tuple(map(parse, lines)))),
    mask=_masks,
    functions=_names,
    limits=st.builds(PolicyLimits, rows_per_call=st.none() | st.integers(1, 9)),
)


def with_tables(uses: TreeUses) -> TreeUses:
    """With the tables of the columns, as each analysis has them."""
    tables = {RelationUse(use.relation, children=use.children) for use in uses.columns}
    return replace(uses, relations=uses.relations | tables)


_flags = st.booleans()
_used = st.builds(
    TreeUses,
    relations=st.frozensets(
        st.builds(RelationUse, st.integers(1, 3), children=_flags), min_size=1, max_size=3
    ),
    columns=st.frozensets(
        st.builds(ColumnUse, st.integers(1, 3), st.integers(0, 2), children=_flags, output=_flags),
        max_size=3,
    ),
)
_results = st.lists(
    st.frozensets(st.tuples(st.integers(1, 3), st.integers(1, 2), _flags), min_size=1, max_size=2),
    min_size=1,
    max_size=3,
).map(tuple)
_statements = st.builds(
    Facts, _used.map(with_tables), st.just(RELATIONS), st.just({9: "p"}) | st.just({})
)

VALUES = [b"12345678", b"12345670", b"02345678", b"02340678", b"x", b"y", None]


def shown(mask: tuple[Mask, str] | None) -> list[bytes | None]:
    return [row[0] for row in masked([(value,) for value in VALUES], [mask], KEY)]


def as_text(mask: Mask | None) -> tuple[Mask, str] | None:
    return None if mask is None else (mask, TEXT)


def tells_no_more(narrow: list[bytes | None], wide: list[bytes | None]) -> bool:
    """Whether what is shown of each value follows from what the other shows of it."""
    return len(set(zip(wide, narrow, strict=True))) == len(set(wide))


@given(st.lists(policies, min_size=1, max_size=3), _statements, _flags)
def test_a_statement_runs_when_each_policy_lets_it(
    several: list[Policy], facts: Facts, explains: bool
) -> None:
    both = decide(intersection(several[0], several[1:]), facts, frozenset("ab"), explains=explains)
    each = [decide(policy, facts, frozenset("ab"), explains=explains) for policy in several]
    assert (both.denial is None) == all(decision.denial is None for decision in each)


@given(st.lists(_masks, min_size=1, max_size=3), _results)
def test_a_result_column_shows_no_more_than_under_any_policy(
    several: list[MaskRules], results: tuple[frozenset[ResultSource], ...]
) -> None:
    under = [Policy(read=ReadRules((parse("public.*"),)), mask=mask) for mask in several]
    facts = Facts(TreeUses(results=results), RELATIONS, {})
    both = decide(intersection(under[0], under[1:]), facts, frozenset(), explains=False)
    each = [decide(policy, facts, frozenset(), explains=False) for policy in under]
    assert (both.denial is None) == all(decision.denial is None for decision in each)
    for column in range(len(results) if both.denial is None else 0):
        narrow = shown(both.masks[column] if both.masks else None)
        for decision in each:
            wide = shown(decision.masks[column] if decision.masks else None)
            assert tells_no_more(narrow, wide)


@given(st.lists(policies, min_size=1, max_size=3), _flags)
def test_the_catalogue_shows_what_each_policy_shows(several: list[Policy], children: bool) -> None:
    both = intersection(several[0], several[1:])
    for relation in RELATIONS.values():
        assert may_use(both, relation, children=children) == all(
            may_use(policy, relation, children=children) for policy in several
        )
        for column in "ab":
            assert may_read(both, relation, column, children=children) == all(
                may_read(policy, relation, column, children=children) for policy in several
            )
            narrow = mask_of(both, relation, column, children=children)
            for policy in several:
                wide = mask_of(policy, relation, column, children=children)
                assert tells_no_more(shown(as_text(narrow)), shown(as_text(wide)))


@given(st.lists(policies, min_size=1, max_size=3))
def test_names_and_limits_are_those_that_each_policy_allows(several: list[Policy]) -> None:
    both = intersection(several[0], several[1:])
    for name in "pqr":
        assert both.allows(name) == all(policy.allows(name) for policy in several)
        assert (not both.tools or name in both.tools) == all(
            not policy.tools or name in policy.tools for policy in several
        )
    rows = [policy.limits.rows_per_call or 99 for policy in several]
    assert (both.limits.rows_per_call or 99) == min(rows)


@given(st.lists(policies, min_size=1, max_size=3), st.sampled_from(["public", "other"]))
def test_a_schema_is_there_where_it_is_under_each_policy(
    several: list[Policy], schema: str
) -> None:
    both = intersection(several[0], several[1:])
    names = hidden(both, (), [schema], frozenset({schema}))
    each = [hidden(policy, (), [schema], frozenset({schema})) for policy in several]
    assert names == frozenset().union(*each)


def test_hours_and_networks_hold_of_each_policy() -> None:
    early = ActivePolicy(Policy(hours=(parse_hours("Mon-Sun 06:00-12:00 UTC"),)))
    late = ActivePolicy(Policy(hours=(parse_hours("Mon-Sun 11:00-20:00 UTC"),)))
    here = ActivePolicy(Policy(networks=("10.0.0.0/8",)))
    both = together(early, [late, here])
    assert both.closed("10.0.0.1", datetime.fromisoformat("2026-11-28T11:30Z")) is None
    for moment in ("2026-11-28T10:30Z", "2026-11-28T12:30Z"):
        assert "times" in str(both.closed("10.0.0.1", datetime.fromisoformat(moment)))
    at_noon = datetime.fromisoformat("2026-11-28T11:30Z")
    assert "address" in str(both.closed("192.0.2.1", at_noon))


def test_a_key_without_a_rule_must_be_the_same_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    readable = Policy(read=ReadRules((parse("public.*"),)))
    monkeypatch.setattr(intersection_, "_RULES", dict(intersection_._RULES) | {"read": _same()})
    assert intersection(readable, [Policy(read=readable.read)]).read == readable.read
    with pytest.raises(PolicyConflictError, match="read"):
        intersection(readable, [Policy()])
    both = together(ActivePolicy(readable), [ActivePolicy(Policy())])
    assert "differ in read" in str(both.closed("", datetime.fromisoformat("2026-11-28T11:30Z")))
    assert both.policy.read.table("public", "x") is Access.UNNAMED


def _same() -> object:
    return intersection_._same


ROLE = Policy(role="shop_support", settings=(("app.tenant_id", "42"),))


def test_a_policy_adds_no_role_and_no_settings_to_the_credentials_own() -> None:
    both = intersection(ROLE, [Policy(), Policy(role="shop_support")])
    assert (both.role, both.settings) == (ROLE.role, ROLE.settings)
    for own in (None, Policy(), Policy(role="other"), Policy(role="shop_support")):
        with pytest.raises(PolicyConflictError, match=r"role|settings"):
            intersection(own, [Policy(), ROLE])
    assert intersection(None, [Policy(), Policy()]).role is None


def test_each_key_of_a_policy_has_a_rule() -> None:
    """Add a rule for a new key, or it refuses credentials whose policies differ in it."""
    assert {each.name for each in fields(Policy)} == set(intersection_._RULES)


def baited(*lines: str, action: CanaryAction = "stop") -> Policy:
    return Policy(canaries=CanaryRules(tuple(map(parse, lines))), canary_action=action)


def test_together_policies_have_the_canaries_of_each() -> None:
    alarming = baited("public.vault", action="alarm")
    plain = baited()
    stopping = baited("public.users.ssn")
    both = intersection(alarming, [plain, stopping])
    assert both.canaries
    assert both.canaries.holds_table("public", "vault")
    assert not both.canaries.holds_table("public", "users")
    assert both.canaries.names("public", "users", "ssn")
    assert both.canaries.names("public", "vault", "word")
    assert both.canary_action == "stop"
    assert intersection(alarming, [plain]).canary_action == "alarm"
    assert not intersection(plain, [plain]).canaries

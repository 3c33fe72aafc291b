"""The text of attenuable tokens: what a holder can add to it, and what nobody can make of it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.auth.attenuation import (
    MAX_CONDITIONS,
    AttenuationError,
    AttenuationKey,
    attenuated,
    claim_of,
    narrowing_of,
    new_attenuable_secret,
)
from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.tokens import MAX_SECRET_CHARACTERS, digest

KEY, OTHER = AttenuationKey.of(b"k" * 32), AttenuationKey.of(b"o" * 32)
PARENT = new_attenuable_secret(KEY)
ROWS, TOOL = Narrowing(rows=5), Narrowing(tools=("count_rows",))
CHILD = attenuated(attenuated(PARENT, ROWS), TOOL)

_names = st.lists(
    st.text(
        st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=20
    ),
    min_size=1,
    max_size=3,
).map(tuple)
narrowings = st.builds(
    Narrowing,
    databases=st.none() | _names,
    policies=st.just(()) | _names.map(lambda names: tuple(dict.fromkeys(names))),
    tools=st.none() | _names,
    rows=st.none() | st.integers(1, 1_000_000),
    expires_at=st.none()
    | st.integers(1, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    networks=st.sampled_from([(), (("10.0.0.0/8", "::1/128"),), (("192.0.2.1/32",),)]),
).filter(lambda narrowing: narrowing != Narrowing())


def said(secret: str, key: AttenuationKey = KEY) -> Narrowing | None:
    """What a token says that is genuine and of the parent; None for any other."""
    claim = claim_of(secret, key)
    if claim is None or not claim.genuine or claim.parent != digest(PARENT):
        return None
    return narrowing_of(claim.conditions)


@given(narrowings)
def test_what_a_holder_adds_is_what_the_server_reads(narrowing: Narrowing) -> None:
    try:
        child = attenuated(PARENT, narrowing)
    except AttenuationError as error:
        assert "characters at most" in str(error)
        return
    assert said(child) == narrowing
    assert said(child, OTHER) is None
    assert child.isascii()
    assert " " not in child
    fewer = min(narrowing.rows or 5, 5)
    assert said(attenuated(child, ROWS)) == replace(narrowing, rows=fewer)


def test_a_child_of_a_child_has_the_conditions_of_both() -> None:
    assert said(CHILD) == Narrowing(tools=("count_rows",), rows=5)
    assert said(attenuated(CHILD, Narrowing(tools=("query_database",), rows=9))) == Narrowing(
        tools=(), rows=5
    )


def test_the_parent_is_no_narrowed_token_and_its_key_is_not_in_its_name() -> None:
    assert claim_of(PARENT, KEY) is None
    assert KEY.value.hex() not in KEY.id
    assert "kkkk" not in repr(KEY)
    assert KEY.id != OTHER.id


@given(st.data())
def test_a_token_whose_text_was_changed_in_any_place_is_not_genuine(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(CHILD) - 1))
    other = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != CHILD[place]))
    for text in (
        CHILD[:place] + other + CHILD[place + 1 :],
        CHILD[:place] + CHILD[place + 1 :],
        CHILD[:place] + other + CHILD[place:],
        CHILD[:place],
    ):
        assert said(text) is None, text


def test_conditions_cannot_be_taken_away_reordered_or_taken_from_another_token() -> None:
    kind, nonce, rows, tool, tag = CHILD.split(".")
    other_child = attenuated(attenuated(new_attenuable_secret(KEY), ROWS), TOOL)
    other_nonce, other_tag = other_child.split(".")[1], other_child.split(".")[-1]
    parent_tag = PARENT.split(".")[-1]
    for parts in (
        (nonce, tag),
        (nonce, rows, tag),
        (nonce, tool, tag),
        (nonce, tool, rows, tag),
        (nonce, rows, tool, tool, tag),
        (nonce, rows + tool, tag),
        (nonce, rows, tool, other_tag),
        (nonce, rows, tool, parent_tag),
        (other_nonce, rows, tool, tag),
        (nonce, rows, parent_tag),
        (nonce, parent_tag, tag),
    ):
        assert said(".".join((kind, *parts))) is None, parts


def _condition(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "%",
        "AAAAA",
        _condition(""),
        _condition("rows"),
        _condition("rows\n"),
        _condition("rows\n0"),
        _condition("rows\n-1"),
        _condition("rows\n1.5"),
        _condition("rows\n1\n2"),
        _condition("rows\n١"),
        _condition("Rows\n1"),
        _condition("until\nnever"),
        _condition("until\n99999999999999"),
        _condition("tool\n\n"),
        _condition("network\n10.0.0.1/8"),
        _condition("network\nlocalhost"),
        _condition("future condition\nx"),
        _condition(b"tool\n\xff"),
    ],
)
def test_a_condition_that_cannot_be_read_is_never_skipped(condition: str) -> None:
    """A holder makes it with the right tag, as one of a newer release might."""
    import hmac

    kind, nonce, tag = PARENT.split(".")
    key = base64.urlsafe_b64decode(tag + "=")
    right = _condition(hmac.digest(key, condition.encode(), "sha256"))
    claim = claim_of(".".join((kind, nonce, condition, right)), KEY)
    assert claim is not None
    assert claim.genuine
    assert narrowing_of(claim.conditions) is None
    assert narrowing_of([*claim_of(CHILD, KEY).conditions, condition]) is None  # type: ignore[union-attr]


def test_size_and_number_are_bounded_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = PARENT
    for _ in range(MAX_CONDITIONS):
        text = attenuated(text, ROWS)
    assert said(text) == ROWS
    with pytest.raises(AttenuationError, match="conditions at most"):
        attenuated(text, ROWS)
    with pytest.raises(AttenuationError, match="characters at most"):
        attenuated(PARENT, Narrowing(tools=("x" * MAX_SECRET_CHARACTERS,)))
    kind, nonce, *conditions, tag = text.split(".")
    computed: list[object] = []
    monkeypatch.setattr("hmac.digest", lambda *words: computed.append(words))
    many = ".".join((kind, nonce, *conditions, conditions[0], tag))
    long = ".".join((kind, nonce, "A" * MAX_SECRET_CHARACTERS, tag))
    for refused in (many, long, f"{kind}.{nonce}", f"{kind}.{nonce}.{tag}x", kind, "", "x" * 44):
        assert claim_of(refused, KEY) is None
    assert computed == []


def test_only_a_token_that_is_attenuable_can_be_narrowed_and_by_something() -> None:
    with pytest.raises(AttenuationError, match="-attenuable"):
        attenuated("an ordinary token", ROWS)
    with pytest.raises(AttenuationError, match="no condition"):
        attenuated(PARENT, Narrowing())
    for names in (("a\nb",), ("a", ""), ()):
        with pytest.raises(AttenuationError, match="tool"):
            attenuated(PARENT, Narrowing(tools=names))

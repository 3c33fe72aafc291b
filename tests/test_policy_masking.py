"""What masks show, and how a policy says them: values only."""

from __future__ import annotations

import pytest

from pgmcp.config.masks import Mask
from pgmcp.errors import ConfigError
from pgmcp.policy.masking import TEXT, TIME, masked
from tests.configuration import configure


@pytest.mark.parametrize(
    ("mask", "category", "value", "shown"),
    [
        (Mask("null"), "N", "5", None),
        (Mask("text", "0"), "N", "5", "0"),
        (Mask("text", "x"), "N", "5", None),
        (Mask("text", "x"), "U", "5", "x"),
        (Mask("text", "no"), "B", "t", "no"),
        (Mask("text", "hidden"), "B", "t", None),
        (Mask("text", "1900-01-01"), TIME, "1980-05-17", "1900-01-01"),
        (Mask("text", "hidden"), TIME, "1980-05-17", None),
        (Mask("partial"), TEXT, "ann.lee@example.com", "***.***@example.com"),
        (Mask("partial"), TEXT, "annabel.leeson@example.com", "a***l.l***n@example.com"),
        (Mask("partial"), TEXT, "Annabel Lee", "A***l ***"),
        (Mask("partial"), TEXT, "a b@c", "*** ***@***"),
        (Mask("partial"), TEXT, "", ""),
        (Mask("partial"), TIME, "1980-05-17", "1980"),
        (Mask("partial"), "N", "12345", None),
        (Mask("last4"), TEXT, "12345678", "***5678"),
        (Mask("last4"), TEXT, "1234567", "***"),
        (Mask("last4"), "N", "12345678", None),
    ],
)
def test_what_a_mask_shows(mask: Mask, category: str, value: str, shown: str | None) -> None:
    (row,) = masked([(value.encode(),)], [(mask, category)], b"")
    assert row == (None if shown is None else shown.encode(),)


def test_a_hash_is_equal_for_equal_values_under_one_key() -> None:
    rows = [(b"a",), (b"a",), (b"b",), (None,)]
    first = masked(rows, [(Mask("hash"), "N")], b"key")
    assert first[0] == first[1] != first[2]
    assert first[3] == (None,)
    assert len(first[0][0] or b"") == 16
    assert masked(rows, [(Mask("hash"), "N")], b"another")[0] != first[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "it must be a section"),
        ("{public.users: partial}", "is no column"),
        ("{not public.users.email: partial}", "is no column"),
        ("{public.users.email: [x]}", "is no text"),
        ("{email: partial}", "names no table"),
    ],
)
def test_what_is_no_mask_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configure(f"policies: {{a: {{mask: {text}}}}}")
    assert problem in refused.value.message
    assert "policies.a.mask" in refused.value.message


def test_masks_are_read() -> None:
    config = configure(
        "policies: {a: {mask: {public.u.a: null, public.u.b: last4, public.u.c: 0,"
        " public.u.d: n/a}}}"
    )
    rules = config.policies["a"].mask
    shown = [rules.column("public", "u", name) for name in "abcde"]
    assert shown == [Mask("null"), Mask("last4"), Mask("text", "0"), Mask("text", "n/a"), None]

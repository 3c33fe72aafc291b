"""Subjects of certificates: what an operator writes and what a certificate holds meet exactly."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.config.subject import canonical, of_certificate

APP = ((("countryName", "DE"),), (("organizationName", "Ex, ample"),), (("commonName", "app1"),))


def test_a_certificate_s_subject_begins_with_its_innermost_part() -> None:
    assert of_certificate(APP) == r"CN=app1,O=Ex\, ample,C=DE"


@pytest.mark.parametrize(
    "text",
    [
        r"CN=app1,O=Ex\, ample,C=DE",
        r"cn=app1, o=Ex\2c ample , C = DE",
        r"commonName=app1,organizationName=Ex\, ample,countryName=DE",
    ],
)
def test_spellings_of_one_subject_are_the_same(text: str) -> None:
    assert canonical(text) == of_certificate(APP)


@pytest.mark.parametrize(
    "text", ["CN=App1", "CN=app1 ", "CN=app1,O=X", r"CN=app1\ ", "OU=app1", r"CN=a\,CN=app1"]
)
def test_other_subjects_are_others(text: str) -> None:
    same = text.strip(" ") == "CN=app1"
    assert (canonical(text) == of_certificate(((("commonName", "app1"),),))) is same


def test_a_part_of_several_attributes_has_no_order() -> None:
    part = ((("commonName", "a"), ("userId", "b")),)
    assert canonical("UID=b+CN=a") == canonical("CN=a + UID=b") == of_certificate(part)


@pytest.mark.parametrize(
    "text",
    ["", "app1", "=x", "CN=", "CN=#04024869", "CN=a;b", 'CN="a"', "CN=a\\", r"CN=a\zz", "CN=a,",
     r"CN=\ff", "C N=a"],
)  # fmt: skip
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        canonical(text)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_what_a_certificate_s_subject_reads_can_be_configured(values: list[str]) -> None:
    name = [[("commonName", value)] for value in values]
    text = of_certificate(name)
    assert canonical(text) == text
    assert "\n" not in text


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_read_differently(one: str, other: str) -> None:
    first, second = (of_certificate([[("commonName", value)]]) for value in (one, other))
    assert (first == second) == (one == other)


@given(st.text())
def test_any_text_is_a_subject_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert canonical(canonical(text)) == canonical(text)

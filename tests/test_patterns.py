"""What regular expressions may say, for every Python that the program runs on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgmcp.language.tokens import tokenise

ROOT = Path(__file__).resolve().parent.parent
_POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]*\})\+")


def test_no_group_is_repeated_possessively() -> None:
    """Before Python 3.11.5 such a repetition, `(?:…)*` with a + after it, may go on after a failed
    round from where that stopped (gh-106052). The atomic group `(?>(?:…)*)` is right in all."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("pgmcp", "tools")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _POSSESSIVE_GROUP.search(line)
    ]
    assert wrong == []


@pytest.mark.parametrize("pattern", ["(?:a)*+", "(a|b)++", "(?:a){1,2}+", "(?:a){,3}+", "(a)?+"])
def test_each_form_of_it_is_seen(pattern: str) -> None:
    assert _POSSESSIVE_GROUP.search(pattern)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("named 'it''s' here", [("named", "word"), ("it's", "string"), ("here", "word")]),
        ("'' ''ab '", [("", "string")]),
        ("over 1,000,000 rows", [("over", "word"), ("1000000", "number"), ("rows", "word")]),
    ],
)
def test_strings_and_numbers_end_where_they_end(text: str, tokens: list[tuple[str, str]]) -> None:
    seen = [(token.text, token.kind) for token in tokenise(text)]
    assert seen[: len(tokens)] == tokens

"""What three pieces of pure work cost: rendering rows, understanding a question, and verifying a
narrowed token.

The rule: in this process and without a database, beside the same amount of plain work done in
turns, so that the ratio says what pgmcp adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

from pgmcp.auth.attenuation import (
    AttenuationKey,
    attenuated,
    claim_of,
    narrowing_of,
    new_attenuable_secret,
)
from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.tokens import digest, new_secret
from pgmcp.catalog.catalogue import Catalogue, Column, Relation
from pgmcp.language import facade
from pgmcp.postgres.rows import ResultColumn, Rows, Value
from pgmcp.render import tsv

_WORDS = "item log entry batch team task file plan note part site unit rate zone lane".split()
_ROW = (b"12345", b"some text", b"2024-01-01 00:00:00.123456", None, b"t", b"3.14")
_QUESTION = "can you please show me the city of all active users, sorted by city"


def measure() -> Iterator[tuple[str, float, float]]:
    """Kinds of work, each with its best time in microseconds and that of its yardstick."""
    rows: list[tuple[Value, ...]] = [_ROW] * 1000
    answer = Rows(tuple(ResultColumn(f"c{n}", 25) for n in range(len(_ROW))), rows)

    def joined() -> None:
        b"\n".join(b"\t".join(value or b"" for value in row) for row in rows).decode()

    yield "1,000 rows of 6 as TSV, beside a bare join", *_best(lambda: tsv.render(answer), joined)
    lexicon = facade.Lexicon.of(_thousand_tables())
    today = date(2025, 3, 15)
    yield (
        "a question among 1,000 tables, beside splitting it 1,000 times",
        *_best(
            lambda: facade.translate(_QUESTION, lexicon, today=today, read_values=lambda _: ()),
            lambda: [_QUESTION.split() for _ in range(1000)],
        ),
    )
    yield "a token with 5 conditions, beside an ordinary one", *_best(*_tokens())


def _tokens() -> tuple[Callable[[], object], Callable[[], object]]:
    """Verifying a narrowed token that is seen for the first time, and hashing an ordinary one: what
    both cost besides is a look-up of the hash."""
    key, plain = AttenuationKey.of(b"k" * 32), new_secret()
    conditions = Narrowing(
        databases=("shop",),
        policies=("support",),
        tools=("query_database", "count_rows"),
        rows=500,
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    secret = attenuated(new_attenuable_secret(key), conditions)

    def verified() -> None:
        claim = claim_of(secret, key)
        if claim is None or not claim.genuine or narrowing_of(claim.conditions) != conditions:
            raise ValueError("the token is not what was measured")

    return verified, lambda: digest(plain)


def _thousand_tables() -> Catalogue:
    users = Relation(
        "public",
        "users",
        "table",
        (
            Column("id", "integer", "N"),
            Column("city", "text", "S"),
            Column("active", "boolean", "B"),
        ),
    )
    others = [
        Relation(
            "public",
            f"{first}_{second}_{n}s",
            "table",
            tuple(Column(f"{first}_{word}", "text", "S") for word in _WORDS),
        )
        for n in range(5)
        for first in _WORDS
        for second in _WORDS
    ]
    return Catalogue((users, *others[:999]))


def _best(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(50):
        for run, into in zip((first, second), taken, strict=True):
            at = time.perf_counter()
            run()
            into.append(time.perf_counter() - at)
    ours, base = (min(times) * 1e6 for times in taken)
    return ours, base

"""Phrases of time -> half-open ranges of days, given what "today" is.

The rule: a range is returned only when every calendar reader would draw the same one; "next
Friday", a day that does not exist and "until 2024" are not understood.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import MINYEAR, date, timedelta

from pgmcp.language import words
from pgmcp.language.match import number
from pgmcp.language.reading import Parses, Reading, remembered, starts, word

Range = tuple[date | None, date | None]
"""From the first day to before the second; None is open."""


@remembered
def period(reading: Reading, start: int) -> Parses[Range]:
    """A phrase of time, its preposition included: "since 2024", "last week", "before March 1"."""
    return [
        *_within(reading, start),
        *_from_on(reading, start),
        *_up_to(reading, start),
        *_bounded(reading, start),
        *_older_than(reading, start),
    ]


def _within(reading: Reading, i: int) -> Iterator[tuple[Range, int, int]]:
    """ "in March 2024", "last week", "2024 or later"."""
    for position in (
        i,
        *word(reading, i, "in", "on", "during", "of", "from", "for", "within", "made in"),
    ):
        for (start, end), after_span, named in _span(reading, position):
            if position != i or named:
                yield (start, end), after_span, 0
            for after_on in word(
                reading, after_span, "on", "onwards", "onward", "and later", "or later", "and after"
            ):
                yield (start, None), after_on, 0


def _from_on(reading: Reading, i: int) -> Iterator[tuple[Range, int, int]]:
    """ "since 2024", "after 2024"."""
    for after_since in word(
        reading, i, "since", "starting", "as of", "beginning", "not before", "starting from"
    ):
        yield from (
            ((start, None), after_span, 0)
            for (start, _), after_span, _ in _span(reading, after_since)
        )
    for after_after in word(reading, i, "after", "later than"):
        yield from (
            ((end, None), after_span, 0) for (_, end), after_span, _ in _span(reading, after_after)
        )


def _up_to(reading: Reading, i: int) -> Iterator[tuple[Range, int, int]]:
    """ "before 2024", "until 3 May"; "until 2024" is not understood: with or without that year?"""
    for after_before in word(reading, i, "before", "prior to", "earlier than", "older than"):
        yield from (
            ((None, start), after_span, 0)
            for (start, _), after_span, _ in _span(reading, after_before)
        )
    for after_until in word(reading, i, "until", "till", "up to", "through", "not after"):
        for (start, end), after_span, _ in _span(reading, after_until):
            if _is_one_day(start, end):
                yield (None, end), after_span, 0
        for after_the_end_of in word(reading, after_until, "the end of", "end of"):
            yield from (
                ((None, end), after_span, 0)
                for (_, end), after_span, _ in _span(reading, after_the_end_of)
            )


def _bounded(reading: Reading, i: int) -> Iterator[tuple[Range, int, int]]:
    """ "between 2022 and 2024", "from May to July 2024"."""
    for after_between in word(reading, i, "between", "from"):
        for (start, first_end), after_span, _ in _span(reading, after_between):
            for after_and in word(reading, after_span, "and", "to", "until", "till", "through"):
                for (second, end), after_second, _ in _span(reading, after_and):
                    if start < second and first_end <= end:
                        yield (start, end), after_second, 0
        yield from _shared_year(reading, after_between)


def _older_than(reading: Reading, start: int) -> Iterator[tuple[Range, int, int]]:
    """ "older than 30 days", "more than 2 weeks ago"."""
    for after_older_than in word(reading, start, "older than", "more than"):
        for after_counted, unit, count in _counted(reading, after_older_than):
            past = word(reading, after_counted, "ago", "old")
            if past or reading.tokens[after_older_than - 2].lower == "older":
                for position in past or [after_counted]:
                    yield (None, _back(reading.today, unit, count)), position, 0


def yearless(reading: Reading, start: int, end: int) -> bool:
    """Whether these tokens name a month, and no year."""
    span = reading.tokens[start:end]
    return any(token.lower in words.MONTHS for token in span) and not any(
        token.kind == "number" and len(token.text) == 4 for token in span
    )


def _is_one_day(start: date, end: date) -> bool:
    return end - start == timedelta(days=1)


def _shared_year(reading: Reading, start: int) -> Iterator[tuple[Range, int, int]]:
    """ "November and December 2024": the year belongs to both."""
    for m in starts(reading, start):
        if m < len(reading.tokens) and reading.tokens[m].lower in words.MONTHS:
            first = words.MONTHS[reading.tokens[m].lower]
            for after_and in word(reading, m + 1, "and", "to", "until", "till", "through"):
                for (second, end), after_span, _ in _span(reading, after_and):
                    if (
                        after_span == after_and + 2
                        and reading.tokens[after_span - 1].kind == "number"
                        and first < second.month
                    ):
                        yield (date(second.year, first, 1), end), after_span, -1


@remembered
def _span(reading: Reading, i: int) -> list[tuple[tuple[date, date], int, bool]]:
    """A stretch of days without preposition; the flag says that it can stand without one."""
    spans: list[tuple[tuple[date, date], int, bool]] = []
    today = reading.today
    for word_at in starts(reading, i):
        if word_at >= len(reading.tokens):
            continue
        token = reading.tokens[word_at]
        if token.kind == "date":
            spans += [
                ((day, day + timedelta(days=1)), word_at + 1, True) for day in _iso(token.text)
            ]
        elif token.kind == "number" and len(token.text) == 4 and "1900" <= token.text <= "2100":
            year = int(token.text)
            spans.append(((date(year, 1, 1), date(year + 1, 1, 1)), word_at + 1, True))
        elif token.lower in ("today", "yesterday", "tomorrow"):
            shift = {"today": 0, "yesterday": -1, "tomorrow": 1}[token.lower]
            day = today + timedelta(days=shift)
            spans.append(((day, day + timedelta(days=1)), word_at + 1, True))
        spans += _relative(reading, word_at)
        spans += _month(reading, word_at)
        spans += _quarter(reading, word_at)
        for after_beginning_of in word(
            reading, word_at, "beginning of", "start of", "year", "month of"
        ):
            head = reading.tokens[word_at].lower
            for (start, end), after_span, _ in _span(reading, after_beginning_of):
                if head in ("beginning", "start"):
                    spans.append(((start, start + timedelta(days=1)), after_span, False))
                elif head == "month" or (end - start).days > 364:
                    spans.append(((start, end), after_span, True))
    return spans


def _iso(text: str) -> list[date]:
    year, month, day = (int(part) for part in text.split("-"))
    try:
        return [date(year, month, day)]
    except ValueError:
        return []


def _relative(reading: Reading, start: int) -> Iterator[tuple[tuple[date, date], int, bool]]:
    """ "this month", "last 3 weeks", "2 days ago"."""
    if reading.tokens[start].lower in _HEADS and start + 1 < len(reading.tokens):
        yield from _calendar_unit(reading, start)
        yield from _last_units(reading, start)
    for after_counted, unit, count in _counted(reading, start):
        for after_ago in word(reading, after_counted, "ago"):
            if unit == "day":
                day = _back(reading.today, unit, count)
                yield (day, day + timedelta(days=1)), after_ago, True


_HEADS = ("this", "current", "last", "previous", "next", "past")


def _calendar_unit(reading: Reading, begin: int) -> Iterator[tuple[tuple[date, date], int, bool]]:
    """ "this month", "last year", "past week"."""
    tokens, today = reading.tokens, reading.today
    head, unit_word = tokens[begin].lower, tokens[begin + 1].lower
    unit = words.UNITS.get(unit_word)
    if not unit or unit_word.endswith("s") or unit == "day":
        return
    if head == "past":
        yield (_back(today, unit, 1), today + timedelta(days=1)), begin + 2, True
    elif head != "last" or begin == 0 or tokens[begin - 1].lower != "the":
        # "the last year" may be the one up to today.
        shift = {"this": 0, "current": 0, "next": 1}.get(head, -1)
        start = _shift(floor(today, unit), unit, shift)
        yield (start, _shift(start, unit, 1)), begin + 2, True


def _last_units(reading: Reading, start: int) -> Iterator[tuple[tuple[date, date], int, bool]]:
    """ "last 3 weeks", "next 2 days"."""
    head, today = reading.tokens[start].lower, reading.today
    for after_counted, unit, count in _counted(reading, start + 1):
        if head in ("last", "past", "previous") and after_counted > start + 2:
            yield (_back(today, unit, count), today + timedelta(days=1)), after_counted, True
        elif head == "next":
            yield (today, _shift(today, unit, count) + timedelta(days=1)), after_counted, True


def _counted(reading: Reading, start: int) -> Iterator[tuple[int, str, int]]:
    """ "30 days": (end, unit, count)."""
    for text, after_number in number(reading, start):
        if after_number < len(reading.tokens) and text.isdecimal() and 0 < int(text) < 1_000:
            unit = words.UNITS.get(reading.tokens[after_number].lower)
            if unit:
                yield after_number + 1, unit, int(text)


def _month(reading: Reading, begin: int) -> Iterator[tuple[tuple[date, date], int, bool]]:
    tokens = reading.tokens
    lower = [token.lower for token in tokens[begin : begin + 5]]
    if lower[0] in words.MONTHS and tokens[begin].kind == "word":
        month = words.MONTHS[lower[0]]
        year, after_year = _year(lower, 1)
        start = date(year, month, 1) if year else _latest(reading.today, month, 1)
        if start:
            # "may" is also an auxiliary: alone it needs its preposition and a capital.
            yield (start, _shift(start, "month", 1)), begin + after_year, bool(year)
        day = _day(lower[1]) if len(lower) > 1 else None
        if day:
            year, after_year = _year(lower, 2)
            yield from _one_day(reading.today, year, month, day, begin + after_year)
    day = _day(lower[0])
    at = 2 if len(lower) > 1 and lower[1] == "of" else 1
    if day and len(lower) > at and lower[at] in words.MONTHS:
        year, after_year = _year(lower, at + 1)
        yield from _one_day(reading.today, year, words.MONTHS[lower[at]], day, begin + after_year)


def _one_day(
    today: date, year: int | None, month: int, day: int, end: int
) -> Iterator[tuple[tuple[date, date], int, bool]]:
    try:
        the_day = date(year, month, day) if year else _latest(today, month, day)
    except ValueError:
        return
    if the_day:
        yield (the_day, the_day + timedelta(days=1)), end, True


def _year(lower: list[str], at: int) -> tuple[int | None, int]:
    for position in (at, at + 1):
        if position < len(lower) and lower[position].isdecimal() and len(lower[position]) == 4:
            between = lower[at:position]
            if not between or between[0] in (",", "of", "in"):
                return int(lower[position]), position + 1
    return None, at


def _day(text: str) -> int | None:
    bare = text[:-2] if text[-2:] in ("st", "nd", "rd", "th") else text
    return int(bare) if bare.isdecimal() and len(bare) <= 2 and 1 <= int(bare) <= 31 else None


def _latest(today: date, month: int, day: int) -> date | None:
    """The most recent such day that is not in the future."""
    for year in (today.year, today.year - 1):
        try:
            candidate = date(year, month, day)
        except ValueError:
            return None
        if candidate <= today:
            return candidate
    return None


def _quarter(reading: Reading, begin: int) -> Iterator[tuple[tuple[date, date], int, bool]]:
    lower = [token.lower for token in reading.tokens[begin : begin + 5]]
    ordinal = {"q1": 1, "q2": 2, "q3": 3, "q4": 4}.get(lower[0])
    at = 1
    if ordinal is None and len(lower) > 1 and lower[1] == "quarter":
        ordinal = {"first": 1, "second": 2, "third": 3, "fourth": 4}.get(lower[0])
        at = 2
    year, after_year = _year(lower, at)
    if ordinal and year:
        start = date(year, 3 * ordinal - 2, 1)
        yield (start, _shift(start, "quarter", 1)), begin + after_year, True


# -- calendar arithmetic ---------------------------------------------------------------------------


def floor(day: date, unit: str) -> date:
    """The first day of the day's week (Monday), month, quarter or year."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "month":
        return day.replace(day=1)
    if unit == "quarter":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1) if unit == "year" else day


def _shift(day: date, unit: str, count: int) -> date:
    """A number of units later, the day of the month cut to the month's length."""
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    months = day.year * 12 + day.month - 1 + count * {"month": 1, "quarter": 3, "year": 12}[unit]
    year, month = max(months // 12, MINYEAR), months % 12 + 1
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, min(last, day.day))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


def _back(today: date, unit: str, count: int) -> date:
    try:
        return _shift(today, unit, -count)
    except (OverflowError, ValueError):
        return date(MINYEAR, 1, 1)

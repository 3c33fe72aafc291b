"""Event lines."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp import log


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = log.configure(stream)
    yield stream
    log.release(handler)


def test_an_event_is_one_line_with_time_and_area(stderr: io.StringIO) -> None:
    logging.getLogger("pgmcp.auth").info("Reloaded %s", "/etc/tokens.yaml")
    line = stderr.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[AUTH\] Reloaded /etc/tokens\.yaml\n", line
    )


def test_debug_lines_show_only_when_asked_for(stderr: io.StringIO) -> None:
    logging.getLogger("pgmcp.db").debug("hidden")
    assert stderr.getvalue() == ""
    handler = log.configure(stderr, debug=True)
    logging.getLogger("pgmcp.db").debug("shown")
    log.release(handler)
    assert "[DB] shown" in stderr.getvalue()


def test_a_message_cannot_forge_a_line(stderr: io.StringIO) -> None:
    logging.getLogger("pgmcp.auth").info("user %s", "x\n2024 [AUTH] forged\r\x1b[2J\u2028")
    assert stderr.getvalue().count("\n") == 1
    assert stderr.getvalue().endswith(r"user x\n2024 [AUTH] forged\r\u001b[2J\u2028" + "\n")


def test_a_traceback_cannot_forge_a_line(stderr: io.StringIO) -> None:
    try:
        raise ValueError("x\x1b[2J\n2024-11-14T00:00:00.000Z [AUTH] forged")
    except ValueError:
        logging.getLogger("pgmcp.auth").exception("failed")
    first, *others = stderr.getvalue().splitlines()
    assert first.endswith("[AUTH] failed")
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_quoting_cuts_and_escapes() -> None:
    assert log.quote('a"b\\c\n') == r'"a\"b\\c\n"'
    assert log.quote("x" * 100) == f'"{"x" * 80}..."'
    assert log.quote("太郎 é") == '"太郎 é"'


@settings(deadline=None)
@given(st.text(alphabet=st.characters()))
def test_whatever_was_sent_is_printable_afterwards(text: str) -> None:
    assert log.visible(text).isprintable()

"""Event lines."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from pgmcp.config.log import Log
from pgmcp.errors import FileError
from pgmcp.logs import log


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
    logging.getLogger("pgmcp.pool").debug("hidden")
    assert stderr.getvalue() == ""
    handler = log.configure(stderr, debug=True)
    logging.getLogger("pgmcp.pool").debug("shown")
    log.release(handler)
    assert "[POOL] shown" in stderr.getvalue()


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


def test_a_foreign_exceptions_message_stays_out_unless_sql_may_be_logged(
    stderr: io.StringIO,
) -> None:
    for sql in (False, True):
        log.apply(Log(sql=sql))
        try:
            try:
                int("-".join(["4111", "1111"]))
            except ValueError as error:
                raise KeyError("-".join(["5500", "0000"])) from error
        except KeyError:
            logging.getLogger("pgmcp.mcp").exception("internal error ab12")
        text = stderr.getvalue()
        assert ("4111-1111" in text, "5500-0000" in text) == (sql, sql)
        assert text.index("ValueError") < text.index("KeyError"), "the cause first"
        assert "test_log.py" in text


def test_our_own_errors_and_the_systems_say_what_was_wrong(stderr: io.StringIO) -> None:
    for error in (FileError("not valid", origin="x.yaml"), OSError(28, "No space left")):
        try:
            raise error
        except (FileError, OSError):
            logging.getLogger("pgmcp.watch").exception("failed")
        assert str(error) in stderr.getvalue()


def test_fields_and_the_request_are_part_of_the_line(stderr: io.StringIO) -> None:
    logger = logging.getLogger("pgmcp.call")
    with log.during("ab12"):
        logger.info("call", extra=log.fields(name="x y\n", rows=3, seconds=0.25, left_out=None))
    logger.info("next")
    first, second = stderr.getvalue().splitlines()
    assert first.endswith(r'[CALL] call request=ab12 name="x y\n" rows=3 seconds=0.250000')
    assert second.endswith("[CALL] next")


def test_json_is_one_object_a_line_whatever_is_in_it(stderr: io.StringIO) -> None:
    log.apply(Log(format="json"))
    logging.getLogger("pgmcp.auth").warning(
        "x\n\u2028\x1b", extra=log.fields(time="forged", a="é\n")
    )
    assert stderr.getvalue().isascii()
    (line,) = stderr.getvalue().splitlines()
    event = json.loads(line)
    assert event["message"] == "x\n\u2028\x1b"
    assert event["time"].endswith("Z")
    assert (event["level"], event["area"], event["a"]) == ("warning", "auth", "é\n")


def test_levels_leave_out_what_is_below_them(stderr: io.StringIO) -> None:
    logger = logging.getLogger("pgmcp.auth")
    log.apply(Log(level="warning"))
    logger.info("hidden")
    logger.warning("shown")
    log.apply(Log(level="warning"), debug=True)
    logger.debug("deep")
    assert [line.rpartition(" ")[2] for line in stderr.getvalue().splitlines()] == ["shown", "deep"]


def test_json_fields_are_cut_as_in_text(stderr: io.StringIO) -> None:
    log.apply(Log(format="json"))
    logging.getLogger("pgmcp.call").info("call", extra=log.fields(sql="x" * 1_000_000, rows=1))
    event = json.loads(stderr.getvalue())
    assert event["sql"] == "x" * 2000 + "..."
    assert event["rows"] == 1


def test_a_line_that_a_full_disk_does_not_take_is_let_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    handler = log.configure(Full())
    try:
        logging.getLogger("pgmcp.auth").warning("x")
        assert log.dropped() == 1
    finally:
        log.release(handler)
    assert capsys.readouterr() == ("", "")

"""One connection: clean between calls, closed when in doubt, cancelled without touching others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError, ConnectionLostError, StatementRefusedError
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import READ_ONLY, Step
from tests.databases import backends, connect, eventually, settings_for
from tests.proxy import proxy_to
from tools.postgres import Server

ONE = Step("SELECT 1", describe=True)
SLEEP = Step("SELECT pg_sleep(60)")
LIMIT = 1_000_000


@pytest.fixture
def connection(postgres: Server) -> Iterator[Connection]:
    made = connect(settings_for(postgres))
    yield made
    made.close()


def test_a_pipeline_answers_step_by_step(connection: Connection) -> None:
    steps = [Step("BEGIN"), ONE, Step("SELECT $1::int", ("7",)), Step("SELECT nope", execute=False)]
    outcome = connection.run(steps, Call(10), limit_bytes=LIMIT)
    assert [reply.rows for reply in outcome.replies] == [[], [(b"1",)], [(b"7",)]]
    assert outcome.failure is not None
    assert (outcome.failure.step, outcome.failure.parsing) == (3, True)


def test_a_failing_step_skips_the_rest_and_the_session_is_still_reset(
    connection: Connection,
) -> None:
    steps = [Step("SELECT set_config('work_mem', '77MB', false)"), Step("SELECT 1/0"), SLEEP]
    outcome = connection.run(steps, Call(10), limit_bytes=LIMIT)
    assert outcome.failure is not None
    assert (outcome.failure.step, outcome.failure.server.sqlstate) == (1, "22012")
    connection.ensure_clean(Call(10))
    shown = connection.run([Step("SHOW work_mem")], Call(10), limit_bytes=LIMIT)
    assert shown.replies[0].rows != [(b"77MB",)]


def test_a_transaction_left_open_goes_on_until_it_is_finished(connection: Connection) -> None:
    call = Call(10)
    connection.run(
        [Step("BEGIN"), Step("CREATE TEMP TABLE kept ()")], call, limit_bytes=LIMIT, last=False
    )
    assert connection.reusable is False
    seen = connection.run([Step("TABLE kept")], call, limit_bytes=LIMIT, last=False)
    assert seen.failure is None
    connection.finish(call)
    assert bool(connection.reusable)
    connection.ensure_clean(call)
    gone = connection.run([Step("TABLE kept")], call, limit_bytes=LIMIT)
    assert gone.failure is not None


NAMES = Step("SELECT string_agg(name, ',' ORDER BY name) FROM pg_prepared_statements", name="names")
SET = Step("SELECT set_config('work_mem', '77MB', true)")


def test_what_leaves_nothing_ends_in_one_group_and_keeps_what_is_prepared(
    connection: Connection,
) -> None:
    for _ in range(3):
        outcome = connection.run(
            [READ_ONLY, SET, NAMES], Call(10), limit_bytes=LIMIT, leaves_nothing=True
        )
    assert outcome.replies[-1].rows == [(b"names,pgmcp_begin,pgmcp_rollback",)]
    failed = connection.run(
        [READ_ONLY, Step("SELECT 1/0"), NAMES], Call(10), limit_bytes=LIMIT, leaves_nothing=True
    )
    assert failed.failure is not None
    connection.ensure_clean(Call(10))
    after = connection.run([Step("SHOW work_mem")], Call(10), limit_bytes=LIMIT)
    assert after.replies[0].rows != [(b"77MB",)]
    connection.ensure_clean(Call(10))
    reset = connection.run([NAMES], Call(10), limit_bytes=LIMIT)
    assert reset.replies[0].rows == [(b"names",)]


def test_nothing_is_kept_prepared_where_a_pooler_may_stand_between(
    connection: Connection,
) -> None:
    connection.peer = None  # as the connector leaves it when the process is another
    for _ in range(2):
        outcome = connection.run(
            [READ_ONLY, NAMES], Call(10), limit_bytes=LIMIT, leaves_nothing=True
        )
        assert outcome.replies[-1].rows == [(None,)]
        connection.ensure_clean(Call(10))


def test_notices_come_with_their_step(connection: Connection) -> None:
    raising = Step("DO $$ BEGIN RAISE NOTICE 'seen'; END $$")
    outcome = connection.run([ONE, raising], Call(10), limit_bytes=LIMIT)
    assert [notice["M"] for notice in outcome.replies[1].notices] == ["seen"]


def test_copy_closes_the_connection(connection: Connection) -> None:
    with pytest.raises(StatementRefusedError, match="COPY"):
        connection.run([Step("COPY pg_class TO STDOUT")], Call(10), limit_bytes=LIMIT)
    assert connection.closed
    with pytest.raises(ConnectionLostError):
        connection.run([ONE], Call(10), limit_bytes=LIMIT)


def test_a_message_that_nobody_asked_for_is_tolerated_or_ends_the_connection(
    connection: Connection, postgres: Server
) -> None:
    connection.run([Step("SELECT set_config('TimeZone', 'Asia/Tokyo', false)")], Call(10),
                   limit_bytes=LIMIT)  # fmt: skip
    connection.ensure_clean(Call(10))
    postgres.psql(f"select pg_terminate_backend({connection.backend}, 5000)")
    with pytest.raises(ConnectionLostError, match="57P01"):
        connection.ensure_clean(Call(10))
    assert connection.closed


def test_an_administrators_end_of_a_running_statement_closes_the_connection(
    connection: Connection, postgres: Server
) -> None:
    threading.Timer(
        0.2, lambda: postgres.psql(f"select pg_terminate_backend({connection.backend})")
    ).start()
    with pytest.raises(ConnectionLostError, match="57P01"):
        connection.run([SLEEP], Call(20), limit_bytes=LIMIT)
    assert connection.closed


def test_a_cancelled_call_ends_its_statement_in_postgresql_at_once(
    connection: Connection, postgres: Server, database: str
) -> None:
    own = connect(settings_for(postgres, database))
    call = Call(30)
    threading.Timer(0.2, lambda: call.cancel("the client left")).start()
    began = time.monotonic()
    with pytest.raises(CallEndedError, match="the client left"):
        own.run([SLEEP], call, limit_bytes=LIMIT)
    assert time.monotonic() - began < 15.0
    assert own.closed
    assert backends(postgres, database) == 0


def test_a_server_that_does_not_stop_in_time_is_left(postgres: Server) -> None:
    with proxy_to(postgres.port) as proxy:
        settings = settings_for(postgres)
        line = connect(
            settings_for(postgres, hosts=(type(settings.hosts[0])("127.0.0.1", proxy.port),))
        )
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(CallEndedError, match="ran out of time"):
            line.run([ONE], Call(0.3), limit_bytes=LIMIT)
        assert time.monotonic() - began < 20.0
        assert line.closed


def test_a_late_wake_up_of_an_earlier_call_does_nothing_to_the_next(
    connection: Connection,
) -> None:
    connection.wire.interrupt()
    outcome = connection.run([Step("SELECT pg_sleep(0.1)"), ONE], Call(10), limit_bytes=LIMIT)
    assert outcome.replies[1].rows == [(b"1",)]
    connection.wire.interrupt()
    connection.ensure_clean(Call(10))


def test_long_text_is_sent_whole_while_the_server_answers(connection: Connection) -> None:
    text = "SELECT length('" + "x" * 900_000 + "')"
    outcome = connection.run([Step(text)] * 5, Call(20), limit_bytes=LIMIT)
    assert [reply.rows for reply in outcome.replies] == [[(b"900000",)]] * 5


def test_no_secret_stays_on_an_open_connection(postgres: Server, connection: Connection) -> None:
    assert postgres.password not in repr(vars(connection))


def test_closing_twice_is_once(postgres: Server, database: str) -> None:
    made = connect(settings_for(postgres, database))
    made.close()
    made.close()
    assert eventually(lambda: backends(postgres, database) == 0)


def test_a_connection_at_rest_does_not_keep_its_last_big_answer(connection: Connection) -> None:
    for text in ("SELECT repeat('r', 7900000)", "SELECT g FROM generate_series(1, 200000) g"):
        outcome = connection.run([Step(text)], Call(20), limit_bytes=10 * LIMIT)
        assert len(outcome.replies[0].rows) in (1, 200_000)
        assert connection.held_bytes < 100_000
        connection.ensure_clean(Call(20))
        assert connection.held_bytes < 100_000

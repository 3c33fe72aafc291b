"""What a failed attempt to connect says to others: nothing, unless theirs would fail alike."""

from __future__ import annotations

import socket
import time

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Host, Secret
from pgmcp.errors import DatabaseUnavailableError
from pgmcp.gate.databases import require_safe_role
from pgmcp.pool.back_off import BACK_OFF_SECONDS, BackOff, remember
from pgmcp.pool.pool import Pool
from pgmcp.postgres.connector import Connector
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.unavailable import Reason, unavailable
from tests.databases import settings_for, unreachable
from tests.proxy import proxy_to
from tools.postgres import Server

TIMED_OUT = Reason("10.0.0.1: timed out", lasting=True)
RESET = Reason("10.0.0.1: connection reset by peer")


def failure(*reasons: Reason) -> DatabaseUnavailableError:
    return unavailable(unreachable(1), reasons)


@pytest.mark.parametrize(
    ("reasons", "seconds", "speaks_seconds"),
    [
        ((TIMED_OUT,), 10.0, BACK_OFF_SECONDS),
        ((TIMED_OUT,), 0.5, 0.5),
        ((TIMED_OUT,), 0.05, 0.0),
        ((TIMED_OUT, TIMED_OUT), 20.0, BACK_OFF_SECONDS),
        ((RESET,), 10.0, 0.0),
        ((TIMED_OUT, RESET), 10.0, 0.0),
        ((), 10.0, 0.0),
    ],
)
def test_only_what_was_slow_and_would_fail_again_speaks_for_others(
    reasons: tuple[Reason, ...], seconds: float, speaks_seconds: float
) -> None:
    back_off = remember(failure(*reasons), seconds, 100.0)
    assert not back_off.active(100.0 + speaks_seconds)
    assert back_off.active(100.0 + speaks_seconds - 0.01) == (speaks_seconds > 0)
    assert back_off.error().message == failure(*reasons).message
    assert not BackOff().active(0.0)


def test_a_line_that_is_reset_while_connecting_is_one_callers_error(
    postgres: Server, database: str
) -> None:
    """However long it took: the next caller tries for itself."""
    now = [time.monotonic()]
    with proxy_to(postgres.port) as proxy:
        settings = settings_for(postgres, database, hosts=(Host("127.0.0.1", proxy.port),))
        connector = Connector(settings, require_safe_role)

        def connect(call: Call) -> Connection:
            now[0] += 5.0
            try:
                return connector.connect(call)
            finally:
                proxy.resume()

        pool = Pool(settings, connect, clock=lambda: now[0])
        proxy.refuse = True
        with pytest.raises(DatabaseUnavailableError), pool.lease(Call(20)):
            pass
        with pool.lease(Call(20)):
            pass
        pool.close("the test is over")


def test_which_failures_last(postgres: Server, database: str) -> None:
    postgres.psql("create role lasting login password 'p'", database)
    plain, encrypted = (Ssl(mode, None, None, None) for mode in ("disable", "require"))
    wrong = {"user": "lasting", "passwords": (Secret("wrong"),)}
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            socket.socket() as closed,
            proxy_to(postgres.port) as proxy,
        ):
            closed.bind(("127.0.0.1", 0))
            mute, nowhere, resets = (
                {"hosts": (Host("127.0.0.1", port),), "connect_timeout_seconds": 0.2}
                for port in (silent.getsockname()[1], closed.getsockname()[1], proxy.port)
            )
            proxy.refuse = True
            assert lasting(settings_for(postgres, database, ssl=plain, **mute))
            assert lasting(settings_for(postgres, database, ssl=encrypted, **mute))
            assert lasting(settings_for(postgres, database, **nowhere))
            assert lasting(settings_for(postgres, "not_there"))
            assert lasting(settings_for(postgres, database, **wrong))
            assert lasting(settings_for(postgres, database, ssl=encrypted))
            assert lasting(settings_for(postgres, database, target_session_attrs="standby"))
            assert not lasting(settings_for(postgres, database, ssl=plain, **resets))
            assert not lasting(settings_for(postgres, database, ssl=encrypted, **resets))
    finally:
        postgres.psql("drop role lasting", database)


def lasting(settings: DatabaseSettings) -> bool:
    with pytest.raises(DatabaseUnavailableError) as refused:
        Connector(settings, require_safe_role).connect(Call(20))
    return refused.value.lasting

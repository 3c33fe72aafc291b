"""What worker processes share: what their parent decides, and the shares that it gives."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from pgmcp.auth.sessions import Session
from pgmcp.auth.times import utc_now
from pgmcp.auth.tokens import digest
from pgmcp.config.load import load
from pgmcp.config.share import share_of
from pgmcp.errors import ConfigError, OverloadedError
from pgmcp.metrics import combine
from pgmcp.metrics.metrics import Counter, Histogram, gauge, value
from pgmcp.net.outbound import Outbound, OutboundRefusedError
from pgmcp.processes.broker import LATE_SECONDS, Broker
from pgmcp.processes.link import Link
from pgmcp.processes.messages import MessageInbox, WorkerMessage, encode
from pgmcp.processes.passing import Doors, PassedListener
from tests.asking_stores import Parent

ADA = Session("ada", digest("1"), utc_now(), 1.0)


def test_messages_are_put_together_however_they_are_cut() -> None:
    sent: list[WorkerMessage] = [["ask", 1, "session", "a\nb"], ["said", 2, None], ["x", "é\ud800"]]
    data = b"".join(encode(*message) for message in sent)
    for size in (1, 7, len(data)):
        inbox = MessageInbox()
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        assert [message for part in parts for message in inbox.take(part)] == sent


def test_a_session_s_end_is_answered_once_every_worker_knows_it() -> None:
    broker = Broker()
    for worker in (0, 1, 2):
        broker.join(worker)
    broker.take(0, ["ask", 1, "session add", "h", ["ada"]])
    asked = broker.take(0, ["ask", 2, "session remove", {"h": "logged out"}])
    assert asked == [(n, ["do", 1, "removed", [[["ada"], "logged out"]]]) for n in (0, 1, 2)]
    assert broker.take(0, ["said", 1, None]) == []
    assert broker.take(1, ["said", 1, None]) == []
    # Whoever is gone lets nobody in.
    assert broker.leave(2) == [(0, ["answer", 2, True])]
    with pytest.raises(KeyError):  # none of ours says so twice
        broker.take(0, ["said", 1, None])
    assert broker.take(1, ["ask", 3, "session", "h"]) == [(1, ["answer", 3, None])]


def test_what_is_for_the_others_goes_to_them_and_what_nobody_sends_is_an_error() -> None:
    broker = Broker()
    for worker in (0, 1, 2):
        broker.join(worker)
    sent = broker.take(1, ["others", "cancel", "x"])
    assert sorted(sent) == [(n, ["tell", "cancel", "x"]) for n in (0, 2)]
    with pytest.raises(ValueError, match="no message of a worker"):
        broker.take(1, ["other", "x"])


def test_sessions_are_sent_again_only_when_they_have_changed() -> None:
    broker = Broker()
    broker.join(0)

    def listed(version: int) -> list[object]:
        [(_, answer)] = broker.take(0, ["ask", 1, "sessions", version])
        known: list[object] = answer[2]
        return known

    version, _ = listed(-1)
    assert listed(int(str(version))) == [version, None]
    broker.take(0, ["ask", 2, "session add", "h", ["ada"]])
    later, sessions = listed(int(str(version)))
    assert sessions == [["ada"]]
    assert listed(int(str(later))) == [later, None]
    broker.take(0, ["ask", 3, "session remove", {"h": "logged out"}])
    assert listed(int(str(later)))[1] == []


def test_a_worker_that_does_not_say_that_it_knows_is_late() -> None:
    now = [0.0]
    broker = Broker(clock=lambda: now[0])
    broker.join(0)
    broker.join(1)
    broker.take(0, ["ask", 1, "session add", "h", ["ada"]])
    broker.take(0, ["ask", 2, "session remove", {"h": "logged out"}])
    broker.take(0, ["said", 1, None])
    assert broker.late() == set()
    now[0] = LATE_SECONDS + 1
    assert broker.late() == {1}
    assert broker.leave(1) == [(0, ["answer", 2, True])]
    assert broker.late() == set()


def test_a_question_of_a_worker_that_is_gone_is_answered_to_nobody() -> None:
    broker = Broker()
    broker.join(0)
    broker.join(1)
    broker.take(0, ["ask", 1, "session add", "h", ["ada"]])
    broker.take(0, ["ask", 2, "session remove", {"h": "logged out"}])
    broker.leave(0)
    assert broker.take(1, ["said", 1, None]) == [(0, ["answer", 2, True])]  # nobody reads it


def test_a_known_session_is_found_without_a_question() -> None:
    parent = Parent()
    store, other = parent.sessions(), parent.sessions()
    other.add(ADA)
    assert store.find(ADA.hash) == ADA
    parent.broker.take = None  # type: ignore[assignment, method-assign]
    assert store.find(ADA.hash) is store.find(ADA.hash)


def test_a_session_that_ends_while_it_is_asked_for_is_not_kept() -> None:
    parent = Parent()
    store, other = parent.sessions(), parent.sessions()
    other.add(ADA)
    ask = store._ask

    def ask_slowly(*question: object) -> object:
        answer = ask(*question)
        other.remove({ADA.hash: "logged out"})
        return answer

    store._ask = ask_slowly
    store.find(ADA.hash)
    store._ask = ask
    assert store.find(ADA.hash) is None


def test_a_worker_without_a_parent_is_told_so_and_ends() -> None:
    ours, theirs = socket.socketpair()
    lost: list[bool] = []
    link = Link(theirs, 0, 2)
    link.start(lambda: lost.append(True))
    ours.close()
    link._reader.join(10)  # type: ignore[union-attr]
    assert lost == [True]
    with pytest.raises(OverloadedError):
        link.ask("session", "h")
    theirs.close()


def test_numbers_of_processes_are_added_up_and_outlive_them() -> None:
    def numbers(calls: int, seconds: float, connections: int, sequence: int) -> combine.Packed:
        counter, histogram = Counter("c", "C", ("a",)), Histogram("h", "H", ())
        counter.add("x", amount=calls)
        histogram.observe(seconds)
        of_now = gauge("g", "G", value(connections, state="idle"))
        audit = gauge("pgmcp_audit_sequence", "S", value(sequence))
        return combine.pack([counter.family(), histogram.family(), of_now, audit])

    broker = Broker(lambda: combine.pack([gauge("pgmcp_workers", "W", value(2))]))
    broker.join(0)
    broker.join(1)

    def page() -> dict[str, float]:
        broker.take(1, ["ask", 9, "numbers", numbers(3, 0.002, 5, 12)])
        number = broker._last_round
        if 0 in broker._workers:
            [(_, answer)] = broker.take(0, ["said", number, numbers(4, 0.002, 7, 11)])
        else:
            [(_, answer)] = broker.take(1, ["ask", 9, "numbers", numbers(3, 0.002, 5, 12)])
        return {f.name: f.samples[-1].value for f in combine.combined(answer[2])}

    assert page() == {"pgmcp_workers": 2, "c": 7, "h": 2, "g": 12, "pgmcp_audit_sequence": 12}
    broker.leave(0)
    assert page() == {"pgmcp_workers": 2, "c": 7, "h": 2, "g": 5, "pgmcp_audit_sequence": 12}


def test_a_connection_goes_to_the_worker_with_the_fewest() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    doors = Doors([listener])
    workers = {n: PassedListener(doors.add(n)[0], listener) for n in (0, 1)}
    try:
        for each in workers.values():
            each.setblocking(False)
            assert each.getsockname() == listener.getsockname()
        doors.open_connections[0] = 1
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        assert doors.accept(0)
        accepted = {n: [] for n in workers}  # type: dict[int, list[tuple[str, int]]]
        for number, count in ((1, 2), (0, 1)):
            for _ in range(count):
                sock, peer = workers[number].accept()
                accepted[number].append(peer)
                sock.close()
            with pytest.raises(BlockingIOError):
                workers[number].accept()
        assert accepted[1] + accepted[0] == [
            clients[n].getsockname() for n in (0, 2, 1)
        ] or accepted[1] + accepted[0] == [clients[n].getsockname() for n in (0, 1, 2)]
        # One that takes no more is passed by.
        workers[1].close()
        clients.append(socket.create_connection(listener.getsockname()))
        assert doors.accept(0)
        sock, peer = workers[0].accept()
        assert peer == clients[-1].getsockname()
        sock.close()
        for client in clients:
            client.close()
    finally:
        for each in workers.values():
            each.close()
        doors.remove(0)
        doors.remove(1)
        doors.close()


def test_the_shares_of_workers_add_up_to_what_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "pgmcp.yaml"
    pools = "pool_max_conns: 5, pool_min_conns: 5"
    file.write_text(
        "http: {enabled: true, workers: 3, max_connections: 100}\nmax_connections_total: 7\n"
        f"databases: [{{name: a, {pools}}}, {{name: b, {pools}}}]\n"
    )
    config = load({"config": str(file)}, {}, tmp_path, None)
    shares = [share_of(config, number, 3) for number in range(3)]
    assert [share.max_connections_total for share in shares] == [3, 2, 2]
    assert sum(share.http.max_connections for share in shares) == 100
    for place in (0, 1):
        most = [share.databases[place].pool_max_conns for share in shares]
        assert sorted(most) == [1, 2, 2]
        assert [share.databases[place].pool_min_conns for share in shares] == most
    together = [sum(each.pool_max_conns for each in share.databases) for share in shares]
    assert sorted(together) == [3, 3, 4]
    assert (
        dataclasses.replace(
            shares[0],
            databases=config.databases,
            max_connections_total=7,
            http=config.http,
        )
        == config
    )


def test_a_connection_for_each_worker_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "pgmcp.yaml"
    file.write_text(
        "http: {enabled: true, workers: 3}\nmax_connections_total: 3\n"
        "databases: [{name: a, pool_max_conns: 3}]\n"
    )
    config = load({"config": str(file)}, {}, tmp_path, None)
    shares = [share_of(config, number, 3) for number in range(3)]
    assert [share.max_connections_total for share in shares] == [1, 1, 1]
    assert [share.databases[0].pool_max_conns for share in shares] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers: 5}", "more than pool_max_conns of the database"),
        ("workers: 5}\nmax_connections_total: 4", "more than max_connections_total, 4"),
        ("workers: 0}", "outside 1 to 64"),
    ],
)
def test_more_workers_than_connections_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "pgmcp.yaml"
    file.write_text(f"http: {{enabled: true, {text}\ndatabases: [{{name: a}}]\n")
    with pytest.raises(ConfigError, match=message):
        load({"config": str(file)}, {}, tmp_path, None)


def test_workers_over_standard_streams_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pgmcp.yaml"
    file.write_text("databases: [{name: a}]\n")
    with pytest.raises(ConfigError, match="without the HTTP server"):
        load({"config": str(file), "workers": "2"}, {}, tmp_path, None)


def test_a_fork_is_held_to_what_its_own_configuration_says() -> None:
    parent, worker = Outbound(lambda: ()), Outbound(lambda: (), fixed=["/run/notify"])
    with pytest.raises(OutboundRefusedError):
        parent.audit("socket.connect", (None, "/run/notify"))
    parent.give_way(worker)
    parent.audit("socket.connect", (None, "/run/notify"))
    with pytest.raises(OutboundRefusedError):
        parent.audit("socket.connect", (None, "/run/other"))

"""An audit that cannot be written for a while, with many calls at once."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgmcp.audit import file
from pgmcp.audit.audit import AuditLog
from pgmcp.audit.chain import fingerprint
from pgmcp.audit.read import read_key
from pgmcp.calls.call import Waiting
from pgmcp.calls.trail import Trail
from pgmcp.config import audit as section
from pgmcp.errors import AuditError
from pgmcp.sql.text import MAX_TEXT_BYTES
from tests.test_audit_file import full

THREADS = 8
CALLS = 100


def opened(folder: Path, *, required: bool = True, sql: bool = False) -> AuditLog:
    return AuditLog(
        section.Audit(
            file=folder / "audit.jsonl",
            required=required,
            sql=sql,
            key_file=folder / "audit.jsonl.key",
            max_bytes=1 << 26,
        ),
        version="1",
    )


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]


class Calls:
    """Calls as the dispatcher makes them: admitted, run, recorded."""

    def __init__(self, audit: AuditLog) -> None:
        self.audit = audit
        self.executed = 0
        self.answered = 0
        self._count_lock = threading.Lock()

    def one(self) -> None:
        try:
            self.audit.admit("tools/call")
            with self._count_lock:
                self.executed += 1
            self.audit.record(Trail(method="tools/call", name="query_database"))
        except AuditError:
            return
        with self._count_lock:
            self.answered += 1

    def many(self) -> None:
        _together(self._several)

    def _several(self) -> None:
        for _ in range(CALLS):
            self.one()


def _together(target: Callable[[], None]) -> None:
    barrier = threading.Barrier(THREADS)

    def run() -> None:
        barrier.wait()
        target()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def test_no_call_runs_while_the_audit_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pgmcp.audit")
    audit = opened(tmp_path)
    calls = Calls(audit)
    file = tmp_path / "audit.jsonl"
    with full(file.stat().st_size + 20):
        calls.one()
        assert (calls.executed, calls.answered) == (1, 0), "nobody knew"
        calls.many()
        assert (calls.executed, calls.answered) == (1, 0)
        assert audit.failing, "until a record is written"
    assert said(caplog, "the audit cannot be written") == 1
    assert said(caplog, "is written again") == 0
    calls.many()
    assert audit.failures == 1
    assert said(caplog, "the audit is written again: 1 records are missing") == 1
    audit.stop()
    found = [event["event"] for event in events(tmp_path)]
    assert found.count("resumed") == 1
    assert found.index("resumed") < found.index("call")
    assert calls.executed - 1 == calls.answered == found.count("call") > THREADS


def test_a_disk_that_fills_up_under_many_calls_runs_only_those_that_were_under_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = opened(tmp_path)
    calls = Calls(audit)
    with full((tmp_path / "audit.jsonl").stat().st_size + 5000):
        calls.many()
    written = [event["event"] for event in events(tmp_path)].count("call")
    lost = calls.executed - written
    assert calls.answered == written > 0
    assert audit.failures == lost
    calls.one()
    audit.stop()
    resumed = [event["lost"] for event in events(tmp_path) if event["event"] == "resumed"]
    assert sum(resumed) == lost
    # Where a call's record does not fit, the shorter one about what was lost still may.
    assert lost <= THREADS * len(resumed) <= 4 * THREADS
    assert 1 <= said(caplog, "the audit cannot be written") <= len(resumed)


def test_lost_records_are_counted_once_when_many_resume(tmp_path: Path) -> None:
    audit = opened(tmp_path, required=False)
    calls = Calls(audit)
    with full((tmp_path / "audit.jsonl").stat().st_size + 20):
        calls.many()
    assert calls.answered == audit.failures == THREADS * CALLS
    calls.many()
    audit.stop()
    found = events(tmp_path)
    assert [event["lost"] for event in found if event["event"] == "resumed"] == [audit.failures]
    assert sum(event["event"] == "call" for event in found) == THREADS * CALLS


def test_what_was_lost_is_said_at_the_stop_at_the_latest(tmp_path: Path) -> None:
    audit = opened(tmp_path, required=False)
    with full((tmp_path / "audit.jsonl").stat().st_size + 20):
        Calls(audit).one()
    audit.stop()
    assert [event["event"] for event in events(tmp_path)][-2:] == ["resumed", "stop"]


def test_a_statement_that_is_too_long_to_run_is_cut(tmp_path: Path) -> None:
    audit = opened(tmp_path, sql=True)
    longest = "SELECT '" + "x" * (MAX_TEXT_BYTES - 9) + "'"
    longer = "SELECT '" + "\U0001f600" * MAX_TEXT_BYTES + "'"
    for text in (longest, longer):
        audit.record(Trail(method="tools/call", statements=[text]))
    audit.stop()
    assert (tmp_path / "audit.jsonl").stat().st_size < 2 * MAX_TEXT_BYTES + 5000
    (whole,), (cut,) = (event["sql"] for event in events(tmp_path) if event["event"] == "call")
    assert whole == longest
    assert longer.startswith(cut["cut"])
    assert MAX_TEXT_BYTES - 4 < len(cut["cut"].encode()) <= MAX_TEXT_BYTES
    assert cut["bytes"] == len(longer.encode())
    assert cut["fingerprint"] == fingerprint(read_key(tmp_path / "audit.jsonl.key"), longer)


@pytest.mark.parametrize("required", [True, False])
def test_other_calls_go_on_while_one_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    class Noted(Waiting):
        within = False

        def __enter__(self) -> None:
            self.within = True

        def __exit__(self, *_: object) -> None:
            self.within = False

    audit, waiting, waits = opened(tmp_path, required=required), Noted(), list[bool]()
    monkeypatch.setattr(file, "_to_disk", lambda _: waits.append(waiting.within))
    audit.record(Trail(method="tools/call"), waiting)
    assert waits == ([True] if required else [])
    assert not waiting.within
    audit.stop()

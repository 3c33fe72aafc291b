"""The mark of an audit: how far it went, and what is said when less is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgmcp.audit.chain import ChainHead, write_mark
from pgmcp.audit.file import MARK_RECORDS
from pgmcp.audit.read import load_mark, mark_of
from pgmcp.audit.verify import Verification
from pgmcp.errors import FileError
from tests.test_audit_file import CALL, KEY, events, opened, verified


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def ran(path: Path, calls: int = 1, max_bytes: int = 1 << 20) -> int:
    """A server that starts, answers calls, and stops; the number of its last record."""
    file = opened(path, max_bytes)
    file.start({"event": "start"})
    for _ in range(calls):
        file.append(CALL)
    file.stop({"event": "stop"})
    return file.head.seq


def mark(path: Path) -> int:
    head = load_mark(path, KEY)
    assert head is not None
    return head.seq


def test_the_mark_is_kept_at_start_at_stop_and_every_so_many_records(path: Path) -> None:
    file = opened(path)
    file.start({"event": "start"})
    assert mark(path) == 2
    assert mark_of(path).stat().st_mode & 0o777 == 0o600
    for _ in range(MARK_RECORDS - 1):
        file.append(CALL)
    assert mark(path) == 2
    file.append(CALL)
    assert mark(path) == 2 + MARK_RECORDS
    file.stop({"event": "stop"})
    assert mark(path) == 3 + MARK_RECORDS


def test_the_mark_is_kept_at_a_rotation_and_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(path, 4096)
    file.start({"event": "start"})
    while not path.with_name(f"audit.jsonl.{mark(path):012d}").exists():
        assert mark(path) == 2
        file.append(CALL)
    before = mark(path)
    file.append(CALL)
    assert mark(path) == before
    monkeypatch.setattr("pgmcp.audit.file.MARK_SECONDS", 0.0)
    file.append(CALL)
    assert mark(path) == file.head.seq


def test_a_mark_that_cannot_be_written_keeps_no_record_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark_of(path).parent.joinpath(".audit.jsonl.mark.lock").mkdir()
    assert ran(path) == 4
    assert "could not be kept" in caplog.text
    assert verified(path).records == 4


@pytest.mark.parametrize("left", [0, 1, 3, 5])
def test_an_end_that_was_cut_off_while_nothing_ran_leaves_a_gap(
    path: Path, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert ran(path, 3) == 6
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:left]))
    ran(path)
    missing = [event for event in events(path) if event["event"] == "missing"]
    assert [(event["from"], event["to"]) for event in missing] == [(left + 1, 6)]
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert f"the records {left + 1} to 6 are not there any more" in said.getMessage()
    ran(path)
    found = Verification(KEY)
    whole = found.check("audit.jsonl", path.read_bytes().splitlines(keepends=True))
    assert whole == (left == 0)
    if left == 0:
        assert found.first == 7
        assert found.uncertainties == ["record 8 says: 1 to 6 was not there when a server started"]
    else:
        assert f"record 7 follows record {left}: " in (found.problem or "")


def test_a_file_that_was_moved_away_while_nothing_ran_is_gone_on_from(path: Path) -> None:
    last = ran(path, 3)
    away = path.rename(path.with_name("audit-2024.jsonl"))
    ran(path)
    assert events(path)[0]["seq"] == last + 1
    away.rename(path.with_name("audit.jsonl.2024"))
    assert verified(path).first == 1, "and is whole when it is put back"


def test_a_process_that_remembers_less_than_the_mark_does_not_lower_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened(path)
    one.start({"event": "start"})
    ran(path, 3)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    monkeypatch.setattr("pgmcp.audit.file.MARK_RECORDS", 1)
    one.append(CALL)
    one.append(CALL)
    found = Verification(KEY)
    assert not found.check("audit.jsonl", path.read_bytes().splitlines(keepends=True))
    assert "4 to 7 is missing" in (found.problem or "")


@pytest.mark.parametrize("data", [b"", b"7 x y\n", write_mark(b"x" * 32, ChainHead(2, "0" * 64))])
def test_a_mark_that_cannot_be_verified_is_not_believed(path: Path, data: bytes) -> None:
    ran(path)
    mark_of(path).write_bytes(data)
    with pytest.raises(FileError, match=r"audit\.jsonl\.mark: it cannot be verified"):
        ran(path)


@pytest.mark.parametrize("left", [0, 1])
def test_a_start_with_an_old_key_and_no_mark_says_so(
    path: Path, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    ran(path)
    assert caplog.text == ""
    mark_of(path).unlink()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    file = opened(path)
    file.start({"event": "start"}, old_key=True)
    file.start({"event": "start"}, old_key=True)
    assert [event.get("old_key") for event in events(path)] == [None, True, None]
    assert caplog.text.count("there is a key, and no mark") == 1
    assert "record 2: a server found a key and no mark" in verified(path).uncertainties[0]

"""The audit's chain: whatever is done to a record, the first broken one is named."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

import pytest

from pgmcp.audit.chain import (
    GENESIS,
    ChainHead,
    fingerprint,
    read,
    read_mark,
    unfinished_fields,
    write,
    write_mark,
)
from pgmcp.audit.verify import Verification

KEY = bytes(range(32))
FIELDS = {
    "time": "2026-01-01T00:00:00.000Z",
    "event": "call",
    "request": "ab12",
    "kind": "token",
    "principal": "token-1",
    "address": "127.0.0.1",
    "method": "tools/call",
    "name": "query_database",
    "database": "main",
    "sql_fingerprints": ["00"],
    "outcome": "ok",
    "error": None,
    "sqlstate": None,
    "gate": None,
    "rows": 3,
    "seconds": 0.25,
}


def chain(count: int, head: ChainHead = GENESIS) -> list[bytes]:
    """A file with this many calls after its beginning."""
    lines = []
    for number in range(count + 1):
        event = {"event": "call" if number else "begin"}
        line, head = write(KEY, head, {**FIELDS, **event, "request": f"r{number}"})
        lines.append(line)
    return lines


def end(lines: list[bytes]) -> ChainHead:
    entry = read(KEY, lines[-1])
    assert entry is not None
    return entry.head


def problem(*files: list[bytes], key: bytes = KEY) -> str | None:
    verification = Verification(key)
    for number, lines in enumerate(files, 1):
        if not verification.check(f"file{number}", lines):
            break
    return verification.problem


def test_what_was_written_is_whole() -> None:
    lines = chain(5)
    assert problem(lines) is None
    assert problem(chain(0)) is None


def test_a_record_is_one_line_that_ends_with_its_mac() -> None:
    name = "é😀\n\x1b\x9b\u2028\u202e\ud800"
    line, head = write(KEY, GENESIS, {"event": "call", "name": name})
    assert line.endswith(f',"mac":"{head.mac}"}}\n'.encode())
    text = line.decode()
    assert "é😀" in text, "as it is"
    assert text.removesuffix("\n").isprintable(), "nothing that breaks a line or drives a terminal"
    assert len(text.splitlines()) == 1
    assert json.loads(line)["name"] == name
    entry = read(KEY, line)
    assert entry is not None
    assert entry.intact


def test_a_record_in_ascii_as_earlier_versions_wrote_it_is_intact() -> None:
    fields = {"seq": 1, "event": "begin", "name": "é", "prev": GENESIS.mac}
    body = json.dumps(fields, separators=(",", ":")).encode("ascii")[:-1]
    mac = hmac.new(KEY, body, "sha256").hexdigest()
    assert problem([body + f',"mac":"{mac}"}}\n'.encode()]) is None


@pytest.mark.parametrize("field", ["seq", *FIELDS, "prev", "mac"])
def test_a_change_to_any_field_is_found(field: str) -> None:
    lines = chain(4)
    record = json.loads(lines[2])
    value = record[field]
    if isinstance(value, str):
        record[field] = value[:-1] + ("1" if value[-1:] != "1" else "2")
    else:
        record[field] = value + 1 if isinstance(value, int | float) else "x"
    lines[2] = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    found = problem(lines)
    assert found is not None
    assert found.startswith("file1, line 3: record ")
    assert "was changed: its MAC is wrong" in found


def test_a_field_that_is_added_or_taken_away_is_found() -> None:
    for change in ({"rows": ...}, {"extra": 1}):
        lines = chain(3)
        record = {**json.loads(lines[1]), **change}
        mac = record.pop("mac")
        record = {name: value for name, value in record.items() if value is not ...}
        lines[1] = json.dumps(record | {"mac": mac}, separators=(",", ":")).encode() + b"\n"
        assert (problem(lines) or "").startswith("file1, line 2: record 2 was changed")


def test_another_spelling_of_the_same_record_is_found() -> None:
    lines = chain(3)
    lines[1] = lines[1].replace(b'"rows":3', b'"rows": 3')
    assert "line 2: record 2 was changed" in (problem(lines) or "")


def test_records_that_are_taken_out_are_named() -> None:
    lines = chain(6)
    assert problem(lines[:2] + lines[3:]) == (
        "file1, line 3: record 4 follows record 2: 3 is missing"
    )
    assert "3 to 5 is missing" in (problem(lines[:2] + lines[5:]) or "")


def test_records_in_another_order_or_twice_are_named() -> None:
    lines = chain(4)
    swapped = [*lines[:2], lines[3], lines[2], lines[4]]
    assert "line 3: record 4 follows record 2" in (problem(swapped) or "")
    doubled = [*lines[:3], lines[2], *lines[3:]]
    assert problem(doubled) == (
        "file1, line 4: record 3 follows record 3: out of order, or there twice"
    )


def test_a_record_of_another_chain_under_the_same_key_does_not_fit() -> None:
    ours, others = chain(3), chain(3, ChainHead(0, "1" * 64))
    assert "does not belong to the record" in (problem([*ours[:2], *others[2:]]) or "")
    assert problem(others) is not None, "the first record of all hangs on the genesis"


def test_what_stood_first_cannot_be_cut_off() -> None:
    assert problem(chain(3)[1:]) == (
        "file1, line 1: record 2 does not begin a file: what stood before is gone"
    )


def test_a_beginning_inside_a_file_is_found() -> None:
    first = chain(2)
    assert "begins a file, and stands inside one" in (problem(first + chain(2, end(first))) or "")


def test_several_files_are_one_chain() -> None:
    first = chain(3)
    second = chain(2, end(first))
    third = chain(1, end(second))
    assert problem(first, second, third) is None
    assert problem(second, third) is None, "the oldest may have been put away"
    assert "5 to 7 is missing" in (problem(first, third) or "")
    assert "out of order" in (problem(second, first) or "")
    assert "4 is missing" in (problem(first[:-1], second) or "")


def test_another_key_is_found_and_suspected() -> None:
    assert problem(chain(2), key=b"x" * 32) == (
        "file1, line 1: record 1 was changed: its MAC is wrong, or this is not the key that it "
        "was written with"
    )


@pytest.mark.parametrize("cut", [1, 70, 200, -1])
def test_a_last_line_that_was_cut_is_named(cut: int) -> None:
    lines = chain(3)
    lines[3] = lines[3][:cut]
    found = problem(lines)
    if cut == -1:
        assert found is None, "only the line's end is missing"
    else:
        assert (found or "").startswith("file1, line 4: the last record is unfinished")


@pytest.mark.parametrize("foreign", [b"hello\n", b"{}\n", b"\n", b'{"seq":1}\n', b"[1]\n"])
def test_a_line_that_is_no_record_is_named(foreign: bytes) -> None:
    lines = chain(3)
    assert problem([*lines[:2], foreign, *lines[2:]]) == "file1, line 3: no record"
    assert problem([*lines, foreign]) == "file1, line 5: no record"


def test_an_unfinished_line_is_vouched_for_by_the_next_record() -> None:
    lines = chain(3)
    half = lines[3][:90]
    event = {"event": "recovered", **unfinished_fields(half)}
    recovered, head = write(KEY, end(lines[:3]), event)
    whole = [*lines[:3], half + b"\n", recovered, *chain(1, head)[1:]]
    verification = Verification(KEY)
    assert not verification.check("file1", whole), "chain() begins a file"
    call, _ = write(KEY, head, FIELDS)
    whole = [*lines[:3], half + b"\n", recovered, call]
    verification = Verification(KEY)
    assert verification.check("file1", whole)
    assert verification.notes == ["file1, line 4: unfinished, and the next record says so"]
    for other in (half[:-1], half + b"x", b"{}"):
        assert problem([*lines[:3], other + b"\n", recovered, call]) == "file1, line 4: no record"
    assert problem([*lines[:3], half + b"\n", call]) is not None


def test_an_unfinished_line_that_is_vouched_for_must_be_there() -> None:
    gone = "speaks of an unfinished line before it, which is gone"
    lines = chain(2)
    recovered, _ = write(KEY, end(lines), {"event": "recovered", **unfinished_fields(b"{")})
    assert problem([*lines, recovered]) == f"file1, line 4: record 4 {gone}"
    bare, _ = write(KEY, end(lines), {"event": "recovered"})
    assert gone in (problem([*lines, bare]) or "")
    begin, _ = write(KEY, GENESIS, {"event": "begin", **unfinished_fields(b"{")})
    assert problem([b"{\n", begin]) is None
    assert problem([begin]) == f"file1, line 1: record 1 {gone}"


def test_a_mark_is_read_with_its_key_only() -> None:
    head = end(chain(3))
    data = write_mark(KEY, head)
    assert read_mark(KEY, data) == head
    assert read_mark(b"x" * 32, data) is None
    for other in (b"", b"\n", data.replace(b"4 ", b"5 ", 1), data[:-2], b"\xff" + data):
        assert read_mark(KEY, other) is None


def held(lines: list[bytes], mark: ChainHead) -> str | None:
    """What is wrong with a file that is held to a mark."""
    verification = Verification(KEY, mark)
    if verification.check("file1", lines):
        verification.end()
    return verification.problem


def test_an_end_that_was_cut_off_is_found_by_the_mark() -> None:
    lines = chain(5)
    mark = end(lines)
    assert held(lines, mark) is None
    assert held(lines, end(lines[:3])) is None, "the mark may lag"
    assert held(lines[:-1], mark) == (
        "record 5 is the last, and the mark tells of record 6: 6 is missing"
    )
    assert "4 to 6 is missing" in (held(lines[:3], mark) or "")
    assert "record 6 is not the one that the mark tells of" in (
        held(lines, ChainHead(6, "0")) or ""
    )


def events(*fields: Mapping[str, object]) -> Verification:
    lines, head = chain(0), end(chain(0))
    for other in fields:
        line, head = write(KEY, head, other)
        lines.append(line)
    verification = Verification(KEY)
    verification.check("file1", lines)
    return verification


def test_a_start_without_a_stop_before_it_is_remembered() -> None:
    start, stop, call = {"event": "start"}, {"event": "stop"}, {"event": "call"}
    assert events(start, call, stop, start, stop).unstopped == []
    assert events(start, call, start, {"event": "missing"}, start).unstopped == [4, 6]


def test_a_mark_that_was_taken_away_is_found() -> None:
    start, stop = {"event": "start", "mark": None}, {"event": "stop"}
    assert events(start, stop, {**start, "mark": 3}, stop).problem is None
    assert events({"event": "start"}, stop, start, stop).problem is None, "the first that has one"
    found = events(start, stop, start, stop).problem or ""
    assert found.startswith("file1, line 4: record 4: the mark was gone when the server started")


def test_an_empty_file_is_not_whole() -> None:
    assert problem([]) == "file1, line 1: the file is empty"


def test_a_fingerprint_is_of_the_text_without_what_surrounds_it() -> None:
    assert fingerprint(KEY, "  SELECT 1 ;\n") == fingerprint(KEY, "SELECT 1")
    assert fingerprint(KEY, "SELECT 1") != fingerprint(KEY, "select 1")
    assert fingerprint(KEY, "SELECT 1") != fingerprint(b"x" * 32, "SELECT 1")
    assert len(fingerprint(KEY, "\ud800")) == 64

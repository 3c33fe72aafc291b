"""Verifying an audit: how a changed, missing or moved record is found.

The rule: the first thing that is wrong is named by file and line, and nothing after it is vouched
for. A trace that records may be missing is a doubt, and an audit with a doubt is not whole. What is
merely good to know, such as a server that was killed, is a note.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pgmcp.audit.chain import GENESIS, AuditRecord, ChainHead, read, unfinished_fields

_OPENING = ("begin", "recovered", "missing", "resumed")


@dataclass(slots=True)
class Verification:
    """A chain that is checked line by line, over one file or several in order.

    `mark` is how far the chain once went, None when that is not known. `problem` is the first
    thing wrong, None while nothing is; `uncertainties` say why records may be missing although none
    is wrong; `notes` are what an auditor should know all the same. `marked_seq`: the highest mark
    that a record tells of.
    """

    key: bytes
    mark: ChainHead | None = None
    records: int = 0
    head: ChainHead | None = None
    first: int | None = None
    last_event: str = ""
    problem: str | None = None
    uncertainties: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unstopped: list[int] = field(default_factory=list)
    marked: bool = False
    marked_seq: int = 0

    def check(self, name: str, lines: Iterable[bytes]) -> bool:
        """Check one file, the next in order; False, with `problem`, at the first broken record."""
        unfinished: tuple[int, bytes] | None = None
        number, already = 0, self.records
        for number, line in enumerate(lines, 1):
            entry = read(self.key, line)
            if entry is None:
                if unfinished is not None:
                    break
                unfinished = number, line
                continue
            wrong = (
                self._wrong(entry, first=self.records == already)
                or _unexplained(unfinished, entry)
                or self._unmarked(entry)
            )
            if wrong:
                broken = unfinished[0] if unfinished is not None else number
                return self._broken(name, broken, wrong)
            if unfinished is not None:
                note = f"{name}, line {unfinished[0]}: unfinished, and the next record says so"
                self.notes.append(note)
                unfinished = None
            self._count(entry)
        if number == 0:
            return self._broken(name, 1, "the file is empty")
        if unfinished is not None:
            return self._broken(name, unfinished[0], _not_a_record(unfinished[1]))
        return True

    def end(self) -> bool:
        """Hold the end to the mark; False, with `problem`, when the newest records are missing."""
        last = self.head.seq if self.head is not None else 0
        if self.mark is None:
            self.uncertainties.append(
                "there is no mark beside it, so that its end was not cut off cannot be seen"
            )
            return True
        if self.mark.seq < self.marked_seq:
            self.problem = (
                f"the mark tells of record {self.mark.seq}, and a record says that it told of "
                f"{self.marked_seq}: an old one was put in its place"
            )
            return False
        if self.mark.seq <= last:
            return True
        self.problem = (
            f"record {last} is the last, and the mark tells of record {self.mark.seq}: "
            f"{span(last + 1, self.mark.seq)} is missing"
        )
        return False

    def _count(self, entry: AuditRecord) -> None:
        number = entry.head.seq
        if self.first is None:
            self.first = number
        if entry.event == "start":
            self._check_start(entry)
        marked_seq = entry.fields.get("mark")
        if isinstance(marked_seq, int):
            self.marked_seq = max(self.marked_seq, marked_seq)
        # A start that found no mark makes one.
        self.marked = (
            self.marked
            or self.marked_seq > 0
            or (entry.event == "start" and "mark" in entry.fields)
        )
        if entry.event == "missing":
            gone = span(entry.fields.get("from"), entry.fields.get("to"))
            self.uncertainties.append(
                f"record {number} says: {gone} was not there when a server started"
            )
        if entry.event not in _OPENING:
            self.last_event = entry.event
        self.head = entry.head
        self.records += 1

    def _check_start(self, entry: AuditRecord) -> None:
        if self.last_event not in ("stop", ""):
            self.unstopped.append(entry.head.seq)
        if entry.fields.get("old_key"):
            self.uncertainties.append(
                f"record {entry.head.seq}: a server found a key and no mark: its key was made "
                "before its first start, or records before were cut off or taken away"
            )

    def _unmarked(self, entry: AuditRecord) -> str | None:
        if self.mark is not None and entry.head.seq == self.mark.seq and entry.head != self.mark:
            return f"record {entry.head.seq} is not the one that the mark tells of"
        if self.marked and entry.event == "start" and entry.fields.get("mark", 0) is None:
            return (
                f"record {entry.head.seq}: the mark was gone when the server started, so records "
                "before may have been cut off"
            )
        return None

    def _broken(self, name: str, number: int, wrong: str) -> bool:
        self.problem = f"{name}, line {number}: {wrong}"
        return False

    def _wrong(self, entry: AuditRecord, *, first: bool) -> str | None:
        if not entry.intact:
            hint = "" if self.records else ", or this is not the key that it was written with"
            return f"record {entry.head.seq} was changed: its MAC is wrong{hint}"
        if first != (entry.event == "begin"):
            if first:
                return f"record {entry.head.seq} does not begin a file: what stood before is gone"
            return f"record {entry.head.seq} begins a file, and stands inside one"
        before = self.head
        if before is None:
            # The oldest file at hand: only the very first record can be held to anything.
            before = GENESIS if entry.head.seq == 1 else ChainHead(entry.head.seq - 1, entry.prev)
        return _gap(before, entry)


def span(first: object, last: object) -> str:
    """Numbers of records, from the first to the last."""
    return f"{first}" if first == last else f"{first} to {last}"


def _gap(before: ChainHead, entry: AuditRecord) -> str | None:
    seq = entry.head.seq
    if seq > before.seq + 1:
        missing = span(before.seq + 1, seq - 1)
        return f"record {seq} follows record {before.seq}: {missing} is missing"
    if seq <= before.seq:
        return f"record {seq} follows record {before.seq}: out of order, or there twice"
    if entry.prev != before.mac:
        return f"record {seq} does not belong to the record {before.seq} before it"
    return None


def _unexplained(unfinished: tuple[int, bytes] | None, entry: AuditRecord) -> str | None:
    if unfinished is None:
        if entry.event == "recovered" or "torn_sha256" in entry.fields:
            return f"record {entry.head.seq} speaks of an unfinished line before it, which is gone"
        return None
    data = unfinished[1].removesuffix(b"\n")
    if (
        entry.event in ("recovered", "begin")
        and unfinished_fields(data).items() <= entry.fields.items()
    ):
        return None
    return _not_a_record(unfinished[1])


def _not_a_record(line: bytes) -> str:
    if line.endswith(b"\n"):
        return "no record"
    return (
        "the last record is unfinished: the program was killed while it wrote, or the end was cut "
        "off (the program says so in the file when it next starts)"
    )

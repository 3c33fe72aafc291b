"""What the replies to an examination say, as values."""

from __future__ import annotations

import pytest

from pgmcp.errors import StatementRefusedError
from pgmcp.gate.caller_read import CallerRead, gated, planned
from pgmcp.gate.examination import Examination, Examined
from pgmcp.postgres.messages import Reply

SNAPSHOT, LOCKS = b"100:100:", b"3/7 99"
STATE_ROW = (SNAPSHOT, b"1.5", b"ann", b"on", b"off", b"on", b"public", b"{pg_catalog}", LOCKS)
SELECT, UTILITY = 1, 6


def query(relation: int, command: int = SELECT) -> str:
    return f"{{QUERY :commandType {command} :rtable ({{RANGETBLENTRY :relid {relation}}})}}"


def shown(*trees: str) -> Reply:
    return Reply(notices=[{"D": tree} for tree in trees])


def held(tree: str) -> str:
    """As PostgreSQL prints the statement that a DECLARE or EXPLAIN holds."""
    return f"({{QUERY :utilityStmt {{DECLARE :query {tree}}} :resultRelation 0}})"


def read(
    reading: CallerRead, *bound: Reply, state: tuple[bytes, ...] = STATE_ROW, before: int = 0
) -> Examined:
    examination = Examination.of(reading, 18)
    replies = [Reply(rows=[state]), Reply(), Reply(), *bound, Reply(), Reply()]
    assert len(examination.steps) == len(replies)
    return examination.read([Reply()] * before + replies)


@pytest.mark.parametrize("before", [0, 2])
def test_state_and_trees_are_taken_from_the_replies_that_came_last(before: int) -> None:
    examined = read(gated("SELECT 1", (), ()), shown(held(query(16384))), before=before)
    assert examined.trees == [query(16384)]
    assert examined.state.snapshot == SNAPSHOT.decode()
    assert examined.state.schemas == "{pg_catalog}"
    assert examined.locks == LOCKS.decode()
    assert examined.exact and examined.same_relations and not examined.only_planned


def test_what_is_not_shown_is_refused() -> None:
    with pytest.raises(StatementRefusedError, match="did not show"):
        read(gated("SELECT 1", (), ()), Reply())
    with pytest.raises(StatementRefusedError, match="did not show"):
        read(gated("SELECT 1", (), ()), shown(held(query(16384))), state=(b"", *STATE_ROW[1:]))


def test_a_write_is_judged_by_its_bare_text_and_has_to_name_the_same_tables_in_explain() -> None:
    reading = planned("", "DELETE FROM t", ())
    same = read(reading, shown(query(16384, 4)), shown(held(query(16384, 4))))
    assert same.same_relations and same.exact and same.only_planned
    other = read(reading, shown(query(16384, 4)), shown(held(query(16390, 4))))
    assert not other.same_relations
    unknown = read(reading, shown(query(16384, 4)), Reply())  # as before PostgreSQL 16
    assert unknown.same_relations and not unknown.exact


@pytest.mark.parametrize("where", ["bare", "explained"])
def test_what_cannot_be_planned_is_refused(where: str) -> None:
    bare = query(16384, UTILITY if where == "bare" else SELECT)
    explained = query(16384, UTILITY if where == "explained" else SELECT)
    with pytest.raises(StatementRefusedError, match="EXPLAIN shows the plan of"):
        read(planned("", "NOTIFY t", ()), shown(bare), shown(held(explained)))


def test_a_text_too_costly_to_analyse_is_not_sent() -> None:
    nested = "1 BETWEEN SYMMETRIC " * 30 + "1"
    with pytest.raises(StatementRefusedError, match="copy its parts"):
        Examination.of(gated(f"SELECT {nested}", (), ()), 18)

"""Plans as values: what is drawn and what is found, without a database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgmcp.dba import plan
from pgmcp.dba.plan_findings import findings


def node(kind: str = "Seq Scan", *children: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """A measured node: ten rows expected and found in a millisecond."""
    measured = {
        "Node Type": kind,
        "Startup Cost": 0.0,
        "Total Cost": 100.0,
        "Plan Rows": 10,
        "Plan Width": 4,
        "Actual Startup Time": 0.0,
        "Actual Total Time": 1.0,
        "Actual Rows": 10.0,
        "Actual Loops": 1,
        **{key.replace("_", " "): value for key, value in facts.items()},
    }
    return measured | ({"Plans": list(children)} if children else {})


def explained(root: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"Plan": root, **{key.replace("_", " "): value for key, value in facts.items()}}


def test_an_ordinary_plan_has_no_findings() -> None:
    assert findings(explained(node(), Planning_Time=1.0, Execution_Time=2.0)) == []


@pytest.mark.parametrize(
    ("root", "words"),
    [
        (node(Rows_Removed_by_Filter=5000, Filter="(a = 1)"), "5,010 rows to keep 10 (filter (a"),
        (node("Sort", Sort_Space_Type="Disk", Sort_Space_Used=2048), "sorts on disk (2,048 kB)"),
        (
            node("Sort", Workers=[{"Sort Space Type": "Disk", "Sort Space Used": 9}]),
            "sorts on disk (9 kB)",
        ),
        (node("Hash", Hash_Batches=8), "does not fit in memory (8 batches)"),
        (node("Aggregate", Strategy="Hashed", Disk_Usage=77), "HashAggregate spills to disk (77"),
        (node("Bitmap Heap Scan", Lossy_Heap_Blocks=300), "forgets which rows it wants in 300"),
        (
            node("Nested Loop", node(), node("Index Scan", Actual_Loops=5000)),
            "runs its inner side, Index Scan, 5,000 times (5,000 ms in all)",
        ),
        (
            node("Index Only Scan", Heap_Fetches=9000, Actual_Rows=9000.0, Plan_Rows=9000),
            "visit the table for 9,000 rows: VACUUM",
        ),
        (node("Gather", Workers_Planned=2, Workers_Launched=1), "got 1 of the 2 parallel workers"),
        (node(Plan_Rows=1, Actual_Rows=5000.0), "1 rows expected, 5,000 came (5,000 times more)"),
        (node(Plan_Rows=5000, Actual_Rows=0.0), "5,000 rows expected, 1 came (5,000 times fewer)"),
        (node("Hash Join", node(Actual_Loops=0)), "Never executed: Seq Scan."),
    ],
)
def test_what_stands_out_is_said_with_its_numbers(root: dict[str, Any], words: str) -> None:
    found = findings(explained(root))
    assert len(found) == 1
    assert words in found[0]


def test_only_the_lowest_wrong_estimate_is_named() -> None:
    low = node(Plan_Rows=1, Actual_Rows=5000.0, Relation_Name="orders")
    found = findings(explained(node("Hash Join", low, Plan_Rows=1, Actual_Rows=5000.0)))
    assert len(found) == 1
    assert found[0].startswith("Seq Scan on orders: ")


def test_fewer_rows_under_a_limit_are_no_mistake() -> None:
    assert findings(explained(node("Limit", node(Plan_Rows=90_000)))) == []


def test_times_that_are_not_the_querys_own_stand_out() -> None:
    slow = explained(node(), Planning_Time=50.0, Execution_Time=20.0)
    assert findings(slow) == ["Planning takes longer (50 ms) than executing (20 ms)."]
    compiled = explained(node(), Execution_Time=100.0, JIT={"Timing": {"Total": 60.0}})
    assert "Compiling (JIT) takes 60 of 100 ms" in findings(compiled)[0]


def test_without_measurements_a_costly_scan_stands_out() -> None:
    estimated = {
        key: value
        for key, value in node(Total_Cost=5000.0, Filter="(a = 1)").items()
        if not key.startswith("Actual")
    }
    assert "reads the whole table (100% of the estimated cost)" in findings(explained(estimated))[0]
    assert findings(explained(estimated | {"Total Cost": 500.0})) == []


def test_the_drawing_shows_what_is_unknown_to_it_too() -> None:
    root = node("New Scan", Relation_Name="T 1", Alias="t", New_Fact="x\ny", Zero=0, Sub={"A B": 1})
    text = plan.draw(explained(root, Planning_Time=0.5, Triggers=[], JIT={"Functions": 3}))
    assert text == (
        'New Scan on "T 1" t  (cost=0.00..100.00 rows=10 width=4)'
        " (actual time=0.000..1.000 rows=10 loops=1)\n"
        "  New Fact: x\\ny\n"
        "  Sub:\n"
        "    A B: 1\n"
        "Planning Time: 0.500 ms\n"
        "JIT:\n"
        "  Functions: 3"
    )


def test_the_json_of_explain_is_a_list_of_plans() -> None:
    assert plan.parse(json.dumps([{"Plan": {}}])) == [{"Plan": {}}]

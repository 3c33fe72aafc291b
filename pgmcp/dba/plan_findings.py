"""What stands out in a query plan.

The rule: pure, and each finding names its node, gives the numbers behind it and says what to try.
Nothing is said that the plan's numbers do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgmcp.dba.plan import PlanNode, children, title, walk

_COSTLY = 1000.0  # planner units: below this, no plan is worth changing
_MANY = 1000


def findings(explained: PlanNode) -> list[str]:
    """Sentences, the plan's own order; empty when nothing stands out.

    `explained` is what `plan.parse` gives; estimates without ANALYZE, measurements with it.
    """
    root = explained["Plan"]
    findings = [line for node in walk(root) for look in _LOOKS for line in look(node)]
    findings += _misestimates(root, limited=False)
    findings += _costly_scans(root)
    findings += _never_executed(root)
    findings += _times(explained)
    return findings


def _filtering(node: PlanNode) -> Iterator[str]:
    loops = node.get("Actual Loops", 0)
    removed = node.get("Rows Removed by Filter", 0) * loops
    kept = node.get("Actual Rows", 0) * loops
    if removed < _MANY or removed < 9 * kept:
        return
    text = f"{title(node)} reads {removed + kept:,.0f} rows to keep {kept:,.0f} ({_filter(node)})."
    advice = " An index on the filtered columns would spare the rest."
    yield text + (advice if "Seq Scan" in node["Node Type"] else "")


def _spilling(node: PlanNode) -> Iterator[str]:
    advice = "With more work_mem it would stay in memory."
    sorts = [node, *node.get("Workers", [])]
    disk = sum(s.get("Sort Space Used", 0) for s in sorts if s.get("Sort Space Type") == "Disk")
    if disk:
        yield f"{title(node)} sorts on disk ({disk:,} kB). {advice}"
    if node.get("Hash Batches", 1) > 1:
        yield f"{title(node)} does not fit in memory ({node['Hash Batches']} batches). {advice}"
    if node.get("Disk Usage", 0) > 0:
        yield f"{title(node)} spills to disk ({node['Disk Usage']:,} kB). {advice}"
    if node.get("Lossy Heap Blocks", 0) > 0:
        yield (
            f"{title(node)} forgets which rows it wants in {node['Lossy Heap Blocks']:,} blocks "
            f"and checks them all again. {advice}"
        )


def _looping(node: PlanNode) -> Iterator[str]:
    if node["Node Type"] != "Nested Loop":
        return
    inner = children(node)[-1]
    loops = inner.get("Actual Loops", 0)
    if loops >= _MANY:
        spent = inner.get("Actual Total Time", 0) * loops
        yield (
            f"{title(node)} runs its inner side, {title(inner)}, {loops:,} times "
            f"({spent:,.0f} ms in all)."
        )


def _visiting(node: PlanNode) -> Iterator[str]:
    fetched = node.get("Heap Fetches", 0)
    rows = node.get("Actual Rows", 0) * node.get("Actual Loops", 0)
    if fetched >= _MANY and fetched * 2 >= rows:
        yield (
            f"{title(node)} had to visit the table for {fetched:,} rows: VACUUM the table, so "
            "that the index alone is enough."
        )


def _short_of_workers(node: PlanNode) -> Iterator[str]:
    planned, launched = node.get("Workers Planned", 0), node.get("Workers Launched")
    if launched is not None and launched < planned:
        yield f"{title(node)} got {launched} of the {planned} parallel workers it planned with."


_LOOKS: tuple[Callable[[PlanNode], Iterator[str]], ...] = (
    _filtering,
    _spilling,
    _looping,
    _visiting,
    _short_of_workers,
)


def _misestimates(node: PlanNode, *, limited: bool) -> Iterator[str]:
    """The lowest nodes whose rows are off by ten: those above them inherit the error.

    Under a LIMIT, fewer rows than planned are no mistake: nobody asked for the rest.
    """
    below = [
        line
        for child in children(node)
        for line in _misestimates(child, limited=limited or node["Node Type"] == "Limit")
    ]
    yield from below
    if below or node.get("Actual Loops", 0) == 0:
        return
    planned, actual = max(1, node["Plan Rows"]), max(1.0, node["Actual Rows"])
    ratio = max(planned / actual, actual / planned)
    if ratio < 10 or max(planned, actual) < 100 or (limited and actual < planned):
        return
    yield (
        f"{title(node)}: {planned:,} rows expected, {actual:,.0f} came ({ratio:,.0f} times "
        f"{'more' if actual > planned else 'fewer'}). ANALYZE the table; if that does not help, "
        "extended statistics (CREATE STATISTICS) may."
    )


def _costly_scans(root: PlanNode) -> Iterator[str]:
    """Without measurements: sequential scans with a filter that make up most of the cost."""
    total = root.get("Total Cost", 0.0)
    if "Actual Loops" in root or total < _COSTLY:
        return
    for node in walk(root):
        cost = node.get("Total Cost", 0.0)
        if node["Node Type"] == "Seq Scan" and "Filter" in node and cost >= total / 2:
            yield (
                f"{title(node)} reads the whole table ({cost / total:.0%} of the estimated cost) "
                f"and expects to keep {node['Plan Rows']:,} rows ({_filter(node)})."
            )


def _never_executed(root: PlanNode) -> Iterator[str]:
    idle = [title(node) for node in walk(root) if node.get("Actual Loops") == 0]
    if idle:
        rest = f" and {len(idle) - 3} more" if len(idle) > 3 else ""
        yield f"Never executed: {', '.join(idle[:3])}{rest}."


def _times(explained: PlanNode) -> Iterator[str]:
    planning = explained.get("Planning Time", 0.0)
    execution = explained.get("Execution Time")
    if execution is None:
        return
    if planning > execution and planning > 10:
        yield f"Planning takes longer ({planning:.0f} ms) than executing ({execution:.0f} ms)."
    compiling = explained.get("JIT", {}).get("Timing", {}).get("Total", 0.0)
    if compiling > 10 and compiling > 0.3 * execution:
        yield (
            f"Compiling (JIT) takes {compiling:.0f} of {execution:.0f} ms: it may be faster with "
            "jit off, or with a higher jit_above_cost."
        )


def _filter(node: PlanNode) -> str:
    return f"filter {node['Filter']}" if "Filter" in node else "filter"

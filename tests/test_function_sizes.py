"""The functions that the tables of sizes name by their OIDs are the ones that they mean."""

from __future__ import annotations

import os
from pathlib import Path

from pgmcp.judging import function_sizes
from tools.postgres import Server

SIGNATURES = Path(__file__).parent / "function_sizes.txt"
"""A line for each function of a table; PGMCP_UPDATE_SNAPSHOTS=1 writes them anew: read the diff."""

TABLES = (
    "REPEAT PAD BIT FILL FORMAT REPLACE JOIN JOIN_FIRST POINTS OUTPUT WORK NUMERIC STEPS"
    " STEP_WEIGHTS BYTE_STEPS NUMBER_STEPS RANKS"
    " COVER_RANKS REWRITE LONG_NUMERICS XPATH COLLECTING"
).split()


def test_each_table_has_the_functions_that_it_means(postgres: Server) -> None:
    oids = {name: sorted(getattr(function_sizes, name)) for name in TABLES}
    wanted = ",".join(str(oid) for table in oids.values() for oid in table)
    rows = postgres.psql(
        f"SELECT oid, oid::regprocedure FROM pg_proc WHERE oid IN ({wanted})"
    ).splitlines()
    # Which words need quotes depends on the version.
    pairs = (row.replace('"', "").split("|", 1) for row in rows)
    signatures = {int(oid): text for oid, text in pairs}
    lines = [f"{name}: {signatures.get(oid)}" for name in TABLES for oid in oids[name]]
    if postgres.version >= 180000 and os.environ.get("PGMCP_UPDATE_SNAPSHOTS"):
        SIGNATURES.write_text("\n".join(lines) + "\n")
    meant = SIGNATURES.read_text().splitlines()
    if postgres.version >= 180000:
        assert lines == meant
    else:  # some are newer
        assert {line for line in lines if not line.endswith(": None")} <= set(meant)

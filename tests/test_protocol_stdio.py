"""What MCP demands of a server over stdio, of the real program through its pipes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from pgmcp.mcp.era import ALL_VERSIONS
from tests.program import NOWHERE, command, write_config
from tests.sample_features import META
from tests.serving import rpc
from tools.serving import ROOT, environment

DEADLINE_SECONDS = 30


def converse(folder: Path, *lines: bytes) -> dict[Any, Any]:
    """Pipe lines in; the answers by id. Nothing else may come out."""
    config = write_config(folder, NOWHERE)
    done = subprocess.run(
        command(config),
        cwd=ROOT,
        env=environment(),
        input=b"".join(line + b"\n" for line in lines),
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(answer["jsonrpc"] == "2.0" for answer in answers)
    return {answer.get("id"): answer for answer in answers}


def test_both_eras_are_served_in_one_process_in_any_order(tmp_path: Path) -> None:
    answers = converse(
        tmp_path,
        rpc("server/discover", {"_meta": META}, 1),
        rpc("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}, 2),
        rpc("notifications/initialized", request_id=None),
        rpc("ping", {}, 3),
        rpc("ping", {"_meta": META}, 4),
        rpc("tools/list", {"_meta": META}, 5),
        rpc("initialize", {"protocolVersion": "2026-07-28"}, 6),
        rpc("server/discover", {}, 7),
    )
    assert sorted(answers) == [1, 2, 3, 4, 5, 6, 7]
    assert answers[1]["result"]["supportedVersions"] == list(ALL_VERSIONS)
    assert answers[2]["result"]["protocolVersion"] == "2025-11-25"
    assert answers[3]["result"] == {}
    assert answers[4]["error"]["code"] == -32601
    assert answers[5]["result"]["resultType"] == "complete"
    assert answers[6]["result"]["protocolVersion"] == "2025-11-25"
    assert answers[7]["error"]["code"] == -32601


def test_the_version_of_a_message_is_checked_without_headers(tmp_path: Path) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}
    incomplete = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    answers = converse(
        tmp_path,
        rpc("tools/list", {"_meta": meta}, 1),
        rpc("tools/list", {"_meta": incomplete}, 2),
    )
    assert answers[1]["error"]["code"] == -32022
    assert answers[1]["error"]["data"]["supported"] == list(ALL_VERSIONS)
    assert answers[2]["error"]["code"] == -32602


def test_what_cannot_be_done_is_answered_and_keeps_to_its_line(tmp_path: Path) -> None:
    call = {"name": "query_database", "arguments": {"query": "SELECT 'é\u2028'"}}
    answers = converse(tmp_path, b"no message", rpc("tools/call", call, 1))
    assert answers[None]["error"]["code"] == -32700
    assert answers[1]["result"]["isError"] is True

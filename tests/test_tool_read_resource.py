"""read_resource, and the resource that there is: pg://system_info."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pgmcp.features.all import ALL
from pgmcp.features.resources import system_info
from pgmcp.features.tools import read_resource
from tests.tool_calls import Calls, calls, cells, fresh
from tools.postgres import Server

TOOL = read_resource.TOOL


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, 'CREATE TABLE "read me" (a int, b int)') as ready:
        yield ready


def test_the_list_names_every_resource(call: Calls) -> None:
    listed = cells(call(TOOL, list=True).split("\n"))
    uris = [row["uri"] for row in listed]
    assert uris == [*(r.uri for r in ALL.resources), *(t.uri_template for t in ALL.templates)]
    assert all(row["description"] for row in listed)


def test_exactly_one_argument_is_taken(call: Calls) -> None:
    assert "exactly one" in call.failure(TOOL)
    assert "exactly one" in call.failure(TOOL, list=False)
    assert "exactly one" in call.failure(TOOL, list=True, uri="pg://system_info")


def test_a_resource_of_a_template_is_read_by_its_values(call: Calls) -> None:
    head = call(TOOL, uri="pg://main/public/read%20me/sample").split("\n")[0]
    assert head == "a\tb"


def test_an_unknown_resource_brings_those_that_there_are(call: Calls) -> None:
    failure = call.failure(TOOL, uri="pg://nothing")
    assert 'no resource "pg://nothing"' in failure
    assert "pg://system_info" in failure


def test_system_info_describes_the_server_and_the_connection(call: Calls, postgres: Server) -> None:
    text = call(TOOL, uri="pg://system_info")
    assert text.startswith('{\n  "configured_as"')
    info = json.loads(text)
    assert info["configured_as"]["name"] == "main"
    assert info["server"]["version_number"] == postgres.version
    assert info["server"]["in_recovery"] is False
    assert info["database"]["database"] == call.database
    assert info["database"]["size_bytes"] > 1_000_000
    assert info["connection"]["role"] == "postgres"
    assert info["connection"]["superuser"] is True
    assert info["connection"]["tls"] is False
    assert info["settings"]["work_mem"] == "4MB"
    assert {"name": "plpgsql", "version": "1.0", "schema": "pg_catalog"} in info["extensions"]


def test_system_info_works_for_an_ordinary_role_and_holds_no_password(
    call: Calls, postgres: Server
) -> None:
    postgres.psql("create role plain login password 'plain-password'")
    try:
        with calls(postgres, call.database, "plain", "plain-password") as as_plain:
            text = system_info.read(as_plain.context)
    finally:
        postgres.psql("drop role plain")
    assert json.loads(text)["connection"]["superuser"] is False
    assert "plain-password" not in text

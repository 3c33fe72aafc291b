"""The official Python client against the real program: both transports, both eras."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Literal

import pytest

from tests.program import Program, command, running, settings_of
from tools.postgres import Server
from tools.serving import ROOT, environment

if TYPE_CHECKING:  # what takes two seconds to load is loaded by the process that runs these tests
    from mcp import Client

Mode = Literal["auto", "legacy"]
Connect = Callable[[Program, Mode], "AbstractAsyncContextManager[Client]"]

DEADLINE_SECONDS = 30
AGREED = {"auto": "2026-07-28", "legacy": "2025-11-25"}
TOOLS = ["query_database", "get_schema_info", "count_rows", "execute_explain", "read_resource"]


@pytest.fixture(scope="module")
def program(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with a database behind it, once for each PostgreSQL."""
    folder = tmp_path_factory.mktemp("clients")
    with running(folder, settings_of(postgres, "postgres")) as started:
        yield started


@asynccontextmanager
async def over_http(program: Program, mode: Mode, token: str = "") -> AsyncIterator[Client]:
    """As a client is set up that has a URL and a header."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {token or program.token}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        transport = streamable_http_client(program.url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@asynccontextmanager
async def over_stdio(program: Program, mode: Mode) -> AsyncIterator[Client]:
    """As a client is set up that has a command, arguments and an environment."""
    from mcp import Client, StdioServerParameters

    name, *arguments = command(program.config)
    server = StdioServerParameters(command=name, args=arguments, env=environment(), cwd=ROOT)
    async with Client(server, mode=mode) as client:
        yield client


def text(block: object) -> str:
    from mcp_types import TextContent, TextResourceContents

    assert isinstance(block, TextContent | TextResourceContents)
    return str(block.text)


def in_time(work: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(work, DEADLINE_SECONDS)

    asyncio.run(limited())


@pytest.mark.filterwarnings("ignore:ping is removed")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("connect", [over_http, over_stdio])
def test_the_official_client_can_use_everything(
    program: Program, connect: Connect, mode: Mode
) -> None:
    from mcp import MCPError

    async def use() -> None:
        async with connect(program, mode) as client:
            assert client.protocol_version == AGREED[mode]
            assert client.server_info is not None
            assert client.server_info.name == "pgedge-postgres-mcp"
            if mode == "legacy":
                await client.send_ping()
            assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
            done = await client.call_tool("query_database", {"query": "SELECT 1 AS a, 'ü' AS b"})
            assert not done.is_error
            assert "a\tb\n1\tü" in text(done.content[0])
            failed = await client.call_tool("query_database", {"query": "SELECT nothing"})
            assert failed.is_error
            assert "42703" in text(failed.content[0])
            assert [r.uri for r in (await client.list_resources()).resources] == [
                "pg://system_info"
            ]
            read = await client.read_resource("pg://system_info")
            assert json.loads(text(read.contents[0]))
            for prompt in (await client.list_prompts()).prompts:
                required = [a.name for a in prompt.arguments or () if a.required]
                got = await client.get_prompt(prompt.name, dict.fromkeys(required, "orders"))
                assert text(got.messages[0].content)
            with pytest.raises(MCPError, match="unknown tool"):
                await client.call_tool("nothing", {})

    in_time(use())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_wrong_token_is_an_error_and_no_wait(program: Program, mode: Mode) -> None:
    from mcp import MCPError

    async def use() -> None:
        with pytest.RaisesGroup(MCPError, flatten_subgroups=True):
            async with over_http(program, mode, "wrong"):
                pass

    in_time(use())


@pytest.mark.parametrize("connect", [over_http, over_stdio])
def test_calls_run_side_by_side(program: Program, connect: Connect) -> None:
    async def use() -> None:
        async with connect(program, "auto") as client:
            queries = [f"SELECT {n} AS n, pg_sleep(0.2)" for n in range(8)]
            calls = [client.call_tool("query_database", {"query": query}) for query in queries]
            answers = await asyncio.gather(*calls)
            for number, answer in enumerate(answers):
                assert f"\n{number}\t" in text(answer.content[0])

    in_time(use())

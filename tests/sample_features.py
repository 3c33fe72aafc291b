"""Features to test the protocol with: a tool for each way a call can end, without a database."""

from __future__ import annotations

import base64
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from pgmcp.auth.principal import ANONYMOUS, Principal, local
from pgmcp.calls.call import Call
from pgmcp.calls.stream import Stream
from pgmcp.errors import DatabaseUnavailableError, LoginError, ToolError
from pgmcp.gate.port import Database
from pgmcp.mcp.client import Client as Asking
from pgmcp.mcp.client import Send
from pgmcp.mcp.content import EmbeddedResource, Image, ResourceLink, Text
from pgmcp.mcp.dispatch import Answer, Dispatcher
from pgmcp.mcp.feature import (
    Annotations,
    Context,
    FeatureSet,
    Prompt,
    PromptMessage,
    Resource,
    ResourceTemplate,
    Tool,
)
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.request_state import RequestStates
from pgmcp.mcp.result import Form, InputRequired, Result, text
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Request
from pgmcp.rpc.schema import arg
from pgmcp.stores.memory import MemoryLimitStore

VERSION = "1.2.3"
SERVER_INFO = {"name": "pgedge-postgres-mcp", "title": "pgmcp", "version": VERSION}
ANNOUNCED: dict[str, Any] = {"tools": {}, "resources": {}, "prompts": {}, "completions": {}}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class NoDatabases:
    def names(self) -> tuple[str, ...]:
        return ()

    def get(self, name: str | None = None) -> Database:
        raise DatabaseUnavailableError("there is no database here", "Configure one.")


@dataclass(frozen=True)
class EchoArgs:
    text: str = arg("What to say.")
    times: int = arg("How often.", default=1, minimum=1, maximum=3)


@dataclass(frozen=True)
class NoArgs:
    pass


@dataclass(frozen=True)
class LoginArgs:
    username: str = arg("The name.")
    password: str = arg("The password.", secret=True)


@dataclass(frozen=True)
class TopicArgs:
    topic: str = arg("What to explore.")
    depth: str = arg("How deep.", default="some")


def _defect(_: Any, __: Context) -> NoReturn:
    raise KeyError("a secret detail")


def _refuse(_: Any, context: Context) -> Result:
    return text(context.databases.get().label)


def _topics(context: Context, typed: str, _: Mapping[str, str]) -> list[str]:
    """As many as its text says; a database that does not answer for "gone"."""
    if typed == "gone":
        context.databases.get()
    return [f"topic {number}" for number in range(int(typed or 3))]


def _log_in(args: LoginArgs, _: Context) -> Result:
    if args.username == "flood":
        raise LoginError("too many failed authentication attempts", 42)
    if args.username == "broken":
        raise ToolError("no accounts here", "Log in elsewhere.")
    if args.password != "right":
        raise LoginError("authentication failed: invalid username or password")
    return text('{"success": true}')


def _wait(_: Any, context: Context) -> Result:
    ended = threading.Event()
    with context.call.on_cancel(ended.set):
        ended.wait(context.call.remaining())
    context.call.check()
    return text("waited")


@dataclass(frozen=True)
class PaintArgs:
    steps: int = arg("How many strokes.", default=3, minimum=1, maximum=1000)


@dataclass(frozen=True)
class Painted:
    width: int = arg("Its width in pixels.")
    title: str | None = arg("Its title.", default=None)
    colours: tuple[str, ...] = arg("Its colours.", default=())


@dataclass(frozen=True)
class Choice:
    table: Literal["orders", "orders_old"] = arg("The table.")


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def _paint(args: PaintArgs, context: Context) -> Result:
    for step in range(1, args.steps + 1):
        context.client.progress(step, args.steps, f"stroke {step}")
        context.client.progress(step - 1, args.steps)  # no progress, so nobody hears of it
        context.client.log("debug", {"stroke": step})
        context.client.log("warning", {"stroke": step}, "painter")
        context.call.check()
    return Result(
        (
            Text("A small picture.", audience=("assistant",), priority=1.0),
            Image(PNG, "image/png", audience=("user",), priority=0.5),
            ResourceLink("test://doc", "doc", title="Document", size_bytes=8),
            EmbeddedResource("test://more", "more", "text/plain"),
        ),
        Painted(1, None, ("red",)),
    )


def _choose(_: Any, context: Context) -> Result | InputRequired:
    chosen = context.client.answers.get("which")
    if chosen is None:
        return InputRequired({"which": Form("Which table do you mean?", Choice)})
    return text(f"{chosen['action']} {chosen.get('content', {}).get('table')}")


def _confirm(_: Any, context: Context) -> Result | InputRequired:
    if context.client.state is None:
        return InputRequired({"sure": Form("Go on?", Choice)})
    return text("confirmed")


class Board:
    """Who follows; a tool that holds its answer open until somebody ends it."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.flooded = threading.Event()
        self.kind: type[Stream] = Stream

    def follow(self, _: Any, __: Context) -> Stream:
        stream = self.kind(on_close=lambda: self.streams.remove(stream))
        self.streams.append(stream)
        return stream

    def flood(self, _: Any, context: Context) -> Result:
        for step in range(1, 1001):
            context.client.progress(step)
        self.flooded.set()
        return text("done")

    def tell(self, text: str) -> None:
        """Send a message to everybody who follows."""
        message = jsonrpc.encode(jsonrpc.notification("notifications/told", {"text": text}))
        for stream in list(self.streams):
            stream.send(message)

    def end(self, result: Result) -> None:
        for stream in list(self.streams):
            stream.end(result)


def trial_tools(board: Board) -> tuple[Tool, ...]:
    """Tools that use all that a result and an answer can be."""
    return (
        Tool("paint", "Paint", "Gives a picture.", PaintArgs, _paint, output=Painted),
        Tool(
            "numbers",
            "Numbers",
            "Gives what old clients do not take.",
            NoArgs,
            lambda _, __: text("1, 2", [1, 2]),
            output={"type": "array", "items": {"type": "integer"}},
        ),
        Tool("nan", "NaN", "Is broken.", NoArgs, lambda _, __: text("nan", {"x": math.nan})),
        Tool("choose", "Choose", "Asks which table is meant.", NoArgs, _choose),
        Tool("confirm", "Confirm", "Asks for leave first.", NoArgs, _confirm),
        Tool("flood", "Flood", "Says more than anybody reads.", NoArgs, board.flood),
        Tool("follow", "Follow", "Tells of what happens.", NoArgs, board.follow),
    )


def new_states(clock: Callable[[], float] = time.time) -> RequestStates:
    keys = b"k" * 32, MemoryLimitStore()
    return RequestStates(lambda: keys, clock)


def trial_dispatcher(board: Board | None = None) -> Dispatcher:
    features = replace(FEATURES, tools=(*TOOLS, *trial_tools(board or Board())))
    return Dispatcher(Registry(features), server_version=VERSION, states=new_states())


TOOLS = (
    Tool(
        "echo",
        "Echo",
        "Says it again.",
        EchoArgs,
        lambda args, _: text(args.text * args.times),
        Annotations(idempotent=False),
    ),
    Tool("refuse", "Refuse", "Fails with a ToolError.", NoArgs, _refuse),
    Tool("defect", "Defect", "Raises what nobody expects.", NoArgs, _defect),
    Tool("wait", "Wait", "Waits until it is cancelled.", NoArgs, _wait),
    Tool("authenticate_user", "Log in", "Hidden.", LoginArgs, _log_in, hidden=True),
    Tool(
        "secret", "Secret", "Hidden, not public.", NoArgs, lambda _, __: text("found"), hidden=True
    ),
)
RESOURCES = (
    Resource("test://doc", "doc", "Document", "A text.", "text/plain", lambda _: "the text"),
    Resource("test://png", "png", "Picture", "Bytes.", "image/png", lambda _: PNG),
    Resource(
        "test://gone", "gone", "Gone", "Fails.", "text/plain", lambda c: c.databases.get().label
    ),
)
TEMPLATES = (
    ResourceTemplate(
        "test://doc/{section}/{page}",
        "page",
        "Page",
        "A page.",
        "text/plain",
        lambda _, values: f"{values['section']}: {values['page']}",
        {"page": lambda _, typed, given: [f"{given.get('section', '')}{typed}{n}" for n in "12"]},
    ),
)
PROMPTS = (
    Prompt(
        "explore",
        "Explore",
        "Explores.",
        TopicArgs,
        lambda a, _: f"{a.topic}, {a.depth}",
        {"topic": _topics},
    ),
    Prompt("plain", "Plain", "No arguments.", NoArgs, lambda *_: "plain"),
    Prompt(
        "shown",
        "Shown",
        "Shows a picture.",
        NoArgs,
        lambda *_: (
            PromptMessage(Image(PNG, "image/png")),
            PromptMessage(Text("See?"), "assistant"),
        ),
    ),
)
FEATURES = FeatureSet(TOOLS, RESOURCES, TEMPLATES, PROMPTS)


def sample_dispatcher() -> Dispatcher:
    return Dispatcher(Registry(FEATURES), server_version=VERSION, states=new_states())


def context_for(call: Call, client: Asking | None = None) -> Context:
    return Context(local(()), call, NoDatabases(), client=client or Asking())


@dataclass(frozen=True)
class Client:
    """Asks the sample dispatcher directly, in one era of the protocol."""

    principal: Principal = field(default_factory=lambda: local(()))
    meta: dict[str, Any] | None = None

    def ask(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        send: Send | None = None,
    ) -> Answer:
        members = dict(params or {})
        if self.meta is not None:
            members.setdefault("_meta", self.meta)
        asking = Asking(members, headers, send)
        context = Context(self.principal, Call(60.0), NoDatabases(), client=asking)
        return sample_dispatcher().answer(Request(method, members, 7), context, headers)

    def result(self, method: str, params: dict[str, Any] | None = None) -> Any:
        answer = self.ask(method, params)
        assert answer.body is not None and answer.status == 200, answer
        assert answer.body["jsonrpc"] == "2.0" and answer.body["id"] == 7
        return answer.body["result"]

    def error(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """The HTTP status and the error object."""
        answer = self.ask(method, params, headers)
        assert answer.body is not None and answer.body["id"] == 7
        return answer.status, answer.body["error"]


SERVED: dict[str, dict[str, Any]] = {
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}},
    "ping": {},
    "tools/list": {},
    "tools/call": {"name": "echo", "arguments": {"text": "hi"}},
    "resources/list": {},
    "resources/templates/list": {},
    "resources/read": {"uri": "test://doc"},
    "prompts/list": {},
    "prompts/get": {"name": "explore", "arguments": {"topic": "sales"}},
}


def no_nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return all(no_nulls(member) for member in value.values())
    if isinstance(value, list):
        return all(no_nulls(member) for member in value)
    return value is not None


LEGACY = Client()
MODERN = Client(meta=META)
ANONYMOUS_CLIENT = Client(principal=ANONYMOUS)

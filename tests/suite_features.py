"""What MCP's official conformance suite asks a server to have: features with the names, texts and
behaviour that its scenarios describe."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pgmcp.errors import ToolError
from pgmcp.mcp.content import Audio, Content, EmbeddedResource, Image, Text
from pgmcp.mcp.feature import (
    Context,
    FeatureSet,
    Prompt,
    PromptMessage,
    Resource,
    ResourceTemplate,
    Tool,
)
from pgmcp.mcp.result import Result, text
from pgmcp.rpc.schema import arg
from tests.sample_features import PNG, NoArgs

_WAV = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==")
_PAUSE_SECONDS = 0.05  # between messages, as the suite asks


@dataclass(frozen=True)
class PromptArgs:
    arg1: str = arg("First test argument.")
    arg2: str = arg("Second test argument.")


@dataclass(frozen=True)
class EmbeddingArgs:
    resourceUri: str = arg("The URI of the resource to embed.")  # noqa: N815 - the suite's name


def _tool(name: str, *content: Content) -> Tool:
    return Tool(name, name, "A tool of the suite.", NoArgs, lambda _, __: Result(content))


def _fail(_: Any, __: Context) -> NoReturn:
    raise ToolError("This tool intentionally returns an error for testing", "")


def _with_progress(_: Any, context: Context) -> Result:
    for done in (0, 50, 100):
        context.client.progress(done, 100)
        _pause(context)
    return text("done")


def _with_logging(_: Any, context: Context) -> Result:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        context.client.log("info", said)
        _pause(context)
    return text("done")


def _pause(context: Context) -> None:
    threading.Event().wait(min(_PAUSE_SECONDS, context.call.remaining()))


def _data_of(_: Context, values: Mapping[str, str]) -> str:
    number = values["id"]
    return json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})


def _embedding(args: EmbeddingArgs) -> tuple[PromptMessage, ...]:
    body = "Embedded resource content for testing."
    return (
        PromptMessage(EmbeddedResource(args.resourceUri, body, "text/plain")),
        PromptMessage(Text("Please process the embedded resource above.")),
    )


def _prompt(name: str, args: type[Any], render: Any) -> Prompt:
    return Prompt(name, name, "A prompt of the suite.", args, render)


_MIXED = EmbeddedResource(
    "test://mixed-content-resource", '{"test":"data","value":123}', "application/json"
)
FEATURES = FeatureSet(
    tools=(
        _tool("test_simple_text", Text("This is a simple text response for testing.")),
        _tool("test_image_content", Image(PNG, "image/png")),
        _tool("test_audio_content", Audio(_WAV, "audio/wav")),
        _tool(
            "test_embedded_resource",
            EmbeddedResource(
                "test://embedded-resource", "This is an embedded resource content.", "text/plain"
            ),
        ),
        _tool(
            "test_multiple_content_types",
            Text("Multiple content types test:"),
            Image(PNG, "image/png"),
            _MIXED,
        ),
        Tool("test_error_handling", "Fail", "Fails.", NoArgs, _fail),
        Tool("test_tool_with_progress", "Progress", "Reports.", NoArgs, _with_progress),
        Tool("test_tool_with_logging", "Logging", "Logs.", NoArgs, _with_logging),
    ),
    resources=(
        Resource(
            "test://static-text",
            "static-text",
            "Text",
            "A resource of the suite.",
            "text/plain",
            lambda _: "This is the content of the static text resource.",
        ),
        Resource(
            "test://static-binary",
            "static-binary",
            "Picture",
            "A resource of the suite.",
            "image/png",
            lambda _: PNG,
        ),
    ),
    templates=(
        ResourceTemplate(
            "test://template/{id}/data",
            "template",
            "Data",
            "A template of the suite.",
            "application/json",
            _data_of,
        ),
    ),
    prompts=(
        _prompt("test_simple_prompt", NoArgs, lambda _: "This is a simple prompt for testing."),
        _prompt(
            "test_prompt_with_arguments",
            PromptArgs,
            lambda a: f"Prompt with arguments: arg1='{a.arg1}', arg2='{a.arg2}'",
        ),
        _prompt("test_prompt_with_embedded_resource", EmbeddingArgs, _embedding),
        _prompt(
            "test_prompt_with_image",
            NoArgs,
            lambda _: (
                PromptMessage(Image(PNG, "image/png")),
                PromptMessage(Text("Please analyze the image above.")),
            ),
        ),
    ),
)

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
from pgmcp.mcp.result import Form, InputRequest, InputRequired, Result, Roots, Sampling, text
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


def _embedding(args: EmbeddingArgs, _: Context) -> tuple[PromptMessage, ...]:
    body = "Embedded resource content for testing."
    return (
        PromptMessage(EmbeddedResource(args.resourceUri, body, "text/plain")),
        PromptMessage(Text("Please process the embedded resource above.")),
    )


_NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
_OK = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
_PERSON = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
_WHO = {"user_name": Form("What is your name?", _NAME)}


def _asking(name: str, questions: Mapping[str, InputRequest], said: str = "{}") -> Tool:
    """A tool that asks, and then says what it was told."""

    def run(_: Any, context: Context) -> Result | InputRequired:
        answers = context.client.answers
        if not all(isinstance(answers.get(key), dict) for key in questions):
            return InputRequired(questions, "asked")
        return text(said.format(json.dumps({key: answers[key] for key in questions})))

    return Tool(name, name, "A tool of the suite.", NoArgs, run)


def _in_two_steps(_: Any, context: Context) -> Result | InputRequired:
    client = context.client
    if "step2" in client.answers and client.state:
        return text(f"{client.state} likes {json.dumps(client.answers['step2'])}")
    if "step1" in client.answers:
        form = Form("Step 2: What is your favorite color?", _NAME)
        return InputRequired({"step2": form}, json.dumps(client.answers["step1"]))
    return InputRequired({"step1": Form("Step 1: What is your name?", _NAME)}, "")


def _what_can_be_asked(_: Any, context: Context) -> Result | InputRequired:
    client = context.client
    every: dict[str, InputRequest] = {
        "form": Form("Your name?", _NAME),
        "model": Sampling("Hi", 50),
    }
    can = {key: each for key, each in every.items() if client.can_answer(each.capability)}
    return InputRequired(can) if can and not client.answers else text("done")


def _prompt_that_asks(_: Any, context: Context) -> str | InputRequired:
    if "user_context" not in context.client.answers:
        return InputRequired({"user_context": Form("What context should it use?", _NAME)})
    return "With context."


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
        _asking("test_input_required_result_elicitation", _WHO, "Hello, {}!"),
        _asking("test_input_required_result_sampling", {"model": Sampling("Capital?", 100)}),
        _asking("test_input_required_result_list_roots", {"client_roots": Roots()}),
        _asking(
            "test_input_required_result_request_state",
            {"confirm": Form("Please confirm", _OK)},
            "state-ok {}",
        ),
        _asking(
            "test_input_required_result_multiple_inputs",
            {**_WHO, "greeting": Sampling("Greet", 50), "client_roots": Roots()},
        ),
        _asking("test_input_required_result_tampered_state", {"ok": Form("Sure?", _OK)}),
        _asking("test_missing_capability", {"model": Sampling("Hi", 10)}),
        _asking("test_streaming_elicitation", _WHO),
        Tool("test_input_required_result_multi_round", "Asks", "Twice.", NoArgs, _in_two_steps),
        Tool(
            "test_input_required_result_capabilities",
            "Asks",
            "Asks what it may.",
            NoArgs,
            _what_can_be_asked,
        ),
        Tool("test_logging_tool", "Logs", "Logs.", NoArgs, _with_logging),
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
        _prompt("test_input_required_result_prompt", NoArgs, _prompt_that_asks),
        _prompt("test_simple_prompt", NoArgs, lambda *_: "This is a simple prompt for testing."),
        _prompt(
            "test_prompt_with_arguments",
            PromptArgs,
            lambda a, _: f"Prompt with arguments: arg1='{a.arg1}', arg2='{a.arg2}'",
        ),
        _prompt("test_prompt_with_embedded_resource", EmbeddingArgs, _embedding),
        _prompt(
            "test_prompt_with_image",
            NoArgs,
            lambda *_: (
                PromptMessage(Image(PNG, "image/png")),
                PromptMessage(Text("Please analyze the image above.")),
            ),
        ),
    ),
)

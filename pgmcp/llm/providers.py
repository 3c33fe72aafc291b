"""The three protocols a model is asked in: what to send, and where in the answer the text stands.

The rule: pure, and strict. An answer of any other shape than the provider documents is an error;
nothing of what the endpoint says reaches a client but the text that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from pgmcp.config.llm import Provider
from pgmcp.config.values import Secret
from pgmcp.errors import ModelError
from pgmcp.rpc import jsonrpc

_CONTEXT_TOKENS = 16_384
"""Ollama's default window is smaller than our question, and it cuts without a word."""
_ANSWER_TOKENS = 8_192
"""Enough for a model that thinks first; Anthropic's protocol wants to be told."""

_HINT = "Write the SQL instead, or ask the operator to look at the log."


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One POST. `path` goes after the base URL's; `headers` may hold the key."""

    path: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"ModelRequest({self.path!r}, {len(self.body)} bytes)"


def request(
    provider: Provider, model: str, system: str, user: str, key: Secret | None = None
) -> ModelRequest:
    """What to send to ask `user` under the instructions of `system`."""
    secret = "" if key is None else key.reveal()
    question = {"role": "user", "content": user}
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    body: dict[str, Any] = {"model": model, "stream": False}
    if provider == "anthropic":
        headers["anthropic-version"] = "2023-06-01"
        if secret:
            headers["x-api-key"] = secret
        body |= {"max_tokens": _ANSWER_TOKENS, "system": system, "messages": [question]}
        return ModelRequest("/v1/messages", headers, jsonrpc.encode(body))
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    body["messages"] = [{"role": "system", "content": system}, question]
    if provider == "ollama":
        body["options"] = {"temperature": 0, "num_ctx": _CONTEXT_TOKENS}
        return ModelRequest("/api/chat", headers, jsonrpc.encode(body))
    return ModelRequest("/v1/chat/completions", headers, jsonrpc.encode(body))


def target(base_path: str, request: ModelRequest) -> str:
    """The request's path on the server; a base URL that ends in `/v1` or `/api` says it already."""
    head = "/" + request.path.split("/")[1]
    return base_path.removesuffix(head) + request.path


def answer(provider: Provider, data: bytes) -> str:
    """The model's text; ModelError for anything that is not one whole answer."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, endless digits, a deep nest
        _refuse("the model endpoint's answer is not JSON", data)
    try:
        text = _READERS[provider](value)
    except (AttributeError, IndexError, KeyError, TypeError):
        text = None
    if not isinstance(text, str):
        _refuse(f"the model endpoint's answer is not one of the {provider} protocol", data)
    return text


def _openai(value: Any) -> Any:
    choice = value["choices"][0]
    if choice.get("finish_reason") == "length":
        _refuse_cut()
    message = choice["message"]
    return "" if message["content"] is None and message.get("refusal") else message["content"]


def _ollama(value: Any) -> Any:
    if value["done"] is not True or value.get("done_reason") == "length":
        _refuse_cut()
    return value["message"]["content"]


def _anthropic(value: Any) -> Any:
    if value["stop_reason"] == "max_tokens":
        _refuse_cut()
    return "".join(block["text"] for block in value["content"] if block["type"] == "text")


_READERS: dict[Provider, Callable[[Any], Any]] = {
    "openai": _openai,
    "ollama": _ollama,
    "anthropic": _anthropic,
}


def _refuse(message: str, data: bytes) -> NoReturn:
    raise ModelError(message, _HINT, detail=f"{len(data)} bytes")


def _refuse_cut() -> NoReturn:
    raise ModelError("the model's answer was cut off before its end", "Ask for less at once.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)

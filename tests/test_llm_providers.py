"""What each provider is sent, and what counts as its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.config.llm import Provider
from pgmcp.config.values import Secret
from pgmcp.errors import ModelError
from pgmcp.llm.providers import answer, request, target

PROVIDERS: tuple[Provider, ...] = ("ollama", "openai", "anthropic")
WHOLE: dict[Provider, dict[str, Any]] = {
    "ollama": {
        "model": "m",
        "message": {"role": "assistant", "content": "SELECT 1", "thinking": "hm"},
        "done": True,
        "done_reason": "stop",
    },
    "openai": {
        "choices": [
            {"message": {"role": "assistant", "content": "SELECT 1"}, "finish_reason": "stop"}
        ]
    },
    "anthropic": {
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "SELECT"},
            {"type": "text", "text": " 1"},
        ],
        "stop_reason": "end_turn",
    },
}


def body(provider: Provider) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(request(provider, "m", "do", "ask").body)
    assert (value["model"], value["stream"]) == ("m", False)
    return value


def test_ollama_is_asked_for_a_chat_with_room_for_the_schema() -> None:
    value = body("ollama")
    assert value["messages"] == [
        {"role": "system", "content": "do"},
        {"role": "user", "content": "ask"},
    ]
    assert value["options"] == {"temperature": 0, "num_ctx": 16_384}
    assert request("ollama", "m", "", "").path == "/api/chat"


def test_openai_is_asked_for_a_completion() -> None:
    assert [one["role"] for one in body("openai")["messages"]] == ["system", "user"]
    assert request("openai", "m", "", "").path == "/v1/chat/completions"


def test_anthropic_is_asked_for_a_message() -> None:
    value = body("anthropic")
    assert (value["system"], value["messages"]) == ("do", [{"role": "user", "content": "ask"}])
    assert value["max_tokens"] > 0
    sent = request("anthropic", "m", "", "")
    assert sent.path == "/v1/messages"
    assert sent.headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_key_goes_into_one_header_and_into_no_repr(provider: Provider) -> None:
    sent = request(provider, "m", "", "", Secret("k-1"))
    name, value = (
        ("x-api-key", "k-1") if provider == "anthropic" else ("Authorization", "Bearer k-1")
    )
    assert sent.headers[name] == value
    assert b"k-1" not in sent.body
    assert "k-1" not in repr(sent)
    assert "k-1" not in str(request(provider, "m", "", "").headers)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/proxy", "/proxy/v1/chat/completions"),
        ("/proxy/v1", "/proxy/v1/chat/completions"),
    ],
)
def test_a_base_url_may_say_the_version(base: str, expected: str) -> None:
    assert target(base, request("openai", "m", "", "")) == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_text_of_an_answer(provider: Provider) -> None:
    assert answer(provider, json.dumps(WHOLE[provider]).encode()) == "SELECT 1"


CUT: dict[Provider, dict[str, Any]] = {
    "ollama": WHOLE["ollama"] | {"done_reason": "length"},
    "openai": {"choices": [{"message": {"content": "SEL"}, "finish_reason": "length"}]},
    "anthropic": WHOLE["anthropic"] | {"stop_reason": "max_tokens"},
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_that_was_cut_off_is_none(provider: Provider) -> None:
    with pytest.raises(ModelError, match="cut off"):
        answer(provider, json.dumps(CUT[provider]).encode())


def test_an_answer_that_ollama_has_not_finished_is_none() -> None:
    with pytest.raises(ModelError, match="cut off"):
        answer("ollama", json.dumps(WHOLE["ollama"] | {"done": False}).encode())


def test_a_refusal_of_openai_is_an_empty_answer() -> None:
    message = {"content": None, "refusal": "I will not"}
    value = {"choices": [{"message": message, "finish_reason": "stop"}]}
    assert answer("openai", json.dumps(value).encode()) == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"NaN", b'{"a": Infinity}', b"\xff", b"[" * 200_000, b"9" * 9_999],
    ids=repr,
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    for provider in PROVIDERS:
        with pytest.raises(ModelError, match="is not JSON"):
            answer(provider, data)


_KEYS = "choices message content text type done finish_reason stop_reason done_reason".split()
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["text", "stop", "SELECT 1", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.sampled_from(PROVIDERS), _JSON)
def test_any_json_is_a_text_or_one_clear_error(provider: Provider, value: object) -> None:
    try:
        assert isinstance(answer(provider, json.dumps(value).encode()), str)
    except ModelError as error:
        assert error.hint

"""The state that a client brings back: taken once, of the same caller, for the same request."""

from __future__ import annotations

from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import InvalidParamsError
from pgmcp.mcp.client import Client
from pgmcp.mcp.request_state import LIFE_SECONDS, MAX_STATE_CHARACTERS, RequestStates, digest_of
from pgmcp.rpc.jsonrpc import Request
from pgmcp.stores.memory import MemoryLimitStore
from tests.sample_features import META, context_for, new_states, trial_dispatcher

REQUEST = digest_of("token:a", "tools/call", {"name": "x", "arguments": {"a": 1, "b": [2]}})


def test_a_state_comes_back_as_it_was_once() -> None:
    states = new_states()
    text = states.issue(REQUEST, {"table": "orders", "seen": [1, True]})
    assert states.redeem(REQUEST, text) == {"table": "orders", "seen": [1, True]}
    with pytest.raises(InvalidParamsError, match="used before"):
        states.redeem(REQUEST, text)


@pytest.mark.parametrize(
    "other",
    [
        digest_of("token:b", "tools/call", {"name": "x", "arguments": {"a": 1, "b": [2]}}),
        digest_of("token:a", "prompts/get", {"name": "x", "arguments": {"a": 1, "b": [2]}}),
        digest_of("token:a", "tools/call", {"name": "y", "arguments": {"a": 1, "b": [2]}}),
        digest_of("token:a", "tools/call", {"name": "x", "arguments": {"a": 1, "b": [3]}}),
        digest_of("token:a", "tools/call", {"name": "x"}),
    ],
)
def test_a_state_is_of_one_caller_and_one_request(other: bytes) -> None:
    states = new_states()
    with pytest.raises(InvalidParamsError, match="made for this request"):
        states.redeem(other, states.issue(REQUEST, 1))


def test_the_order_of_arguments_does_not_matter() -> None:
    same = digest_of("token:a", "tools/call", {"arguments": {"b": [2], "a": 1}, "name": "x"})
    assert same == REQUEST


def test_every_changed_character_is_noticed() -> None:
    states = new_states()
    text = states.issue(REQUEST, "state")
    for place, character in enumerate(text):
        changed = text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]
        with pytest.raises(InvalidParamsError, match="made for this request"):
            states.redeem(REQUEST, changed)
    assert states.redeem(REQUEST, text) == "state"


@pytest.mark.parametrize(
    "text", ["", ".", "a.b", "é.é", None, 7, {}, "A" * (MAX_STATE_CHARACTERS + 1), "a.b.c"]
)
def test_what_is_no_state_is_refused(text: object) -> None:
    with pytest.raises(InvalidParamsError, match="made for this request"):
        new_states().redeem(REQUEST, text)


def test_a_state_of_another_key_is_refused() -> None:
    other = RequestStates(lambda: (b"o" * 32, MemoryLimitStore()), lambda: 0.0)
    with pytest.raises(InvalidParamsError, match="made for this request"):
        new_states().redeem(REQUEST, other.issue(REQUEST, 1))


@pytest.mark.parametrize(
    ("later", "taken"), [(LIFE_SECONDS - 1, True), (LIFE_SECONDS, False), (-2, False)]
)
def test_a_state_expires_and_none_is_of_the_future(later: float, taken: bool) -> None:
    now = [1000.0]
    states = new_states(lambda: now[0])
    text = states.issue(REQUEST, 1)
    now[0] += later
    if taken:
        assert states.redeem(REQUEST, text) == 1
    else:
        with pytest.raises(InvalidParamsError, match="has expired"):
            states.redeem(REQUEST, text)


def test_a_state_that_no_client_could_bring_back_is_not_made() -> None:
    with pytest.raises(ValueError, match="too large"):
        new_states().issue(REQUEST, "x" * MAX_STATE_CHARACTERS)


def test_over_the_protocol_a_state_proves_that_the_question_was_asked() -> None:
    dispatcher = trial_dispatcher()
    declared: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    answers = {"sure": {"action": "accept", "content": {"table": "orders"}}}

    def call(**more: Any) -> dict[str, Any]:
        params = {"name": "confirm", "arguments": {}, "_meta": META | declared, **more}
        client = Client(params)
        answer = dispatcher.answer(
            Request("tools/call", params, 1), context_for(Call(5.0), client), None
        )
        assert answer.body is not None
        return answer.body

    asked = call()["result"]
    assert asked["resultType"] == "input_required"
    # The answers alone prove nothing, and are asked for again.
    assert call(inputResponses=answers)["result"]["resultType"] == "input_required"
    done = call(inputResponses=answers, requestState=asked["requestState"])["result"]
    assert done["content"][0]["text"] == "confirmed"
    again = call(inputResponses=answers, requestState=asked["requestState"])
    assert again["error"]["code"] == -32602
    assert call(inputResponses=[1], requestState="x")["error"]["code"] == -32602

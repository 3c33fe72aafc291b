"""Asking the client before a request is answered: the questions go out, and the client sends the
request again with the answers (2026-07-28, "Multi Round-Trip Requests").

The rule: answers are the caller's words, as arguments are, and prove nothing. What a feature must
have asked for, such as leave to go on, it takes only with the state that went out with the
question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgmcp.errors import InvalidParamsError, MissingCapabilityError
from pgmcp.mcp.feature import Context
from pgmcp.mcp.request_state import RequestStates, digest_of
from pgmcp.mcp.result import InputRequired


def take_answers(
    states: RequestStates, method: str, params: Mapping[str, Any], context: Context
) -> None:
    """Give the client's answers to the feature that asked. InvalidParamsError for a state that is
    not this request's."""
    client = context.client
    answers = params.get("inputResponses")
    if client.era != "modern" or answers is None:
        return
    if not isinstance(answers, dict):
        raise InvalidParamsError("params.inputResponses: expected an object")
    if "requestState" in params:
        request = digest_of(context.principal.key, method, params)
        client.state = states.redeem(request, params["requestState"])
    client.answers = answers


def ask(
    states: RequestStates,
    outcome: InputRequired,
    method: str,
    params: Mapping[str, Any],
    context: Context,
) -> dict[str, Any]:
    """The members of the result that asks. MissingCapabilityError for a client that cannot."""
    missing: dict[str, Any] = {
        question.capability: {}
        for question in outcome.questions.values()
        if not context.client.can_answer(question.capability)
    }
    if missing:
        raise MissingCapabilityError(
            "this call asks the client back, and this client cannot answer",
            {"requiredCapabilities": missing},
        )
    request = digest_of(context.principal.key, method, params)
    return {
        "resultType": "input_required",
        "inputRequests": {key: each.encoded() for key, each in outcome.questions.items()},
        "requestState": states.issue(request, outcome.state),
    }

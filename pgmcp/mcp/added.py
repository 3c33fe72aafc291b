"""Arguments that clients add to those that the model wrote.

The rule: a name stands here with the report that shows a client sending it to servers. A tool that
has an argument of such a name gets it; no other name is ever dropped, since a misspelt argument
must not be.
"""

from __future__ import annotations

from collections.abc import Mapping

ADDED_BY_CLIENTS: Mapping[str, str] = {
    # n8n's AI agent: the id of the call, and the item of its chat trigger.
    "toolCallId": "https://github.com/n8n-io/n8n/issues/21500",
    "sessionId": "https://github.com/n8n-io/n8n/issues/22787",
    "action": "https://github.com/n8n-io/n8n/issues/22787",
    "chatInput": "https://github.com/n8n-io/n8n/issues/22787",
    # Cline: the list of what is to be done, which its prompt asks for with every call.
    "task_progress": "https://github.com/cline/cline/pull/9951",
    # A placeholder that Cursor has the model fill in where a tool needs no argument.
    "random_string": "https://github.com/mondaycom/mcp/pull/15",
    # Several hosts: a placeholder, what the call is for, and the `_meta` of the message.
    "_as_extra": "https://github.com/cyanheads/mcp-ts-core/issues/453",
    "tool_call_description": "https://github.com/cyanheads/mcp-ts-core/issues/453",
    "_meta": "https://github.com/cyanheads/mcp-ts-core/issues/453",
}
"""The names, each with its source."""

"""The pages of the manual by topic, and how a terminal shows them.

The rule: `TOPICS` is the list of the Markdown files beside this module. Their generated parts come
from `tools/docs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

TOPICS: Mapping[str, str] = {
    "install": "Install it: with pip, on Debian, as one file, as a service.",
    "clients": "The entry for each MCP client.",
    "configuration": "The configuration file, and every key.",
    "flags": "Every flag, and the exit status.",
    "authentication": "Tokens, user accounts, sessions, limits and lockout.",
    "tools": "The tools, with their arguments, and what a result looks like.",
    "resources": "The resources.",
    "prompts": "The prompts.",
    "questions": "Questions in plain language.",
    "reads": "What a read may do, and what refuses the rest.",
    "policies": "What each token and user may read.",
    "tls": "HTTPS, a private authority for a test, and client certificates.",
    "proxies": "Behind nginx or Caddy.",
    "limits": "Sizes, shares, and the answers 413, 429 and 503.",
    "signals": "Stop, reload, and files that are noticed by themselves.",
    "logs": "The log.",
    "audit": "The audit, and what its verification shows.",
    "metrics": "Metrics, health and readiness.",
    "performance": "Calls a second and memory, beside other servers.",
    "changes": "What changed in each version.",
}
"""The pages in the order of the manual, with what each is about."""

_COMMENT = re.compile(r"^<!--.*?-->\n\n?", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"^!\[.*\]\(.*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([a-z]+)\.md(?:#[\w-]*)?\)")


def read(topic: str) -> str:
    """The text of a page, in Markdown; KeyError for a topic that is not in `TOPICS`.

    The loader of this module reads it: it is a file, or a part of the one file.
    """
    if topic not in TOPICS:
        raise KeyError(topic)
    data: bytes = __loader__.get_data(str(PurePath(__file__).with_name(f"{topic}.md")))  # type: ignore[name-defined]
    return data.decode()


def for_terminal(text: str) -> str:
    """A page without what only a browser needs: comments, pictures, where links lead, escapes."""
    text = text.replace("\\\\\\\\", "\\\\")
    text = _PICTURE.sub("", _COMMENT.sub("", text))
    return _LINK.sub(r"\1 (-help \2)", text)

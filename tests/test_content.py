"""Content blocks as the specification has them (2025-11-25, Tools, "Tool Result")."""

from __future__ import annotations

import pytest

from pgmcp.mcp.content import Audience, Content, EmbeddedResource, Image, ResourceLink, Text

BLOCKS: list[tuple[Content, dict[str, object]]] = [
    (Text("a"), {"type": "text", "text": "a"}),
    (Image(b"\x00\xff", "image/png"), {"type": "image", "data": "AP8=", "mimeType": "image/png"}),
    (ResourceLink("pg://x", "x"), {"type": "resource_link", "uri": "pg://x", "name": "x"}),
    (
        ResourceLink("pg://x", "x", "X", "About x.", "text/plain", 0),
        {
            **{"type": "resource_link", "uri": "pg://x", "name": "x", "title": "X"},
            **{"description": "About x.", "mimeType": "text/plain", "size": 0},
        },
    ),
    (
        EmbeddedResource("pg://x", "a", "text/plain"),
        {
            "type": "resource",
            "resource": {"uri": "pg://x", "mimeType": "text/plain", "text": "a"},
        },
    ),
    (
        EmbeddedResource("pg://x", b"\x00\xff"),
        {"type": "resource", "resource": {"uri": "pg://x", "blob": "AP8="}},
    ),
]


@pytest.mark.parametrize(("content", "block"), BLOCKS)
def test_a_block_says_what_it_has_and_nothing_else(
    content: Content, block: dict[str, object]
) -> None:
    assert content.encoded() == block


@pytest.mark.parametrize(
    ("audience", "priority", "annotations"),
    [
        (("user",), None, {"audience": ["user"]}),
        ((), 0.0, {"priority": 0.0}),
        (("user", "assistant"), 1.0, {"audience": ["user", "assistant"], "priority": 1.0}),
    ],
)
def test_every_kind_of_block_says_whom_it_is_for_and_how_much_it_matters(
    audience: tuple[Audience, ...], priority: float | None, annotations: dict[str, object]
) -> None:
    for content in (
        Text("a", audience, priority),
        Image(b"", "image/png", audience, priority),
        ResourceLink("pg://x", "x", audience=audience, priority=priority),
        EmbeddedResource("pg://x", "a", audience=audience, priority=priority),
    ):
        assert content.encoded()["annotations"] == annotations

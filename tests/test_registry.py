"""pgmcp.mcp.registry: lookups, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmcp.mcp.registry import Registry
from tests.sample_features import PROMPTS, RESOURCES, TOOLS


def test_features_are_found_by_name_or_uri_hidden_ones_too() -> None:
    registry = Registry(TOOLS, RESOURCES, PROMPTS)
    assert registry.tools["authenticate_user"].hidden
    assert registry.resources["test://doc"].name == "doc"
    assert registry.prompts["explore"].title == "Explore"


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="echo: registered twice"):
        Registry([*TOOLS, TOOLS[0]])
    with pytest.raises(ValueError, match="test://doc: registered twice"):
        Registry((), [*RESOURCES, RESOURCES[0]])
    with pytest.raises(ValueError, match="explore: registered twice"):
        Registry((), (), [*PROMPTS, PROMPTS[0]])


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 129, "é", "a\n"])
def test_a_name_that_clients_would_drop_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        Registry([replace(TOOLS[0], name=name)])

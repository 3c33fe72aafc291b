"""pgmcp.mcp.registry: lookups, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmcp.mcp.feature import FeatureSet
from pgmcp.mcp.registry import PAGE_ENTRIES, Registry
from tests.sample_features import FEATURES, PROMPTS, RESOURCES, TEMPLATES, TOOLS


def test_features_are_found_by_name_or_uri_hidden_ones_too() -> None:
    registry = Registry(FEATURES)
    assert registry.tools["authenticate_user"].hidden
    assert registry.resources.fixed["test://doc"].name == "doc"
    assert registry.prompts["explore"].title == "Explore"


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="echo: registered twice"):
        Registry(FeatureSet((*TOOLS, TOOLS[0])))
    with pytest.raises(ValueError, match="test://doc: registered twice"):
        Registry(FeatureSet(resources=(*RESOURCES, RESOURCES[0])))
    with pytest.raises(ValueError, match="explore: registered twice"):
        Registry(FeatureSet(prompts=(*PROMPTS, PROMPTS[0])))


def named(count: int, description: str = "Says it.") -> FeatureSet:
    return FeatureSet(
        tuple(
            replace(TOOLS[0], name=f"echo{number}", description=description)
            for number in range(count)
        )
    )


@pytest.mark.parametrize("count", [0, 1, PAGE_ENTRIES, PAGE_ENTRIES + 1, 2 * PAGE_ENTRIES + 50])
def test_a_long_list_comes_in_pages_each_with_the_cursor_of_the_next(count: int) -> None:
    registry, names, cursor = Registry(named(count)), [], None
    while True:
        page = registry.listed("tools", "legacy", cursor)
        assert page is not None and len(page["tools"]) <= PAGE_ENTRIES
        names += [entry["name"] for entry in page["tools"]]
        if "nextCursor" not in page:
            break
        cursor = page["nextCursor"]
    assert names == [f"echo{number}" for number in range(count)]


def test_a_cursor_belongs_to_the_list_that_it_was_made_for() -> None:
    page = Registry(named(300)).listed("tools", "modern")
    assert page is not None
    cursor = page["nextCursor"]
    assert Registry(named(300)).listed("tools", "modern", cursor) is not None
    assert Registry(named(301)).listed("tools", "modern", cursor) is None
    assert Registry(named(300, "Is another.")).listed("tools", "modern", cursor) is None
    assert Registry(named(300)).listed("prompts", "modern", cursor) is None


@pytest.mark.parametrize("template", ["pg://x", "pg://{a}/{a}", "pg://{a", "pg://{a b}", "{}"])
def test_a_template_that_no_client_reads_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="variables are"):
        Registry(FeatureSet(templates=(replace(TEMPLATES[0], uri_template=template),)))


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 129, "é", "a\n"])
def test_a_name_that_clients_would_drop_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        Registry(FeatureSet((replace(TOOLS[0], name=name),)))

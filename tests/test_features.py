"""The folders of features and what belongs to each: a line in the list, a snapshot, a test.

`PGMCP_UPDATE_SNAPSHOTS=1 python -m pytest tests/test_features.py` writes the snapshots anew; read
the difference before committing it, since it is what every client will see.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from pgmcp.features import prompts, resources, tools
from pgmcp.mcp.feature import Prompt, Tool
from pgmcp.mcp.registry import Registry
from pgmcp.rpc.schema import build

TESTS = Path(__file__).parent
SNAPSHOTS = TESTS / "snapshots" / "tools"
UPDATE = "PGMCP_UPDATE_SNAPSHOTS"
REGISTRY = Registry(
    [dataclasses.replace(tool, hidden=False) for tool in tools.ALL], resources.ALL, prompts.ALL
)


def modules(package: ModuleType) -> list[str]:
    """The names of the features' files, without those that begin with an underscore."""
    assert package.__file__ is not None
    folder = Path(package.__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def module_of(feature: object) -> str:
    """The name of the module that a feature's function is defined in."""
    function = next(
        getattr(feature, name) for name in ("run", "read", "render") if hasattr(feature, name)
    )
    return str(function.__module__).rpartition(".")[2]


@pytest.mark.parametrize(
    "package", [tools, resources, prompts], ids=["tools", "resources", "prompts"]
)
def test_every_file_is_listed(package: ModuleType) -> None:
    listed = {module_of(feature) for feature in package.ALL}
    missing = set(modules(package)) - listed
    assert not missing, (
        f"{sorted(missing)}: add each to ALL in {package.__name__.replace('.', '/')}/__init__.py, "
        "where clients shall see it; a file that is no feature begins with an underscore"
    )


@pytest.mark.parametrize("name", modules(tools))
def test_every_tool_has_a_test_of_its_own(name: str) -> None:
    assert (TESTS / f"test_tool_{name}.py").exists(), f"write tests/test_tool_{name}.py"


@pytest.mark.parametrize("listed", REGISTRY.tool_list, ids=lambda listed: str(listed["name"]))
def test_a_tool_looks_to_clients_as_its_snapshot_says(listed: dict[str, Any]) -> None:
    path = SNAPSHOTS / f"{listed['name']}.json"
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    refresh = f"{UPDATE}=1 python -m pytest tests/test_features.py"
    assert path.exists(), f"{path.name} is missing; to write it: {refresh}"
    assert path.read_text(encoding="utf-8") == text, f"if the change is meant: {refresh}"


def test_no_snapshot_is_left_of_a_tool_that_is_gone() -> None:
    names = {tool.name for tool in tools.ALL}
    left = [path.name for path in SNAPSHOTS.iterdir() if path.stem not in names]
    assert not left, f"delete from {SNAPSHOTS}: {left}"


def test_the_order_of_the_lists() -> None:
    assert [tool.name for tool in tools.ALL if not tool.hidden] == [
        "query_database",
        "get_schema_info",
        "count_rows",
        "execute_explain",
        "read_resource",
    ]
    assert [tool.name for tool in tools.ALL if tool.hidden] == ["authenticate_user", "logout_user"]
    assert [resource.uri for resource in resources.ALL] == ["pg://system_info"]
    assert [prompt.name for prompt in prompts.ALL] == [
        "explore-database",
        "diagnose-query-issue",
        "design-schema",
    ]


@pytest.mark.parametrize("tool", tools.ALL, ids=lambda tool: tool.name)
def test_a_tool_is_documented_and_honest_about_itself(tool: Tool) -> None:
    listed = next(entry for entry in REGISTRY.tool_list if entry["name"] == tool.name)
    jsonschema.Draft202012Validator.check_schema(listed["inputSchema"])
    assert tool.name == module_of(tool)
    assert tool.description.endswith(".")
    assert all(item["description"] for item in listed["inputSchema"]["properties"].values())
    assert not tool.annotations.destructive
    assert not tool.annotations.open_world
    assert tool.annotations.read_only == (not tool.hidden)


@pytest.mark.parametrize("prompt", prompts.ALL, ids=lambda prompt: prompt.name)
def test_a_prompt_holds_what_it_was_given_and_names_tools_that_exist(prompt: Prompt) -> None:
    names = [field.name for field in dataclasses.fields(prompt.args)]
    text = prompt.render(build(prompt.args, {name: f"<{{{name}}} %s>" for name in names}))
    assert all(f"<{{{name}}} %s>" in text for name in names)
    known = {tool.name for tool in tools.ALL}
    mentioned = {word for word in text.replace("(", " ").replace(",", " ").split() if word in known}
    assert "get_schema_info" in mentioned


@pytest.mark.parametrize("prompt", prompts.ALL, ids=lambda prompt: prompt.name)
def test_a_prompt_reads_well_without_what_is_optional(prompt: Prompt) -> None:
    listed = next(entry for entry in REGISTRY.prompt_list if entry["name"] == prompt.name)
    needed = {a["name"]: "something" for a in listed["arguments"] if a["required"]}
    text = prompt.render(build(prompt.args, needed))
    assert "{" not in text
    assert "\n\n\n" not in text
    assert all(argument["description"] for argument in listed["arguments"])


def test_required_arguments_of_prompts() -> None:
    required = {
        prompt["name"]: [a["name"] for a in prompt["arguments"] if a["required"]]
        for prompt in REGISTRY.prompt_list
    }
    assert required == {
        "explore-database": [],
        "diagnose-query-issue": ["issue"],
        "design-schema": ["requirements"],
    }

"""The folders of features and what belongs to each: a line in the list, a snapshot, a test.

`PGMCP_UPDATE_SNAPSHOTS=1 python -m pytest tests/test_features.py` writes the snapshots anew; read
the difference before committing it, since it is what every client will see.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.features import discovery, prompts, resources, templates, tools
from pgmcp.features.all import ALL
from pgmcp.features.tools import count_rows
from pgmcp.mcp.feature import FeatureSet, Prompt, Tool
from pgmcp.mcp.registry import Registry
from pgmcp.rpc.schema import build
from tests.json_schema import check_schema
from tests.sample_features import context_for
from tools import manual

TESTS = Path(__file__).parent
SNAPSHOTS = TESTS / "snapshots"
UPDATE = "PGMCP_UPDATE_SNAPSHOTS"
REGISTRY = Registry(
    dataclasses.replace(
        ALL, tools=tuple(dataclasses.replace(tool, hidden=False) for tool in ALL.tools)
    )
)
LISTS = {
    "tools": REGISTRY.tool_list,
    "resources": REGISTRY.resource_list,
    "templates": REGISTRY.template_list,
    "prompts": REGISTRY.prompt_list,
}


def module_of(feature: object) -> str:
    """The name of the module that a feature's function is defined in."""
    function = next(
        getattr(feature, name) for name in ("run", "read", "render") if hasattr(feature, name)
    )
    return str(function.__module__).rpartition(".")[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of features, empty, that can be imported as `copied`."""
    package = tmp_path / "copied"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "copied"]:
        monkeypatch.delitem(sys.modules, name)
    return package


def copied(package: Path, name: str, source: ModuleType, *changes: tuple[str, str]) -> None:
    """Put a changed copy of a feature's file into the package."""
    text = Path(source.__file__ or "").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (package / f"{name}.py").write_text(text)


def test_a_file_in_the_folder_is_listed_and_documented(folder: Path) -> None:
    copied(folder, "tally", count_rows, ('name="count_rows"', 'name="tally"'))
    copied(folder, "aardvark", count_rows, ('name="count_rows"', 'name="aardvark"'))
    copied(
        folder, "early", count_rows, ('name="count_rows"', 'name="early"'), ("rank=30", "rank=1")
    )
    copied(folder, "_helper", count_rows)
    listed = discovery.features(importlib.import_module("copied"), "TOOL", Tool)
    assert [tool.name for tool in listed] == ["early", "aardvark", "tally"]
    shown = Registry(FeatureSet(listed)).tool_list
    assert [entry["name"] for entry in shown] == ["early", "aardvark", "tally"]
    assert all(f"`{tool.name}`" in manual.render_tools(listed) for tool in listed)


@pytest.mark.parametrize("mended", ["give it TOOL = Tool(…)", "the same name"])
def test_what_cannot_be_listed_says_what_to_do(folder: Path, mended: str) -> None:
    if "TOOL" in mended:
        (folder / "nothing.py").write_text("TOOL = 1\n")
    else:
        copied(folder, "renamed", count_rows)
    with pytest.raises(TypeError, match=re.escape(mended)):
        discovery.features(importlib.import_module("copied"), "TOOL", Tool)


@pytest.mark.parametrize(
    "package", [tools, resources, templates, prompts], ids=lambda p: str(p.__name__)
)
def test_every_file_is_listed(package: ModuleType) -> None:
    files = {path.stem for path in Path(package.__file__ or "").parent.glob("[!_]*.py")}
    assert files == {module_of(feature) for feature in package.ALL}


@pytest.mark.parametrize("name", discovery.modules(tools))
def test_every_tool_has_a_test_of_its_own(name: str) -> None:
    assert (TESTS / f"test_tool_{name}.py").exists(), f"write tests/test_tool_{name}.py"


@pytest.mark.parametrize(
    ("kind", "listed"),
    [(kind, entry) for kind, entries in LISTS.items() for entry in entries],
    ids=lambda value: value if isinstance(value, str) else str(value["name"]),
)
def test_a_feature_looks_to_clients_as_its_snapshot_says(kind: str, listed: dict[str, Any]) -> None:
    path = SNAPSHOTS / kind / f"{listed['name']}.json"
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    refresh = f"{UPDATE}=1 python -m pytest tests/test_features.py"
    assert path.exists(), f"{path.name} is missing; to write it: {refresh}"
    assert path.read_text(encoding="utf-8") == text, f"if the change is meant: {refresh}"


@pytest.mark.parametrize("kind", LISTS)
def test_no_snapshot_is_left_of_a_feature_that_is_gone(kind: str) -> None:
    names = {f"{entry['name']}.json" for entry in LISTS[kind]}
    left = {path.name for path in (SNAPSHOTS / kind).iterdir()} - names
    assert not left, f"delete from {SNAPSHOTS / kind}: {left}"


def test_only_the_tools_for_signing_in_and_out_are_hidden() -> None:
    assert [tool.name for tool in tools.ALL if tool.hidden] == ["authenticate_user", "logout_user"]


@pytest.mark.parametrize("tool", tools.ALL, ids=lambda tool: tool.name)
def test_a_tool_is_documented_and_honest_about_itself(tool: Tool) -> None:
    listed = next(entry for entry in REGISTRY.tool_list if entry["name"] == tool.name)
    check_schema(listed["inputSchema"])
    assert tool.name == module_of(tool)
    assert tool.description.endswith(".")
    assert all(item["description"] for item in listed["inputSchema"]["properties"].values())
    assert not tool.annotations.destructive
    assert not tool.annotations.open_world
    assert tool.annotations.read_only == (not tool.hidden)


def rendered(prompt: Prompt, arguments: dict[str, str]) -> str:
    text = prompt.render(build(prompt.args, arguments), context_for(Call(1.0)))
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("prompt", prompts.ALL, ids=lambda prompt: prompt.name)
def test_a_prompt_holds_what_it_was_given_and_names_tools_that_exist(prompt: Prompt) -> None:
    names = [field.name for field in dataclasses.fields(prompt.args)]
    text = rendered(prompt, {name: f"<{{{name}}} %s>" for name in names})
    assert all(f"<{{{name}}} %s>" in text for name in names)
    known = {tool.name for tool in tools.ALL}
    mentioned = {word for word in text.replace("(", " ").replace(",", " ").split() if word in known}
    assert "get_schema_info" in mentioned


@pytest.mark.parametrize("prompt", prompts.ALL, ids=lambda prompt: prompt.name)
def test_a_prompt_reads_well_without_what_is_optional(prompt: Prompt) -> None:
    listed = next(entry for entry in REGISTRY.prompt_list if entry["name"] == prompt.name)
    needed = {a["name"]: "something" for a in listed["arguments"] if a["required"]}
    text = rendered(prompt, needed)
    assert "{" not in text
    assert "\n\n\n" not in text
    assert all(argument["description"] for argument in listed["arguments"])

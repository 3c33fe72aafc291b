"""The parts of our pages that the code knows better: flags, tools, keys; rooms and their imports.

The rule: what stands between `<!-- generated: NAME -->` and `<!-- end -->` is made here and
compared by tools/check, so it cannot say what the program does not do.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgmcp.cli.flags import usage
from pgmcp.config.reference import render_table_markdown
from pgmcp.features import prompts, resources, tools
from pgmcp.mcp.feature import Prompt, Resource, Tool
from tools.rooms import render_diagram, render_rooms, wrong_places

ROOT = Path(__file__).resolve().parent.parent

_WITH_PLACES = ("pgmcp/README.md", ".github/CONTRIBUTING.md")
_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def render_help() -> str:
    """The text of `-help`, as it is printed."""
    return f"```text\n{usage().rstrip()}\n```"


def render_tools(listed: Sequence[Tool] = tools.ALL) -> str:
    """A table of the tools that are listed to clients, in their order."""
    rows = [
        (tool.name, tool.description, _arguments(tool.args)) for tool in listed if not tool.hidden
    ]
    return _table(("Tool", "What it does", "Arguments"), rows)


def render_resources(listed: Sequence[Resource] = resources.ALL) -> str:
    """A table of the resources, in the order in which clients see them."""
    rows = [(resource.uri, resource.description, resource.mime_type) for resource in listed]
    return _table(("Resource", "What it describes", "Type"), rows)


def render_prompts(listed: Sequence[Prompt] = prompts.ALL) -> str:
    """A table of the prompts, in the order in which clients see them."""
    rows = [(prompt.name, prompt.description, _arguments(prompt.args)) for prompt in listed]
    return _table(("Prompt", "What it is for", "Arguments"), rows)


Blocks = Mapping[str, Callable[[], str]]

PAGES: Mapping[str, Blocks] = {
    "README.md": {
        "help": render_help,
        "tools": render_tools,
        "resources": render_resources,
        "prompts": render_prompts,
        "configuration": render_table_markdown,
    },
    "pgmcp/README.md": {"rooms": render_rooms, "diagram": render_diagram},
}
"""The pages, each with the blocks that it holds."""


def generate(text: str, blocks: Blocks) -> str:
    """`text` with every block made anew; KeyError for a block that nobody makes."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{blocks[m[2]]().strip()}\n\n{m[4]}", text)


def problems(page: str, text: str, blocks: Blocks) -> Iterator[str]:
    """What is wrong with the blocks in the text of a page, one line each."""
    there = {match[2]: match[0] for match in _BLOCK.finditer(text)}
    for name in blocks:
        if name not in there:
            yield f"{page} has no block `<!-- generated: {name} -->` … `<!-- end -->`"
    for name, block in there.items():
        if name not in blocks:
            yield f"{page}: nobody makes the block {name}"
        elif generate(block, blocks) != block:
            yield f"{page}: the block {name} is out of date"


def all_problems() -> Iterator[str]:
    """What is wrong with our pages, one line each."""
    for page, blocks in PAGES.items():
        yield from problems(page, (ROOT / page).read_text(encoding="utf-8"), blocks)
    for page in _WITH_PLACES:
        text = (ROOT / page).read_text(encoding="utf-8")
        yield from (f"{page}: {problem}" for problem in wrong_places(text))


def main(arguments: Sequence[str]) -> int:
    """Write the blocks, or with --check compare them; 1 when they differ."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args(arguments)
    if not options.check:
        for page, blocks in PAGES.items():
            path = ROOT / page
            path.write_text(generate(path.read_text(encoding="utf-8"), blocks), encoding="utf-8")
        return 0
    lines = list(all_problems())
    for line in lines:
        print(line)
    return 1 if lines else 0


def _table(titles: Sequence[str], features: Sequence[tuple[str, str, str]]) -> str:
    """A row for each feature: its name, the first sentence of its description, and the rest."""
    lines = [f"| {' | '.join(titles)} |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {_first_sentence(description)} | {rest} |"
        for name, description, rest in features
    ]
    return "\n".join(lines)


def _arguments(args: type[Any]) -> str:
    return ", ".join(f"`{field.name}`" for field in dataclasses.fields(args)) or "none"


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, on one line, safe in a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return re.split(r"(?<=[.!?]) (?=[A-Z])", line, maxsplit=1)[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

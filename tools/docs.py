"""The parts of README.md that the program knows better: its flags, its tools, its keys.

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

from pgmcp.cli.flags import usage
from pgmcp.config.reference import render_table_markdown
from pgmcp.features.tools import ALL
from pgmcp.mcp.feature import Tool

README = Path(__file__).resolve().parent.parent / "README.md"

_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def render_help() -> str:
    """The text of `-help`, as it is printed."""
    return f"```text\n{usage().rstrip()}\n```"


def render_tools(tools: Sequence[Tool] = ALL) -> str:
    """A table of the tools that are listed to clients, in their order."""
    lines = ["| Tool | What it does | Arguments |", "|---|---|---|"]
    for tool in tools:
        if not tool.hidden:
            fields = dataclasses.fields(tool.args)
            arguments = ", ".join(f"`{field.name}`" for field in fields) or "none"
            lines.append(f"| `{tool.name}` | {_first_sentence(tool.description)} | {arguments} |")
    return "\n".join(lines)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "help": render_help,
    "tools": render_tools,
    "configuration": render_table_markdown,
}


def generate(text: str, blocks: Mapping[str, Callable[[], str]] = BLOCKS) -> str:
    """`text` with every block made anew; KeyError for a block that nobody makes."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{blocks[m[2]]().strip()}\n\n{m[4]}", text)


def problems(text: str, blocks: Mapping[str, Callable[[], str]] = BLOCKS) -> Iterator[str]:
    """What is wrong with the blocks in `text`, one line each."""
    there = {match[2]: match[0] for match in _BLOCK.finditer(text)}
    for name in blocks:
        if name not in there:
            yield f"README.md has no block `<!-- generated: {name} -->` … `<!-- end -->`"
    for name, block in there.items():
        if name not in blocks:
            yield f"README.md: nobody makes the block {name}"
        elif generate(block, blocks) != block:
            yield f"README.md: the block {name} is out of date"


def main(arguments: Sequence[str]) -> int:
    """Write the blocks, or with --check compare them; 1 when they differ."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args(arguments)
    text = README.read_text(encoding="utf-8")
    if not options.check:
        README.write_text(generate(text), encoding="utf-8")
        return 0
    lines = list(problems(text))
    for line in lines:
        print(line)
    return 1 if lines else 0


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, on one line, safe in a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return re.split(r"(?<=[.!?]) (?=[A-Z])", line, maxsplit=1)[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

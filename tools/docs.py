"""The parts of our pages that the code knows better: flags, features, keys; rooms and imports.

The rule: what stands between `<!-- generated: NAME -->` and `<!-- end -->` is made here and
compared by tools/check, so it cannot say what the program does not do.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pgmcp.cli.flags import usage
from pgmcp.config.reference import render_keys_markdown
from pgmcp.reference.pages import TOPICS
from tools import manual, prose
from tools.rooms import render_diagram, render_rooms, wrong_places

ROOT = Path(__file__).resolve().parent.parent

_MANUAL = "pgmcp/reference"
_WITH_PLACES = ("pgmcp/README.md", ".github/CONTRIBUTING.md")
_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def render_help() -> str:
    """The text of `-help`, as it is printed."""
    return f"```text\n{usage().rstrip()}\n```"


def render_pages() -> str:
    """A table of the manual's pages."""
    lines = ["| Page | What it is about |", "|---|---|"]
    lines += [f"| [{topic}]({_MANUAL}/{topic}.md) | {about} |" for topic, about in TOPICS.items()]
    return "\n".join(lines)


Blocks = Mapping[str, Callable[[], str]]

PAGES: Mapping[str, Blocks] = {
    "README.md": {"client-starts": manual.render_client_starts, "pages": render_pages},
    f"{_MANUAL}/clients.md": {"clients": manual.render_clients},
    f"{_MANUAL}/configuration.md": {"configuration": render_keys_markdown},
    f"{_MANUAL}/flags.md": {"help": render_help},
    f"{_MANUAL}/limits.md": {"limits": manual.render_limits},
    f"{_MANUAL}/metrics.md": {"metrics": manual.render_metrics},
    f"{_MANUAL}/prompts.md": {"prompts": manual.render_prompts},
    f"{_MANUAL}/resources.md": {"resources": manual.render_resources},
    f"{_MANUAL}/tools.md": {"tools": manual.render_tools},
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
    yield from prose.problems(ROOT)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

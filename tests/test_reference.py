"""The manual, as the program prints it: in a clone, in a wheel and from the one file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pgmcp.cli import flags
from pgmcp.cli import help as help_
from pgmcp.reference import pages
from tests.installed import install

CLONE = Path(__file__).resolve().parent.parent


def test_help_lists_the_pages() -> None:
    for topic, about in pages.TOPICS.items():
        assert f"\n  {topic:<24}{about}\n" in flags.usage()


@pytest.mark.parametrize("words", [["-help", "tools"], ["--help", "tools"], ["-h", "tools", "-x"]])
def test_a_word_behind_help_names_a_page(words: list[str]) -> None:
    assert flags.parse(words) == flags.CommandLine("help", {"help": "tools"})


def test_help_is_a_value_like_any_other_and_takes_no_flag_for_a_page() -> None:
    assert flags.parse(["-addr", "-help"]).values == {"addr": "-help"}
    assert flags.parse(["-help", "-http"]) == flags.CommandLine("help", {})
    assert flags.parse(["-help=true", "audit"]).values == {"help": "audit"}
    assert flags.parse(["-help=false", "-http"]) == flags.CommandLine(None, {"http": True})


@pytest.mark.parametrize("topic", pages.TOPICS)
def test_every_page_is_printed_without_what_only_a_browser_needs(
    topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert help_.show(topic) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# ")
    assert "<!--" not in printed
    assert "![" not in printed
    assert ".md)" not in printed


def test_a_link_becomes_the_command_that_prints_the_page() -> None:
    assert pages.for_terminal("See [the log](logs.md#x).") == "See the log (-help logs)."


def test_an_escape_of_markdown_is_taken_back() -> None:
    assert pages.for_terminal(r"a backslash \\\\ and \t") == r"a backslash \\ and \t"


def test_an_unknown_page_is_named_with_the_nearest(tmp_path: Path) -> None:
    ended = install(tmp_path).run("-help", "tool")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == ("ERROR: no page of the manual: tool\nDid you mean tools?\n")


def test_a_reader_that_has_enough_makes_no_noise(tmp_path: Path) -> None:
    ended = install(tmp_path).shell("pgedge-postgres-mcp -help configuration | head -1")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "# Configuration\n", "")


@pytest.mark.parametrize("words", [["-help"], ["-help", "configuration"], ["-list-tokens"]])
def test_what_the_terminal_cannot_show_is_escaped_and_ends_nothing(
    tmp_path: Path, words: list[str]
) -> None:
    program = install(tmp_path)
    program.run("-add-token", "-token-note", "café", "-token-expiry", "never")
    ended = subprocess.run(
        [program.folder / "pgedge-postgres-mcp", *words],
        env=program.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)
    assert "\\u2026" in ended.stdout or "caf\\xe9" in ended.stdout


def test_the_pages_fit_a_terminal() -> None:
    for topic in pages.TOPICS.keys() - {"performance"}:
        prose = re.sub(r"^```.*?^```$", "", pages.read(topic), flags=re.MULTILINE | re.DOTALL)
        lines = [line for line in prose.splitlines() if not line.startswith("|")]
        assert max(map(len, lines)) <= 100, topic


def test_the_wheel_brings_the_manual_and_prints_it_in_an_empty_folder(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", _BUILD, tmp_path],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=True,
    )
    place = tmp_path / "installed"
    zipfile.ZipFile(tmp_path / made.stdout.splitlines()[-1]).extractall(place)
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "pgmcp", "-help", "audit"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == pages.for_terminal(pages.read("audit"))
    listed = {path.stem for path in (place / "pgmcp" / "reference").glob("*.md")}
    assert listed == set(pages.TOPICS)


_BUILD = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"

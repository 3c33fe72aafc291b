"""What a file or an argument says reaches no terminal as it is, and begins no line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.cli.console import Console
from pgmcp.errors import ConfigError, visible
from tests.observing import run
from tests.program import NOWHERE, write_config

EVIL = "x\x1b[2J\x07\r\n\u202eERROR: forged\u2028"
SHOWN = r"x\u001b[2J\u0007\r\n\u202eERROR: forged\u2028"


@settings(deadline=None)
@given(st.text(alphabet=st.characters()))
def test_whatever_it_was_it_is_printable_and_stays_so(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


def test_an_error_has_no_line_but_its_own() -> None:
    error = ConfigError(f"a {EVIL}", f"Do {EVIL.strip()}\nand more")
    first, *others = error.for_operator().split("\n")
    assert first == f"ERROR: a {SHOWN}"
    assert others[-1] == "and more"
    assert all(line.isprintable() for line in others)


def test_the_console_prints_each_argument_on_one_line() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(io.StringIO("yes\n"), out, err)
    console.say(EVIL, "")
    console.warn(EVIL)
    assert console.confirm(EVIL)
    assert out.getvalue() == f"{SHOWN}\n\n"
    assert err.getvalue() == f"{SHOWN}\n{SHOWN} [yes/no]: "


@pytest.mark.parametrize(
    "flags",
    [
        ("-check",),
        ("-list-tokens",),
        ("-http",),
        (),
        ("-verify-audit", "none\x1b[2J"),
        ("-remove-token", "none\x1b[2J"),
        ("-nothing\x1b[2J",),
        ("-config", "none\x1b[2J"),
    ],
)
def test_a_doubled_key_drives_no_terminal(flags: tuple[str, ...], tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE)
    (tmp_path / "tokens.yaml").write_text("tokens: []")
    if not any("none" in flag for flag in flags):
        config.write_text('"evil\\e[2J\\nERROR: forged": 1\n"evil\\e[2J\\nERROR: forged": 2\n')
    done = run(config, *flags)
    assert done.returncode in (1, 2)
    for line in (done.stdout + done.stderr).splitlines():
        assert line.isprintable()
        assert not line.startswith("ERROR: forged")


def test_a_doubled_key_in_a_token_file_drives_no_terminal(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE)
    (tmp_path / "tokens.yaml").write_text('"a\\e[2J\\nb": 1\n"a\\e[2J\\nb": 2\n')
    for flags in (("-check", "-http"), ("-list-tokens",), ("-http",)):
        done = run(config, *flags)
        assert done.returncode == 1
        assert r"a\u001b[2J\nb" in done.stdout + done.stderr
        assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())

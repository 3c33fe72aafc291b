"""One rule for where the configuration is, and commands in messages that mend when pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.installed import NAME, Installed, install
from tools.postgres import free_port
from tools.serving import ROOT, environment

ADD = ("-add-token", "-token-note", "n", "-token-expiry", "1d")
USER = ("-username", "bob", "-password", "-", "-user-note", "n")


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return install(tmp_path)


def said(stderr: str, what: str) -> str:
    """The path in the line that begins with this."""
    (path,) = re.findall(rf"^{what}:? (.*)$", stderr, re.MULTILINE)
    return str(path)


def test_every_verb_says_the_same_configuration_and_its_own_file(installed: Installed) -> None:
    installed.config.write_text("http: {auth: {token_file: t.yaml, user_file: sub/../u.yaml}}")
    installed.config.chmod(0o600)
    (installed.folder / "sub").mkdir()
    verbs: Sequence[tuple[str, ...]] = (
        (*ADD, "Token file", "t.yaml"),
        ("-list-tokens", "Token file", "t.yaml"),
        ("-remove-token", "12345678", "Token file", "t.yaml"),
        ("-add-user", *USER, "User file", "u.yaml"),
        ("-list-users", "User file", "u.yaml"),
        ("-disable-user", "-username", "bob", "User file", "u.yaml"),
        ("-delete-user", "-username", "bob", "-yes", "User file", "u.yaml"),
    )
    for *words, what, name in verbs:
        done = installed.run(*words, typed="a-long-password\n")
        assert said(done.stderr, "Configuration") == str(installed.config)
        assert Path(said(done.stderr, what)).resolve() == installed.folder / name
    assert {path.name for path in installed.folder.glob("?.yaml")} == {"t.yaml", "u.yaml"}
    for words in (["-check"], ["-self-test"], ["-verify-audit", "none"]):
        assert said(installed.run(*words).stderr, "Configuration") == str(installed.config)


def test_what_init_writes_is_what_every_verb_finds_from_anywhere(installed: Installed) -> None:
    done = installed.run("-init")
    assert said(done.stdout, "Wrote") == str(installed.config)
    for words in (ADD, ["-list-tokens"], ["-check"]):
        assert said(installed.run(*words).stderr, "Configuration") == str(installed.config)


def test_without_a_configuration_it_is_said_where_one_was_looked_for(installed: Installed) -> None:
    done = installed.run("-list-users")
    assert said(done.stderr, "Configuration") == (
        f"none (looked for /etc/pgedge/{NAME}.yaml and {installed.config})"
    )


def test_a_file_in_the_current_folder_is_not_taken(installed: Installed) -> None:
    """A client starts the program in folders whose files are somebody else's."""
    (installed.cwd / f"{NAME}.yaml").write_text("http: {auth: {token_file: theirs.yaml}}")
    done = installed.run(*ADD)
    assert said(done.stderr, "Configuration").startswith("none")
    assert said(done.stderr, "Token file") == str(installed.folder / f"{NAME}-tokens.yaml")


# -- python -m -------------------------------------------------------------------------------------


def configuration_of(*words: str | Path, **environ: str) -> str:
    done = subprocess.run(
        [*words, "-list-users"],
        cwd="/",
        env=environment() | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return said(done.stderr, "Configuration")


def test_python_m_is_the_installed_program() -> None:
    command = Path(sys.executable).with_name(NAME)
    if not command.exists():
        pytest.skip("the package is not installed here")
    expected = configuration_of(command)
    assert configuration_of(sys.executable, "-m", "pgmcp") == expected


def test_python_m_of_a_tree_that_is_not_installed_looks_in_the_tree(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    packages = [path for path in sys.path if path.endswith("-packages")]
    paths = os.pathsep.join([str(ROOT), *packages])
    python = tmp_path / "v" / "bin" / "python"
    looked = configuration_of(python, "-m", "pgmcp", PYTHONPATH=paths, HOME=str(tmp_path))
    assert str(ROOT / f"{NAME}.yaml") in looked


# -- commands in messages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", ["beside", "-config", "-config relative", "-token-file", "PGEDGE_AUTH_TOKEN_FILE"]
)
def test_the_command_after_a_missing_token_file_makes_it_when_pasted(
    installed: Installed, case: str
) -> None:
    """The guide's three lines; the command is the one that mends it, from any folder."""
    config = installed.cwd / "my config.yaml"
    config.write_text(f"http: {{address: '127.0.0.1:{free_port()}', auth: {{token_file: t.yaml}}}}")
    config.chmod(0o600)
    words, where = {
        "beside": (["-addr", "127.0.0.1:0"], installed.folder / f"{NAME}-tokens.yaml"),
        "-config": (["-config", str(config)], installed.cwd / "t.yaml"),
        "-config relative": (["-config", "my config.yaml"], installed.cwd / "t.yaml"),
        "-token-file": (["-addr", ":0", "-token-file", "x y.yaml"], installed.cwd / "x y.yaml"),
        "PGEDGE_AUTH_TOKEN_FILE": (["-addr", ":0"], installed.cwd / "e.yaml"),
    }[case]
    start = "" if case != "PGEDGE_AUTH_TOKEN_FILE" else "PGEDGE_AUTH_TOKEN_FILE=e.yaml "
    refused = installed.shell(f"{start}{NAME} -http {' '.join(map(repr, words))}")
    assert refused.returncode == 1
    lines = refused.stderr.splitlines()[-3:]
    assert lines[0] == f"ERROR: Token file not found: {where}"
    assert lines[2] == "Or disable authentication with: -no-auth"
    command = lines[1].removeprefix("Create tokens with: ")
    elsewhere = Installed(installed.folder, installed.folder)
    assert elsewhere.shell(command, typed="n\n1d\n").returncode == 0
    assert where.exists()


def test_called_as_in_the_guide_the_message_is_the_guides(installed: Installed) -> None:
    done = Installed(installed.folder, installed.folder).shell(f"./{NAME} -list-tokens")
    assert done.stderr.splitlines()[-3:] == [
        f"ERROR: Token file not found: {installed.folder}/{NAME}-tokens.yaml",
        f"Create tokens with: ./{NAME} -add-token",
        "Or disable authentication with: -no-auth",
    ]


def test_a_missing_configuration_is_written_by_the_command_in_the_message(
    installed: Installed,
) -> None:
    done = installed.run("-list-tokens", "-config", "new.yaml")
    (command,) = re.findall(r"^Write it with: (.*)$", done.stderr, re.MULTILINE)
    elsewhere = Installed(installed.folder, installed.folder)
    assert elsewhere.shell(f"{command}").returncode == 0
    assert (installed.cwd / "new.yaml").exists()


def test_other_hints_are_commands_too(installed: Installed) -> None:
    installed.run("-add-user", *USER, typed="a-long-password\n")
    taken = installed.run("-add-user", *USER, typed="a-long-password\n").stderr
    (command,) = re.findall(r"^Change it with: (.*)$", taken, re.MULTILINE)
    assert installed.shell(f"{command} -user-note m").returncode == 0
    missing = installed.run("-update-user", "-username", "x", "-user-note", "m").stderr
    (command,) = re.findall(r"^See them with: (.*)$", missing, re.MULTILINE)
    assert "bob" in installed.shell(command).stdout
    shown = installed.run("-check", "-http", "-token-file", "other.yaml").stdout
    command = re.findall(r"^ +Make it with: (.*)$", shown, re.MULTILINE)[0]
    assert installed.shell(command, typed="n\n1d\n").returncode == 0
    assert (installed.cwd / "other.yaml").exists()

"""A verb is declared in one place, and needs nothing but the sections that it names."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pgmcp.cli import verbs
from pgmcp.cli.flags import parse, usage
from pgmcp.cli.verb import Verb
from pgmcp.config.load import load_sections
from pgmcp.errors import ConfigError
from tools.serving import ROOT, environment

ALL = verbs.find_all()
BROKEN: Mapping[str, Mapping[str, Any]] = {
    "API key": {"llm": {"provider": "openai", "model": "m", "api_key_file": "/nowhere/key"}},
    "password file": {"databases": [{"name": "main", "password_file": "/nowhere/password"}]},
    "root certificate": {"databases": [{"name": "main", "sslmode": "verify-ca"}]},
    "certificate": {"http": {"tls": {"enabled": True, "cert_file": "/nowhere/c"}}},
    "proxy without names": {"http": {"enabled": True, "trusted_proxies": ["10.0.0.1"]}},
    "audit": {"audit": {"required": True}},
}
WRONG: Mapping[str, Mapping[str, Any]] = {
    "unknown key": {"llm": {"modle": "m"}},
    "unknown key beside the section": {"http": {"adress": ":1"}},
    "unknown section": {"rules": {"deny": []}},
    "bad value": {"log": {"level": "loud"}},
    "bad value of a database": {"databases": [{"name": "main", "port": "x"}]},
    "unknown key of a database": {"databases": [{"name": "main", "hots": "x"}]},
    "no section": {"llm": 5},
    "unknown tool": {"builtins": {"tools": {"x": 5}}},
}


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(first)
    for name, value in second.items():
        inner = both.get(name)
        both[name] = (
            merged(inner, value)
            if isinstance(inner, Mapping) and isinstance(value, Mapping)
            else value
        )
    return both


def write(folder: Path, settings: Mapping[str, Any]) -> Path:
    config = folder / "c.yaml"
    auth = {"auth": {"token_file": str(folder / "t.yaml"), "user_file": str(folder / "u.yaml")}}
    config.write_text(json.dumps(merged({"http": auth}, settings)))
    config.chmod(0o600)
    return config


_EACH = """
import contextlib, io, json, sys
from pgmcp.cli.main import main
ended = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    ended.append((status, out.getvalue(), err.getvalue()))
json.dump(ended, sys.stdout)
"""


def run_each(lines: list[list[str]]) -> list[subprocess.CompletedProcess[str]]:
    """How the program ends with each of these command lines, in one process for all of them."""
    done = subprocess.run(
        [sys.executable, "-c", _EACH],
        cwd=ROOT,
        env=environment(),
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    ended = zip(lines, json.loads(done.stdout), strict=True)
    return [subprocess.CompletedProcess(words, *results) for words, results in ended]


# -- one place -------------------------------------------------------------------------------------


def test_a_verb_is_in_the_help_and_read_with_each_of_its_flags() -> None:
    text = usage()
    for verb in ALL:
        assert f"\n  -{verb.name}" in text
        for flag in verb.flags:
            argv = [f"-{verb.name}", *([verb.metavar] if verb.metavar else []), f"-{flag.name}"]
            options = parse([*argv, "x"] if flag.metavar else argv)
            assert options.verb == verb.name
            assert flag.name in options.values


def test_names_are_there_once() -> None:
    names = [verb.name for verb in ALL]
    assert len(names) == len(set(names))
    flags = {(flag.name, flag) for verb in ALL for flag in verb.flags}
    assert len({name for name, _ in flags} | set(names)) == len(flags) + len(names)


@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.name)
def test_a_verb_takes_the_sections_that_it_names(verb: Verb) -> None:
    parameters = list(inspect.signature(verb.run).parameters)
    assert parameters == ["command", *verb.sections], "give the function its sections by name"


@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.name)
def test_the_sections_of_a_verb_can_be_loaded(verb: Verb, tmp_path: Path) -> None:
    names = [name for name in verb.sections if name != "config"]
    loaded = load_sections(names, {"config": str(write(tmp_path, {}))}, {"USER": "u"}, tmp_path)
    assert list(loaded) == names


def test_a_new_module_of_verbs_is_all_that_a_verb_needs(tmp_path: Path) -> None:
    """A module put into the folder is listed, read and run."""
    (tmp_path / "greeting.py").write_text(
        "from pgmcp.cli.verb import Command, Flag, Verb\n"
        "def greet(command, auth):\n"
        "    command.console.say(f'{command.text(\"to\")} {auth.token_file.name}')\n"
        "    return 0\n"
        "VERBS = (Verb('greet', 'Greetings', 'Say hello.', greet, ('auth',),\n"
        "              (Flag('to', 'Whom.', 'NAME'),)),)\n"
    )
    program = (
        "import sys; from pgmcp.cli import verbs; from pgmcp.cli.main import main\n"
        f"verbs.__path__.append({str(tmp_path)!r})\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    def start(*flags: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *flags],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert "Greetings:\n  -greet                  Say hello.\n  -to NAME " in start("-help")
    config = str(write(tmp_path, {}))
    assert start("-config", config, "-greet", "-to", "you") == "you t.yaml\n"


def test_serving_loads_no_verb_and_help_nothing_slow() -> None:
    program = (
        "import sys; from pgmcp.cli import flags\n"
        "flags.parse(['-http', '-addr', ':1'])\n"
        "print(sorted(name for name in sys.modules if name.startswith('pgmcp.cli.verbs')))\n"
        "flags.usage()\n"
        "print([n for n in ('bcrypt', 'pg8000', 'ssl', 'pgmcp.app') if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "[]"]


# -- only what is needed ---------------------------------------------------------------------------


def folders(parent: Path) -> dict[str, Path]:
    """An empty folder for each thing that is wrong."""
    made = {what: parent / what for what in (*BROKEN, *WRONG)}
    for folder in made.values():
        folder.mkdir()
    return made


def test_a_leaked_token_is_revoked_whatever_else_is_wrong(tmp_path: Path) -> None:
    wrong = folders(tmp_path)
    flags = ("-add-token", "-token-note", "n", "-token-expiry", "never")
    made = run_each([["-config", str(write(folder, {})), *flags] for folder in wrong.values()])
    tokens = [
        next(line[4:] for line in done.stdout.splitlines() if line.startswith("ID: "))
        for done in made
    ]
    lines = [
        ["-config", str(write(folder, {**BROKEN, **WRONG}[what])), "-remove-token", token]
        for (what, folder), token in zip(wrong.items(), tokens, strict=True)
    ]
    for what, token, removed in zip(wrong, tokens, run_each(lines), strict=True):
        assert removed.returncode == 0, (what, removed.stderr)
        assert "Token removed" in removed.stdout, what
        assert token not in (wrong[what] / "t.yaml").read_text(), what
        assert ("not needed for this command" in removed.stderr) == (what in WRONG), what


@pytest.mark.parametrize("flag", ["-check", "-http"])
def test_what_a_verb_need_not_know_stops_serving_and_the_check(tmp_path: Path, flag: str) -> None:
    wrong = folders(tmp_path)
    lines = [
        ["-config", str(write(folder, {**BROKEN, **WRONG}[what])), flag]
        for what, folder in wrong.items()
    ]
    for what, done in zip(wrong, run_each(lines), strict=True):
        assert done.returncode == 1, what
        assert done.stderr.startswith("ERROR: ") or "\nERROR: " in done.stderr, what


@pytest.mark.parametrize(
    "settings",
    [
        {"http": {"auth": {"password_min_length": 0}}},
        {"http": {"auth": {"tokenfile": "x"}}},
        {"http": {"auth": 5}},
        {"http": 5},
        {"htpp": {"auth": {"token_file": "x"}}},
        {"http": {"auht": {"token_file": "x"}}},
        {"http": {"token_file": "x"}},
        {"auth": {"token_file": "x"}},
        {"http.auth.token_file": "x"},
    ],
)
def test_what_a_verb_needs_must_be_right(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Also what may be a misspelling of it: a token would be revoked in the wrong file."""
    options = {"config": str(write(tmp_path, settings))}
    with pytest.raises(ConfigError):
        load_sections(["auth"], options, {}, tmp_path)


def test_the_names_of_databases_are_read_without_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = [{"name": "a", "password_file": "/nowhere"}, {"name": "b", "port": "x", "hots": "y"}]

    def names(listed: object) -> object:
        config = write(tmp_path, {"databases": listed})
        return load_sections(["database_names"], {"config": str(config)}, {}, tmp_path)

    assert names(listed) == {"database_names": ("a", "b")}
    assert "databases[1].port" in caplog.text
    assert "databases[1].hots" in caplog.text
    for wrong in (5, [5], [{"nmae": "a"}], [{"name": 5}], [{"name": "a"}, {"name": "a"}]):
        with pytest.raises(ConfigError):
            names(wrong)


def test_a_verb_reads_no_secret_that_it_does_not_need(tmp_path: Path) -> None:
    """Not even to look at it: a pipe that nobody writes to would keep it waiting."""
    os.mkfifo(tmp_path / "pipe")
    pipe = str(tmp_path / "pipe")
    settings = merged(BROKEN["API key"], {"databases": [{"name": "a", "password_file": pipe}]})
    settings["llm"]["api_key_file"] = pipe
    config = write(tmp_path, settings)
    assert "auth" in load_sections(["auth"], {"config": str(config)}, {}, tmp_path)

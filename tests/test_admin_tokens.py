"""The token commands, in the words of the guide."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.admin_commands import NOW, Outcome, configuration, run

DATABASES = ("production", "staging", "2")


def add(
    folder: Path, typed: str = "", databases: tuple[str, ...] = DATABASES, **flags: str
) -> Outcome:
    options = {f"token-{name}": value for name, value in flags.items()}
    return run(configuration(folder, databases), "add-token", options, typed)


def entries(folder: Path) -> list[dict[str, object]]:
    text = (folder / "pgedge-postgres-mcp-tokens.yaml").read_text()
    found: list[dict[str, object]] = yaml.safe_load(text)["tokens"]
    return found


def test_a_token_is_shown_once_as_the_guide_shows_it(tmp_path: Path) -> None:
    done = add(tmp_path, note="Production API", database="staging", expiry="1y")
    found = re.fullmatch(
        r"Token created successfully:\n"
        r"Token: (?P<token>[A-Za-z0-9_-]{43}=)\n"
        r"ID: (?P<id>token-\d+)\n"
        r"Note: Production API\n"
        r"Database: staging\n"
        r"Expiry: 2025-10-30 \(365 days from now\)\n"
        r"Hash \(first 12 chars\): (?P<hash>[0-9a-f]{12})\.\.\.\n"
        r"\n"
        r"Store this token securely\. It cannot be retrieved later\.\n",
        done.out,
    )
    assert found, done
    assert (done.status, done.err) == (0, "")
    hashed = hashlib.sha256(found["token"].encode()).hexdigest()
    assert hashed.startswith(found["hash"])
    assert entries(tmp_path) == [
        {
            "id": found["id"],
            "hash": hashed,
            "note": "Production API",
            "created_at": "2024-10-30T10:15:30Z",
            "expires_at": "2025-10-30T10:15:30Z",
            "database": "staging",
        }
    ]


def test_without_flags_it_asks_for_note_database_and_expiry(tmp_path: Path) -> None:
    done = add(tmp_path, "Dev Environment\nstaging\n30d\n")
    assert done.status == 0
    assert done.err == (
        "Note (what the token is for): "
        "Available databases:\n"
        "  1. production\n"
        "  2. staging\n"
        "  3. 2\n"
        "Database (number or name, blank for the default): "
        'Expiry (e.g. "30d", "1y", "2w", "12h" or "never"): '
    )
    (entry,) = entries(tmp_path)
    assert (entry["note"], entry["database"]) == ("Dev Environment", "staging")
    assert entry["expires_at"] == "2024-11-29T10:15:30Z"


@pytest.mark.parametrize(
    ("answer", "database"), [("1", "production"), ("2", "2"), ("staging", "staging"), ("", None)]
)
def test_a_database_is_chosen_by_number_or_name_and_blank_is_the_default(
    tmp_path: Path, answer: str, database: str | None
) -> None:
    done = add(tmp_path, f"{answer}\nnever\n", note="x")
    assert done.status == 0
    assert entries(tmp_path)[0].get("database") == database
    assert (f"Database: {database}" in done.out) == (database is not None)


def test_a_wrong_answer_is_explained_and_asked_again(tmp_path: Path) -> None:
    done = add(tmp_path, "prod\nstaging\n6m\n\n180d\n", note="x")
    assert done.status == 0
    assert "database not configured: prod\nConfigured: production, staging, 2" in done.err
    assert "months are not supported: 6m\nUse 180d." in done.err
    assert entries(tmp_path)[0]["database"] == "staging"


def test_with_a_note_and_an_expiry_nothing_is_asked(tmp_path: Path) -> None:
    done = add(tmp_path, note="CI/CD Pipeline", expiry="never")
    assert (done.status, done.err) == (0, "")
    assert "Expiry: Never\n" in done.out
    assert "Database:" not in done.out
    assert entries(tmp_path)[0]["expires_at"] is None


def test_one_database_or_no_configuration_file_asks_for_none(tmp_path: Path) -> None:
    for databases in (("only",), ()):
        done = add(tmp_path, "n\nnever\n", databases)
        assert done.status == 0
        assert "Database" not in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"expiry": "0d"}, "an expiry of zero"),
        ({"expiry": "6m"}, "180d"),
        ({"expiry": "-1d"}, "not an expiry"),
        ({"expiry": ""}, "not an expiry"),
        ({"expiry": "9999y"}, "beyond the calendar"),
        ({"database": "prod", "expiry": "1d"}, "database not configured: prod"),
        ({"database": "4", "expiry": "1d"}, "database not configured: 4"),
    ],
)
def test_what_a_flag_says_wrong_is_refused_and_nothing_is_written(
    tmp_path: Path, flags: dict[str, str], words: str
) -> None:
    done = add(tmp_path, "", DATABASES, note="x", **flags)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("ERROR: ")
    assert words in done.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_configuration_file_there_is_nothing_to_bind_to(tmp_path: Path) -> None:
    done = add(tmp_path, databases=(), note="x", expiry="1d", database="staging")
    assert done.status == 1
    assert "There is no configuration file" in done.err


def test_the_end_of_input_makes_no_token(tmp_path: Path) -> None:
    done = add(tmp_path, "a note\n1\n")
    assert done.status == 1
    assert "In a script, give -token-expiry." in done.err
    assert list(tmp_path.iterdir()) == []


def test_two_tokens_of_one_second_have_different_ids(tmp_path: Path) -> None:
    for _ in range(3):
        add(tmp_path, note="x", expiry="1d")
    assert len({entry["id"] for entry in entries(tmp_path)}) == 3


def test_the_list_looks_as_in_the_guide(tmp_path: Path) -> None:
    add(tmp_path, note="Production API", database="staging", expiry="1h")
    add(tmp_path, note="Development", expiry="never")
    one, two = entries(tmp_path)
    listed = run(configuration(tmp_path), "list-tokens", now=NOW + timedelta(hours=1))
    assert listed.out == (
        "API Tokens:\n"
        "===========\n"
        "\n"
        f"ID: {one['id']}\n"
        "Note: Production API\n"
        "Database: staging\n"
        f"Hash (first 12 chars): {str(one['hash'])[:12]}...\n"
        "Created: 2024-10-30 10:15:30\n"
        "Expires: 2024-10-30 11:15:30\n"
        "Status: Expired\n"
        "\n"
        f"ID: {two['id']}\n"
        "Note: Development\n"
        f"Hash (first 12 chars): {str(two['hash'])[:12]}...\n"
        "Created: 2024-10-30 10:15:30\n"
        "Expires: Never\n"
        "Status: Valid\n"
        "\n"
        "Total tokens: 2\n"
    )
    assert (listed.status, listed.err) == (0, "")


def test_a_note_cannot_drive_the_terminal(tmp_path: Path) -> None:
    done = add(tmp_path, note="\x1b[2Jx\nStatus: Valid", expiry="1d")
    listed = run(configuration(tmp_path), "list-tokens")
    for shown in (done.out, listed.out):
        assert "Note: \\u001b[2Jx\\nStatus: Valid\n" in shown
    assert entries(tmp_path)[0]["note"] == "\x1b[2Jx\nStatus: Valid"


def test_an_error_cannot_drive_the_terminal(tmp_path: Path) -> None:
    add(tmp_path, note="n", expiry="1d")
    done = run(configuration(tmp_path), "remove-token", {"remove-token": "\x1b[2J"})
    assert done.err.startswith("ERROR: Token not found: \\u001b[2J\n")


def test_a_token_is_removed_by_id_or_hash(tmp_path: Path) -> None:
    for _ in range(3):
        add(tmp_path, note="n", expiry="1d")
    one, two, three = entries(tmp_path)
    for wanted in (str(one["id"]), str(two["hash"])[:8]):
        done = run(configuration(tmp_path), "remove-token", {"remove-token": wanted})
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith("Token removed: token-")
    assert entries(tmp_path) == [three]
    done = run(configuration(tmp_path), "remove-token", {"remove-token": str(three["hash"])[:7]})
    assert done.status == 1
    assert done.err.startswith("ERROR: Token not found: ")
    assert "at least 8 characters of its hash" in done.err
    assert entries(tmp_path) == [three]


@pytest.mark.parametrize("verb", ["list-tokens", "remove-token"])
def test_a_missing_file_is_said_with_what_to_do(tmp_path: Path, verb: str) -> None:
    done = run(configuration(tmp_path), verb, {"remove-token": "token-1"})
    path = tmp_path / "pgedge-postgres-mcp-tokens.yaml"
    assert done.status == 1
    assert done.err.startswith(f"ERROR: Token file not found: {path}\nCreate tokens with:")


def test_a_broken_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "pgedge-postgres-mcp-tokens.yaml"
    path.write_text("tokens:\n  - id: x\n")
    done = add(tmp_path, note="x", expiry="1d")
    assert done.status == 1
    assert done.err == f"ERROR: {path}: line 2: tokens[0] has no hash\n"
    assert path.read_text() == "tokens:\n  - id: x\n"


def test_init_writes_a_configuration_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    done = run(configuration(tmp_path), "init", {"config": str(path)})
    assert done.status == 0
    assert done.out.startswith(f"Wrote {path}\n")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("mine")
    done = run(configuration(tmp_path), "init", {"config": str(path)})
    assert done.status == 1
    assert "is already there" in done.err
    assert path.read_text() == "mine"


def program(folder: Path, *flags: str) -> list[str]:
    file = folder / "pgedge-postgres-mcp-tokens.yaml"
    return [sys.executable, "-m", "pgmcp", "-token-file", str(file), *flags]


def without_files(stderr: bytes) -> bytes:
    """What a command said besides the files that it uses."""
    return b"".join(
        line
        for line in stderr.splitlines(keepends=True)
        if not line.startswith((b"Configuration: ", b"Token file: "))
    )


def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path) -> None:
    run(configuration(tmp_path), "add-token", {"token-note": "n", "token-expiry": "1d"})
    words = program(tmp_path, "-list-tokens")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert without_files(process.stderr.read()) == b""
        assert process.wait(30) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    words = program(tmp_path, "-add-token", "-token-note", "n", "-token-expiry", "1d")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, without_files(done.stderr)) == (
        1,
        b"ERROR: the result cannot be written: no space left on device\n"
        b"What the command did is done.\n",
    )


# -- narrowing -------------------------------------------------------------------------------------


def attenuable(folder: Path) -> str:
    details: dict[str, str | bool] = {"token-note": "n", "token-expiry": "never"}
    details["attenuable"] = True
    made = run(configuration(folder), "add-token", details)
    assert "Attenuable: yes (key-" in made.out
    return made.out.split("Token: ")[1].split()[0]


def narrow(folder: Path, token: str, typed: str = "", **flags: str) -> Outcome:
    options = {"attenuate": token, **{f"token-{name}": value for name, value in flags.items()}}
    return run(configuration(folder), "attenuate", options, typed)


def test_a_token_is_narrowed_without_any_file_and_read_from_standard_input(tmp_path: Path) -> None:
    token = attenuable(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    given = narrow(elsewhere, token, rows="5", tool="count_rows, query_database", expiry="90s")
    read = narrow(
        elsewhere, "-", f"{token}\n", rows="5", tool="count_rows,query_database", expiry="90s"
    )
    assert given == read
    assert (given.status, given.err) == (0, "")
    assert given.out.splitlines()[:-1] == [
        "Tools: count_rows, query_database",
        "Rows: 5",
        "Expires at: 2024-10-30T10:17:00Z",
    ]
    child = given.out.split()[-1]
    again = narrow(elsewhere, child, database="a,b", policy="p", network="10.0.0.5,192.0.2.0/24")
    assert again.out.splitlines()[:-1] == [
        "Databases: a, b",
        "Policies: p",
        "Networks: 10.0.0.5/32, 192.0.2.0/24",
    ]
    assert again.out.split()[-1].startswith(child.rpartition(".")[0])
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({}, "nothing to narrow the token by"),
        ({"rows": "0"}, "not a number of rows: 0"),
        ({"rows": "many"}, "not a number of rows: many"),
        ({"rows": "1" * 5000}, "not a number of rows"),
        ({"tool": ""}, "empty name"),
        ({"policy": "a,,b"}, "empty name"),
        ({"database": "a\nb"}, "empty name"),
        ({"expiry": "never"}, "not a lifetime: never"),
        ({"expiry": "0s"}, "not a lifetime: 0s"),
        ({"expiry": "9" * 9 + "y"}, "beyond the calendar"),
        ({"network": "10.0.0.1/8"}, "not an address or a network: 10.0.0.1/8"),
        ({"tool": "x" * 2000}, "1024 characters at most"),
        ({"rows": "5"}, "no token that was made with -attenuable"),
    ],
)
def test_what_cannot_be_narrowed_is_said_and_no_token_is(
    tmp_path: Path, flags: dict[str, str], problem: str
) -> None:
    token = attenuable(tmp_path)
    given = token.removeprefix("pgmcp") if problem.startswith("no token") else token
    done = narrow(tmp_path, given, **flags)
    assert (done.status, done.out) == (1, "")
    assert problem in done.err
    assert given not in done.err

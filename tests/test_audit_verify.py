"""`-verify-audit` on files that were tampered with while no server ran."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pgmcp.audit.file import AuditFile
from pgmcp.audit.read import chain_files, load_key, mark_of
from tests.observing import run
from tests.program import NOWHERE, write_config
from tests.test_check_observing import state

CALL = {"event": "call", "name": "query_database", "rows": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An audit of four files."""
    write_config(tmp_path, NOWHERE)
    path = tmp_path / "audit" / "audit.jsonl"
    path.parent.mkdir()
    served(path, 60)
    assert len(chain_files(path, key_of(path))) == 4
    return path


def key_of(path: Path) -> bytes:
    return load_key(path.with_name("audit.jsonl.key"), create=True)


def served(path: Path, calls: int = 1) -> None:
    file = AuditFile(path, key_of(path), max_bytes=4096, durable=False)
    file.start({"event": "start"})
    for _ in range(calls):
        file.append(CALL)
    file.stop({"event": "stop"})


def verified(path: Path) -> subprocess.CompletedProcess[str]:
    """The command, which leaves everything as it is."""
    config = path.parent.parent / "pgedge-postgres-mcp.yaml"
    before = state(path.parent)
    done = run(config, "-verify-audit", str(path))
    assert state(path.parent) == before
    return done


def refusal(path: Path) -> str:
    """What the command says of an audit that is not whole."""
    done = verified(path)
    assert done.returncode == 1
    return done.stderr


def change(data: bytes) -> bytes:
    first, rest = data.split(b"\n", 1)
    return first.replace(b'{"seq"', b'{ x"seq"', 1) + b"\n" + rest.replace(b'"rows":1', b'"rows":0')


def blank(data: bytes) -> bytes:
    return b"\n" + data


def nothing(_: bytes) -> bytes:
    return b"\x00" * 100


@pytest.mark.parametrize("damage", [change, blank, nothing])
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_whose_first_line_is_broken_is_named(
    path: Path, damage: Callable[[bytes], bytes], which: int
) -> None:
    file = chain_files(path, key_of(path))[which]
    file.write_bytes(damage(file.read_bytes()))
    done = verified(path)
    assert (done.returncode, "Whole" in done.stdout) == (1, False)
    assert f"ERROR: {file.name}, line 1: " in done.stderr


def test_what_is_whole_is_said_to_be(path: Path) -> None:
    done = verified(path)
    assert done.returncode == 0
    assert done.stdout.startswith("Whole: records 1 to ")
    assert done.stdout.endswith(" in 4 files\n")
    link = path.with_name("link")
    link.symlink_to(path)
    key = str(path.with_name("audit.jsonl.key"))
    config = path.parent.parent / "pgedge-postgres-mcp.yaml"
    assert run(config, "-verify-audit", str(link), "-audit-key", key).stdout == done.stdout


def test_an_end_that_was_cut_off_is_named_before_and_after_a_restart(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    assert "is the last, and the mark tells of record" in refusal(path)
    served(path)
    said = refusal(path)
    assert f"ERROR: audit.jsonl, line {len(lines) - 1}: record " in said
    assert " is missing\n" in said


def test_files_that_were_moved_away_are_a_doubt(path: Path) -> None:
    for file in chain_files(path, key_of(path)):
        file.rename(path.parent.parent / file.name)
    assert "there is no such file" in refusal(path)
    served(path)
    done = verified(path)
    assert done.returncode == 1
    assert "Whole" not in done.stdout
    assert " was not there when a server started" in done.stderr
    assert "Note: the files with the records before " in done.stdout


def test_without_the_newest_file_the_rotated_ones_are_held_to_the_mark(path: Path) -> None:
    path.unlink()
    assert "is the last, and the mark tells of record" in refusal(path)


def test_a_mark_that_is_gone_is_a_doubt_and_one_that_was_changed_is_an_error(path: Path) -> None:
    mark = mark_of(path)
    data = mark.read_bytes()
    mark.write_bytes(data[:-3] + b"00\n")
    assert f"ERROR: {mark}: it cannot be verified" in refusal(path)
    mark.unlink()
    done = verified(path)
    assert (done.returncode, "Whole" in done.stdout) == (1, False)
    assert "Doubt: there is no mark beside it" in done.stdout
    assert "others may be missing: there is no mark beside it" in done.stderr
    served(path)
    assert "the mark was gone when the server started" in refusal(path)


def test_the_key_is_named_as_it_should_be_and_left_as_it_is(path: Path) -> None:
    key = path.with_name("audit.jsonl.key")
    key.chmod(0o644)
    assert verified(path).returncode == 0
    oldest = chain_files(path, key_of(path))[0]
    assert "there is no mark beside it" in refusal(oldest), "with the key of the newest file"
    key.unlink()
    assert f"ERROR: {key}: there is no key" in verified(path).stderr


def test_other_files_beside_it_are_noted(path: Path) -> None:
    path.with_name("audit.jsonl.gz").write_bytes(b"\x1f\x8b")
    done = verified(path)
    assert done.returncode == 0
    assert "Note: audit.jsonl.gz holds no record, and is not looked at" in done.stdout

"""Every way to take files of an audit away, and what is said of it before and after a start."""

from __future__ import annotations

import json
import shutil
from itertools import chain, combinations
from pathlib import Path

import pytest

from pgmcp.audit.audit import AuditLog
from pgmcp.audit.file import AuditFile
from pgmcp.audit.read import chain_files, load_key, mark_of
from pgmcp.config import audit as section
from pgmcp.errors import PgmcpError
from tests.admin_commands import configuration, run

PARTS = ("oldest", "middle", "newest", "mark", "key")
COMBINATIONS = list(chain.from_iterable(combinations(PARTS, size) for size in range(6)))

HOUSEKEEPING = [(), ("oldest",), ("oldest", "middle")]
"""The oldest files may be taken away: a note says which records are not there."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an audit of three files, from one start to its stop."""
    folder = tmp_path_factory.mktemp("made")
    path = folder / "audit.jsonl"
    key = load_key(path.with_name("audit.jsonl.key"), create=True)
    file = AuditFile(path, key, max_bytes=2048, durable=False)
    file.start({"event": "start"})
    while len(chain_files(path, key)) < 3:
        file.append({"event": "call", "name": "query_database"})
    file.append({"event": "call", "name": "query_database"})
    file.stop({"event": "stop"})
    return folder


def taken_from(made: Path, folder: Path, parts: tuple[str, ...]) -> Path:
    """A copy without some of its files; the path of its newest file."""
    path = folder / "audit" / "audit.jsonl"
    shutil.copytree(made, path.parent)
    key_file = path.with_name("audit.jsonl.key")
    oldest, middle, newest = chain_files(path, load_key(key_file, create=False))
    where = {"oldest": oldest, "middle": middle, "newest": newest}
    where |= {"mark": mark_of(path), "key": key_file}
    for part in parts:
        where[part].unlink()
    return path


def settings(path: Path) -> section.Audit:
    key = path.with_name("audit.jsonl.key")
    return section.Audit(file=path, required=True, sql=False, key_file=key, max_bytes=1 << 20)


def status(path: Path, folder: Path) -> int:
    return run(configuration(folder), "verify-audit", {"verify-audit": str(path)}).status


def served(path: Path) -> bool:
    """Whether a server starts with it; it stops at once."""
    try:
        AuditLog(settings(path), version="1").stop()
    except PgmcpError:
        return False
    return True


@pytest.mark.parametrize("parts", COMBINATIONS, ids="+".join)
def test_what_was_taken_away_is_found_before_and_after_a_start(
    made: Path, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    path = taken_from(made, tmp_path, parts)
    assert (status(path, tmp_path) == 0) == (parts in HOUSEKEEPING)
    kept = sorted(file.name for file in path.parent.iterdir() if not file.name.startswith("."))
    started = served(path)
    assert started == ("key" not in parts or parts == PARTS), "a lost key is not made anew"
    if started:
        # All of it: what begins then is another audit.
        assert (status(path, tmp_path) == 0) == (parts in [*HOUSEKEEPING, PARTS])
        served(path)
        assert (status(path, tmp_path) == 0) == (parts in [*HOUSEKEEPING, PARTS]), "for good"
    else:
        left = sorted(file.name for file in path.parent.iterdir() if not file.name.startswith("."))
        assert left == kept


def test_the_first_record_of_each_file_says_how_far_the_mark_went(made: Path) -> None:
    path = made / "audit.jsonl"
    key = load_key(path.with_name("audit.jsonl.key"), create=False)
    files = chain_files(path, key)
    first = [json.loads(file.read_bytes().splitlines()[0]) for file in files]
    before = [json.loads(file.read_bytes().splitlines()[-1])["seq"] for file in files[:-1]]
    assert [record["mark"] for record in first] == [None, *before]


def test_an_old_mark_in_its_place_is_found(made: Path, tmp_path: Path) -> None:
    path = taken_from(made, tmp_path, ())
    key = load_key(path.with_name("audit.jsonl.key"), create=False)
    file = AuditFile(path, key, max_bytes=2048, durable=False)
    old = mark_of(path).read_bytes()
    file.start({"event": "start"})
    while len(chain_files(path, key)) < 4:
        file.append({"event": "call", "name": "query_database"})
    file.close()
    assert status(path, tmp_path) == 0
    mark_of(path).write_bytes(old)
    assert status(path, tmp_path) == 1


def test_a_first_start_with_a_key_that_was_made_before_is_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    load_key(path.with_name("audit.jsonl.key"), create=True)
    assert served(path)
    assert status(path, tmp_path) == 1


def test_a_server_that_runs_has_a_whole_audit(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(settings(path), version="1")
    assert status(path, tmp_path) == 0
    audit.stop()
    assert status(path, tmp_path) == 0

"""PEM files on their way to OpenSSL: what holds a thread, fills the memory, or finds no folder."""

from __future__ import annotations

import errno
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from pgmcp.config.tls import Tls
from pgmcp.errors import ConfigError
from pgmcp.transport import pem
from pgmcp.transport.tls import load
from tests.test_tls import write_pair
from tools.serving import ROOT, environment

KINDS = ("cert_file", "key_file", "chain_file", "client_ca_file")


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    config = write_pair(tmp_path, authority.create_child_ca())
    return replace(config, client_ca_file=tmp_path / "ca.pem", client_auth="optional")


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fifo_in_place_of_a_file_holds_nobody(tls: Tls, kind: str) -> None:
    path = getattr(tls, kind)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=f"{path}: not a regular file"):
        load(tls)


@pytest.mark.parametrize("kind", KINDS)
def test_a_huge_file_is_not_read_to_its_end(tls: Tls, kind: str) -> None:
    path = getattr(tls, kind)
    os.truncate(path, 3 << 30)
    with pytest.raises(ConfigError, match=f"{path}: larger than"):
        load(tls)


@pytest.mark.timeout(20)
def test_openssl_opens_none_of_the_files_itself(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pem.read

    def read_and_swap(path: Path, kind: str) -> bytes:
        data = read(path, kind)
        path.unlink()
        os.mkfifo(path)
        return data

    monkeypatch.setattr(pem, "read", read_and_swap)
    load(tls)


def test_no_temporary_folder_is_needed(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    load(tls)


def test_without_files_in_memory_a_folder_is_needed_and_asked_for(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    load(tls)
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    with pytest.raises(ConfigError, match="to OpenSSL") as caught:
        load(tls)
    assert "TMPDIR" in caught.value.hint


def test_a_program_without_any_folder_to_write_to_loads_a_pair(tls: Tls, tmp_path: Path) -> None:
    """As `tempfile` sees it, which tries to write to each of its candidates."""
    script = (
        "import sys, resource; from pathlib import Path; from pgmcp.config.tls import Tls; "
        "from pgmcp.transport.tls import load; import tempfile\n"
        "tempfile._candidate_tempdir_list = lambda: [sys.argv[3]]\n"
        "load(Tls(True, Path(sys.argv[1]), Path(sys.argv[2]), None))"
    )
    command = [sys.executable, "-c", script, str(tls.cert_file), str(tls.key_file)]
    subprocess.run(
        [*command, str(tmp_path / "none")], cwd=ROOT, env=environment(), check=True, timeout=60
    )


@pytest.mark.parametrize("memory", [True, False])
def test_the_path_is_this_users_own_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, *, memory: bool
) -> None:
    if not memory:
        monkeypatch.setattr(os, "access", lambda *_: False)  # as without /proc
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pem.as_path(b"secret" * 100_000) as path:
        assert path.startswith("/proc/self/fd") is memory
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert Path(path).read_bytes() == b"secret" * 100_000
    assert not Path(path).exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("memory", [True, False])
def test_wherever_descriptors_run_out_it_is_an_error_that_names_the_file(
    tls: Tls, monkeypatch: pytest.MonkeyPatch, *, memory: bool
) -> None:
    if not memory:
        monkeypatch.delattr(os, "memfd_create")
    tempfile.gettempdir()  # found once, and not where descriptors are few
    left = 0
    while True:
        try:
            with descriptors_left(left):
                load(tls)
            break
        except ConfigError as error:
            assert re.search(r"\.pem\b.*too many open files", error.message, re.IGNORECASE)
        left += 1
    assert left > 2  # for reading, for each of the files, and for OpenSSL


def test_a_full_disk_is_an_error_that_names_the_file(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.delattr(os, "memfd_create")
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(ConfigError, match=os.strerror(errno.EFBIG)):
            load(tls)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    load(tls)

"""Files that others could write, or replace through a folder or a link, are not believed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from pgmcp.audit import read as audit_read
from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.times import utc_now
from pgmcp.config import config_file
from pgmcp.config.this_machine import ThisMachine
from pgmcp.errors import PgmcpError
from pgmcp.server.pages import MetricsPage
from pgmcp.storage import replace
from pgmcp.storage.protection import refuse_if_others_can_write
from pgmcp.stores.files import FileTokenStore, FileUserStore
from pgmcp.stores.token_file import TokenFile
from pgmcp.stores.user_file import NO_USERS
from pgmcp.transport import pem
from tests.admin_commands import configuration, run
from tests.program import run_program, write_config

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
AS_ROOT = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away"
)
OTHER = 54321


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    path = folder / "it's a file"
    path.write_text("x")
    path.chmod(0o600)
    return path


def as_users(
    monkeypatch: pytest.MonkeyPatch, *users: tuple[str, int, int], **groups: tuple[int, list[str]]
) -> None:
    """Let the system know these users (name, uid, gid) and groups (gid, members) alone."""
    import grp
    import pwd

    known = [SimpleNamespace(pw_name=n, pw_uid=uid, pw_gid=gid) for n, uid, gid in users]
    by_gid = {
        gid: SimpleNamespace(gr_name=name, gr_mem=members)
        for name, (gid, members) in groups.items()
    }
    monkeypatch.setattr(pwd, "getpwuid", {user.pw_uid: user for user in known}.__getitem__)
    monkeypatch.setattr(pwd, "getpwall", lambda: known)
    monkeypatch.setattr(grp, "getgrgid", by_gid.__getitem__)


@pytest.fixture(autouse=True)
def no_private_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group of whoever runs the tests may be a private one, which is believed."""
    import grp

    staff = SimpleNamespace(gr_name="staff", gr_mem=[])
    monkeypatch.setattr(grp, "getgrgid", lambda gid: staff)


def refusal(path: Path) -> PgmcpError | None:
    try:
        refuse_if_others_can_write(path)
    except PgmcpError as error:
        return error
    return None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664, 0o777])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    error = refusal(file)
    assert error is not None
    assert "others can write it" in error.message
    assert f"the file has mode {mode:04o}" in error.message
    assert str(file) in error.message
    remedy = error.hint.partition("run: ")[2]
    subprocess.run(remedy, shell=True, check=True)
    assert refusal(file) is None


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o640, 0o755])
def test_a_file_that_others_can_only_read_is_believed(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert refusal(file) is None


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o703, 0o2775])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_folder_in_which_others_can_rename_is_refused(
    tmp_path: Path, mode: int, depth: int
) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        folder.chmod(0o755)
    path = inner / "f"
    for there in (False, True):
        if there:
            path.write_text("x")
            path.chmod(0o600)
        folder = list(path.parents)[depth - 1]
        folder.chmod(mode)
        error = refusal(path)
        assert error is not None
        assert f"others can replace it, so what it says is not trusted: {folder} has mode" in (
            error.message
        )
        assert f"mode {mode:04o}" in error.message
        subprocess.run(error.hint.partition("run: ")[2], shell=True, check=True)
        assert refusal(path) is None


@pytest.mark.parametrize(
    ("own", "others", "members", "believed"),
    [
        ("ann", [], [], True),
        ("ann", [], ["ann"], True),
        ("ann", [("bob", OTHER + 1, OTHER + 1)], [], True),
        ("ann", [("bob", OTHER + 1, OTHER)], [], False),  # it is his primary group too
        ("ann", [], ["bob"], False),
        ("ann", [], ["ann", "bob"], False),
        ("staff", [], ["ann"], False),  # another name: a group for something
    ],
)
def test_a_users_private_group_may_write_what_the_user_may(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    others: Sequence[tuple[str, int, int]],
    members: list[str],
    believed: bool,
) -> None:
    """Fedora's umask of 002 with user-private groups makes every folder in a home 0775."""
    home = tmp_path / "home"
    home.mkdir()
    path = home / "c.yaml"
    path.write_text("x")
    uid, gid = home.stat().st_uid, home.stat().st_gid
    if os.geteuid() == 0:
        uid = gid = OTHER
        for each in (home, path):
            os.chown(each, uid, gid)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    shift = gid - OTHER
    users = [(name, number, group + shift) for name, number, group in others]
    as_users(monkeypatch, ("ann", uid, gid), *users, **{own: (gid, members)})
    home.chmod(0o775)
    path.chmod(0o664)
    assert (refusal(path) is None) == believed
    path.chmod(0o600)
    assert (refusal(path) is None) == believed
    path.chmod(0o666)
    assert refusal(path) is not None
    path.chmod(0o664)
    home.chmod(0o777)
    assert refusal(path) is not None


@pytest.mark.parametrize("group", ["root", "unknown"])
def test_the_group_of_root_and_one_without_a_name_are_others(
    file: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    status = file.stat()
    gid = status.st_gid if group == "root" else status.st_gid + 1
    as_users(monkeypatch, ("root", status.st_uid, status.st_gid), **{group: (gid, [])})
    if group == "root" and status.st_uid != 0:
        pytest.skip("only root has such a file")
    file.chmod(0o660)
    assert refusal(file) is not None


def test_a_sticky_folder_is_where_everybody_has_files_of_their_own(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert refusal(file) is None
    file.chmod(0o666)
    assert refusal(file) is not None


def test_links_are_followed_through_every_folder(tmp_path: Path, file: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    (open_folder / "link").symlink_to(file)
    first = tmp_path / "first"
    first.symlink_to("open/../open/link")
    assert refusal(first) is None
    open_folder.chmod(0o777)
    assert refusal(first) is not None
    open_folder.chmod(0o755)
    file.parent.chmod(0o777)
    assert refusal(first) is not None


def test_a_kubernetes_mount_is_believed(tmp_path: Path) -> None:
    version = tmp_path / "..2024_11_14"
    version.mkdir(mode=0o755)
    (version / "config.yaml").write_text("x")
    (version / "config.yaml").chmod(0o644)
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    tmp_path.chmod(0o1777)
    assert refusal(tmp_path / "config.yaml") is None


def test_what_leads_nowhere_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "missing", "missing/too"):
        assert refusal(tmp_path / name) is None
    assert refusal(Path("/dev/null")) is None


def test_a_pipe_without_a_name_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"debug: true\n")
    os.close(writer)
    try:
        path = Path(f"/dev/fd/{reader}")
        assert config_file.read(path) == {"debug": True}
    finally:
        os.close(reader)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o622)
    with pytest.raises(PgmcpError, match="mode 0622"):
        config_file.read(fifo)


@AS_ROOT
def test_another_users_file_is_refused_but_by_root(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(file, OTHER, OTHER)
    assert refusal(file) is None  # root administers the files of a service's user
    file.parent.chmod(0o1777)
    assert refusal(file) is not None  # but whoever made this one may be anybody
    file.parent.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert refusal(file) is None  # one's own, in a folder of root's
    monkeypatch.setattr(os, "geteuid", lambda: OTHER + 1)
    error = refusal(file)
    assert error is not None
    assert f"belongs to {OTHER}" in error.message
    assert f"chown {OTHER + 1} " in error.hint
    os.chown(file, 0, 0)
    assert refusal(file) is None  # root's


@AS_ROOT
def test_another_users_folder_or_link_is_refused(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    link = shared / "link"
    link.symlink_to(file)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert refusal(link) is None
    shared.chmod(0o1777)
    error = refusal(link)
    assert error is not None
    assert error.hint.endswith(f"chown -h root {link}")
    monkeypatch.setattr(os, "geteuid", lambda: OTHER + 1)
    os.chown(file.parent, OTHER, OTHER)
    assert refusal(file) is not None


TOKEN = "0123456789abcdef0123456789abcdef"


READERS: dict[str, Callable[[Path], object]] = {
    "configuration": config_file.read,
    "password file": lambda path: ThisMachine().secret(path, "password_file", "password"),
    "metrics token": lambda path: MetricsPage(path, tuple),
    "audit key": lambda path: audit_read.load_key(path, create=False),
    "TLS key": lambda path: pem.read(path, "key"),
}


@pytest.mark.parametrize("reader", READERS)
def test_each_file_that_is_believed_is_looked_at(tmp_path: Path, reader: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    path = folder / "file"
    path.write_text(TOKEN * 2)
    path.chmod(0o600)
    READERS[reader](path)
    folder.chmod(0o777)
    with pytest.raises(PgmcpError) as caught:
        READERS[reader](path)
    assert f"{folder} has mode 0777" in caught.value.message
    assert f"chmod go-w {folder}" in caught.value.hint
    folder.chmod(0o755)
    path.chmod(0o622)
    with pytest.raises(PgmcpError):
        READERS[reader](path)


def test_a_pgpass_that_others_could_replace_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    path = folder / ".pgpass"
    path.write_text("*:*:*:*:secret\n")
    path.chmod(0o600)
    assert len(ThisMachine().pgpass(path)) == 1
    folder.chmod(0o777)
    assert ThisMachine().pgpass(path) == []
    assert "chmod go-w" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("what", ["tokens", "users"])
def test_a_credential_file_that_others_could_write_is_not_taken_over(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "file.yaml"
    stores: dict[str, ApiTokens | UserAccounts] = {
        "tokens": ApiTokens(FileTokenStore(path), clock=utc_now, on_ended=lambda ended: None),
        "users": UserAccounts(
            FileUserStore(path), clock=utc_now, lockout=0, on_gone=lambda gone: None
        ),
    }
    first = {"tokens": TokenFile().dump(), "users": NO_USERS.dump()}[what]
    replace.update(path, lambda data: first)
    store = stores[what]
    assert store.reload()
    path.write_bytes(b"# more\n" + first)
    path.chmod(0o666)
    with pytest.raises(PgmcpError, match="mode 0666"):
        store.reload()
    assert path.stat().st_mode & 0o777 == 0o666  # and it is not made to look well
    path.chmod(0o644)
    assert store.reload()


@pytest.mark.parametrize(
    ("name", "verb", "options"),
    [
        ("tokens", "add-token", {"token-note": "n", "token-expiry": "1d"}),
        ("tokens", "list-tokens", {}),
        ("tokens", "remove-token", {"remove-token": "token-1"}),
        ("users", "add-user", {"username": "u", "password": "SecurePassword123!"}),
        ("users", "list-users", {}),
    ],
)
def test_no_command_uses_a_file_that_others_could_write(
    tmp_path: Path, name: str, verb: str, options: dict[str, str]
) -> None:
    config = configuration(tmp_path)
    auth = config.http.auth
    path = {"tokens": auth.token_file, "users": auth.user_file}[name]
    content = {"tokens": TokenFile().dump(), "users": NO_USERS.dump()}[name]
    path.write_bytes(content)
    path.chmod(0o666)
    done = run(config, verb, options)
    assert done.status != 0
    assert f"chmod go-w {path}" in done.err
    assert path.read_bytes() == content


@pytest.mark.parametrize("flags", [(), ("-http",), ("-http", "-check")])
def test_the_program_does_not_start_with_a_configuration_that_others_could_write(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    config = write_config(tmp_path)
    config.chmod(0o666)
    done = run_program(config, *flags)
    assert done.returncode == 1
    assert "mode 0666" in done.stderr
    assert f"chmod go-w {config}" in done.stderr

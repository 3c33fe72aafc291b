"""Who could change a file that this program believes: its configuration and its credentials.

The rule: only root and the user that the program runs as may be able to write such a file, or to
put another in its place through one of the folders and links that lead to it. A user's private
group is that user. Access lists beyond the mode are not looked at, and on Windows nothing is.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from pgmcp.errors import FileError

_MOST_LINKS = 40  # as the kernel has it


def refuse_if_others_can_write(path: Path) -> None:
    """FileError when others could write a file or replace it; a file that is not there is none.

    It names the file or the folder, its mode or owner, and the command that mends it. Another
    owner is no reason when the program runs as root, which administers the files of others, unless
    the entry stands in a folder where everybody may put one (/tmp). /dev/null is nobody's, and the
    pipe of `-config <(command)` has no name that others could reach.
    """
    if sys.platform == "win32":
        return
    shared = False  # whether the folder lets others put entries of their own into it
    for step, status in _steps(path.absolute()):
        if stat.S_ISCHR(status.st_mode):
            return
        mode = stat.S_IMODE(status.st_mode)
        folder = stat.S_ISDIR(status.st_mode)
        if not _is_trusted(status.st_uid, strict=shared):
            owner, own = _name(status.st_uid), _name(os.geteuid())
            link = " -h" if stat.S_ISLNK(status.st_mode) else ""
            raise _refusal(path, step, f"belongs to {owner}", f"chown{link} {own}")
        sticky = folder and bool(mode & stat.S_ISVTX)
        writable = _others_write(status)
        if writable and not sticky:
            raise _refusal(path, step, f"has mode {mode:04o}", "chmod go-w")
        shared = writable


def _refusal(path: Path, step: Path, state: str, remedy: str) -> FileError:
    same = step == path.absolute()
    what = "the file" if same else str(step)
    can = "write" if same or not step.is_dir() else "replace"
    return FileError(
        f"others can {can} it, so what it says is not trusted: {what} {state}",
        f"See that it says what you wrote, and run: {remedy} {shlex.quote(str(step))}",
        origin=str(path),
    )


def _steps(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Each folder, link and file on the way to what a path leads to, as far as there is one."""
    at = Path(path.anchor)
    parts = list(reversed(path.parts[1:]))
    links = 0
    yield at, at.lstat()
    while parts:
        part = parts.pop()
        if part == "..":
            at = at.parent
            continue
        try:
            status = (at / part).lstat()
        except OSError:
            return  # opening it fails likewise, and says why
        yield at / part, status
        if not stat.S_ISLNK(status.st_mode):
            at = at / part
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        target = (at / part).readlink()
        at = Path(target.anchor) if target.is_absolute() else at
        parts.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))


def _others_write(status: os.stat_result) -> bool:
    """Whether the mode lets anybody but the owner write; that of a link says nothing."""
    if stat.S_ISLNK(status.st_mode):
        return False
    if status.st_mode & stat.S_IWOTH:
        return True
    group = bool(status.st_mode & stat.S_IWGRP)
    return group and not _is_private_group(status.st_gid, status.st_uid)


def _is_private_group(gid: int, uid: int) -> bool:
    """Whether a group is its user's alone: of the same name, and nobody else is in it.

    With such groups a umask of 002 is usual (Fedora), so that what the user makes is writable by
    the group. As in Debian's OpenSSH (StrictModes). Not for root, whose group has other uses.
    """
    import grp  # here: there are none on Windows
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    if uid == 0 or group.gr_name != user.pw_name or set(group.gr_mem) - {user.pw_name}:
        return False
    return all(other.pw_uid == uid for other in pwd.getpwall() if other.pw_gid == gid)


def _is_trusted(owner: int, *, strict: bool) -> bool:
    own = os.geteuid()
    # Root of the system may be another number here: unmapped, in a container's user namespace.
    return owner in (0, own, Path("/").stat().st_uid) or (own == 0 and not strict)


def _name(uid: int) -> str:
    import pwd  # here: there is none on Windows

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

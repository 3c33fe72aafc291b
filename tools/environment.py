"""The clone's own virtual environment, `.venv`, made when it is missing or out of date.

The rule: standard library only, and no syntax newer than Python 3.6, because this module is what
tells somebody with an old Python what to do. What is installed is what tools/packages.lock names,
with its hashes, so that today's environment is tomorrow's; tools/lock renews it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
VENV = CLONE / ".venv"
LOCK = CLONE / "tools" / "packages.lock"
_PYTHON = VENV / "bin" / "python"
_STAMP = VENV / "made-from.json"
_HEADING = "# == "  # before each of the lock's sections, which are named as the extras
_OLDEST = (3, 11)
_NAMES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "python")
_PROBE = """
import sys
print("%d.%d" % sys.version_info[:2])
import ensurepip, venv
print("venv")
"""


class SetUpError(Exception):
    """The environment cannot be made. The message says what to do."""


def enter(extra: str) -> None:
    """Return inside the environment with `extra` installed; until then this does not return.

    `extra` is one of pyproject.toml's and a section of the lock. The running script starts again in
    the environment's Python. Exits with status 1 and the reason on stderr when that cannot be.
    """
    try:
        inside = Path(sys.prefix).resolve() == VENV.resolve()
        if inside and _is_ready(extra) and _stamped("python") == _version():
            return
        with _one_at_a_time():
            if not _is_ready(extra) or (inside and _stamped("python") != _version()):
                _make(extra)
    except SetUpError as error:
        sys.exit(f"ERROR: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.stdout.flush()
    os.execv(str(_PYTHON), [str(_PYTHON), *sys.argv])


def _version() -> str:
    return "{}.{}".format(*sys.version_info[:2])


def _wanted() -> "dict[str, str]":
    """The digests of what decides on the environment, by their keys of the stamp."""
    return {
        "pyproject": hashlib.sha256((CLONE / "pyproject.toml").read_bytes()).hexdigest(),
        "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
    }


def _stamped(key: str) -> object:
    try:
        return json.loads(_STAMP.read_text()).get(key)
    except (OSError, ValueError):
        return None


def _extras() -> "list[str]":
    stamped = _stamped("extras")
    return stamped if isinstance(stamped, list) else []


def _is_whole() -> bool:
    """Whether a set-up reached its end here, in this folder."""
    return os.access(str(_PYTHON), os.X_OK) and _stamped("clone") == str(CLONE)


def _is_ready(extra: str) -> bool:
    same = all(_stamped(key) == digest for key, digest in _wanted().items())
    return _is_whole() and same and extra in _extras()


def locked(extras: "list[str]") -> str:
    """The lock's packages for these extras: its text to the end of the last one's section.

    Each section has only what those before it have not.
    """
    between = f"\n{_HEADING}"
    sections = LOCK.read_text().split(between)
    names = [section.partition("\n")[0] for section in sections]
    for extra in extras:
        if extra not in names:
            raise SetUpError(f"{LOCK} has no section {extra}: run tools/lock")
    last = max(names.index(extra) for extra in extras)
    return between.join(sections[: last + 1]).rstrip("\n") + "\n"


@contextlib.contextmanager
def _one_at_a_time() -> "Iterator[None]":
    """Let a second command wait for the first one's set-up."""
    with (CLONE / "pyproject.toml").open() as held:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make(extra: str) -> None:
    if not os.access(str(CLONE), os.W_OK) or (VENV.exists() and not os.access(str(VENV), os.W_OK)):
        raise SetUpError(
            f"{CLONE} cannot be written, and .venv belongs there.\n"
            "Clone into a folder of your own, or make this one writable."
        )
    same_python = _is_whole() and _version_of(str(_PYTHON)) == _stamped("python")
    # Made anew when the lock is another: what it no longer names is gone then.
    whole = same_python and _stamped("lock") == _wanted()["lock"]
    extras = sorted({extra, *(_extras() if whole else [])})
    wanted = locked(extras)
    print("Setting up .venv (once, and again when its packages change)", flush=True)
    if not whole:
        python = _find_python()
        shutil.rmtree(str(VENV), ignore_errors=True)
        _step("making the environment", [python, "-m", "venv", str(VENV)])
    with contextlib.suppress(FileNotFoundError):
        _STAMP.unlink()
    requirements = VENV / "requirements.txt"
    requirements.write_text(wanted)
    pip = [
        *(str(_PYTHON), "-m", "pip", "install", "--quiet", "--no-input"),
        "--disable-pip-version-check",
    ]
    # Only wheels: to build from source would fetch build tools that no lock names.
    _step(
        "installing the packages",
        [*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)],
    )
    _step(
        "installing the project",
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(CLONE)],
    )
    stamp = {"clone": str(CLONE), "extras": extras, "python": _version_of(str(_PYTHON))}
    stamp.update(_wanted())
    _STAMP.write_text(json.dumps(stamp))  # last: without it the next start makes it again


def _version_of(python: str) -> str:
    return _probe(python)[0]


def _probe(python: str) -> "tuple[str, bool]":
    """Its version, "" when it does not run, and whether it can make environments."""
    try:
        ended = subprocess.run(
            [python, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return "", False
    lines = ended.stdout.decode().split()
    return (lines[0] if lines else ""), lines[1:] == ["venv"]


def _find_python() -> str:
    """The Python that runs this when it is new enough, else one from PATH."""
    without_venv = ""
    # A virtual environment's Python may be the one that is about to be replaced.
    own = getattr(sys, "_base_executable", None) or sys.executable
    for candidate in (own, *map(shutil.which, _NAMES)):
        if not candidate:
            continue
        version, makes_environments = _probe(candidate)
        if not version or tuple(map(int, version.split("."))) < _OLDEST:
            continue
        if makes_environments:
            return str(candidate)
        without_venv = without_venv or version
    if without_venv:
        raise SetUpError(
            f"Python {without_venv} is here without its venv module.\n"
            f"On Debian and Ubuntu: apt install python{without_venv}-venv"
        )
    raise SetUpError(
        "Python {}.{} or later is needed, and this is {} ({}).\n"
        "Install one, for example from python.org, and run this again.".format(
            *_OLDEST, _version(), sys.executable
        )
    )


def _step(what: str, command: "list[str]") -> None:
    """Run one long command, showing that time passes; its output only when it fails."""
    began = time.time()
    moving = sys.stdout.isatty()
    print(f"  {what} ...", end="" if moving else "\n", flush=True)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=str(CLONE),
    ) as running:
        while True:
            try:
                said = running.communicate(timeout=1)[0]
                break
            except subprocess.TimeoutExpired:
                if moving:
                    print(f"\r  {what} ... {time.time() - began:.0f} s", end="", flush=True)
    if moving:
        print()
    if running.returncode != 0:
        raise SetUpError(
            f"{what} failed:\n{said.decode(errors='replace').strip()}\n"
            "The packages come from the package index that pip is set up for: check the network, "
            "then run this again."
        )

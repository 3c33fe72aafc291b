"""Build bin/pgedge-postgres-mcp: the program as one executable file, with its bill of materials.

The rule: the same commit built with the same Pythons gives the same bytes; the network is for
missing wheels only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools import archive, bytecode, sbom, wheels

ROOT = Path(__file__).resolve().parent.parent
NAME = "pgedge-postgres-mcp"
_WHEELHOUSE = ROOT / "build" / "wheelhouse"


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    wheelhouse = options.wheelhouse or _WHEELHOUSE
    try:
        if options.update_lock:
            wheels.update(wheelhouse)
        locked = wheels.locked(wheelhouse, download=options.wheelhouse is None)
        if not (options.update_lock or options.download_only):
            make(options.output, locked, options.python or bytecode.find_pythons())
        else:
            print(f"The wheels are in {wheelhouse}")
    except (wheels.WheelError, bytecode.BytecodeError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


def make(output: Path, locked: Sequence[wheels.Wheel], pythons: Sequence[str]) -> None:
    """Write the three files into the folder `output` and say what they are."""
    contents = archive.gather(ROOT / "pgmcp", ROOT / "LICENSE", locked)
    compiled = [bytecode.compile_with(python, contents.modules(), "pgmcp") for python in pythons]
    epoch = source_date_epoch()
    data = archive.build(contents, compiled, epoch)
    digest = hashlib.sha256(data).hexdigest()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    product = sbom.Product(
        name=NAME,
        version=_version(),
        license=project["license"],
        commit=_commit(),
        epoch=epoch,
        sha256=digest,
        pythons=tuple(made.version for made in compiled),
        requires=tuple(re.split(r"[<>=!~ ]", line)[0].lower() for line in project["dependencies"]),
    )
    output.mkdir(parents=True, exist_ok=True)
    program = output / NAME
    _write(program, data, 0o755)
    _write(output / f"{NAME}.cdx.json", sbom.render(product, locked), 0o644)
    _write(output / f"{NAME}.sha256", f"{digest}  {NAME}\n".encode(), 0o644)
    versions = ", ".join(product.pythons)
    print(f"{program}: {len(data):,} bytes, byte code for Python {versions}\nSHA-256 {digest}")


def source_date_epoch() -> int:
    """SOURCE_DATE_EPOCH, else the commit's time, else (no git) the beginning of 1980."""
    given = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct")
    return int(given or 315532800)


def _commit() -> str:
    """The commit that is built, with `+changes` if the sources differ from it; "" without git."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "pgmcp", "tools", "pyproject.toml", "LICENSE")
    return f"{commit}+changes" if commit and changed else commit


def _git(*words: str) -> str:
    try:
        ended = subprocess.run(
            ["git", "-C", ROOT, *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def _version() -> str:
    text = (ROOT / "pgmcp" / "__init__.py").read_text()
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    assert match is not None
    return match[1]


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace it whole: a program that runs from it keeps the file it was started from."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.chmod(mode)
    temporary.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/build",
        description=f"Make bin/{NAME}, the program as one file for every platform, "
        "with its SHA-256 and its bill of materials (CycloneDX) beside it.",
    )
    parser.add_argument(
        *("--wheelhouse", "-w"),
        type=Path,
        metavar="DIR",
        help="build from the wheels in DIR, without the network",
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "bin", metavar="DIR", help="default: bin"
    )
    parser.add_argument(
        "--python",
        action="append",
        metavar="PROGRAM",
        help="a Python to include byte code for, in place of all that are found (repeatable); "
        "others run the file too, and start slower",
    )
    parser.add_argument(
        "--download-only",
        action="store_true",
        help="only fill build/wheelhouse, to be carried to where there is no network",
    )
    parser.add_argument(
        "--update-lock",
        action="store_true",
        help="lock the newest versions that pyproject.toml allows in tools/wheels.lock",
    )
    return parser

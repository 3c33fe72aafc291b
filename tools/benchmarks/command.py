"""tools/bench: pgmcp, other servers and other commits of it, measured in turn on this machine.

The rule: numbers only beside others that were measured in turn with them.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.benchmarks import bare, ours, session, standard
from tools.benchmarks.client import ClientError
from tools.benchmarks.contender import Contender
from tools.benchmarks.figures import STANDARD, tables
from tools.benchmarks.peers import PEERS, PeerError, Place
from tools.binaries import available
from tools.postgres import Server, running
from tools.serving import ServingError

_CACHE = Path("~/.cache/pgmcp-bench")


def main(arguments: Sequence[str]) -> int:
    """Measure, and print Markdown tables."""
    options = _parser().parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgmcp-bench-")))
        folder.chmod(0o755)  # PostgreSQL runs as another user when root starts it
        postgres = stack.enter_context(running(folder / "postgres", binaries=available()[0]))
        standard.prepare(postgres)
        try:
            contenders = list(_contenders(options, folder, postgres, stack))
            run = session.begin(postgres, contenders, arguments)
            effort = standard.Effort(options.seconds, options.rounds, tuple(options.connections))
            run.figures += standard.measure(contenders, STANDARD, effort, folder)
        except (ClientError, ServingError, subprocess.CalledProcessError) as error:
            print(f"ERROR: {error}", file=sys.stderr)
            return 1
    print("\n".join([run.about(), *tables(run.figures)]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Measure calls a second and latencies on this machine."
    )
    add = parser.add_argument
    add("--seconds", type=float, default=1.0, help="for each number (1)")
    add("--rounds", type=int, default=3, help="of which the median counts (3)")
    add("--connections", type=int, nargs="+", default=(1, 8, 32), help="(1 8 32)")
    add(
        "--peer",
        type=_names([*PEERS, "bare"]),
        default=(),
        metavar="NAME,...",
        help=f"other servers beside it: {', '.join([*PEERS, 'bare'])}",
    )
    add("--against", action="append", default=[], metavar="COMMIT", help="another commit beside it")
    add("--no-stdio", action="store_true", help="leave out what is measured over stdio")
    add("--cache", type=Path, default=_CACHE, help=f"where peers are installed ({_CACHE})")
    return parser


def _contenders(
    options: argparse.Namespace,
    folder: Path,
    postgres: Server,
    stack: contextlib.ExitStack,
) -> Iterator[Contender]:
    """Ours first: the ratios are of it. A peer that cannot be had is left out, and said so."""
    config = ours.settings(folder / "ours", postgres)
    yield ours.contender(config)
    if not options.no_stdio:
        yield ours.contender(config, stdio=True)
    for name in options.against:
        source = stack.enter_context(ours.checked_out(name))
        yield ours.contender(ours.settings(folder / source.name, postgres), source)
    place = Place(options.cache.expanduser().resolve(), folder, postgres)
    for name in options.peer:
        if name == "bare":
            yield bare.contender(postgres)
            continue
        try:
            peer = PEERS[name](place)
        except PeerError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        if not (peer.stdio and options.no_stdio):
            yield peer


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        given = tuple(text.split(","))
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return given

    return names

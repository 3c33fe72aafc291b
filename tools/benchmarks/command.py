"""tools/bench: pgmcp, other servers and other commits of it, measured in turn on this machine.

The rule: numbers only beside others that were measured in turn with them.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tools.benchmarks import bare, features, ours, own, page, profile, session, special, standard
from tools.benchmarks.client import ClientError
from tools.benchmarks.contender import Contender
from tools.benchmarks.figures import STANDARD, Figure, tables
from tools.benchmarks.ours import Source
from tools.benchmarks.peers import PEERS, PeerError, Place
from tools.benchmarks.session import Session
from tools.benchmarks.special import Bench
from tools.binaries import available
from tools.postgres import PostgresError, Server, running
from tools.serving import ServingError

_CACHE = Path("~/.cache/pgmcp-bench")
_STANDARD = "standard"
SPECIAL: Mapping[str, Callable[[Bench], Iterator[Figure]]] = {
    "profile": profile.profile,
    "quiet": special.quiet,
    "idle": special.idle,
    "writes": special.writes,
    "flood": own.flood,
    "tokens": own.tokens,
    "tables": own.tables,
    "gate": own.gate,
    "inside": own.inside,
    "features": features.features,
}


def main(arguments: Sequence[str]) -> int:
    """Measure, and print Markdown tables."""
    options = _parser().parse_args(arguments)
    try:
        run = _measured(options, arguments)
        if options.results is not None:
            run = _put_together(options.results, run)
    except (ClientError, ServingError, PostgresError, subprocess.CalledProcessError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if options.write_page:
        for path in page.write(run):
            print(f"Written: {path}", file=sys.stderr)
    print("\n".join([run.about(), *tables(run.figures)]))
    return 0


def _measured(options: argparse.Namespace, arguments: Sequence[str]) -> Session:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgmcp-bench-")))
        folder.chmod(0o755)  # PostgreSQL runs as another user when root starts it
        postgres = stack.enter_context(running(folder / "postgres", binaries=available()[0]))
        standard.prepare(postgres)
        sources = [ours.HERE]
        sources += [stack.enter_context(ours.checked_out(name)) for name in options.against]
        contenders = list(_contenders(options, folder, postgres, sources))
        run = session.begin(postgres, contenders, arguments)
        over_http = [contender for contender in contenders if not contender.stdio]
        bench = Bench(folder, postgres, over_http, sources, options.seconds)
        effort = standard.Effort(options.seconds, options.rounds, tuple(options.connections))
        for case in ["profile"] if options.profile else options.case:
            print(f"Case {case}", file=sys.stderr, flush=True)
            if case == _STANDARD:
                run.figures += standard.measure(contenders, STANDARD, effort, folder)
            else:
                run.figures += SPECIAL[case](bench)
        return run


def _put_together(path: Path, run: Session) -> Session:
    """Add a run to those of a file, which is made if it is not there."""
    if path.exists():
        before = session.load(path)
        before.add(run)
        run = before
    session.save(run, path)
    return run


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
    add(
        "--case",
        type=_names([_STANDARD, *SPECIAL]),
        default=(_STANDARD,),
        metavar="NAME,...",
        help=f"what is measured: {', '.join([_STANDARD, *SPECIAL])} ({_STANDARD})",
    )
    add("--profile", action="store_true", help="where the time of a call goes: --case profile")
    add("--results", type=Path, help="put the figures to those of this file, and show them all")
    add(
        "--write-page",
        action="store_true",
        help=f"write {page.FOLDER.name}/{page.NAME}.md with the chart, of what is shown",
    )
    add("--against", action="append", default=[], metavar="COMMIT", help="another commit beside it")
    add("--workers", type=int, default=1, help="one more of ours, served by so many processes")
    add("--no-stdio", action="store_true", help="leave out what is measured over stdio")
    add("--cache", type=Path, default=_CACHE, help=f"where peers are installed ({_CACHE})")
    return parser


def _contenders(
    options: argparse.Namespace,
    folder: Path,
    postgres: Server,
    sources: Sequence[Source],
) -> Iterator[Contender]:
    """Ours first: the ratios are of it. A peer that cannot be had is left out, and said so."""
    for source in sources:
        yield ours.contender(ours.settings(folder / source.name, postgres), source)
    if options.workers > 1:
        config = ours.settings(folder / "workers", postgres)
        yield ours.contender(config, workers=options.workers)
    if not options.no_stdio:
        yield ours.contender(ours.settings(folder / "stdio", postgres), stdio=True)
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

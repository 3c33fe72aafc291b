"""A session of measurements: where, when, of what, its figures; kept in a file to be put together.

The rule: what is kept is enough to say how each figure was made.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.benchmarks.contender import Contender
from tools.benchmarks.figures import Figure
from tools.benchmarks.ours import commit
from tools.postgres import Server


@dataclass(slots=True)
class Session:
    """One run, or several put together. `versions` are by the names of servers."""

    machine: str
    date: str
    commit: str
    commands: list[str]
    versions: dict[str, str]
    figures: list[Figure]

    def add(self, other: Session) -> None:
        """Put another run's figures to these. Figures are put together by server and case."""
        cases = {(figure.server, figure.case) for figure in other.figures}
        kept = [figure for figure in self.figures if (figure.server, figure.case) not in cases]
        self.figures = [*kept, *other.figures]
        self.machine, self.date, self.commit = other.machine, other.date, other.commit
        self.commands += [command for command in other.commands if command not in self.commands]
        self.versions.update(other.versions)

    def about(self) -> str:
        """Machine, date and versions, as lines of Markdown."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.machine}. {self.date}, commit {self.commit}.\n\n{versions}.\n"


def begin(postgres: Server, contenders: Sequence[Contender], arguments: Sequence[str]) -> Session:
    """A session without figures yet."""
    versions = {"PostgreSQL": postgres.psql("SHOW server_version").split()[0]}
    versions |= {"Python": platform.python_version()}
    versions |= {c.name.removesuffix(", stdio"): c.version for c in contenders}
    return Session(
        machine=_machine(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=commit(),
        commands=[shlex.join(["tools/bench", *arguments])],
        versions=versions,
        figures=[],
    )


def save(session: Session, path: Path) -> None:
    """Write it, one figure on a line."""
    fields = asdict(session)
    figures = ",\n".join(json.dumps(figure) for figure in fields.pop("figures"))
    path.write_text(f'{json.dumps(fields, indent=1)[:-2]},\n "figures": [\n{figures}\n]}}\n')


def load(path: Path) -> Session:
    """Read what `save` wrote. OSError, ValueError."""
    fields = json.loads(path.read_text())
    figures = [Figure(**figure) for figure in fields.pop("figures")]
    return Session(**fields, figures=figures)


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return f"{processor}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"

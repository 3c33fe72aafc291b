"""A configuration made from values alone: no file, no folder, no environment, no clock.

The rule: what `configure` is given is all that there is, so that a test says what it depends on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from pgmcp.config import pgpass
from pgmcp.config.assemble import assemble
from pgmcp.config.builtins import Features
from pgmcp.config.layers import Inputs
from pgmcp.config.model import Config
from pgmcp.config.values import Secret
from pgmcp.errors import ConfigError
from pgmcp.storage.files import load_yaml

FILE = Path("/conf/c.yaml")
CWD, PROGRAM, HOME = Path("/cwd"), Path("/program"), Path("/home/me")
FEATURES = Features(
    tools=frozenset({"query_database", "count_rows"}),
    resources=frozenset({"system_info", "pg://system_info"}),
    prompts=frozenset({"explore-database"}),
)


@dataclass(frozen=True)
class Files:
    """A `config.machine.Machine` of values: files by their paths, and the user's name."""

    files: Mapping[str, str] = field(default_factory=dict)
    name: str = "me"

    def is_file(self, path: Path) -> bool:
        return str(path) in self.files

    def secret(self, path: Path, label: str, what: str) -> Secret:
        if str(path) not in self.files:
            raise ConfigError(f"{label}: cannot read {path} for the {what}", "Check the path.")
        return Secret(self.files[str(path)])

    def pgpass(self, path: Path) -> list[pgpass.PgpassEntry]:
        return pgpass.parse(self.files.get(str(path), "").encode())

    def user(self) -> str:
        return self.name


def inputs(
    options: Mapping[str, str | bool] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    file: Path | None = FILE,
    machine: Files | None = None,
) -> Inputs:
    """What there is beside the content of `file`."""
    machine = machine or Files()
    return Inputs(options or {}, environ or {}, file, PROGRAM, CWD, HOME, machine)


def configure(
    text: str | None = None,
    options: Mapping[str, str | bool] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    machine: Files | None = None,
) -> Config:
    """The configuration of a file /conf/c.yaml with this text, None for no file."""
    file = FILE if text is not None else None
    content = None if text is None else load_yaml(text.encode(), str(FILE))
    return assemble(content, inputs(options, environ, file=file, machine=machine), FEATURES)


def without_origin(config: Config) -> dict[str, object]:
    """What a configuration says, but for where that came from."""
    names = [field.name for field in fields(config)]
    return {name: getattr(config, name) for name in names if name not in ("file", "sources")}

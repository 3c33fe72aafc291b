"""The configuration from defaults, file, environment and flags: the sections are joined here.

The rule: what comes out can be served. Whatever contradicts itself ends here, with the key, the
value's source and what to do next. A verb gets the sections that it names, and nothing else can
keep it from its work.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgmcp.config import audit, auth, builtins, database_list, databases, document, http, llm, tls
from pgmcp.config.builtins import Features
from pgmcp.config.http import Http
from pgmcp.config.layers import Inputs, Layer, Setting, Settings, fill, home_of, resolve
from pgmcp.config.log import Log
from pgmcp.config.metrics import Metrics
from pgmcp.config.model import KEYS, Config
from pgmcp.config.needed import EVERYTHING, Needed, is_needed

_KNOWN = [key.path for key in KEYS] + ["databases"]
_DATABASES = "databases"

_log = logging.getLogger("pgmcp.config")

Said = Mapping[str, object]
"""What the file says, by the paths of its keys."""

_SECTIONS = {
    "audit": audit.PREFIX,
    "auth": auth.PREFIX,
    "database_names": _DATABASES,
    "databases": _DATABASES,
}
"""What a verb may name: the beginning of the paths of its keys."""


def load(
    options: Mapping[str, str | bool],
    environ: Mapping[str, str],
    program_dir: Path,
    features: Features | None,
    *,
    system_file: Path = document.SYSTEM_FILE,
) -> Config:
    """The whole configuration of one start.

    `options` are the flags that were given, by name; `program_dir` is where the program stands;
    `features` None leaves the names in `builtins` unchecked. Raises ConfigError or FileError.
    """
    inputs = _inputs(options, environ, program_dir, system_file)
    said = _said(inputs, EVERYTHING)
    settings = http.effective_address(resolve(KEYS, said, inputs))
    served = http.build(settings, tls.build(settings), auth.build(settings))
    entries = database_list.entries(said.get(_DATABASES), inputs)
    built = [databases.build(entry, inputs) for entry in entries]
    _warn(inputs.file, served, entries)
    sources = {path: setting.source for path, setting in settings.items()}
    for _, more in built:
        sources |= more
    known = features or Features(None, None, None)
    return fill(
        Config,
        settings,
        file=inputs.file,
        http=served,
        databases=tuple(database for database, _ in built),
        hidden_tools=builtins.hidden(builtins.TOOLS, settings, known.tools),
        hidden_resources=builtins.hidden(builtins.RESOURCES, settings, known.resources),
        hidden_prompts=builtins.hidden(builtins.PROMPTS, settings, known.prompts),
        log=fill(Log, settings, "log."),
        audit=audit.build(settings),
        metrics=fill(Metrics, settings, "metrics."),
        llm=llm.build(settings),
        sources=sources,
    )


def load_sections(
    names: Sequence[str],
    options: Mapping[str, str | bool],
    environ: Mapping[str, str],
    program_dir: Path,
    *,
    system_file: Path = document.SYSTEM_FILE,
) -> dict[str, object]:
    """The values of the sections that a verb names, by these names; the other arguments as in
    `load`.

    Raises ConfigError or FileError for a problem with these sections, or with the file as a whole;
    a problem with another section is a warning. No file that only others name is read.
    """
    inputs = _inputs(options, environ, program_dir, system_file)
    needed = tuple(_SECTIONS[name] for name in names)
    said = _said(inputs, needed)
    settings = resolve(KEYS, said, inputs, needed=needed)
    if not is_needed(needed, _DATABASES):
        database_list.warn_of_problems(said.get(_DATABASES), inputs)
    return {name: _section(name, settings, said.get(_DATABASES), inputs) for name in names}


def _section(name: str, settings: Settings, listed: object, inputs: Inputs) -> object:
    if name == "audit":
        return audit.build(settings)
    if name == "auth":
        return auth.build(settings)
    if name == "database_names":
        return database_list.names(listed, inputs)
    return database_list.databases(listed, inputs)


def _inputs(
    options: Mapping[str, str | bool],
    environ: Mapping[str, str],
    program_dir: Path,
    system_file: Path,
) -> Inputs:
    cwd = Path.cwd()
    program_dir = cwd / program_dir
    file = document.find(options, cwd, program_dir, system_file)
    return Inputs(options, environ, file, program_dir, cwd, home_of(environ))


def _said(inputs: Inputs, needed: Needed) -> Said:
    if inputs.file is None:
        return {}
    return document.flatten(document.read(inputs.file), _KNOWN, inputs.file, needed=needed)


def _warn(file: Path | None, served: Http, entries: Sequence[Mapping[str, Setting]]) -> None:
    passwords = [entry["password"] for entry in entries]
    if file is not None and any(password.layer is Layer.FILE for password in passwords):
        document.warn_if_exposed(file)
    if any(password.layer is Layer.FLAG for password in passwords):
        _log.warning(
            "the password after -db-password shows in the list of processes: "
            "use PGEDGE_DB_PASSWORD, password_file or ~/.pgpass"
        )
    for entry in entries:
        if entry["available_to_users"].value and not served.auth.enabled:
            _log.warning(
                "%s has no effect without authentication", entry["available_to_users"].label
            )

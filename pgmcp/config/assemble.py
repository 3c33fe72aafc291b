"""The configuration from values: defaults, the content of the file, environment and flags.

The rule: what comes out can be served. Whatever contradicts itself ends here, with the key, the
value's source and what to do next. A verb gets the sections that it names, and nothing else can
keep it from its work. No I/O: what has to be asked of the machine goes through `Inputs.machine`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from pgmcp.config import (
    audit,
    auth,
    builtins,
    database_list,
    databases,
    document,
    http,
    llm,
    policies,
    tls,
)
from pgmcp.config.builtins import Features
from pgmcp.config.http import Http
from pgmcp.config.layers import Inputs, Layer, Setting, Settings, fill, resolve
from pgmcp.config.log import Log
from pgmcp.config.metrics import Metrics
from pgmcp.config.model import KEYS, Config
from pgmcp.config.needed import EVERYTHING, Needed, is_needed
from pgmcp.config.share import check_workers

_DATABASES = "databases"
_KNOWN = [key.path for key in KEYS] + [_DATABASES, policies.PREFIX]

_log = logging.getLogger("pgmcp.config")

FileValues = Mapping[str, object]
"""What the file says, by the paths of its keys."""

_Build = Callable[[Settings, FileValues, Inputs], object]
_SECTIONS: Mapping[str, tuple[str, _Build]] = {
    "audit": (audit.PREFIX, lambda settings, _values, _inputs: audit.build(settings)),
    "auth": (auth.PREFIX, lambda settings, _values, _inputs: auth.build(settings)),
    "database_names": (
        _DATABASES,
        lambda _settings, values, inputs: database_list.names(values.get(_DATABASES), inputs),
    ),
    "databases": (
        _DATABASES,
        lambda _settings, values, inputs: database_list.databases(values.get(_DATABASES), inputs),
    ),
    "policies": (
        policies.PREFIX,
        lambda _settings, values, inputs: policies.build(values.get(policies.PREFIX), inputs),
    ),
    "usage_file": ("usage_file", lambda settings, _values, _inputs: settings["usage_file"].value),
}
"""What a verb may name: the beginning of the paths of its keys, and what makes its value."""


def assemble(content: object, inputs: Inputs, features: Features | None) -> Config:
    """The whole configuration.

    `content` is what the file `inputs.file` holds, as YAML has it; None without a file. `features`
    None leaves the names in `builtins` unchecked. Raises ConfigError.
    """
    values = _file_values(content, inputs, EVERYTHING)
    settings = http.effective_address(resolve(KEYS, values, inputs))
    served = http.build(settings, tls.build(settings), auth.build(settings))
    entries = database_list.entries(values.get(_DATABASES), inputs)
    built = [databases.build(entry, inputs) for entry in entries]
    check_workers(settings, [database for database, _ in built])
    _warn(served, entries)
    sources = {path: setting.source for path, setting in settings.items()}
    for _, more in built:
        sources |= more
    known = features or Features(None, None, None)
    restrictions = policies.build(values.get(policies.PREFIX), inputs)
    names = [database.name for database, _ in built]
    policies.check_names(restrictions, names, known.tools, inputs)
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
        policies=restrictions,
        llm=llm.build(settings, inputs.machine),
        sources=sources,
    )


def assemble_sections(names: Sequence[str], content: object, inputs: Inputs) -> dict[str, object]:
    """The values of the sections that a verb names, by these names; the other arguments as in
    `assemble`.

    Raises ConfigError for a problem with these sections, or with the file as a whole; a problem
    with another section is a warning. The machine is asked for no file that only others name.
    """
    needed = tuple(_SECTIONS[name][0] for name in names)
    values = _file_values(content, inputs, needed)
    settings = resolve(KEYS, values, inputs, needed=needed)
    if not is_needed(needed, _DATABASES):
        database_list.warn_of_problems(values.get(_DATABASES), inputs)
    return {name: _SECTIONS[name][1](settings, values, inputs) for name in names}


def _file_values(content: object, inputs: Inputs, needed: Needed) -> FileValues:
    if inputs.file is None:
        return {}
    return document.flatten(content, _KNOWN, inputs.file, needed=needed)


def _warn(served: Http, entries: Sequence[Mapping[str, Setting]]) -> None:
    if any(entry["password"].layer is Layer.FLAG for entry in entries):
        _log.warning(
            "the password after -db-password shows in the list of processes: "
            "use PGEDGE_DB_PASSWORD, password_file or ~/.pgpass"
        )
    for entry in entries:
        if entry["available_to_users"].value and not served.auth.enabled:
            _log.warning(
                "%s has no effect without authentication", entry["available_to_users"].label
            )

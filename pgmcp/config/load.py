"""The configuration from defaults, file, environment and flags, checked as a whole.

The rule: what comes out can be served. Whatever contradicts itself ends here, with the key, the
value's source and what to do next.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pgmcp.config import databases, document, llm, observing
from pgmcp.config.key import Key
from pgmcp.config.keys import KEYS
from pgmcp.config.layers import Inputs, Layer, Setting, Settings, resolve
from pgmcp.config.model import Address, Auth, ClientAuth, Config, Features, Http, Tls
from pgmcp.config.subject import canonical
from pgmcp.errors import ConfigError

Subjects = tuple[tuple[str, str], ...]

_SUBJECTS = "http.tls.client_subjects."
_LOOPBACK = Address("127.0.0.1", 8080)
_PLAIN_KEYS = [key for key in KEYS if not key.path.endswith(".NAME")]
_KNOWN = [key.path for key in KEYS] + ["databases"]

_log = logging.getLogger("pgmcp.config")


def load(
    options: Mapping[str, str | bool],
    environ: Mapping[str, str],
    program_dir: Path,
    features: Features | None,
    *,
    system_file: Path = document.SYSTEM_FILE,
) -> Config:
    """The configuration of one start.

    `options` are the flags that were given, by name; `program_dir` is where the program stands;
    `features` None, for a command that serves nothing, leaves the names in `builtins` unchecked.
    Raises ConfigError or FileError.
    """
    cwd = Path.cwd()
    program_dir = cwd / program_dir
    file = document.find(options, cwd, program_dir, system_file)
    inputs = Inputs(options, environ, file, program_dir, cwd, _home(environ))
    said = {} if file is None else document.flatten(document.read(file), _KNOWN, file)
    settings = resolve(_PLAIN_KEYS, said, inputs)
    subjects, naming = _client_subjects(said, inputs)
    http, changed = _http(settings, subjects)
    hidden, hiding = _hidden(said, features, inputs)
    entries = databases.entries(said.get("databases"), inputs)
    connects = features is not None
    built = [databases.build(entry, inputs, connects=connects) for entry in entries]
    sources = (
        {path: setting.source for path, setting in settings.items()} | changed | naming | hiding
    )
    for _, more in built:
        sources |= more
    _warn(file, http, entries)
    return Config(
        file=file,
        http=http,
        databases=tuple(database for database, _ in built),
        hidden_tools=hidden["tools"],
        hidden_resources=hidden["resources"],
        hidden_prompts=hidden["prompts"],
        max_connections_total=settings["max_connections_total"].value,
        debug=settings["debug"].value,
        sources=sources,
        log=observing.log(settings),
        audit=observing.audit(settings),
        metrics=observing.metrics(settings),
        llm=llm.llm(settings),
    )


def _home(environ: Mapping[str, str]) -> Path | None:
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        return None


def _http(settings: Settings, subjects: Subjects) -> tuple[Http, dict[str, str]]:
    """The HTTP side, and the sources of what was decided here."""
    address, auth_enabled = settings["http.address"], settings["http.auth.enabled"].value
    changed = {}
    if not auth_enabled and address.layer is Layer.DEFAULT:
        address = replace(address, value=_LOOPBACK)
        changed[address.label] = "default without authentication"
    http = Http(
        enabled=settings["http.enabled"].value,
        address=address.value,
        tls=_tls(settings, subjects),
        auth=_auth(settings),
        trusted_proxies=settings["http.trusted_proxies"].value,
        allowed_hosts=settings["http.allowed_hosts"].value,
    )
    if http.enabled and http.trusted_proxies and not http.allowed_hosts:
        settings["http.trusted_proxies"].refuse(
            "http.allowed_hosts is missing: a browser on a proxy's machine has the proxy's address,"
            " so the names that clients call have to be known",
            "List the names that clients call the proxy by, such as\n"
            '  allowed_hosts: ["mcp.example.com"]\n'
            "beside it, or set PGEDGE_HTTP_ALLOWED_HOSTS=mcp.example.com.",
        )
    if not http.enabled:
        _refuse_idle_flags(settings, "http.address", "http.tls.enabled")
    return http, changed


def _auth(settings: Settings) -> Auth:
    def value(name: str) -> int:
        number: int = settings[f"http.auth.{name}"].value
        return number

    return Auth(
        enabled=settings["http.auth.enabled"].value,
        token_file=settings["http.auth.token_file"].value,
        user_file=settings["http.auth.user_file"].value,
        rate_limit_window_seconds=value("rate_limit_window_minutes") * 60.0,
        rate_limit_max_attempts=value("rate_limit_max_attempts"),
        rate_limit_max_bad_tokens=value("rate_limit_max_bad_tokens"),
        max_failed_attempts_before_lockout=value("max_failed_attempts_before_lockout"),
        password_min_length=value("password_min_length"),
        max_sessions_per_user=value("max_sessions_per_user"),
    )


def _tls(settings: Settings, subjects: Subjects) -> Tls:
    enabled = settings["http.tls.enabled"]
    cert, key = settings["http.tls.cert_file"], settings["http.tls.key_file"]
    chain = settings["http.tls.chain_file"]
    for needed, flag in ((cert, "-cert"), (key, "-key")):
        if enabled.value and needed.value is None:
            enabled.refuse(f"TLS needs {needed.label}", f"Set {needed.label}, or give {flag}.")
    for given, missing in ((cert, key), (key, cert), (chain, cert)):
        if given.value is not None and missing.value is None:
            given.refuse(f"{missing.label} is missing", "Give both or neither.")
    if not enabled.value:
        for setting in (cert, key, chain):
            if setting.layer is Layer.FLAG:
                setting.refuse("it has no effect while TLS is off", "Add -tls.")
    authority, wanted = settings["http.tls.client_ca_file"], settings["http.tls.client_auth"]
    client_auth: ClientAuth = wanted.value or ("none" if authority.value is None else "optional")
    if client_auth != "none" and authority.value is None:
        wanted.refuse(
            f"{authority.label} is missing", "Name the certificates that vouch for clients."
        )
    if subjects and client_auth == "none" and enabled.value:
        authority.refuse(
            f"{_SUBJECTS}* have no effect while clients show no certificate",
            f"Set {authority.label}, and leave {wanted.label} out or set it to optional.",
        )
    return Tls(
        enabled.value, cert.value, key.value, chain.value, authority.value, client_auth, subjects
    )


def _client_subjects(said: Mapping[str, object], inputs: Inputs) -> tuple[Subjects, dict[str, str]]:
    """Canonical subjects with the ids of their tokens, and the sources of these keys."""
    pattern = next(key for key in KEYS if key.path == f"{_SUBJECTS}NAME")
    paths = [path for path in said if path.startswith(_SUBJECTS)]
    settings = resolve([_named(pattern, path) for path in paths], said, inputs)
    found: dict[str, str] = {}
    for path, setting in settings.items():
        try:
            subject = canonical(path.removeprefix(_SUBJECTS))
        except ValueError as error:
            setting.refuse(
                str(error), "openssl x509 -noout -subject -nameopt RFC2253 -in CERT shows it."
            )
        if subject in found:
            setting.refuse("this subject is there twice", "Keep one of the two.")
        if setting.value is not None:
            found[subject] = setting.value
    return tuple(found.items()), {path: setting.source for path, setting in settings.items()}


def _refuse_idle_flags(settings: Settings, *paths: str) -> None:
    """A flag that asks for something of the HTTP server, where none will run."""
    for path in paths:
        setting = settings[path]
        if setting.layer is Layer.FLAG and setting.value is not False:
            setting.refuse("it has no effect without the HTTP server", "Add -http.")


def _hidden(
    said: Mapping[str, object], features: Features | None, inputs: Inputs
) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    """The names that `builtins` switches off, by sort, and the sources of every such key."""
    hidden: dict[str, frozenset[str]] = {}
    sources: dict[str, str] = {}
    for sort in ("tools", "resources", "prompts"):
        stem = f"builtins.{sort}."
        pattern = next(key for key in KEYS if key.path == f"{stem}NAME")
        names = [path.removeprefix(stem) for path in said if path.startswith(stem)]
        known = None if features is None else getattr(features, sort)
        for name in names:
            if known is not None and name not in known:
                raise ConfigError(
                    f"{inputs.file}: {stem}{name}: there is nothing of that name",
                    document.suggestion(name, known),
                )
        settings = resolve([_named(pattern, stem + name) for name in names], said, inputs)
        sources |= {path: setting.source for path, setting in settings.items()}
        hidden[sort] = frozenset(
            path.removeprefix(stem) for path, setting in settings.items() if not setting.value
        )
    return hidden, sources


def _named(pattern: Key, path: str) -> Key:
    return replace(pattern, path=path)


def _warn(file: Path | None, http: Http, entries: list[dict[str, Setting]]) -> None:
    passwords = [entry["password"] for entry in entries]
    if file is not None and any(password.layer is Layer.FILE for password in passwords):
        document.warn_if_exposed(file)
    if any(password.layer is Layer.FLAG for password in passwords):
        _log.warning(
            "the password after -db-password shows in the list of processes: "
            "use PGEDGE_DB_PASSWORD, password_file or ~/.pgpass"
        )
    for entry in entries:
        if entry["available_to_users"].value and not http.auth.enabled:
            _log.warning(
                "%s has no effect without authentication", entry["available_to_users"].label
            )

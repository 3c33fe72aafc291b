"""Where the configuration comes from, what wins, and what is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.config import template
from pgmcp.config.builtins import Features
from pgmcp.config.databases import KEYS as DATABASE_KEYS
from pgmcp.config.key import Key
from pgmcp.config.load import load
from pgmcp.config.model import KEYS, Config
from pgmcp.config.values import Address
from pgmcp.errors import ConfigError, FileError

FEATURES = Features(
    tools=frozenset({"query_database", "count_rows"}),
    resources=frozenset({"system_info", "pg://system_info"}),
    prompts=frozenset({"explore-database"}),
)

Load = Callable[..., Config]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load with `text` as the -config file `conf/c.yaml`, from the folder `cwd`."""
    for name in ("conf", "cwd", "program", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(
        text: str | bytes | None = None,
        options: Mapping[str, str | bool] | None = None,
        **environ: str,
    ) -> Config:
        given_options = dict(options or {})
        if text is not None:
            file = tmp_path / "conf" / "c.yaml"
            file.write_bytes(text.encode() if isinstance(text, str) else text)
            file.chmod(0o600)
            given_options.setdefault("config", str(file))
        return load(
            given_options,
            {"HOME": str(tmp_path / "home"), **environ},
            tmp_path / "program",
            FEATURES,
            system_file=tmp_path / "etc.yaml",
        )

    return run


def without_origin(config: Config) -> dict[str, object]:
    names = [field.name for field in fields(config)]
    return {name: getattr(config, name) for name in names if name not in ("file", "sources")}


# -- defaults and order ----------------------------------------------------------------------------


def test_without_anything_the_defaults_hold(start: Load, tmp_path: Path) -> None:
    config = start()
    assert config.file is None
    assert not config.http.enabled
    assert config.http.address == Address("127.0.0.1", 8080)
    auth = config.http.auth
    assert auth.enabled
    assert auth.token_file == tmp_path / "program" / "pgedge-postgres-mcp-tokens.yaml"
    assert auth.user_file == tmp_path / "program" / "pgedge-postgres-mcp-users.yaml"
    assert (auth.rate_limit_window_seconds, auth.rate_limit_max_attempts) == (900, 10)
    assert (auth.rate_limit_max_bad_tokens, auth.max_failed_attempts_before_lockout) == (100, 0)
    assert (auth.password_min_length, auth.max_sessions_per_user) == (8, 10)
    assert set(config.sources.values()) == {"default"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "http:\n", "http:\n  auth:\n", "---\n"])
def test_a_file_that_says_nothing_means_the_defaults(start: Load, text: str) -> None:
    assert without_origin(start(text)) == without_origin(start())


def test_flags_win_over_environment_over_file_over_default(start: Load, tmp_path: Path) -> None:
    file = "http: {enabled: true, address: ':1'}"
    layers: list[tuple[Mapping[str, str | bool], dict[str, str], int, str]] = [
        ({}, {}, 1, str(tmp_path / "conf" / "c.yaml")),
        ({}, {"PGEDGE_HTTP_ADDRESS": ":2"}, 2, "environment variable PGEDGE_HTTP_ADDRESS"),
        ({"addr": ":3"}, {"PGEDGE_HTTP_ADDRESS": ":2"}, 3, "flag -addr"),
    ]
    for options, environ, port, source in layers:
        config = start(file, options, **environ)
        assert config.http.address.port == port
        assert config.sources["http.address"] == source


def test_an_empty_value_counts_as_not_set(start: Load) -> None:
    config = start("http: {address: ''}", PGEDGE_HTTP_ADDRESS="", PGEDGE_AUTH_ENABLED="")
    assert config.http.address.port == 8080
    assert config.http.auth.enabled


@pytest.mark.parametrize("key", [key for key in KEYS + DATABASE_KEYS if key.env or key.libpq_env])
def test_every_environment_variable_is_read(start: Load, key: Key) -> None:
    for name in (key.env, key.libpq_env):
        if name is None or name in ("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"):
            continue
        value = {
            "port": "1",
            "http.address": ":1",
            "http.allowed_origins": "https://a.example",
            "sslmode": "disable",
        }.get(key.path)
        value = value or ("true" if not key.kind.metavar else "1")
        cert = {"PGEDGE_TLS_CERT_FILE": "c", "PGEDGE_TLS_KEY_FILE": "k"}
        environ = (cert if "TLS" in name else {}) | {name: value}
        label = key.path if key in KEYS else f"databases[0].{key.path}"
        assert start(**environ).sources[label] == f"environment variable {name}"


def test_relative_paths_depend_on_where_they_were_written(start: Load, tmp_path: Path) -> None:
    in_file = start("http: {auth: {token_file: ./t.yaml}}")
    assert in_file.http.auth.token_file == tmp_path / "conf" / "t.yaml"
    in_environment = start(PGEDGE_AUTH_TOKEN_FILE="t.yaml")
    assert in_environment.http.auth.token_file == tmp_path / "cwd" / "t.yaml"
    in_flag = start(options={"token-file": "t.yaml"})
    assert in_flag.http.auth.token_file == tmp_path / "cwd" / "t.yaml"
    of_home = start("http: {auth: {token_file: ~/t.yaml}}")
    assert of_home.http.auth.token_file == tmp_path / "home" / "t.yaml"


# -- the file --------------------------------------------------------------------------------------


def test_the_system_file_comes_before_the_one_beside_the_program(
    start: Load, tmp_path: Path
) -> None:
    beside = tmp_path / "program" / "pgedge-postgres-mcp.yaml"
    beside.write_text("http: {address: ':1'}")
    assert start().file == beside
    (tmp_path / "etc.yaml").write_text("http: {address: ':2'}")
    assert start().file == tmp_path / "etc.yaml"
    assert start("http: {address: ':3'}").http.address.port == 3


@pytest.mark.parametrize("name", ["missing.yaml", "", "a\0b"])
def test_a_config_flag_that_names_no_file_is_an_error(start: Load, name: str) -> None:
    with pytest.raises(ConfigError):
        start(options={"config": name})


def test_a_broken_link_is_not_passed_over(start: Load, tmp_path: Path) -> None:
    (tmp_path / "etc.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(FileError, match=r"etc\.yaml"):
        start()


def test_a_folder_is_not_a_configuration(start: Load, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        start(options={"config": str(tmp_path)})


def test_a_pipe_is_a_configuration(start: Load) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        pipe.write("http: {address: ':7'}")
        pipe.close()
        assert start(options={"config": f"/dev/fd/{reading}"}).http.address.port == 7


def test_a_file_too_large_is_refused(start: Load) -> None:
    with pytest.raises(FileError, match="larger"):
        start("#" * (1 << 20) + "\n#")


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("htpp: {}", "unknown key 'htpp'", "Did you mean http?"),
        ("http: {adress: ':1'}", "'http.adress'", "Did you mean address?"),
        ("http: {auth: {zzz: 1}}", "'http.auth.zzz'", "Known here: enabled"),
        ("http.address: ':1'", "'http.address'", "http"),
        ("5: x", "unknown key '5'", "Known here"),
        ("[]", "the file must be a section of keys, not a list", "Known keys"),
        ("http: true", "http must be a section", "address"),
        ("databases: x", "databases must be a list, not text", "dash"),
        ("databases: {name: x}", "databases must be a list, not a section", "dash"),
        ("databases: [x]", r"databases[0] must be a section", "name"),
        ("http: {enabled: 'yes'}", "http.enabled is 'yes'", "true or false"),
        ("http: {address: 8080}", "http.address is 8080", '":port"'),
        ("http: {auth: {password_min_length: 0}}", "outside 1 to 72", "whole number"),
        ("builtins: {tools: {qurey_database: false}}", "qurey_database", "query_database"),
        ("builtins: {tools: {query_database: 0}}", "query_database is 0", "true or false"),
        ("databases: [{host: h}]", "databases[0].name is missing", "name"),
        ("databases: [{name: a, prot: 1}]", "'databases[0].prot'", "Did you mean port?"),
        ("databases: [{name: a}, {name: a}]", "databases[1].name", "name of its own"),
    ],
)
def test_an_error_names_file_key_and_value_and_says_what_to_do(
    start: Load, text: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        start(text)
    assert "c.yaml" in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_error_names_the_variable_or_the_flag(start: Load) -> None:
    with pytest.raises(ConfigError, match=r"variable PGEDGE_AUTH_ENABLED: .* 'maybe'"):
        start(PGEDGE_AUTH_ENABLED="maybe")
    with pytest.raises(ConfigError, match=r"flag -addr: http\.address is 'x'"):
        start(options={"http": True, "addr": "x"})
    with pytest.raises(ConfigError, match=r"flag -token-file: .* empty"):
        start(options={"token-file": ""})


def test_a_refused_password_is_not_shown(start: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        start("databases: [{name: a, password: 73577357}]")
    assert "73577357" not in caught.value.for_operator()
    assert "databases[0].password" in caught.value.message


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("http: {tls: {enabled: true}}", {}, "TLS needs http.tls.cert_file"),
        ("http: {tls: {enabled: true, cert_file: c}}", {}, "TLS needs http.tls.key_file"),
        ("http: {tls: {cert_file: c}}", {}, "http.tls.key_file is missing"),
        ("http: {tls: {key_file: c}}", {}, "http.tls.cert_file is missing"),
        ("http: {tls: {chain_file: c}}", {}, "http.tls.cert_file is missing"),
        ("", {"http": True, "cert": "c", "key": "k"}, "no effect while TLS is off"),
        ("", {"addr": ":1"}, "no effect without the HTTP server"),
        ("", {"tls": True, "cert": "c", "key": "k"}, "no effect without the HTTP server"),
    ],
)
def test_contradictions_are_refused(
    start: Load, text: str, options: dict[str, str | bool], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        start(text, options)


# -- authentication and address --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "environ"),
    [
        (None, {"no-auth": True}, {}),
        ("http: {auth: {enabled: false}}", {}, {}),
        (None, {}, {"PGEDGE_AUTH_ENABLED": "off"}),
    ],
)
def test_without_authentication_only_loopback_is_served(
    start: Load, text: str | None, options: dict[str, str | bool], environ: dict[str, str]
) -> None:
    config = start(text, options, **environ)
    assert not config.http.auth.enabled
    assert config.http.address == Address("127.0.0.1", 8080)
    assert config.sources["http.address"] == "default"


def test_an_address_that_was_given_is_kept_without_authentication(start: Load) -> None:
    config = start("http: {enabled: true, address: ':9'}", {"no-auth": True})
    assert config.http.address == Address("", 9)


def test_every_interface_is_the_default_only_with_authentication_and_tls(start: Load) -> None:
    tls = "http: {enabled: true, tls: {enabled: true, cert_file: c, key_file: k}}"
    assert start(tls).http.address == Address("", 8080)
    assert start(tls, {"no-auth": True}).http.address == Address("127.0.0.1", 8080)
    assert start("http: {enabled: true}").http.address == Address("127.0.0.1", 8080)


def test_no_auth_false_turns_authentication_on(start: Load) -> None:
    assert start("http: {auth: {enabled: false}}", {"no-auth": False}).http.auth.enabled


def test_a_flag_set_to_false_wins_over_the_file(start: Load) -> None:
    assert not start("http: {enabled: true}", {"http": False}).http.enabled


def test_builtins_that_are_switched_off(start: Load) -> None:
    config = start(
        "builtins:\n"
        "  tools: {query_database: false, count_rows: true}\n"
        "  resources: {'pg://system_info': false}\n"
        "  prompts: {explore-database: false}\n"
    )
    assert config.hidden_tools == {"query_database"}
    assert config.hidden_resources == {"pg://system_info"}
    assert config.hidden_prompts == {"explore-database"}
    assert config.sources["builtins.tools.count_rows"].endswith("c.yaml")


def test_a_command_that_serves_nothing_leaves_the_names_unchecked(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("builtins: {tools: {anything: false}}")
    config = load({"config": str(file)}, {"HOME": str(tmp_path)}, tmp_path, None)
    assert config.hidden_tools == {"anything"}


# -- warnings --------------------------------------------------------------------------------------


def test_a_file_with_a_password_that_others_can_read_is_warned_about(
    start: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "databases: [{name: a, password: hush}]"
    start(text)
    assert not caplog.records
    (tmp_path / "conf" / "c.yaml").chmod(0o644)
    start(options={"config": str(tmp_path / "conf" / "c.yaml")})
    assert "chmod 600" in caplog.text
    assert "hush" not in caplog.text


def test_a_password_on_the_command_line_is_warned_about(
    start: Load, caplog: pytest.LogCaptureFixture
) -> None:
    start(options={"db-password": "hush"})
    assert "list of processes" in caplog.text
    assert "hush" not in caplog.text


def test_a_reserved_database_without_authentication_is_warned_about(
    start: Load, caplog: pytest.LogCaptureFixture
) -> None:
    start("databases: [{name: a, available_to_users: [alice]}]", {"no-auth": True})
    assert "databases[0].available_to_users has no effect" in caplog.text


# -- the written file ------------------------------------------------------------------------------


def test_the_written_file_loads_and_changes_nothing(start: Load) -> None:
    assert without_origin(start(template.render())) == without_origin(start())


def test_the_written_file_means_the_defaults_when_every_setting_is_switched_on(
    start: Load, tmp_path: Path
) -> None:
    text = re.sub(r"(?m)^( *)#(?=[^ #\n]|  )", r"\1", template.render())
    beside = tmp_path / "program" / "pgedge-postgres-mcp.yaml"
    expected = without_origin(start())
    beside.write_text(text)
    config = start()
    assert without_origin(config) == expected
    assert config.sources["databases[0].statement_timeout"] == str(beside)


# -- any bytes -------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "30s", ":8080", "a,b", "5432,", "system", "prefer", "0x10", "~"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                sorted({part for key in KEYS + DATABASE_KEYS for part in key.path.split(".")})
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_LISTS = st.lists(
    st.dictionaries(st.sampled_from([key.path for key in DATABASE_KEYS]), _VALUES), max_size=2
)
_KEYED = st.dictionaries(st.sampled_from(["http", "builtins", "debug"]), _VALUES)


def _loads_or_is_refused(folder: Path, data: bytes) -> None:
    file = folder / "any.yaml"
    file.write_bytes(data)
    try:
        load({"config": str(file)}, {"HOME": str(folder)}, folder, FEATURES)
    except (ConfigError, FileError) as error:
        assert error.message


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
def test_any_bytes_load_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    _loads_or_is_refused(tmp_path_factory.getbasetemp(), data)


@settings(max_examples=150, deadline=None)
@given(document=_KEYED, databases=_LISTS)
def test_any_shape_of_document_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object], databases: list[object]
) -> None:
    text = json.dumps(document | {"databases": databases})
    _loads_or_is_refused(tmp_path_factory.getbasetemp(), text.encode())

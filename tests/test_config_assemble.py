"""What wins, what the values mean and what is refused: the configuration, made from values."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.config import template
from pgmcp.config.assemble import assemble
from pgmcp.config.databases import KEYS as DATABASE_KEYS
from pgmcp.config.key import Key
from pgmcp.config.model import KEYS
from pgmcp.config.values import Address
from pgmcp.errors import ConfigError
from tests.configuration import FEATURES, FILE, PROGRAM, Files, configure, inputs, without_origin

# -- defaults and order ----------------------------------------------------------------------------


def test_without_anything_the_defaults_hold() -> None:
    config = configure()
    assert config.file is None
    assert not config.http.enabled
    assert config.http.address == Address("127.0.0.1", 8080)
    auth = config.http.auth
    assert auth.enabled
    assert auth.token_file == PROGRAM / "pgedge-postgres-mcp-tokens.yaml"
    assert auth.user_file == PROGRAM / "pgedge-postgres-mcp-users.yaml"
    assert (auth.rate_limit_window_seconds, auth.rate_limit_max_attempts) == (900, 10)
    assert (auth.rate_limit_max_bad_tokens, auth.max_failed_attempts_before_lockout) == (100, 0)
    assert (auth.password_min_length, auth.max_sessions_per_user) == (8, 10)
    assert set(config.sources.values()) == {"default"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "http:\n", "http:\n  auth:\n", "---\n"])
def test_a_file_that_says_nothing_means_the_defaults(text: str) -> None:
    assert without_origin(configure(text)) == without_origin(configure())


def test_flags_win_over_environment_over_file_over_default() -> None:
    file = "http: {enabled: true, address: ':1'}"
    layers: list[tuple[Mapping[str, str | bool], dict[str, str], int, str]] = [
        ({}, {}, 1, str(FILE)),
        ({}, {"PGEDGE_HTTP_ADDRESS": ":2"}, 2, "environment variable PGEDGE_HTTP_ADDRESS"),
        ({"addr": ":3"}, {"PGEDGE_HTTP_ADDRESS": ":2"}, 3, "flag -addr"),
    ]
    for options, environ, port, source in layers:
        config = configure(file, options, environ=environ)
        assert config.http.address.port == port
        assert config.sources["http.address"] == source


def test_an_empty_value_counts_as_not_set() -> None:
    config = configure(
        "http: {address: ''}", environ={"PGEDGE_HTTP_ADDRESS": "", "PGEDGE_AUTH_ENABLED": ""}
    )
    assert config.http.address.port == 8080
    assert config.http.auth.enabled


@pytest.mark.parametrize("key", [key for key in KEYS + DATABASE_KEYS if key.env or key.libpq_env])
def test_every_environment_variable_is_read(key: Key) -> None:
    for name in (key.env, key.libpq_env):
        if name is None:
            continue
        value = {
            "port": "1",
            "http.address": ":1",
            "http.allowed_origins": "https://a.example",
            "sslmode": "disable",
        }.get(key.path)
        value = value or ("true" if not key.kind.metavar else "1")
        environ = {"PGSSLMODE": "verify-ca", "PGSSLROOTCERT": "1", "PGSSLCERT": "1"}
        environ |= {"PGSSLKEY": "1", "PGEDGE_TLS_CERT_FILE": "1", "PGEDGE_TLS_KEY_FILE": "1"}
        if key.path == "sslmode":
            environ = {}
        label = key.path if key in KEYS else f"databases[0].{key.path}"
        config = configure(machine=Files({"/cwd/1": ""}), environ=environ | {name: value})
        assert config.sources[label] == f"environment variable {name}"


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("htpp: {}", "unknown key 'htpp'", "Did you mean http?"),
        ("http: {adress: ':1'}", "'http.adress'", "Did you mean address?"),
        ("http: {auth: {zzz: 1}}", "'http.auth.zzz'", "Known here: attenuation_key_file"),
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
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(text)
    assert "c.yaml" in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_error_names_the_variable_or_the_flag() -> None:
    with pytest.raises(ConfigError, match=r"variable PGEDGE_AUTH_ENABLED: .* 'maybe'"):
        configure(environ={"PGEDGE_AUTH_ENABLED": "maybe"})
    with pytest.raises(ConfigError, match=r"flag -addr: http\.address is 'x'"):
        configure(options={"http": True, "addr": "x"})
    with pytest.raises(ConfigError, match=r"flag -token-file: .* empty"):
        configure(options={"token-file": ""})


def test_a_refused_password_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        configure("databases: [{name: a, password: 73577357}]")
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
    text: str, options: dict[str, str | bool], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(text, options)


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
    text: str | None, options: dict[str, str | bool], environ: dict[str, str]
) -> None:
    config = configure(text, options, environ=environ)
    assert not config.http.auth.enabled
    assert config.http.address == Address("127.0.0.1", 8080)
    assert config.sources["http.address"] == "default"


def test_an_address_that_was_given_is_kept_without_authentication() -> None:
    config = configure("http: {enabled: true, address: ':9'}", {"no-auth": True})
    assert config.http.address == Address("", 9)


def test_every_interface_is_the_default_only_with_authentication_and_tls() -> None:
    tls = "http: {enabled: true, tls: {enabled: true, cert_file: c, key_file: k}}"
    assert configure(tls).http.address == Address("", 8080)
    assert configure(tls, {"no-auth": True}).http.address == Address("127.0.0.1", 8080)
    assert configure("http: {enabled: true}").http.address == Address("127.0.0.1", 8080)


def test_no_auth_false_turns_authentication_on() -> None:
    assert configure("http: {auth: {enabled: false}}", {"no-auth": False}).http.auth.enabled


def test_a_flag_set_to_false_wins_over_the_file() -> None:
    assert not configure("http: {enabled: true}", {"http": False}).http.enabled


def test_builtins_that_are_switched_off() -> None:
    config = configure(
        "builtins:\n"
        "  tools: {query_database: false, count_rows: true}\n"
        "  resources: {'pg://system_info': false}\n"
        "  prompts: {explore-database: false}\n"
    )
    assert config.hidden_tools == {"query_database"}
    assert config.hidden_resources == {"pg://system_info"}
    assert config.hidden_prompts == {"explore-database"}
    assert config.sources["builtins.tools.count_rows"].endswith("c.yaml")


def test_a_command_that_serves_nothing_leaves_the_names_unchecked() -> None:
    content = {"builtins": {"tools": {"anything": False}}}
    assert assemble(content, inputs(), None).hidden_tools == {"anything"}


# -- warnings --------------------------------------------------------------------------------------


def test_a_password_on_the_command_line_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    configure(options={"db-password": "hush"})
    assert "list of processes" in caplog.text
    assert "hush" not in caplog.text


def test_a_reserved_database_without_authentication_is_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure("databases: [{name: a, available_to_users: [alice]}]", {"no-auth": True})
    assert "databases[0].available_to_users has no effect" in caplog.text


# -- the written file ------------------------------------------------------------------------------


def test_the_written_file_loads_and_changes_nothing() -> None:
    assert without_origin(configure(template.render())) == without_origin(configure())


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


@settings(max_examples=100, deadline=None)
@given(document=_KEYED, databases=_LISTS)
def test_any_shape_of_document_is_assembled_or_refused(
    document: dict[str, object], databases: list[object]
) -> None:
    content = document | {"databases": databases}
    try:
        assemble(content, inputs(), FEATURES)
    except ConfigError as error:
        assert error.message

"""The databases of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgmcp.config.assemble import assemble_sections
from pgmcp.config.values import Host, Secret
from pgmcp.errors import ConfigError
from tests.configuration import HOME, Files, configure, inputs

ROOT_FILE = str(HOME / ".postgresql" / "root.crt")
PGPASS = str(HOME / ".pgpass")


def entry(text: str) -> str:
    return f"databases: [{{name: main, {text}}}]"


def test_without_a_list_there_is_one_with_libpqs_defaults() -> None:
    (database,) = configure().databases
    assert database.name == "default"
    assert database.hosts == (Host("localhost", 5432),)
    assert (database.user, database.database) == ("me", "me")
    assert database.passwords == (None,)
    assert database.ssl.mode == "prefer"
    assert (database.pool_max_conns, database.pool_min_conns) == (4, 0)
    assert database.pool_max_conn_idle_seconds == 1800
    assert database.connect_timeout_seconds == 10
    assert database.statement_timeout_seconds == 30
    assert database.target_session_attrs == "any"
    assert database.available_to_users == ()


def test_a_user_id_without_a_name_hinders_only_what_connects() -> None:
    """As in a container that runs as any number."""
    nobody = Files(name="")
    assert list(assemble_sections(["auth"], {}, inputs(machine=nobody))) == ["auth"]
    with pytest.raises(ConfigError, match="which role to connect as"):
        configure("", machine=nobody)
    assert configure(machine=nobody, environ={"PGUSER": "ann"}).databases[0].user == "ann"
    assert configure(machine=nobody, environ={"USERNAME": "bob"}).databases[0].user == "bob"


def test_libpqs_variables_count_behind_ours_and_only_without_a_list() -> None:
    libpq = {
        "PGHOST": "pg",
        "PGPORT": "6000",
        "PGDATABASE": "d",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGSSLMODE": "disable",
    }
    (database,) = configure(environ=libpq).databases
    assert database.label == "u@pg:6000/d"
    assert database.passwords == (Secret("p"),)
    assert database.ssl.mode == "disable"
    assert (
        configure(environ={"PGEDGE_DB_HOST": "ours", **libpq}).databases[0].hosts[0].host == "ours"
    )
    assert configure(entry("user: x"), environ=libpq).databases[0].label == "x@localhost:5432/x"


def test_environment_and_flags_change_the_first_entry_only() -> None:
    config = configure(
        "databases: [{name: a, host: fa, user: fu}, {name: b, host: fb, user: fu}]",
        {"db-host": "flag"},
        environ={"PGEDGE_DB_HOST": "env", "PGEDGE_DB_PORT": "7"},
    )
    assert [database.label for database in config.databases] == ["fu@flag:7/fu", "fu@fb:5432/fu"]
    assert config.sources["databases[0].host"] == "flag -db-host"
    assert config.sources["databases[1].host"].endswith("c.yaml")


def test_defaults_apply_to_each_entry() -> None:
    config = configure("databases: [{name: a, pool_max_conns: 9}, {name: b}]")
    assert [database.pool_max_conns for database in config.databases] == [9, 4]


def test_an_empty_list_is_no_list() -> None:
    assert configure("databases: []").databases[0].name == "default"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("host: 'a,b', port: 1", (Host("a", 1), Host("b", 1))),
        ("host: 'a,b', port: '1,2'", (Host("a", 1), Host("b", 2))),
        ("host: '::1,/tmp/s'", (Host("::1", 5432), Host("/tmp/s", 5432))),
    ],
)
def test_several_hosts(text: str, hosts: tuple[Host, ...]) -> None:
    assert configure(entry(text)).databases[0].hosts == hosts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host: 'a,b,c', port: '1,2'", "2 ports for 3 host"),
        ("pool_min_conns: 5", "5 is more than pool_max_conns, 4"),
        ("port: 70000", "1 to 65535"),
        ("sslmode: maybe", "'maybe'"),
        ("password: x, password_file: y", "password_file too"),
        ("statement_timeout: 0", "above zero"),
        ("host: 'postgres://u:hush@h/d'", "databases\\[0\\].host"),
        ("sslcert: c", "sslkey is missing"),
        ("sslkey: c", "sslcert is missing"),
        ("sslrootcert: c", "would not check"),
        ("sslmode: verify-ca, sslrootcert: missing", "there is no file"),
        ("sslmode: verify-full", "needs root certificates"),
        ("sslmode: require, sslrootcert: system", "system cannot go with sslmode require"),
        ("available_to_users: alice", "must be a list"),
    ],
)
def test_entries_that_cannot_be_served_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        configure(entry(text))
    assert "c.yaml" in caught.value.message or "default" in caught.value.message
    assert caught.value.hint
    assert "hush" not in caught.value.for_operator()


# -- passwords -------------------------------------------------------------------------------------


def test_a_password_of_a_higher_layer_wins_over_the_password_file() -> None:
    machine = Files({"/conf/secret": "filed"})
    text = entry("password_file: secret")
    config = configure(text, machine=machine)
    assert config.databases[0].passwords == (Secret("filed"),)
    assert config.sources["databases[0].password"] == "/conf/secret"
    config = configure(text, machine=machine, environ={"PGEDGE_DB_PASSWORD": "env"})
    assert config.databases[0].passwords == (Secret("env"),)


def test_a_password_file_that_cannot_be_used_is_named_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: databases\[0\]\.password_file: cannot read"):
        configure(entry("password_file: secret"))


def test_one_password_serves_every_host() -> None:
    assert configure(entry("host: 'a,b', password: p")).databases[0].passwords == (Secret("p"),) * 2


def test_pgpass_is_asked_for_each_host() -> None:
    machine = Files({PGPASS: "a:1:d:u:one\nb:2:*:u:two\n"})
    config = configure(entry("host: 'a,b,c', port: '1,2,3', user: u, database: d"), machine=machine)
    assert config.databases[0].passwords == (Secret("one"), Secret("two"), None)
    assert config.sources["databases[0].password"] == PGPASS


def test_pgpassfile_names_another_file() -> None:
    machine = Files({"/cwd/other": "*:*:*:*:there"})
    assert configure(machine=machine, environ={"PGPASSFILE": "other"}).databases[0].passwords == (
        Secret("there"),
    )


def test_a_given_password_wins_over_pgpass() -> None:
    machine = Files({PGPASS: "*:*:*:*:pgpass"})
    assert configure(machine=machine, environ={"PGPASSWORD": "given"}).databases[0].passwords == (
        Secret("given"),
    )


def test_no_secret_shows_in_a_configuration() -> None:
    assert "hush" not in repr(configure(entry("password: hush")))


# -- TLS -------------------------------------------------------------------------------------------


def test_require_with_a_root_certificate_is_verify_ca() -> None:
    assert configure(entry("sslmode: require")).databases[0].ssl.mode == "require"
    machine = Files({"/conf/root.crt": "", ROOT_FILE: ""})
    text = entry("sslmode: require, sslrootcert: root.crt")
    ssl = configure(text, machine=machine).databases[0].ssl
    assert (ssl.mode, ssl.root_cert) == ("verify-ca", Path("/conf/root.crt"))
    ssl = configure(entry("sslmode: require"), machine=machine).databases[0].ssl
    assert (ssl.mode, ssl.root_cert) == ("verify-ca", Path(ROOT_FILE))


def test_the_default_root_certificate_serves_the_verifying_modes_only() -> None:
    machine = Files({ROOT_FILE: ""})
    for mode, root_cert in (("verify-full", Path(ROOT_FILE)), ("prefer", None)):
        config = configure(entry(f"sslmode: {mode}"), machine=machine)
        assert config.databases[0].ssl.root_cert == root_cert


def test_system_roots_mean_verify_full() -> None:
    machine = Files({ROOT_FILE: ""})
    for text in ("sslrootcert: system", "sslrootcert: system, sslmode: verify-full"):
        ssl = configure(entry(text), machine=machine).databases[0].ssl
        assert (ssl.mode, ssl.root_cert) == ("verify-full", None)


def test_a_client_certificate() -> None:
    machine = Files({"/conf/c": "", "/conf/k": ""})
    ssl = configure(entry("sslcert: c, sslkey: k"), machine=machine).databases[0].ssl
    assert (ssl.cert, ssl.key) == (Path("/conf/c"), Path("/conf/k"))

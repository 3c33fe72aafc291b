"""The databases of a configuration."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pgmcp.config.builtins import Features
from pgmcp.config.load import load, load_sections
from pgmcp.config.model import Config
from pgmcp.config.values import Host, Secret
from pgmcp.errors import ConfigError

Load = Callable[..., Config]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, home: Path) -> Load:
    def run(
        text: str = "", options: Mapping[str, str | bool] | None = None, **environ: str
    ) -> Config:
        file = tmp_path / "c.yaml"
        file.write_text(text)
        file.chmod(0o600)
        return load(
            {"config": str(file), **(options or {})},
            {"HOME": str(home), **environ},
            tmp_path,
            Features(),
        )

    return run


def entry(text: str) -> str:
    return f"databases: [{{name: main, {text}}}]"


def make_file(file: Path, text: str = "x", mode: int = 0o600) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def test_without_a_list_there_is_one_with_libpqs_defaults(start: Load) -> None:
    (database,) = start().databases
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert database.name == "default"
    assert database.hosts == (Host("localhost", 5432),)
    assert (database.user, database.database) == (me, me)
    assert database.passwords == (None,)
    assert database.ssl.mode == "prefer"
    assert (database.pool_max_conns, database.pool_min_conns) == (4, 0)
    assert database.pool_max_conn_idle_seconds == 1800
    assert database.connect_timeout_seconds == 10
    assert database.statement_timeout_seconds == 30
    assert database.target_session_attrs == "any"
    assert database.available_to_users == ()


def test_a_user_id_without_a_name_hinders_only_what_connects(
    start: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs as any number."""

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    listed = load_sections(["auth"], {}, {}, tmp_path, system_file=tmp_path / "none")
    assert list(listed) == ["auth"]
    with pytest.raises(ConfigError, match="which role to connect as"):
        start()
    assert start(PGUSER="ann").databases[0].user == "ann"


def test_libpqs_variables_count_behind_ours_and_only_without_a_list(start: Load) -> None:
    libpq = {
        "PGHOST": "pg",
        "PGPORT": "6000",
        "PGDATABASE": "d",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGSSLMODE": "disable",
    }
    (database,) = start(**libpq).databases
    assert database.label == "u@pg:6000/d"
    assert database.passwords == (Secret("p"),)
    assert database.ssl.mode == "disable"
    assert start(PGEDGE_DB_HOST="ours", **libpq).databases[0].hosts[0].host == "ours"
    assert start(entry("user: x"), **libpq).databases[0].label == "x@localhost:5432/x"


def test_environment_and_flags_change_the_first_entry_only(start: Load) -> None:
    config = start(
        "databases: [{name: a, host: fa, user: fu}, {name: b, host: fb, user: fu}]",
        {"db-host": "flag"},
        PGEDGE_DB_HOST="env",
        PGEDGE_DB_PORT="7",
    )
    assert [database.label for database in config.databases] == ["fu@flag:7/fu", "fu@fb:5432/fu"]
    assert config.sources["databases[0].host"] == "flag -db-host"
    assert config.sources["databases[1].host"].endswith("c.yaml")


def test_defaults_apply_to_each_entry(start: Load) -> None:
    config = start("databases: [{name: a, pool_max_conns: 9}, {name: b}]")
    assert [database.pool_max_conns for database in config.databases] == [9, 4]


def test_an_empty_list_is_no_list(start: Load) -> None:
    assert start("databases: []").databases[0].name == "default"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("host: 'a,b', port: 1", (Host("a", 1), Host("b", 1))),
        ("host: 'a,b', port: '1,2'", (Host("a", 1), Host("b", 2))),
        ("host: '::1,/tmp/s'", (Host("::1", 5432), Host("/tmp/s", 5432))),
    ],
)
def test_several_hosts(start: Load, text: str, hosts: tuple[Host, ...]) -> None:
    assert start(entry(text)).databases[0].hosts == hosts


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
def test_entries_that_cannot_be_served_are_refused(start: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        start(entry(text))
    assert "c.yaml" in caught.value.message or "default" in caught.value.message
    assert caught.value.hint
    assert "hush" not in caught.value.for_operator()


# -- passwords -------------------------------------------------------------------------------------


def test_a_password_of_a_higher_layer_wins_over_the_password_file(
    start: Load, tmp_path: Path
) -> None:
    file = make_file(tmp_path / "secret", "filed\n")
    text = entry("password_file: secret")
    config = start(text)
    assert config.databases[0].passwords == (Secret("filed"),)
    assert config.sources["databases[0].password"] == str(file)
    assert start(text, PGEDGE_DB_PASSWORD="env").databases[0].passwords == (Secret("env"),)


def test_a_password_file_that_others_can_read_stops_the_start(start: Load, tmp_path: Path) -> None:
    make_file(tmp_path / "secret", "filed", 0o644)
    with pytest.raises(ConfigError, match=r"c\.yaml: databases\[0\]\.password_file: others"):
        start(entry("password_file: secret"))


def test_one_password_serves_every_host(start: Load) -> None:
    assert start(entry("host: 'a,b', password: p")).databases[0].passwords == (Secret("p"),) * 2


def test_pgpass_is_asked_for_each_host(start: Load, home: Path) -> None:
    file = make_file(home / ".pgpass", "a:1:d:u:one\nb:2:*:u:two\n")
    config = start(entry("host: 'a,b,c', port: '1,2,3', user: u, database: d"))
    assert config.databases[0].passwords == (Secret("one"), Secret("two"), None)
    assert config.sources["databases[0].password"] == str(file)


def test_pgpassfile_names_another_file(start: Load, tmp_path: Path) -> None:
    file = make_file(tmp_path / "other", "*:*:*:*:there")
    assert start(PGPASSFILE=str(file)).databases[0].passwords == (Secret("there"),)


def test_a_given_password_wins_over_pgpass(start: Load, home: Path) -> None:
    make_file(home / ".pgpass", "*:*:*:*:pgpass")
    assert start(PGPASSWORD="given").databases[0].passwords == (Secret("given"),)


def test_no_secret_shows_in_a_configuration(start: Load) -> None:
    assert "hush" not in repr(start(entry("password: hush")))


# -- TLS -------------------------------------------------------------------------------------------


def test_require_with_a_root_certificate_is_verify_ca(
    start: Load, tmp_path: Path, home: Path
) -> None:
    assert start(entry("sslmode: require")).databases[0].ssl.mode == "require"
    named = make_file(tmp_path / "root.crt")
    ssl = start(entry("sslmode: require, sslrootcert: root.crt")).databases[0].ssl
    assert (ssl.mode, ssl.root_cert) == ("verify-ca", named)
    default = make_file(home / ".postgresql" / "root.crt")
    ssl = start(entry("sslmode: require")).databases[0].ssl
    assert (ssl.mode, ssl.root_cert) == ("verify-ca", default)


def test_the_default_root_certificate_serves_the_verifying_modes_only(
    start: Load, home: Path
) -> None:
    default = make_file(home / ".postgresql" / "root.crt")
    assert start(entry("sslmode: verify-full")).databases[0].ssl.root_cert == default
    assert start(entry("sslmode: prefer")).databases[0].ssl.root_cert is None


def test_system_roots_mean_verify_full(start: Load, home: Path) -> None:
    make_file(home / ".postgresql" / "root.crt")
    for text in ("sslrootcert: system", "sslrootcert: system, sslmode: verify-full"):
        ssl = start(entry(text)).databases[0].ssl
        assert (ssl.mode, ssl.root_cert) == ("verify-full", None)


def test_a_client_certificate(start: Load, tmp_path: Path) -> None:
    cert, key = make_file(tmp_path / "c"), make_file(tmp_path / "k")
    ssl = start(entry("sslcert: c, sslkey: k")).databases[0].ssl
    assert (ssl.cert, ssl.key) == (cert, key)

"""Where the configuration is looked for on a disk, and what is refused there.

What its content means is tested from values, in test_config_assemble.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.config import template
from pgmcp.config.load import load
from pgmcp.config.model import Config
from pgmcp.config.values import Secret
from pgmcp.errors import ConfigError, FileError
from tests.configuration import FEATURES, without_origin

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


def test_relative_paths_depend_on_where_they_were_written(start: Load, tmp_path: Path) -> None:
    in_file = start("http: {auth: {token_file: ./t.yaml}}")
    assert in_file.http.auth.token_file == tmp_path / "conf" / "t.yaml"
    in_environment = start(PGEDGE_AUTH_TOKEN_FILE="t.yaml")
    assert in_environment.http.auth.token_file == tmp_path / "cwd" / "t.yaml"
    in_flag = start(options={"token-file": "t.yaml"})
    assert in_flag.http.auth.token_file == tmp_path / "cwd" / "t.yaml"
    of_home = start("http: {auth: {token_file: ~/t.yaml}}")
    assert of_home.http.auth.token_file == tmp_path / "home" / "t.yaml"


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


def test_password_files_are_read_from_the_disk(start: Load, tmp_path: Path) -> None:
    secret = tmp_path / "conf" / "secret"
    secret.write_text("filed\n")
    secret.chmod(0o600)
    text = "databases: [{name: a, password_file: secret}]"
    assert start(text).databases[0].passwords == (Secret("filed"),)
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match=r"c\.yaml: databases\[0\]\.password_file: others"):
        start(text)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
def test_any_bytes_load_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    file = folder / "any.yaml"
    file.write_bytes(data)
    try:
        load({"config": str(file)}, {"HOME": str(folder)}, folder, FEATURES)
    except (ConfigError, FileError) as error:
        assert error.message

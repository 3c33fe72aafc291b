"""The configuration of one start: its file is found and read, and joined with what else was said.

The rule: files, folders and the environment are looked at here; what they mean is decided in
`config.assemble`, from values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pgmcp.config import config_file
from pgmcp.config.assemble import assemble, assemble_sections
from pgmcp.config.builtins import Features
from pgmcp.config.layers import Inputs, Options
from pgmcp.config.model import Config
from pgmcp.config.this_machine import ThisMachine


def load(
    options: Options,
    environ: Mapping[str, str],
    program_dir: Path,
    features: Features | None,
    *,
    system_file: Path = config_file.SYSTEM_FILE,
) -> Config:
    """The whole configuration of one start.

    `options` are the flags that were given, by name; `program_dir` is where the program stands;
    `features` None leaves the names in `builtins` unchecked. Raises ConfigError or FileError.
    """
    inputs = _find(options, environ, program_dir, system_file)
    config = assemble(_content(inputs.file), inputs, features)
    if inputs.file is not None and _holds_password(config):
        config_file.warn_if_exposed(inputs.file)
    return config


def load_sections(
    names: Sequence[str],
    options: Options,
    environ: Mapping[str, str],
    program_dir: Path,
    *,
    system_file: Path = config_file.SYSTEM_FILE,
) -> dict[str, object]:
    """The values of the sections that a verb names, by these names; the other arguments as in
    `load`.

    Raises ConfigError or FileError for a problem with these sections, or with the file as a whole;
    a problem with another section is a warning. No file that only others name is read.
    """
    inputs = _find(options, environ, program_dir, system_file)
    return assemble_sections(names, _content(inputs.file), inputs)


def gather(
    options: Options,
    environ: Mapping[str, str],
    program_dir: Path,
    file: Path | None,
) -> Inputs:
    """What there is besides defaults and the content of `file`; the arguments as in `load`."""
    cwd = Path.cwd()
    return Inputs(options, environ, file, cwd / program_dir, cwd, _home(environ), ThisMachine())


def _find(
    options: Options,
    environ: Mapping[str, str],
    program_dir: Path,
    system_file: Path,
) -> Inputs:
    cwd = Path.cwd()
    file = config_file.find(options, cwd, cwd / program_dir, system_file)
    return gather(options, environ, program_dir, file)


def _content(file: Path | None) -> object:
    return None if file is None else config_file.read(file)


def _home(environ: Mapping[str, str]) -> Path | None:
    """The home folder of the user, None where there is none."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        return None


def _holds_password(config: Config) -> bool:
    """Whether the configuration file says the password of a database."""
    passwords = (f"databases[{index}].password" for index in range(len(config.databases)))
    return any(config.sources[path] == str(config.file) for path in passwords)

"""What every administrator's command is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pgmcp.cli.console import Console
from pgmcp.config.model import Config
from pgmcp.errors import ConfigError

Options = Mapping[str, str | bool]


@dataclass(frozen=True, slots=True)
class Command:
    """What a verb gets: its flags, where the files are, whom to talk to, the wall clock."""

    options: Options
    config: Config | None
    console: Console
    clock: Callable[[], datetime]

    def text(self, flag: str) -> str | None:
        """A flag's value, None when it was not given."""
        value = self.options.get(flag)
        return value if isinstance(value, str) else None

    @property
    def loaded(self) -> Config:
        """The configuration, for the verbs that need one."""
        if self.config is None:
            raise ConfigError("this command needs a configuration")
        return self.config

"""What a configuration key is; the tables of keys are made of these."""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.config.kinds import Kind

Default = str | int | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    `path` is dotted, and ends in `NAME` where the last part is free; in DATABASE_KEYS it is
    relative to an entry of `databases`.
    `default` is what a file would say, None for no value; `default_note` is for people.
    `libpq_env` counts only when no database is listed.
    `negated`: the flag, a boolean, says the opposite of the key.
    """

    path: str
    kind: Kind
    default: Default
    description: str
    env: str | None = None
    flag: str | None = None
    libpq_env: str | None = None
    default_note: str = ""
    negated: bool = False
    example: str = ""

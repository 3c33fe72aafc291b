"""Each key stands in one place: its default once, and its value is read."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

from pgmcp.config import databases
from pgmcp.config.audit import Audit
from pgmcp.config.auth import Auth
from pgmcp.config.changes import restarts
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.http import Http
from pgmcp.config.key import Key, keys_of
from pgmcp.config.llm import Llm
from pgmcp.config.log import Log
from pgmcp.config.metrics import Metrics
from pgmcp.config.model import KEYS, Config
from pgmcp.config.sslmode import Ssl
from pgmcp.config.tls import Tls
from tests.config_reading import literal_defaults, sources, unread

SECTIONS: dict[type, str] = {
    Config: "config",
    Http: "http",
    Tls: "tls",
    Auth: "auth",
    Log: "log",
    Audit: "audit",
    Metrics: "metrics",
    Llm: "llm",
    DatabaseSettings: "databases",
    Ssl: "ssl",
}
NOT_KEYS = {"Config.sources"}  # for tests and messages


def test_the_value_of_every_key_is_read() -> None:
    missing = [name for name in unread(SECTIONS, sources()) if name not in NOT_KEYS]
    assert not missing, f"{missing}: read it where it belongs, or take the key away"


def test_a_key_that_nothing_reads_is_noticed() -> None:
    more = dataclasses.make_dataclass("Metrics", [("enabled", bool), ("forgotten", int)])
    assert list(unread({more: "metrics"}, sources())) == ["Metrics.forgotten"]
    # The same name in another section does not count.
    other = dataclasses.make_dataclass("Llm", [("provider", str), ("token_file", Path)])
    assert list(unread({other: "llm"}, sources())) == ["Llm.token_file"]


def test_every_section_is_looked_at() -> None:
    """A new section is in the table above, or its keys would be looked at by nobody."""
    seen = {key.path for cls in (Config, DatabaseSettings) for key in keys_of(cls)}
    assert seen == {key.path for key in (*KEYS, *databases.KEYS)}
    nested = [field.metadata["section"] for cls in (Config, Http) for field in
              dataclasses.fields(cls) if "section" in field.metadata]  # fmt: skip
    assert set(nested) <= set(SECTIONS), "add the section's class to SECTIONS"


def test_no_default_stands_twice() -> None:
    """A field's default comes from its key; no parameter or other class repeats it."""
    for cls in SECTIONS.keys() - {Config, Ssl}:
        for field in dataclasses.fields(cls):
            assert field.metadata.keys() & {"keys", "section"}, (
                f"{cls.__name__}.{field.name}: declare it with key(), made_of() or section()"
            )
    names = {
        field.name
        for cls in SECTIONS
        for field in dataclasses.fields(cls)
        if any(key.default is not None for key in field.metadata.get("keys", ()))
    }
    # Names of other things too: an address of a client, a log that is not for debugging, threads.
    ambiguous = {"address", "debug", "enabled", "name", "required", "sql", "timeout_seconds"}
    ambiguous |= {"workers"}
    again = list(literal_defaults(names - ambiguous, sources()))
    assert not again, f"{again}: pass the value of the configuration instead"


def test_a_default_that_stands_twice_is_noticed() -> None:
    tree = ast.parse("class Other:\n    max_result_bytes: int = 5\ndef f(x, *, debug=True): pass\n")
    path = next(iter(sources()))
    assert len(list(literal_defaults({"max_result_bytes", "debug"}, {path: tree}))) == 2


@pytest.mark.parametrize("key", [key for key in (*KEYS, *databases.KEYS) if key.default])
def test_a_default_is_a_value_of_its_kind(key: Key) -> None:
    assert key.default_value is not None


def test_what_needs_a_restart_is_said_by_its_key() -> None:
    paths = set(restarts())
    assert {"http.enabled", "http.address", "http.tls.enabled", "http.auth.token_file"} <= paths
    assert "audit" in paths  # a whole section
    assert not paths & {"http", "http.max_connections", "http.tls.cert_file", "log.level", "debug"}

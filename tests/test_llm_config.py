"""llm.*: off by default, and what contradicts itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pgmcp.config.addresses import parse_url
from pgmcp.config.llm import Llm
from pgmcp.config.load import load
from pgmcp.config.model import Config
from pgmcp.config.values import Host, Secret, Url
from pgmcp.errors import ConfigError

Load = Callable[[str], Config]


@pytest.fixture
def start(tmp_path: Path) -> Load:
    """Load `llm:` with these lines; key.txt beside it holds a key."""
    key = tmp_path / "key.txt"
    key.write_text("sk-1\n")
    key.chmod(0o600)

    def run(lines: str) -> Config:
        file = tmp_path / "c.yaml"
        body = "".join(f"  {line}\n" for line in lines.splitlines())
        file.write_text(f"llm:\n{body}" if body else "")
        file.chmod(0o600)
        return load({"config": str(file)}, {"HOME": str(tmp_path)}, tmp_path, None)

    return run


def refused(start: Load, lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        start(lines)
    assert caught.value.hint
    assert "sk-1" not in caught.value.for_operator()
    return caught.value.for_operator()


def test_nobody_is_asked_by_default(start: Load) -> None:
    assert start("").llm is None


def test_a_local_model_needs_a_provider_and_a_name(start: Load) -> None:
    config = start("provider: ollama\nmodel: qwen3")
    local = Url(False, Host("127.0.0.1", 11434), "")
    assert config.llm == Llm("ollama", "qwen3", local, None, 30.0, 4)


def test_everything_can_be_said(start: Load) -> None:
    config = start(
        "provider: openai\nmodel: m\nbase_url: https://models.example:8443/v1/\n"
        "api_key_file: key.txt\ntimeout: 5s\nmax_concurrent: 1"
    )
    there = Url(True, Host("models.example", 8443), "/v1")
    assert config.llm == Llm("openai", "m", there, Secret("sk-1"), 5.0, 1)
    assert "sk-1" not in repr(config)


@pytest.mark.parametrize(
    ("provider", "host"), [("openai", "api.openai.com"), ("anthropic", "api.anthropic.com")]
)
def test_a_providers_own_service_is_the_default_and_needs_a_key(
    start: Load, provider: str, host: str
) -> None:
    config = start(f"provider: {provider}\nmodel: m\napi_key_file: key.txt")
    assert config.llm is not None
    assert config.llm.base_url == Url(True, Host(host, 443), "")
    assert "needs an API key" in refused(start, f"provider: {provider}\nmodel: m")
    assert start(f"provider: {provider}\nmodel: m\nbase_url: http://127.0.0.1:8000").llm is not None


@pytest.mark.parametrize(
    "line",
    ["model: m", "base_url: http://127.0.0.1", "api_key_file: key.txt"],
)
def test_without_a_provider_the_rest_has_no_effect_and_is_refused(start: Load, line: str) -> None:
    assert "it has no effect without llm.provider" in refused(start, line)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("provider: ollama", "llm.model is missing"),
        ("provider: mistral\nmodel: m", "ollama, openai, anthropic"),
        ("provider: ollama\nmodel: m\ntimeout: 0", "above zero"),
        ("provider: ollama\nmodel: m\nmax_concurrent: 0", "outside 1 to 100"),
        ("provider: ollama\nmodel: m\nbase_url: models.example", "begin with http"),
        ("provider: ollama\nmodel: m\nbase_url: https://me:sk-1@h", "a file of its own"),
        ("provider: ollama\nmodel: m\napi_key_file: none.txt", "cannot read"),
        ("provider: ollama\nmodel: m\nkey: sk", "llm.key"),
    ],
)
def test_what_cannot_be_served_is_refused(start: Load, lines: str, expected: str) -> None:
    assert expected in refused(start, lines)


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_a_key_that_others_can_read_is_refused(start: Load, tmp_path: Path) -> None:
    (tmp_path / "key.txt").chmod(0o640)
    text = refused(start, "provider: ollama\nmodel: m\napi_key_file: key.txt")
    assert "others have access" in text


@pytest.mark.parametrize("key", ["", "two words", "line\nline", "bell\a", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused(start: Load, tmp_path: Path, key: str) -> None:
    (tmp_path / "key.txt").write_text(key, encoding="utf-8")
    text = refused(start, "provider: ollama\nmodel: m\napi_key_file: key.txt")
    assert "API key" in text or "the key" in text
    assert not key or key not in text


def test_what_travels_in_the_clear_is_said(start: Load, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    start("provider: ollama\nmodel: m\nbase_url: http://localhost:11434")
    assert not caplog.records
    start("provider: ollama\nmodel: m\nbase_url: http://10.0.0.9:11434\napi_key_file: key.txt")
    assert "and the API key travel in the clear" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///path",
        "ftp://host",
        "http://a b",
        "http://host:0",
        "http://host:99999",
        "http://host:x",
        "http://[::1",
        "http://host?q",
        "http://host#f",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://host\n",
        "http://u@host",
        "http://@host",
        "http:///etc/passwd",
        "http://@/x",
    ],
)
def test_a_url_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_url(text)


def test_an_ipv6_url_is_read() -> None:
    assert parse_url("https://[::1]:8443") == Url(True, Host("::1", 8443), "")

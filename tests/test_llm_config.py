"""llm.*: off by default, and what contradicts itself."""

from __future__ import annotations

import logging

import pytest

from pgmcp.config.addresses import parse_url
from pgmcp.config.llm import Llm
from pgmcp.config.model import Config
from pgmcp.config.values import Host, Secret, Url
from pgmcp.errors import ConfigError
from tests.configuration import Files, configure


def llm(lines: str, key: str = "sk-1") -> Config:
    """`llm:` with these lines; key.txt beside the file holds `key`."""
    body = "".join(f"  {line}\n" for line in lines.splitlines())
    return configure(f"llm:\n{body}", machine=Files({"/conf/key.txt": key}))


def refused(lines: str, key: str = "sk-1") -> str:
    with pytest.raises(ConfigError) as caught:
        llm(lines, key)
    assert caught.value.hint
    assert "sk-1" not in caught.value.for_operator()
    return caught.value.for_operator()


def test_nobody_is_asked_by_default() -> None:
    assert llm("").llm is None


def test_a_local_model_needs_a_provider_and_a_name() -> None:
    config = llm("provider: ollama\nmodel: qwen3")
    local = Url(False, Host("127.0.0.1", 11434), "")
    assert config.llm == Llm("ollama", "qwen3", local, None, 30.0, 4)


def test_everything_can_be_said() -> None:
    config = llm(
        "provider: openai\nmodel: m\nbase_url: https://models.example:8443/v1/\n"
        "api_key_file: key.txt\ntimeout: 5s\nmax_concurrent: 1"
    )
    there = Url(True, Host("models.example", 8443), "/v1")
    assert config.llm == Llm("openai", "m", there, Secret("sk-1"), 5.0, 1)
    assert "sk-1" not in repr(config)


@pytest.mark.parametrize(
    ("provider", "host"), [("openai", "api.openai.com"), ("anthropic", "api.anthropic.com")]
)
def test_a_providers_own_service_is_the_default_and_needs_a_key(provider: str, host: str) -> None:
    config = llm(f"provider: {provider}\nmodel: m\napi_key_file: key.txt")
    assert config.llm is not None
    assert config.llm.base_url == Url(True, Host(host, 443), "")
    assert "needs an API key" in refused(f"provider: {provider}\nmodel: m")
    assert llm(f"provider: {provider}\nmodel: m\nbase_url: http://127.0.0.1:8000").llm is not None


@pytest.mark.parametrize(
    "line",
    ["model: m", "base_url: http://127.0.0.1", "api_key_file: key.txt"],
)
def test_without_a_provider_the_rest_has_no_effect_and_is_refused(line: str) -> None:
    assert "it has no effect without llm.provider" in refused(line)


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
def test_what_cannot_be_served_is_refused(lines: str, expected: str) -> None:
    assert expected in refused(lines)


def test_a_key_that_cannot_be_used_is_named_by_its_setting() -> None:
    text = refused("provider: ollama\nmodel: m\napi_key_file: missing.txt")
    assert "c.yaml: llm.api_key_file: cannot read /conf/missing.txt for the API key" in text


@pytest.mark.parametrize("key", ["two words", "bell\a", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    text = refused("provider: ollama\nmodel: m\napi_key_file: key.txt", key)
    assert "the key" in text
    assert key not in text


def test_what_travels_in_the_clear_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    llm("provider: ollama\nmodel: m\nbase_url: http://localhost:11434")
    assert not caplog.records
    llm("provider: ollama\nmodel: m\nbase_url: http://10.0.0.9:11434\napi_key_file: key.txt")
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

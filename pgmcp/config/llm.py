"""The section `llm`: the language model that may be asked what pgmcp's own grammar declines.

The rule: an API key goes where the configuration says and nowhere by default: a provider's own
service is never asked without one, and a key without a provider is an error.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, get_args

from pgmcp.config.addresses import is_loopback, parse_url
from pgmcp.config.key import Key, key, made_of
from pgmcp.config.kinds import DURATION, NAME, PATH, URL, choice, whole
from pgmcp.config.layers import Setting, Settings, fill
from pgmcp.config.machine import Machine
from pgmcp.config.values import Secret, Url
from pgmcp.errors import ConfigError

PREFIX = "llm."
Provider = Literal["ollama", "openai", "anthropic"]
_BASE_URLS = {
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
}

_log = logging.getLogger("pgmcp.config")


@dataclass(frozen=True, slots=True)
class Llm:
    """The language model. `api_key` is already read from its file."""

    provider: Provider = key(
        None,
        choice(*get_args(Provider)),
        "Ask a language model for SQL when a question in plain language is not understood: ollama, "
        "openai or anthropic, whose protocol llm.base_url speaks. It is sent the question and "
        "names, types and comments of the likely tables, never rows. Without it nobody is asked.",
        required=True,
    )
    model: str = key(None, NAME, "The model's name, as its provider spells it.", required=True)
    base_url: Url = key(
        None,
        URL,
        "Where the model is served: http:// or https://, a host, a port and the path before the "
        "provider's own.",
        required=True,
        default_note=f"{', '.join(f'`{url}`' for url in _BASE_URLS.values())}, by provider",
    )
    api_key: Secret | None = made_of(
        Key(
            "api_key_file",
            PATH,
            None,
            "A file that holds the API key and nothing else; only its owner may read it.",
        ),
        default=None,
    )
    timeout_seconds: float = key(
        "30s", DURATION, "How long one question to the model may take, in all.", name="timeout"
    )
    max_concurrent: int = key(
        4,
        whole(1, 100),
        "How many questions the model is asked at once; as many more wait, others are declined. "
        "One token or user has a share of both.",
    )


def build(settings: Settings, machine: Machine) -> Llm | None:
    """The model to ask, None for none; it asks the machine for the API key. ConfigError for
    contradictions."""
    provider = settings["llm.provider"]
    base_url, model = settings["llm.base_url"], settings["llm.model"]
    key_file = settings["llm.api_key_file"]
    if provider.value is None:
        for setting in (base_url, model, key_file):
            if setting.value is not None:
                setting.refuse(
                    f"it has no effect without {provider.label}", f"Set {provider.label}."
                )
        return None
    if model.value is None:
        provider.refuse(f"{model.label} is missing", "Name the model to ask.")
    if key_file.value is None and base_url.value is None and provider.value != "ollama":
        provider.refuse(
            f"{provider.value} needs an API key, and {key_file.label} is missing",
            f"Name a file that holds the key, or set {base_url.label} to a server of your own.",
        )
    url = base_url.value or parse_url(_BASE_URLS[provider.value])
    if not url.tls and not is_loopback(url.host.host):
        _log.warning(
            "%s is not encrypted: questions, the names in the schema%s travel in the clear",
            base_url.label,
            "" if key_file.value is None else " and the API key",
        )
    api_key = None if key_file.value is None else _api_key(key_file, machine)
    return fill(Llm, settings, PREFIX, base_url=url, api_key=api_key)


def _api_key(setting: Setting, machine: Machine) -> Secret:
    label = f"{setting.source}: {setting.label}"
    secret = machine.secret(setting.value, label, "API key")
    text = secret.reveal()
    # It goes into an HTTP header, and an error about a bad header would quote it.
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigError(
            f"{label}: {setting.value} holds a blank or a character no API key has",
            "Put the key in it and nothing else.",
        )
    return secret

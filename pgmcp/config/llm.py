"""The language model, as the configuration has it.

The rule: an API key goes where the configuration says and nowhere by default: a provider's own
service is never asked without one, and a key without a provider is an error.
"""

from __future__ import annotations

import logging

from pgmcp.config import pgpass
from pgmcp.config.addresses import is_loopback, parse_url
from pgmcp.config.layers import Setting, Settings
from pgmcp.config.model import Llm, Secret
from pgmcp.errors import ConfigError

_BASE_URLS = {
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
}
_NAMES = ("base_url", "model", "api_key_file", "timeout", "max_concurrent")

_log = logging.getLogger("pgmcp.config")


def llm(settings: Settings) -> Llm | None:
    """The model to ask, None for none; it reads the key's file. ConfigError for contradictions."""
    provider = settings["llm.provider"]
    base_url, model, key_file, timeout, most = (settings[f"llm.{name}"] for name in _NAMES)
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
    return Llm(
        provider=provider.value,
        model=model.value,
        base_url=url,
        api_key=None if key_file.value is None else _key(key_file),
        timeout_seconds=timeout.value,
        max_concurrent=most.value,
    )


def _key(setting: Setting) -> Secret:
    label = f"{setting.source}: {setting.label}"
    key = pgpass.read_single(setting.value, label, "API key")
    text = key.reveal()
    # it goes into an HTTP header, and whoever refuses it there would quote it
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigError(
            f"{label}: {setting.value} holds a blank or a character no API key has",
            "Put the key in it and nothing else.",
        )
    return key

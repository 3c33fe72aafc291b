"""The keys of the language model that may be asked what pgmcp's own grammar declines."""

from __future__ import annotations

from pgmcp.config.key import Key
from pgmcp.config.kinds import DURATION, NAME, PATH, URL, choice, whole

LLM_KEYS: tuple[Key, ...] = (
    Key(
        "llm.provider",
        choice("ollama", "openai", "anthropic"),
        None,
        "Ask a language model for SQL when a question in plain language is not understood: ollama, "
        "openai or anthropic, whose protocol llm.base_url speaks. It is sent the question and "
        "names, types and comments of the likely tables, never rows. Without it nobody is asked.",
    ),
    Key(
        "llm.base_url",
        URL,
        None,
        "Where the model is served: http:// or https://, a host, a port and the path before the "
        "provider's own.",
        default_note="`http://127.0.0.1:11434`, `https://api.openai.com` or "
        "`https://api.anthropic.com`, by provider",
    ),
    Key("llm.model", NAME, None, "The model's name, as its provider spells it."),
    Key(
        "llm.api_key_file",
        PATH,
        None,
        "A file that holds the API key and nothing else; only its owner may read it.",
    ),
    Key("llm.timeout", DURATION, "30s", "How long one question to the model may take, in all."),
    Key(
        "llm.max_concurrent",
        whole(1, 100),
        4,
        "How many questions the model is asked at once; as many more wait, others are declined. "
        "One token or user has a share of both.",
    ),
)

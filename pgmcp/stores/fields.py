"""Typed reading of one entry of a credential file; errors name the file, the line and the key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from pgmcp.storage.files import Document, Where


class Fields:
    """The keys of one mapping in a document."""

    def __init__(self, document: Document, where: Where, value: object) -> None:
        if not isinstance(value, dict):
            raise document.error(where, "is not a mapping of keys to values")
        self.values = cast(Mapping[str, object], value)
        self._document = document
        self._where = where

    def need(self, key: str) -> None:
        """The key must be there, whatever its value."""
        if key not in self.values:
            raise self._document.error(self._where, f"has no {key}")

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it must be there and not be empty."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if value is None or (value == "" and default is None):
            raise self._document.error(self._where, f"has no {key}")
        if not isinstance(value, str):
            raise self.error(key, "is not a string", 'Put it in quotes: "..."')
        return value

    def flag(self, key: str) -> bool:
        """true or false; it must be there."""
        self.need(key)
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.error(key, "is not true or false")
        return value

    def count(self, key: str) -> int:
        """A whole number from 0, which a missing key means."""
        value = self.values.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(key, "is not a whole number from 0")
        return value

    def time(self, key: str) -> datetime:
        """A time (RFC 3339); it must be there."""
        text = self.text(key)
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                return moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            problem = "is not a time such as 2025-10-30T10:15:30Z"
            raise self.error(key, problem) from None

    def error(self, key: str, problem: str, hint: str = "") -> Exception:
        """An error about the value of one key."""
        return self._document.error((*self._where, key), problem, hint)

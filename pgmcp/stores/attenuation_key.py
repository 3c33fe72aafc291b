"""The file of the key that attenuable tokens are made with.

The rule: a key that cannot be read, or that others could write, is no key.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pgmcp.auth.attenuation import AttenuationKey
from pgmcp.storage.secret_key import load_key

_MISSING = "-add-token -attenuable makes one."

_log = logging.getLogger("pgmcp.auth")


class FileKeyStore:
    """`auth.api_tokens.KeyStore` in a file of mode 0600. Errors are FileErrors."""

    def __init__(self, path: Path) -> None:
        self.current: AttenuationKey | None = None
        self._path = path

    @property
    def origin(self) -> str:
        """The path of the file."""
        return str(self._path)

    def reload(self) -> bool:
        """Take over the key in the file, None when there is no file; False when it is the same.
        FileError when it cannot be read: then there is no key."""
        before, self.current = self.current, None
        if not self._path.exists():
            return before is not None
        self.current = self._load(create=False)
        return self.current != before

    def made(self) -> AttenuationKey:
        """The key, for a command: a file that is not there is made. FileError."""
        return self._load(create=True)

    def _load(self, *, create: bool) -> AttenuationKey:
        value, was_readable = load_key(self._path, create=create, missing=_MISSING)
        if was_readable:
            _log.warning(
                "WARNING: others could read the key of attenuable tokens %s; its mode is now 0600",
                self._path,
            )
        return AttenuationKey.of(value)

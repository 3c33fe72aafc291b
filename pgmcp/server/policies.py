"""The policies of a configuration, in force."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pgmcp.config.model import Config
from pgmcp.policy.active import ActivePolicy

_log = logging.getLogger("pgmcp.server")


def active_policies(config: Config) -> Mapping[str, ActivePolicy]:
    """By name. The key of masks that hash is made where there is none; FileError."""
    key = b""
    if any(
        mask.kind == "hash" for policy in config.policies.values() for _, mask in policy.mask.rules
    ):
        from pgmcp.storage.secret_key import load_key  # here: it loads YAML's parser

        path = config.mask_key_file
        missing = "Put the key back, or remove its file to begin with another one."
        key, was_readable = load_key(path, create=True, missing=missing)
        if was_readable:
            _log.warning("WARNING: others could read the key of masks %s; its mode is 0600", path)
    return {name: ActivePolicy(policy, key) for name, policy in config.policies.items()}

"""`-policy-diff`: what a change of the configuration opens and closes, for every credential.

The rule: it reads files alone. Each line begins with `opens` or `closes`; 0 when nothing opens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgmcp.cli.verb import Command, Verb
from pgmcp.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pgmcp.config.policies import Policy
    from pgmcp.policy.difference import CredentialPolicy

_GROUP = "Policies"
_NO_CREDENTIAL = "stdio and client certificates"


def policy_diff(command: Command) -> int:
    """Compare the policies of two configurations; 1 when something opens."""
    from pgmcp.policy.difference import changes  # here: few verbs need it

    old_file, new_file = command.text("policy-diff"), command.word
    if not old_file or not new_file:
        raise UsageError("give two configurations", "-policy-diff OLD.yaml NEW.yaml")
    old, new = _sections(old_file), _sections(new_file)
    credentials = _credentials(new)
    opened = 0
    for policy, names in _by_policy(credentials).items():
        said = changes(*(_restriction(policy, each["policies"]) for each in (old, new)))
        opened += sum(change.word == "opens" for change in said)
        who = ", ".join(names)
        for change in said:
            command.console.say(f"{change.word:<7}{who}: {change.what}")
    command.console.warn(
        f"{len(credentials) - 1} tokens and users, and stdio and client certificates: "
        f"{opened or 'no'} lines open something"
    )
    return 1 if opened else 0


def _sections(file: str) -> Mapping[str, Any]:
    """The policies, and where the credentials are, of one configuration file."""
    from pgmcp.cli.invocation import program_dir
    from pgmcp.config.load import load_sections

    if not Path(file).is_file():
        raise ConfigError(f"{file}: there is no such file", "Name two configuration files.")
    return load_sections(("policies", "auth"), {"config": file}, os.environ, program_dir())


def _credentials(sections: Mapping[str, Any]) -> Mapping[str, str | None]:
    """The policy that each credential names, by what the credential is called."""
    from pgmcp.stores.files import FileTokenStore, FileUserStore

    auth = sections["auth"]
    tokens = FileTokenStore(auth.token_file).listed() if auth.token_file.exists() else ()
    users = FileUserStore(auth.user_file).listed() if auth.user_file.exists() else {}
    return {
        _NO_CREDENTIAL: None,
        **{f"token {token.id}": token.policy for token in tokens},
        **{f"user {name}": user.policy for name, user in users.items()},
    }


def _by_policy(credentials: Mapping[str, str | None]) -> Mapping[str | None, list[str]]:
    """The credentials that name each policy, None for those that name none."""
    grouped: dict[str | None, list[str]] = {}
    for name, policy in credentials.items():
        grouped.setdefault(policy, []).append(name)
    return grouped


def _restriction(named: str | None, policies: Mapping[str, Policy]) -> CredentialPolicy:
    """What holds for credentials that name this policy."""
    from pgmcp.auth.principal import policy_in_force
    from pgmcp.policy.difference import CredentialPolicy

    policy = policy_in_force(named, policies)
    if policy is None:
        return CredentialPolicy(None)
    return CredentialPolicy(policies.get(policy), refused=policy not in policies)


VERBS = (
    Verb(
        "policy-diff",
        _GROUP,
        "Say what the policies of NEW open and close that those of OLD do not; OLD and NEW are "
        "configuration files.",
        policy_diff,
        metavar="OLD",
        word="NEW",
    ),
)

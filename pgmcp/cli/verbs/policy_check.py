"""`-policy-check`: what a policy says of statements, without running them.

The rule: the operator sees the real reason, where a caller hears that a thing is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pgmcp.cli.verb import Command, Flag, Verb
from pgmcp.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pgmcp.config.model import Config
    from pgmcp.config.policies import Policy

GROUP = "Policies"
_CLOSE_SECONDS = 2.0
_WIDTH = 70


def policy_check(command: Command, config: Config) -> int:
    """Say of each statement whether it would be allowed; 1 when one would be refused, or a mask
    does not suit its column."""
    from pgmcp.cli.finding import render  # here: they load the driver
    from pgmcp.cli.policy_answers import PolicyAnswers, chosen
    from pgmcp.cli.policy_findings import fit_findings

    statements = _statements(command)
    policy, database = chosen(command, config)
    if policy is not None and policy not in config.policies:
        raise UsageError(
            f"there is no policy {policy!r} in the configuration: the credential is refused",
            f"Configured: {', '.join(config.policies) or 'none'}",
        )
    command.console.warn(f"Policy: {policy or 'none'}, database: {database.name}")
    wrong = False
    for problem in fit_findings(_policy_of(config, policy), config.databases):
        wrong = wrong or problem.status == "error"
        command.console.warn(*render(problem))
    answers = PolicyAnswers(database, None if policy is None else config.policies[policy])
    try:
        refused = 0
        for statement in statements:
            answer = answers.of(statement)
            refused += answer.word == "refuse"
            first_line = " ".join(statement.split())
            shown = first_line if len(first_line) <= _WIDTH else f"{first_line[: _WIDTH - 3]}..."
            reasons = (f"       {reason}" for reason in answer.reasons)
            command.console.say(f"{answer.word:<7}{shown}", *reasons)
    finally:
        answers.close(_CLOSE_SECONDS)
    return 1 if refused or wrong else 0


def _policy_of(config: Config, name: str | None) -> Mapping[str, Policy]:
    """The policy of that name alone, none for None."""
    return {} if name is None else {name: config.policies[name]}


def _statements(command: Command) -> Sequence[str]:
    from pathlib import Path

    from pgmcp.cli.policy_answers import split

    file, word = command.text("file"), command.word
    if (file is None) == (word is None):
        raise UsageError(
            "give one statement, or a file of them",
            "-policy-check -policy NAME 'SELECT 1', or -policy-check -policy NAME -file FILE",
        )
    if file is None:
        return [word or ""]
    try:
        return split(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}", "Name a text file.") from None


_POLICY = Flag("policy", "The policy to look at.", "NAME")
TOKEN = Flag("token", "The token: its id, or 8 characters of its hash.", "ID")
USERNAME = Flag("username", "The user's name.", "NAME")
_FILE = Flag("file", "A file of statements, with ; between them.", "FILE")

VERBS = (
    Verb(
        "policy-check",
        GROUP,
        "Say what a policy would allow of a statement, which is not run.",
        policy_check,
        ("config",),
        (_POLICY, TOKEN, USERNAME, _FILE),
        word="SQL",
    ),
)

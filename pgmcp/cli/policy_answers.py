"""What a policy says of statements, for the operator: asked of the database, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pgmcp.auth.principal import policy_in_force
from pgmcp.calls.call import Call
from pgmcp.cli.verb import Command
from pgmcp.cli.verbs.tokens import find_token
from pgmcp.cli.verbs.users import find_user
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.model import Config
from pgmcp.config.policies import Policy
from pgmcp.errors import ConfigError, PolicyRefusedError, ToolError, UsageError
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.decision import Decision, Denial, DenialReason, decide
from pgmcp.policy.names import names_in
from pgmcp.policy.refusals import refusal
from pgmcp.pool.pools import Pools
from pgmcp.sql import lexer
from pgmcp.sql import text as sql
from pgmcp.stores.files import FileTokenStore, FileUserStore

_SECONDS = 60.0
_OWNER = "policy check"


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What a policy says of one statement, and why."""

    word: Literal["allow", "mask", "refuse"]
    reasons: tuple[str, ...] = ()


class PolicyAnswers:
    """Answers for one database. `policy` None: nothing restricts what may be read."""

    def __init__(self, database: DatabaseSettings, policy: Policy | None) -> None:
        self._pools = Pools([database], require_safe_role)
        self._databases = DatabaseSet.of(self._pools)
        self._name = database.name
        self._policy = policy

    def of(self, statement: str) -> PolicyAnswer:
        """What is said of a statement; nothing of it runs."""
        names = names_in(statement)
        policy = self._policy
        if policy is not None and (name := names.looking_up(policy.functions)) is not None:
            return _refused(Denial(DenialReason.LOOK_UP, name))
        active = None if policy is None else ActivePolicy(policy)
        database = self._databases.database(_OWNER, self._name, Call(_SECONDS), policy=active)
        try:
            facts = database.examine(statement)
        except PolicyRefusedError as error:
            return PolicyAnswer("refuse", (error.server.message, "-check shows what is missing."))
        except ToolError as error:
            return PolicyAnswer("refuse", tuple(error.for_client().split("\n")))
        if policy is None or facts is None:
            return PolicyAnswer("allow")
        explains = sql.first_word(statement) == "explain"
        decision = decide(policy, facts, names.words, explains=explains)
        canaries = tuple(
            f"it uses the canary {name}, action: {policy.canary_action}"
            for name in decision.canaries
        )
        if decision.denial is not None and decision.denial.reason is DenialReason.CANARY:
            return PolicyAnswer("refuse", canaries)
        if decision.denial is not None:
            refused = _refused(decision.denial)
            return PolicyAnswer("refuse", (*refused.reasons, *canaries))
        masks = tuple(_masks(decision))
        return PolicyAnswer("mask" if masks else "allow", (*masks, *canaries))

    def close(self, seconds: float) -> None:
        """Close the connections."""
        self._pools.close(seconds)


def _masks(decision: Decision) -> Iterator[str]:
    for number, mask in enumerate(decision.masks, 1):
        if mask is not None:
            yield f"result column {number} is shown by the mask {mask[0]}"


def _refused(denial: Denial) -> PolicyAnswer:
    if denial.detail:
        return PolicyAnswer("refuse", (f"the policy does not let {denial.detail} be read",))
    return PolicyAnswer("refuse", tuple(refusal(denial).for_client().split("\n")))


def split(text: str) -> Sequence[str]:
    """The statements of a text, which has ; between them."""
    statements, start = [], 0
    for lexeme in lexer.lexemes(text):
        if lexeme.kind == "symbol" and text[lexeme.start] == ";":
            statements.append(text[start : lexeme.start])
            start = lexeme.end
    statements.append(text[start:])
    return [statement.strip() for statement in statements if any(lexer.lexemes(statement))]


def chosen(command: Command, config: Config) -> tuple[str | None, DatabaseSettings]:
    """The policy that the flags name, None where nothing restricts, and its default database."""
    given = [name for name in ("policy", "token", "username") if command.text(name) is not None]
    if len(given) > 1:
        raise UsageError(f"-{given[0]} and -{given[1]} cannot go together", "Give one of them.")
    bound: str | None = None
    policy = command.text("policy")
    if token_id := command.text("token"):
        token = find_token(token_id, FileTokenStore(config.http.auth.token_file).listed())
        policy, bound = token.policy, token.database
    if username := command.text("username"):
        policy = find_user(FileUserStore(config.http.auth.user_file), username).policy
    policy = policy_in_force(policy, config.policies)
    rules = config.policies.get(policy or "", Policy())
    for database in config.databases:
        if database.name == bound or (bound is None and rules.allows(database.name)):
            return policy, database
    raise ConfigError("the credential reaches no database", "See databases in its policy.")

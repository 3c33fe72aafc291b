"""A configuration, ready to answer: its features, its databases, and who may use them.

The rule: a value, never changed. A reload makes another, and a call keeps that with which it began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pgmcp
from pgmcp.auth.principal import Principal, local, policy_in_force
from pgmcp.auth.times import utc_now
from pgmcp.auth.usage import UsageStore
from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.config.builtins import Features
from pgmcp.config.model import Config
from pgmcp.config.policies import Policy
from pgmcp.errors import DatabaseRefusedError, shortened
from pgmcp.features.all import ALL
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from pgmcp.mcp.client import Client
from pgmcp.mcp.dispatch import Answer, Answering, Dispatcher, Observer
from pgmcp.mcp.feature import Context, FeatureSet, Model, Resource, ResourceTemplate, Tool
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.request_state import RequestStates
from pgmcp.policy.budget import CallBudget
from pgmcp.rpc.jsonrpc import Message
from pgmcp.server.observation import ObservedLogins
from pgmcp.server.policies import PrincipalPolicies

if TYPE_CHECKING:
    from pgmcp.auth.logins import RequestLogins
    from pgmcp.policy.active import ActivePolicy

OPERATOR = "operator"
"""The owner of connections that the server uses for itself."""
_CALL_MARGIN_SECONDS = 5.0
_MAX_DISPATCHERS = 64


def known_features() -> Features:
    """The names that a configuration may switch off."""
    return Features(
        frozenset(tool.name for tool in ALL.tools),
        frozenset(
            name
            for listed in (ALL.resources, ALL.templates)
            for each in listed
            for name in (each.name, _address(each))
        ),
        frozenset(prompt.name for prompt in ALL.prompts),
    )


def _address(resource: Resource | ResourceTemplate) -> str:
    return resource.uri if isinstance(resource, Resource) else resource.uri_template


def registry(
    offered: FeatureSet, config: Config, only_tools: frozenset[str] | None = None
) -> Registry:
    """Every feature that the configuration did not switch off; of the tools `only_tools`, None
    for all."""

    def is_shown(each: Resource | ResourceTemplate) -> bool:
        return config.hidden_resources.isdisjoint((each.name, _address(each)))

    def may_be_called(tool: Tool) -> bool:
        allowed = only_tools is None or tool.name in only_tools
        return allowed and tool.name not in config.hidden_tools

    return Registry(
        FeatureSet(
            tuple(filter(may_be_called, offered.tools)),
            tuple(filter(is_shown, offered.resources)),
            tuple(filter(is_shown, offered.templates)),
            tuple(each for each in offered.prompts if each.name not in config.hidden_prompts),
        )
    )


class ByTools:
    """Answers with the tools that the caller may use. `make` makes what answers with some of the
    tools, None for all; `policies` are those of the configuration."""

    def __init__(
        self,
        make: Callable[[frozenset[str] | None], Answering],
        policies: Mapping[str, Policy],
        known: frozenset[str],
    ) -> None:
        self._make = make
        self._tools = {name: policy.tools for name, policy in policies.items() if policy.tools}
        self._known = known
        self._all = make(None)
        self._some: dict[frozenset[str], Answering] = {}

    def answer(
        self, message: Message, context: Context, headers: Mapping[str, str] | None
    ) -> Answer:
        """The answer to one message."""
        principal = context.principal
        if principal.narrowing is None and principal.policy not in self._tools:
            return self._all.answer(message, context, headers)
        return self._with_some(principal).answer(message, context, headers)

    def _with_some(self, principal: Principal) -> Answering:
        lists = [self._tools[name] for name in principal.policies if name in self._tools]
        if principal.narrowing is not None and principal.narrowing.tools is not None:
            lists.append(principal.narrowing.tools)
        if not lists:
            return self._all
        tools = self._known.intersection(*lists)
        answering = self._some.get(tools)  # a look-up in a dict is atomic
        if answering is None:
            if len(self._some) >= _MAX_DISPATCHERS:
                self._some.clear()
            answering = self._some.setdefault(tools, self._make(tools))
        return answering


@dataclass(frozen=True, slots=True)
class Reach:
    """The databases of a principal, within a call."""

    databases: DatabaseSet
    principal: Principal
    call: Call
    trail: Trail
    policy: ActivePolicy | None = None
    budget: CallBudget | None = None

    def names(self) -> tuple[str, ...]:
        """Their names, the default first."""
        return self.principal.databases

    def get(self, name: str | None = None) -> Database:
        """The database of that name, the default without a name; ToolError when there is none."""
        names = self.names()
        if not names:
            raise DatabaseRefusedError(
                "no database is available to you",
                "The operator binds tokens to databases, and reserves databases for users.",
            )
        if name is not None and name not in names:
            raise DatabaseRefusedError(
                f"there is no database {shortened(name)!r} that you may use",
                f"You may use: {', '.join(names)}",
            )
        if self.policy is not None:
            reason = self.policy.closed(self.trail.address, utc_now())
            if reason is not None:
                raise DatabaseRefusedError(reason, "The operator decides this in your policy.")
        if self.budget is not None:
            self.budget.begin()
        self.trail.database = name or names[0]
        narrowing = self.principal.narrowing
        return self.databases.database(
            self.principal.owner,
            name or names[0],
            self.call,
            self.trail,
            self.policy,
            None if narrowing is None else narrowing.rows,
            self.budget,
        )


@dataclass(frozen=True, slots=True)
class Service:
    """A configuration, ready to answer."""

    config: Config
    databases: DatabaseSet
    registry: Registry
    dispatcher: Answering
    model: Model | None
    policies: PrincipalPolicies
    usage: UsageStore

    @classmethod
    def of(
        cls,
        config: Config,
        offered: FeatureSet,
        states: RequestStates,
        databases: DatabaseSet,
        observer: Observer,
        model: Model | None,
        policies: Mapping[str, ActivePolicy],
        usage: UsageStore,
    ) -> Service:
        """The service of a configuration, with what is offered, the states of its questions, its
        databases, the language model, None without one, its policies in force, and what was used of
        their budgets; `observer` is told of each call."""

        def dispatcher(features: Registry) -> Answering:
            return Dispatcher(
                features,
                server_version=pgmcp.__version__,
                states=states,
                observer=observer,
                clock=time.monotonic,
            )

        features = registry(offered, config)
        answering = ByTools(
            lambda tools: dispatcher(
                features if tools is None else registry(offered, config, tools)
            ),
            config.policies,
            frozenset(features.tools),
        )
        in_force = PrincipalPolicies(policies)
        return cls(config, databases, features, answering, model, in_force, usage)

    @property
    def everybody(self) -> Principal:
        """The caller of a server without authentication."""
        name = policy_in_force(None, self.config.policies)
        policy = Policy() if name is None else self.config.policies[name]
        databases = (database.name for database in self.config.databases)
        return local(tuple(filter(policy.allows, databases)), name)

    @property
    def call_timeout_seconds(self) -> float:
        """Room for the slowest statement of any database, and for getting to it."""
        llm = self.config.llm
        asking_seconds = llm.timeout_seconds if llm else 0.0
        return (
            _CALL_MARGIN_SECONDS
            + asking_seconds
            + max(
                (
                    database.statement_timeout_seconds + database.connect_timeout_seconds
                    for database in self.config.databases
                ),
                default=0.0,
            )
        )

    def context(
        self,
        principal: Principal,
        call: Call,
        client: Client,
        address: str,
        accounts: RequestLogins | None = None,
    ) -> Context:
        """The context of a call that came from `client` at `address`."""
        trail = Trail(call.request_id, principal, address)
        policy, budget = self.policies.of(principal), None
        if policy is not None and policy.policy.limits.counted:
            budget = CallBudget(self.usage, principal.owner, policy.policy.limits)
        reach = Reach(self.databases, principal, call, trail, policy, budget)
        observed = None if accounts is None else ObservedLogins(accounts, trail)
        resources = self.registry.resources
        model = self.model
        return Context(principal, call, reach, observed, resources, trail, model, client, budget)

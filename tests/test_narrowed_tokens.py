"""Narrowed tokens at the authenticator: never wider than their parents, and gone with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmcp.auth import authenticator as authenticator_
from pgmcp.auth import narrowed_tokens
from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.attenuation import AttenuationKey, attenuated, claim_of, new_attenuable_secret
from pgmcp.auth.authenticator import CredentialAuthenticator
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.narrowed_tokens import NarrowedTokens
from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.principal import Principal, owner_of
from pgmcp.auth.sessions import Sessions
from pgmcp.auth.tokens import ApiToken, new_token
from pgmcp.calls.call import Call
from pgmcp.config.hours import parse as parse_hours
from pgmcp.config.masks import Mask, MaskRules
from pgmcp.config.patterns import ReadRules, parse
from pgmcp.config.policies import Policy, PolicyLimits
from pgmcp.errors import TooManyAttemptsError, UnauthorizedError
from pgmcp.mcp.dispatch import Answer
from pgmcp.mcp.feature import Context
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.decision import mask_of, may_read, may_use
from pgmcp.policy.facts import UsedRelation
from pgmcp.rpc.jsonrpc import Message, Request
from pgmcp.server.policies import PrincipalPolicies
from pgmcp.server.service import ByTools
from pgmcp.storage import replace
from pgmcp.stores.attenuation_key import FileKeyStore
from pgmcp.stores.files import FileTokenStore
from pgmcp.stores.memory import MemoryLimitStore, MemorySessionStore
from pgmcp.stores.token_file import TokenFile, parse_tokens
from tests.serving import NoDatabases

ADDRESS = "192.0.2.1"
NOW = datetime(2026, 11, 27, 10, 15, 30, tzinfo=UTC)  # a Friday


def rules(*lines: str) -> ReadRules:
    return ReadRules(tuple(map(parse, lines)))


POLICIES: Mapping[str, Policy] = {
    "support": Policy(
        databases=("shop", "main"),
        tools=("query_database", "count_rows"),
        read=rules("public.*", "not public.users.secret"),
        mask=MaskRules(((parse("public.users.email"), Mask("partial")),)),
        limits=PolicyLimits(rows_per_call=7),
        role="support",
    ),
    "small": Policy(
        tools=("query_database",),
        read=rules("public.users", "not public.users.id"),
        mask=MaskRules(((parse("public.users.email"), Mask("last4")),)),
        hours=(parse_hours("Mon-Fri 07:00-19:00 UTC"),),
    ),
    "shop": Policy(databases=("shop",), read=rules("public.*"), networks=("192.0.2.0/24",)),
    "other role": Policy(read=rules("*.*"), role="other"),
}
DATABASES = ("main", "shop", "late")
TOOLS = frozenset({"query_database", "count_rows", "get_schema_info"})


class World:
    """An authenticator over real files, with a clock that moves when told."""

    def __init__(self, folder: Path, most_bad: int = 1000) -> None:
        self.now = NOW
        self.most_bad = most_bad
        self.path, self.key_path = folder / "tokens.yaml", folder / "key"
        self.ended: list[tuple[str, str]] = []
        replace.update(self.path, lambda _: TokenFile().dump())
        self.keys = FileKeyStore(self.key_path)
        self.key = self.keys.made()
        self.tokens = ApiTokens(
            FileTokenStore(self.path),
            clock=lambda: self.now,
            elapsed=lambda: self.now.timestamp(),
            on_ended=lambda ended: self.ended.extend(ended.items()),
            keys=self.keys,
        )
        self.tokens.start()
        self.bad = MemoryLimitStore()
        self.authenticator = self.authenticated(POLICIES)

    def authenticated(self, policies: Mapping[str, Policy]) -> CredentialAuthenticator:
        sessions = Sessions(
            MemorySessionStore(), clock=lambda: self.now, max_per_user=3, on_ended=lambda _: None
        )
        return CredentialAuthenticator(
            self.tokens,
            sessions,
            databases=dict.fromkeys(DATABASES, ()),
            bad_tokens=Limiter(self.bad, self.most_bad, 60.0),
            policies={name: policy.databases for name, policy in policies.items()},
            narrowed=NarrowedTokens(self.tokens, lambda: self.now),
        )

    def add(
        self,
        *,
        database: str | None = None,
        policy: str | None = None,
        lifetime: timedelta | None = None,
    ) -> tuple[str, ApiToken]:
        secret = new_attenuable_secret(self.key)
        made: list[ApiToken] = []

        def change(known: TokenFile) -> TokenFile:
            made.append(
                new_token(
                    known,
                    secret,
                    note="",
                    database=database,
                    now=NOW,
                    expires_at=None if lifetime is None else NOW + lifetime,
                    policy=policy,
                    attenuable=self.key.id,
                )
            )
            return known.added(made[0])

        self.edit(change)
        return secret, made[0]

    def edit(self, change: Callable[[TokenFile], TokenFile]) -> None:
        replace.update(self.path, lambda data: change(parse_tokens(data or b"", "f")).dump())
        self.tokens.reload()

    def ask(self, secret: str, address: str = ADDRESS) -> Principal:
        principal = self.authenticator.authenticate([f"Bearer {secret}"], address)
        assert principal is not None
        return principal

    def refuses(self, secret: str, address: str = ADDRESS) -> bool:
        """Whether a token is refused, as any unknown one."""
        failures = len(self.bad.ages(address, 60.0))
        try:
            self.ask(secret, address)
        except UnauthorizedError as refused:
            assert refused.message == "Unauthorized"
            assert len(self.bad.ages(address, 60.0)) == failures + 1
            return True
        return False


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- never wider -----------------------------------------------------------------------------------

RELATION = UsedRelation("public", "users", {1: "id", 2: "email", 3: "secret"})
OTHER = UsedRelation("public", "orders", {1: "id"})


class Tools:
    """Answers with the tools that it was made with."""

    def __init__(self, tools: frozenset[str] | None) -> None:
        self.tools = TOOLS if tools is None else tools

    def answer(self, message: Message, context: Context, headers: object) -> Answer:
        return Answer(200, dict.fromkeys(self.tools))


BY_TOOLS = ByTools(Tools, POLICIES, TOOLS)
IN_FORCE = PrincipalPolicies({name: ActivePolicy(policy) for name, policy in POLICIES.items()})

_some = {
    "databases": st.lists(st.sampled_from([*DATABASES, "unknown"]), min_size=1, max_size=2),
    "policies": st.lists(st.sampled_from(sorted(POLICIES)), max_size=2, unique=True),
    "tools": st.lists(st.sampled_from([*sorted(TOOLS), "unknown"]), min_size=1, max_size=3),
    "networks": st.sampled_from(["192.0.2.0/24", "10.0.0.0/8", "192.0.2.1/32"]),
}
narrowings = st.builds(
    Narrowing,
    databases=st.none() | _some["databases"].map(tuple),
    policies=_some["policies"].map(tuple),
    tools=st.none() | _some["tools"].map(tuple),
    rows=st.none() | st.integers(1, 9),
    expires_at=st.none() | st.integers(-10, 10).map(lambda n: NOW + timedelta(seconds=n)),
    networks=st.just(()) | _some["networks"].map(lambda network: ((network,),)),
).filter(lambda narrowing: narrowing != Narrowing())


def abilities(world: World, secret: str, address: str, moment: datetime) -> set[str]:
    """What a token may do, each thing as a text; rows by how many are too many."""
    world.now = moment
    try:
        principal = world.ask(secret, address)
    except UnauthorizedError:
        return set()
    policy = IN_FORCE.of(principal)
    if policy is not None and policy.closed(address, moment) is not None:
        return set()
    context = Context(principal, Call(1.0), NoDatabases())
    body = BY_TOOLS.answer(Request("tools/list", {}, 1), context, None).body or {}
    able = {f"tool {name}" for name in body} | {f"in {name}" for name in principal.databases}
    rows = 9 if policy is None else policy.rows(9)
    if principal.narrowing is not None and principal.narrowing.rows is not None:
        rows = min(rows, principal.narrowing.rows)
    able |= {f"row {number}" for number in range(rows)}
    for relation in (RELATION, OTHER):
        if policy is None:
            able |= {f"{relation.name}.{column} plain" for column in relation.columns.values()}
            continue
        if may_use(policy.policy, relation):
            able |= {
                f"{relation.name}.{column} {mask_of(policy.policy, relation, column) or 'plain'}"
                for column in relation.columns.values()
                if may_read(policy.policy, relation, column)
            }
    return able


def wider(narrow: set[str], wide: set[str]) -> set[str]:
    """What the narrow one may and the wide one may not; a masked column is less than a plain one,
    and nothing (null) less than any."""
    names = {each.partition(" ")[0] for each in wide}
    return {
        each
        for each in narrow - wide
        if not (
            f"{each.partition(' ')[0]} plain" in wide
            or (each.endswith(" null") and each.partition(" ")[0] in names)
        )
    }


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Sequence[str]]:
    world = World(tmp_path_factory.mktemp("narrowed"), most_bad=0)
    made = [
        world.add(database=database, policy=policy)[0]
        for database in (None, "shop")
        for policy in (None, "support", "small", "other role")
    ]
    return world, made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_chain_of_conditions_may_do_more_than_what_it_was_made_of(
    parents: tuple[World, Sequence[str]], data: st.DataObject
) -> None:
    world, secrets = parents
    secret = data.draw(st.sampled_from(secrets))
    address = data.draw(st.sampled_from([ADDRESS, "192.0.2.9", "10.1.1.1", "unix"]))
    moment = NOW + timedelta(seconds=data.draw(st.integers(-10, 10)))
    before = abilities(world, secret, address, moment)
    for narrowing in data.draw(st.lists(narrowings, min_size=1, max_size=2)):
        secret = attenuated(secret, narrowing)
        after = abilities(world, secret, address, moment)
        assert not wider(after, before), narrowing
        before = after


def test_conditions_take_away_what_they_say(world: World) -> None:
    secret, _ = world.add(policy="support")
    whole = abilities(world, secret, ADDRESS, NOW)
    assert {"tool count_rows", "in main", "row 6", "users.id plain"} <= whole
    assert {"users.email partial", "orders.id plain"} <= whole
    child = attenuated(secret, Narrowing(tools=("query_database",), rows=3, policies=("small",)))
    part = abilities(world, child, ADDRESS, NOW)
    assert part == {"tool query_database", "in main", "row 0", "row 1", "row 2", "users.email null"}
    assert abilities(world, child, ADDRESS, NOW + timedelta(days=1)) == set()
    counting = attenuated(secret, Narrowing(tools=("count_rows", "get_schema_info")))
    listed = {each for each in abilities(world, counting, ADDRESS, NOW) if each[:4] == "tool"}
    assert listed == {"tool count_rows"}


@pytest.mark.parametrize(
    ("narrowing", "databases"),
    [
        (Narrowing(databases=("late", "main")), ("main",)),
        (Narrowing(databases=("shop", "late")), ()),
        (Narrowing(policies=("small",)), ("main",)),
        (Narrowing(policies=("small", "shop")), ()),
    ],
)
def test_a_database_is_used_only_where_each_condition_allows_it(
    world: World, narrowing: Narrowing, databases: tuple[str, ...]
) -> None:
    secret, _ = world.add()
    assert world.ask(secret).databases == ("main",)
    assert world.ask(attenuated(secret, narrowing)).databases == databases


def test_a_policy_that_is_not_there_or_has_another_role_gives_nothing(world: World) -> None:
    secret, _ = world.add(policy="support")
    assert world.refuses(attenuated(secret, Narrowing(policies=("small", "gone"))))
    other = attenuated(secret, Narrowing(policies=("other role",)))
    assert abilities(world, other, ADDRESS, NOW) == set()
    plain, _ = world.add()
    assert abilities(world, attenuated(plain, Narrowing(policies=("support",))), ADDRESS, NOW) == (
        set()
    )


# -- the parent ------------------------------------------------------------------------------------

ROWS = Narrowing(rows=5)


def test_a_narrowed_token_counts_for_its_parent_and_has_a_key_of_its_own(world: World) -> None:
    secret, token = world.add()
    child, sibling = attenuated(secret, ROWS), attenuated(secret, Narrowing(rows=6))
    principal = world.ask(child)
    assert (principal.kind, principal.name, principal.narrowing) == ("token", token.id, ROWS)
    assert principal.owner == token.key == world.ask(secret).owner
    assert owner_of(principal.key) == token.key
    assert len({principal.key, world.ask(sibling).key, world.ask(secret).key}) == 3
    assert world.ask(child) is principal
    assert child[-43:] not in repr(principal)


def test_a_removed_expired_or_unmarked_parent_takes_its_children_along(world: World) -> None:
    for lose in (
        lambda text: "tokens: []\n",
        lambda text: text.replace("expires_at: null", 'expires_at: "2026-11-27T10:15:30Z"'),
        lambda text: text.replace(f"    attenuable: {world.key.id}\n", ""),
        lambda text: text.replace(world.key.id, "key-0000000000000000"),
    ):
        world.ended.clear()
        secret, token = world.add()
        child = attenuated(attenuated(secret, ROWS), ROWS)
        world.ask(child)
        text = lose(world.path.read_text())
        replace.update(world.path, lambda _, text=text: text.encode())  # type: ignore[misc]
        world.tokens.reload()
        assert world.refuses(child)
        world.tokens.sweep()
        assert [key for key, _ in world.ended] == [token.key]
        replace.update(world.path, lambda _: TokenFile().dump())
        world.tokens.reload()


def test_a_token_that_was_not_made_attenuable_has_no_children(world: World) -> None:
    secret = new_attenuable_secret(world.key)
    world.edit(
        lambda known: known.added(
            new_token(known, secret, note="", database=None, now=NOW, expires_at=None)
        )
    )
    world.ask(secret)
    assert world.refuses(attenuated(secret, ROWS))


def test_forged_shortened_and_spliced_tokens_are_refused_as_unknown_ones(world: World) -> None:
    secret, _ = world.add()
    child = attenuated(attenuated(secret, ROWS), Narrowing(tools=("count_rows",)))
    kind, nonce, rows, tool, tag = child.split(".")
    for parts in (
        (nonce, rows, tool, tag[::-1]),
        (nonce, rows, tag),
        (nonce, tool, tag),
        (nonce, tag),
        (nonce, tool, rows, tag),
        (nonce, rows, secret.split(".")[-1]),
    ):
        assert world.refuses(".".join((kind, *parts)))
    world.ask(child)


def test_a_child_ends_by_its_own_time_and_by_its_network(world: World) -> None:
    secret, _ = world.add()
    brief = attenuated(secret, Narrowing(expires_at=NOW + timedelta(seconds=5)))
    assert world.ask(brief).expires_at == NOW + timedelta(seconds=5)
    near = attenuated(secret, Narrowing(networks=(("10.0.0.0/8", "192.0.2.1/32"),)))
    world.ask(near)
    world.ask(near, "::ffff:10.1.1.1")
    assert world.refuses(near, "192.0.2.2")
    world.now += timedelta(seconds=5)
    assert world.refuses(brief)
    world.ask(secret)


def test_a_file_of_tokens_and_a_key_together_make_no_token(world: World) -> None:
    """The nonce is in neither: only what the holder has leads to the parent."""
    secret, _ = world.add()
    stored = world.path.read_text() + world.key_path.read_text()
    assert secret.split(".")[1] not in stored
    assert world.refuses(attenuated(new_attenuable_secret(world.key), ROWS))


# -- the key ---------------------------------------------------------------------------------------


def test_another_key_or_none_refuses_parents_and_children_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pgmcp")
    secret, token = world.add()
    child = attenuated(secret, ROWS)
    world.ask(child)
    key = world.key_path.read_bytes()
    for lost in (None, b"00" * 32 + b"\n"):
        world.ended.clear()
        caplog.clear()
        world.key_path.unlink()
        if lost is not None:
            replace.update(world.key_path, lambda _, lost=lost: lost)  # type: ignore[misc]
        assert world.tokens.reload_key()
        assert world.refuses(child)
        assert world.refuses(secret)
        assert world.ended == [(token.key, "token made with a key that is gone")]
        assert "1 attenuable token(s) are refused, and all that were narrowed from them: " in (
            caplog.text
        )
        assert str(world.key_path) in caplog.text
        replace.update(world.key_path, lambda _: key)
        assert world.tokens.reload_key()
        world.ask(child)
    assert not world.tokens.reload_key()


def test_a_key_that_others_can_write_or_that_is_none_is_no_key(world: World) -> None:
    from pgmcp.errors import FileError

    secret, _ = world.add()
    world.key_path.chmod(0o666)
    with pytest.raises(FileError):
        world.tokens.reload_key()
    assert world.refuses(secret)
    world.key_path.chmod(0o600)
    assert world.tokens.reload_key()
    world.ask(secret)
    world.key_path.write_text("no key\n")
    with pytest.raises(FileError, match="not a key"):
        world.tokens.reload_key()
    assert world.refuses(attenuated(secret, ROWS))


def test_a_server_starts_with_a_key_that_is_none_and_refuses_its_tokens(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    secret, _ = world.add()
    world.key_path.write_text("no key\n")
    keys = FileKeyStore(world.key_path)
    tokens = ApiTokens(
        FileTokenStore(world.path), clock=lambda: NOW, on_ended=lambda _: None, keys=keys
    )
    tokens.start()
    assert "the key of attenuable tokens cannot be read" in caplog.text
    assert tokens.find(secret) is None
    assert NarrowedTokens(tokens, lambda: NOW).find(attenuated(secret, ROWS)) is None


def test_a_server_starts_without_a_key_and_has_one_when_the_first_token_is_made(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tokens.yaml"
    replace.update(path, lambda _: TokenFile().dump())
    keys = FileKeyStore(tmp_path / "key")
    tokens = ApiTokens(FileTokenStore(path), clock=lambda: NOW, on_ended=lambda _: None, keys=keys)
    tokens.start()
    before = tokens.attenuation_key
    made = FileKeyStore(tmp_path / "key").made()
    assert tokens.reload_key()
    assert (before, tokens.attenuation_key) == (None, made)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


# -- what holders can cost -------------------------------------------------------------------------


def test_a_chain_is_computed_once_and_what_is_kept_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = world.add()
    computed: list[str] = []

    def counted(text: str, key: AttenuationKey) -> object:
        computed.append(text)
        return claim_of(text, key)

    monkeypatch.setattr(narrowed_tokens, "claim_of", counted)
    monkeypatch.setattr(narrowed_tokens, "_MAX_KEPT", 2)
    children = [attenuated(secret, Narrowing(rows=n)) for n in range(1, 4)]
    for _ in range(3):
        world.ask(children[0])
    assert computed == children[:1]
    for child in children:
        world.ask(child)
    assert world.authenticator._narrowed is not None
    assert len(world.authenticator._narrowed._kept) <= 2


def test_the_log_names_the_parent_and_the_conditions_of_a_bounded_number_of_children(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "pgmcp")
    monkeypatch.setattr(authenticator_, "_MAX_LOGGED_NARROWED", 3)
    secret, token = world.add()
    for rows in range(1, 9):
        child = attenuated(secret, Narrowing(rows=rows, tools=("count_rows",)))
        world.ask(child)
        assert child not in caplog.text
    lines = [record.getMessage() for record in caplog.records if "admitted" in record.getMessage()]
    assert len(lines) == 3
    assert f'token="{token.id}" narrowed="tools=count_rows rows=1"' in lines[0]


def test_a_condition_that_leaves_nothing_is_told_too() -> None:
    narrowing = Narrowing(databases=(), rows=5, networks=(("10.0.0.0/8",), ("::1/128", "::2/128")))
    assert str(narrowing) == "databases=none rows=5 networks=(10.0.0.0/8),(::1/128,::2/128)"
    assert list(narrowing.described()) == ["databases", "rows", "networks"]


def test_malformed_narrowed_tokens_run_into_the_limit_of_bad_tokens(world: World) -> None:
    secret, _ = world.add()
    child = attenuated(secret, ROWS)
    world.authenticator._bad_tokens.change(3, 60.0)
    for text in (child[:-1], child[:-1] + "!", child.replace(".", "..", 1)):
        assert world.refuses(text)
    with pytest.raises(TooManyAttemptsError):
        world.ask(child + "x")
    world.ask(child)

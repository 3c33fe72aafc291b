"""The authenticator: credentials to principals, and one refusal for all else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.authenticator import CredentialAuthenticator
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.no_authentication import NoAuthentication
from pgmcp.auth.principal import ANONYMOUS, Principal, local
from pgmcp.auth.sessions import Sessions
from pgmcp.auth.tokens import ApiToken, new_token
from pgmcp.errors import FileError, TooManyAttemptsError, UnauthorizedError
from pgmcp.storage import replace
from pgmcp.stores.files import FileTokenStore
from pgmcp.stores.memory import MemoryLimitStore, MemorySessionStore
from pgmcp.stores.token_file import TokenFile, parse_tokens

ADDRESS = "192.0.2.1"


class World:
    """An authenticator over real stores, with a clock that moves when told."""

    def __init__(self, folder: Path) -> None:
        self.now = datetime(2024, 10, 30, 10, 15, 30, tzinfo=UTC)
        self.step = timedelta()
        self.path = folder / "tokens.yaml"
        self.ended: list[tuple[str, str]] = []
        self.path.write_bytes(TokenFile().dump())
        self.path.chmod(0o600)
        self.sessions = Sessions(
            MemorySessionStore(),
            clock=lambda: self.now,
            max_per_user=3,
            on_ended=lambda ended: self.ended.extend(ended.items()),
        )
        self.tokens = self.store()
        self.tokens.start()
        self.authenticator = CredentialAuthenticator(
            self.tokens,
            self.sessions,
            databases={"private": ["alice"], "main": [], "staging": [], "team": ["alice", "bob"]},
            bad_tokens=Limiter(MemoryLimitStore(), 3, 60.0),
            policies={"narrow": ["staging", "team"], "wide": []},
            policy_of={"bob": "narrow", "eve": "gone"}.get,
        )

    def store(self) -> ApiTokens:
        return ApiTokens(
            FileTokenStore(self.path),
            clock=lambda: self.now + self.step,
            elapsed=lambda: self.now.timestamp(),
            on_ended=lambda ended: self.ended.extend(ended.items()),
        )

    def add(
        self,
        secret: str,
        database: str | None = None,
        lifetime: timedelta | None = None,
        policy: str | None = None,
    ) -> ApiToken:
        made: list[ApiToken] = []

        def change(known: TokenFile) -> TokenFile:
            end = None if lifetime is None else self.now + lifetime
            token = new_token(
                known,
                secret,
                note="",
                database=database,
                now=self.now,
                expires_at=end,
                policy=policy,
            )
            made.append(token)
            return known.added(token)

        self.edit(change)
        return made[0]

    def edit(self, change: Callable[[TokenFile], TokenFile]) -> None:
        replace.update(self.path, lambda data: change(parse_tokens(data or b"", "f")).dump())
        self.tokens.reload()

    def ask(self, *authorization: str, address: str = ADDRESS) -> Principal:
        """As HTTP asks for a message that cannot be a login."""
        principal = self.authenticator.authenticate(authorization, address)
        return principal or self.authenticator.anonymous("", None, address)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_token_is_a_principal_named_by_its_id(world: World) -> None:
    token = world.add("secret")
    principal = world.ask("Bearer secret")
    assert (principal.kind, principal.name) == ("token", token.id)
    assert principal.key == f"token:{token.id}:{token.hash[:16]}"
    assert "secret" not in repr(principal)


@pytest.mark.parametrize("header", ["bearer secret", "BEARER  secret", " Bearer secret "])
def test_the_scheme_is_read_in_any_case(world: World, header: str) -> None:
    world.add("secret")
    assert world.ask(header).kind == "token"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("secret",),
        ("Basic secret",),
        ("Bearer secret x",),
        ("Bearer secret,Bearer secret",),
        ("Bearer secret", "Bearer secret"),
        ("Bearer wrong",),
        ("Bearer sécret",),
        ("Bearer \udcff",),
        ("Bearer " + "x" * 5000,),
    ],
)
def test_everything_else_is_the_same_refusal(world: World, headers: tuple[str, ...]) -> None:
    world.add("secret")
    with pytest.raises(UnauthorizedError) as caught:
        world.ask(*headers)
    assert caught.value.message == "Unauthorized"


@pytest.mark.parametrize("secret", ["two words", "sécret"])
def test_what_is_no_bearer_token_is_refused_whatever_the_file_holds(
    world: World, secret: str
) -> None:
    world.add(secret)
    with pytest.raises(UnauthorizedError):
        world.ask(f"Bearer {secret}")


def test_an_expired_token_stops_on_time_without_any_sweep(world: World) -> None:
    world.add("secret", lifetime=timedelta(hours=1))
    world.now += timedelta(minutes=59, seconds=59)
    world.ask("Bearer secret")
    world.now += timedelta(seconds=1)
    with pytest.raises(UnauthorizedError):
        world.ask("Bearer secret")


def test_the_sweep_takes_an_expired_token_out_of_the_file_and_announces_it(world: World) -> None:
    token = world.add("secret", lifetime=timedelta(hours=1))
    kept = world.add("other")
    world.tokens.sweep()
    assert world.ended == []
    world.now += timedelta(hours=1)
    world.tokens.sweep()
    world.tokens.sweep()
    world.tokens.reload()
    assert world.ended == [(token.key, "token expired")]
    assert [t.id for t in parse_tokens(world.path.read_bytes(), "f").tokens] == [kept.id]


def test_a_removed_and_a_rebound_token_are_announced_and_others_not(world: World) -> None:
    removed, rebound = world.add("one"), world.add("two", database="staging")
    world.add("three", database="staging")
    world.edit(lambda known: known.without(lambda token: token.id == removed.id))
    text = world.path.read_text()
    world.path.write_text(text.replace("database: staging", "database: main", 1))
    world.tokens.reload()
    assert world.ended == [
        (removed.key, "token removed"),
        (rebound.key, "token bound to another database"),
    ]
    with pytest.raises(UnauthorizedError):
        world.ask("Bearer one")
    assert world.ask("Bearer two").databases == ("main",)


@pytest.mark.parametrize("broken", ["", "tokens:\n", "tokens:\n  - id: x\n", None])
def test_a_broken_empty_or_deleted_file_keeps_the_tokens(world: World, broken: str | None) -> None:
    world.add("secret")
    if broken is None:
        world.path.unlink()
    else:
        world.path.write_text(broken)
    with pytest.raises(FileError):
        world.tokens.reload()
    assert world.ask("Bearer secret").kind == "token"
    assert world.ended == []


@pytest.mark.parametrize("step", [timedelta(days=-400), timedelta(days=400)])
def test_setting_the_clock_destroys_no_token(world: World, step: timedelta) -> None:
    token = world.add("s", lifetime=timedelta(days=365))
    world.step = step
    world.tokens.sweep()
    assert world.ended == ([(token.key, "token expired")] if step > timedelta() else [])
    assert (world.tokens.find("s") is None) == (step > timedelta())
    world.tokens.reload()
    world.now += timedelta(minutes=50)
    world.tokens.sweep()
    world.step = timedelta()
    world.tokens.sweep()
    assert world.tokens.find("s") == token
    assert "hash" in world.path.read_text()


def test_a_clock_that_stays_set_counts(world: World) -> None:
    world.add("s", lifetime=timedelta(days=365))
    world.step = timedelta(days=400)
    world.tokens.sweep()
    world.now += timedelta(hours=1)
    world.tokens.sweep()
    assert "hash" not in world.path.read_text()


def test_a_token_that_expires_again_after_the_clock_was_right_is_announced_again(
    world: World,
) -> None:
    token = world.add("s", lifetime=timedelta(days=365))
    for step in (timedelta(days=400), timedelta(), timedelta(days=400)):
        world.step = step
        world.tokens.sweep()
    assert world.ended == [(token.key, "token expired")] * 2


def test_the_start_says_what_it_loaded_and_removes_what_has_expired(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pgmcp")
    world.add("one", lifetime=timedelta(hours=1))
    world.add("two")
    world.now += timedelta(days=1)
    world.store().start()
    assert f"Loaded 1 API token(s) from {world.path}" in caplog.messages
    assert "Removed 1 expired token(s)" in caplog.messages
    assert len(parse_tokens(world.path.read_bytes(), "f").tokens) == 1


def test_a_folder_that_cannot_be_written_is_no_trouble(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.add("secret")
    (world.path.parent / f".{world.path.name}.lock").unlink()
    (world.path.parent / f".{world.path.name}.lock").mkdir()
    store = world.store()
    store.start()
    assert store.find("secret") is not None
    assert "expired tokens stay" not in caplog.text


def test_expired_tokens_that_cannot_be_removed_stay_without_effect(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.add("secret", lifetime=timedelta(hours=1))
    (world.path.parent / f".{world.path.name}.lock").unlink()
    (world.path.parent / f".{world.path.name}.lock").mkdir()
    world.now += timedelta(hours=1)
    store = world.store()
    store.start()
    store.sweep()
    assert store.find("secret") is None
    assert caplog.text.count("expired tokens stay in the file, without effect") == 1


def test_a_missing_token_file_stops_the_start_with_the_guides_lines(world: World) -> None:
    world.path.unlink()
    with pytest.raises(FileError) as caught:
        world.store().start()
    assert caught.value.for_operator() == (
        f"ERROR: Token file not found: {world.path}\n"
        "Create tokens with: ./pgedge-postgres-mcp -add-token\n"
        "Or disable authentication with: -no-auth"
    )


def test_an_unbound_token_has_the_first_database_that_is_not_reserved(world: World) -> None:
    world.add("secret")
    assert world.ask("Bearer secret").databases == ("main",)


def test_a_bound_token_has_its_database_and_none_when_that_is_not_configured(world: World) -> None:
    world.add("one", database="private")
    world.add("two", database="gone")
    assert world.ask("Bearer one").databases == ("private",)
    assert world.ask("Bearer two").databases == ()


def test_a_session_has_the_databases_of_its_user(world: World) -> None:
    token, session = world.sessions.open("alice")
    principal = world.ask(f"Bearer {token}")
    assert (principal.kind, principal.name, principal.key) == ("session", "alice", session.key)
    assert principal.databases == ("private", "main", "staging", "team")
    token, _ = world.sessions.open("carol")
    assert world.ask(f"Bearer {token}").databases == ("main", "staging")


def test_too_many_bad_tokens_are_told_so_and_a_valid_one_gets_through(world: World) -> None:
    world.add("secret")
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            world.ask("Bearer wrong")
    with pytest.raises(TooManyAttemptsError) as caught:
        world.ask("Bearer wrong")
    assert 0 < caught.value.retry_after_seconds <= 60
    assert world.ask("Bearer secret").kind == "token"
    with pytest.raises(UnauthorizedError):
        world.ask("Bearer wrong", address="192.0.2.2")


def test_a_missing_credential_does_not_count_as_a_bad_token(world: World) -> None:
    for _ in range(10):
        with pytest.raises(UnauthorizedError):
            world.ask()


def test_only_the_login_tool_is_open_to_an_anonymous_caller(world: World) -> None:
    assert world.authenticator.anonymous("tools/call", {"name": "authenticate_user"}) is ANONYMOUS


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/list", {}),
        ("tools/list", {"name": "authenticate_user"}),
        ("tools/call", None),
        ("tools/call", []),
        ("tools/call", ["authenticate_user"]),
        ("tools/call", {"name": "query_database"}),
        ("tools/call", {"name": "logout_user"}),
        ("tools/call", {"name": ["authenticate_user"]}),
        ("tools/call", {"name": "Authenticate_user"}),
        ("resources/read", {"name": "authenticate_user"}),
    ],
)
def test_nothing_rides_on_the_exception_for_the_login_tool(
    world: World, method: str, params: object
) -> None:
    with pytest.raises(UnauthorizedError):
        world.authenticator.anonymous(method, params)


def test_the_log_has_the_kind_of_each_refusal_and_no_secret(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pgmcp")
    token = world.add("t0psecret")
    world.ask("Bearer t0psecret")
    world.ask("Bearer t0psecret")
    for headers in ((), ("Basic t0psecret",), ("Bearer t0psecret!",), ("a", "b")):
        with pytest.raises(UnauthorizedError):
            world.ask(*headers)
    said = [message for message in caplog.messages if "address=" in message]
    assert said == [
        f'admitted address="{ADDRESS}" token="{token.id}"',
        f'refused address="{ADDRESS}" reason="missing credential"',
        f'refused address="{ADDRESS}" reason="malformed header"',
        f'refused address="{ADDRESS}" reason="unknown, expired or revoked token"',
        f'refused address="{ADDRESS}" reason="several headers"',
    ]
    assert "t0psecret" not in caplog.text


def test_without_authentication_the_authenticator_admits_everybody_as_the_same_principal() -> None:
    everybody = local(("main",))
    authenticator = NoAuthentication(everybody)
    assert authenticator.authenticate([], ADDRESS) is everybody
    assert authenticator.anonymous("tools/list", {}) is everybody


def test_databases_are_reserved_for_names_compared_in_nfc(world: World) -> None:
    authenticator = CredentialAuthenticator(
        world.tokens,
        world.sessions,
        databases={"hers": ["Zoe\u0308"], "main": []},
        bad_tokens=Limiter(MemoryLimitStore(), 3, 60.0),
    )
    secret, _ = world.sessions.open("Zo\u00eb")
    principal = authenticator.authenticate([f"Bearer {secret}"], "192.0.2.1")
    assert principal is not None
    assert principal.databases == ("hers", "main")


def test_the_authenticator_says_what_a_request_without_a_header_is(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    token = world.add("hers", database="main")
    authenticator = CredentialAuthenticator(
        world.tokens,
        world.sessions,
        databases={"main": []},
        bad_tokens=Limiter(MemoryLimitStore(), 3, 60.0),
        subjects={"CN=hers": token.id, "CN=gone": "token-gone"},
    )
    caplog.set_level("INFO", "pgmcp")
    assert authenticator.authenticate([], ADDRESS) is None
    assert authenticator.authenticate([], ADDRESS, "CN=unknown") is None
    assert caplog.messages == []  # nobody is refused yet: it may be a login
    certified = authenticator.authenticate([], ADDRESS, "CN=hers")
    assert certified is not None
    assert certified.key == token.key
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate([], ADDRESS, "CN=gone")
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate(["Bearer wrong"], ADDRESS, "CN=hers")


@pytest.mark.parametrize(
    ("policy", "bound", "databases"),
    [
        (None, None, ("main",)),
        ("wide", None, ("main",)),
        ("narrow", None, ("staging",)),
        ("narrow", "staging", ("staging",)),
        ("narrow", "main", ()),
    ],
)
def test_a_policy_leaves_a_token_the_databases_that_it_names(
    world: World, policy: str | None, bound: str | None, databases: tuple[str, ...]
) -> None:
    world.add("secret", database=bound, policy=policy)
    principal = world.ask("Bearer secret")
    assert (principal.policy, principal.databases) == (policy, databases)


def test_a_policy_leaves_a_user_the_databases_that_it_names(world: World) -> None:
    for name, databases in (
        ("alice", ("private", "main", "staging", "team")),
        ("bob", ("staging", "team")),
    ):
        secret, _ = world.sessions.open(name)
        assert world.ask(f"Bearer {secret}").databases == databases


def test_a_credential_whose_policy_is_not_there_is_refused(world: World) -> None:
    world.add("secret", policy="gone")
    secret, _ = world.sessions.open("eve")
    for bearer in ("secret", secret):
        with pytest.raises(UnauthorizedError):
            world.ask(f"Bearer {bearer}")


def test_a_token_that_is_given_another_policy_ends(world: World) -> None:
    token = world.add("secret", policy="wide")
    world.edit(
        lambda known: dataclasses.replace(
            known,
            tokens=tuple(
                dataclasses.replace(
                    each, policy="narrow", entry={**each.entry, "policy": "narrow"}, text=None
                )
                for each in known.tokens
            ),
        )
    )
    assert world.ended == [(token.key, "token given another policy")]
    assert world.ask("Bearer secret").policy == "narrow"

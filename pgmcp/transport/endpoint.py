"""What is served over HTTP: the paths, who is let in, and each request's way to the dispatcher.

The rule: an anonymous caller learns nothing. Whatever is wrong with a request that brings no
credential, it is answered like one that was never going to be let in, and its body is hardly read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, Protocol

from pgmcp.auth.principal import Principal
from pgmcp.calls.call import Call, Keep
from pgmcp.errors import AuthError, HttpError, OverloadedError, PgmcpError, UnauthorizedError
from pgmcp.mcp.client import Client, Send
from pgmcp.mcp.dispatch import Answering
from pgmcp.mcp.feature import Context
from pgmcp.mcp.needs import database_needed
from pgmcp.net.addresses import address_key
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Message, Notification, Request
from pgmcp.transport import cors
from pgmcp.transport.caller_rules import CallerRules
from pgmcp.transport.head import Head
from pgmcp.transport.inflight import InFlight, Tracking
from pgmcp.transport.limits import BODY_BYTES
from pgmcp.transport.response import (
    ACCEPTED,
    UNAUTHORIZED,
    HttpResponse,
    of_error,
    refusal,
    retry_after,
)

MCP_PATH = "/mcp/v1"
HEALTH_PATH = "/health"
ANONYMOUS_BODY_BYTES = 64 * 1024
"""A login fits in this many times over."""
_BRIEF = frozenset(
    {
        *("initialize", "ping", "server/discover", "tools/list", "resources/list"),
        *("resources/templates/list", "prompts/list", "prompts/get"),
    }
)
"""The methods that ask no database and compute next to nothing: they need not wait for a turn."""
_ANONYMOUS_OWNER = "anonymous"


class Authenticator(Protocol):
    """Maps the credentials of an HTTP request to a principal."""

    def authenticate(
        self, authorization: Sequence[str], address: str, subject: str | None
    ) -> Principal | None:
        """The principal of a request with these Authorization values, or with a verified
        certificate of `subject`; None for an anonymous caller, whose body decides. AuthError
        for credentials that are not valid."""

    def anonymous(self, method: str, params: object, address: str) -> Principal:
        """The principal of an anonymous caller; UnauthorizedError unless anybody may ask this."""


class ClientInfo(NamedTuple):
    """Where a request came from: the client's address, behind trusted proxies where there are."""

    address: str


class Admission(NamedTuple):
    """A request whose body may be read, up to `body_bytes`. `principal` None: an anonymous one.

    `owner` is whose share of places and turns it takes from: for an anonymous caller the
    address. `memory_owner` is whose memory it takes: there anonymous callers are one owner, because
    they come from as many addresses as they like.
    """

    head: Head
    client: ClientInfo
    principal: Principal | None
    owner: str
    memory_owner: str
    body_bytes: int


@dataclass(slots=True)
class AdmittedRequest:
    """A request to answer. `tracking` is to be held from now to its answer.

    `brief`: it asks no database and computes next to nothing, so it need not wait for its turn.
    `send` takes messages that come before its answer, where the client can take them.
    """

    admission: Admission
    principal: Principal
    message: Request
    call: Call
    brief: bool
    tracking: Tracking
    send: Send | None = None


Page = Callable[[Head, str], HttpResponse]
"""A page to GET: from the head and the socket's other end to the answer."""
MakeContext = Callable[[Principal, Call, ClientInfo, Client], Context]
"""What a call runs in: who asks, the call, where from, and the client as the message has it."""


class Endpoint:
    """Answers requests: `open` with the head, `read` with the body, then `answer`. It does no I/O
    itself.

    `callers` says through which names, pages and proxies requests come. `health` is the body of
    /health, `pages` are what else there is to GET, by path.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        dispatcher: Answering,
        make_context: MakeContext,
        callers: CallerRules,
        *,
        inflight: InFlight,
        call_timeout_seconds: float,
        health: Mapping[str, str],
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._dispatcher = dispatcher
        self._make_context = make_context
        self.callers = callers
        self._inflight = inflight
        self._call_timeout_seconds = call_timeout_seconds
        self._health = HttpResponse(200, jsonrpc.encode(dict(health)))
        self._pages = dict(pages or {})

    def open(self, head: Head, peer: str, subject: str | None = None) -> Admission | HttpResponse:
        """Decide by the head alone: an answer, or leave to read the body. `peer` is the socket's
        other end, `subject` that of its verified certificate."""
        try:
            path = head.path
            if head.method == "OPTIONS" and self.callers.is_listed_page(head):
                self.callers.check(head)
                return cors.preflight(head.headers.get("access-control-request-headers", ""))
            if path == MCP_PATH:
                return self._admit(head, peer, subject)
            if path == HEALTH_PATH:
                _allow(head, "GET", "HEAD")
                return self._health
            if path in self._pages:
                _allow(head, "GET", "HEAD")
                return self._pages[path](head, peer)
            return refusal(404, f"not found: the MCP endpoint is {MCP_PATH}")
        except PgmcpError as error:
            return self.refuse(error, None)

    def check_again(self, request: AdmittedRequest, subject: str | None) -> None:
        """Look again at the credential of a request that had to wait; AuthError when it has ended
        meanwhile."""
        admission = request.admission
        if admission.principal is None:
            return
        address = admission.client.address
        principal = self._authenticator.authenticate(admission.head.authorization, address, subject)
        if principal is None or principal.key != request.principal.key:
            raise UnauthorizedError
        request.principal = principal

    def refuse(self, error: PgmcpError, admission: Admission | None) -> HttpResponse:
        """The answer for a deliberate error, rendered here and nowhere else.

        Raises `error` again when it is none that HTTP or JSON-RPC has words for: a defect.
        """
        if admission is not None and admission.principal is None and not _is_for_anonymous(error):
            return self._refuse_anonymous(admission.client.address)
        response = of_error(error)
        if response is None:
            try:
                raise error
            finally:
                # Its traceback holds this frame: as a local of it, it would be a cycle.
                del error
        return response

    def _admit(self, head: Head, peer: str, subject: str | None) -> Admission:
        self.callers.check(head)
        address = self.callers.client_address(head, peer)
        principal = self._authenticator.authenticate(head.authorization, address, subject)
        _allow(head, "POST")  # only now: who brings a token that is not valid is told that
        unfit = _unfit(head)
        if unfit is not None:
            if principal is None:
                self._turn_away(address)
            raise unfit
        client = ClientInfo(address)
        if principal is None:
            owner = f"anonymous:{address_key(address)}"
            return Admission(head, client, None, owner, _ANONYMOUS_OWNER, ANONYMOUS_BODY_BYTES)
        owner = principal.owner
        if principal.kind == "local":  # whoever reaches an open server is this one principal
            owner = f"{owner}@{address_key(address)}"
        return Admission(head, client, principal, owner, owner, BODY_BYTES)

    def read(
        self,
        admission: Admission,
        message: Message,
        request_id: str,
        keep: Keep | None = None,
    ) -> AdmittedRequest | HttpResponse:
        """What an admitted request asks, or the answer to one that asks nothing; PgmcpError.

        `keep` counts what its answer keeps in memory.
        """
        principal = admission.principal or self._anonymous(message, admission.client.address)
        # A token may be in use on several machines, each counting its requests from 1.
        scope = f"{principal.key}@{admission.client.address}"
        if not isinstance(message, Request):
            self._take_note(message, scope)
            return ACCEPTED
        database = database_needed(message, principal.databases)
        call = Call(
            self._call_timeout_seconds,
            request_id=request_id,
            owner=admission.owner,
            key=principal.key,
            pool=None if database is None else (principal.owner, database),
            expires_at=principal.expires_at,
            keep=keep,
        )
        tracking = self._inflight.track(scope, message.id, call)
        return AdmittedRequest(
            admission, principal, message, call, message.method in _BRIEF, tracking
        )

    def answer(self, request: AdmittedRequest) -> HttpResponse:
        """The answer to a request; PgmcpError."""
        message, headers = request.message, request.admission.head.headers
        client = Client(message.params, headers, request.send)
        context = self._make_context(
            request.principal, request.call, request.admission.client, client
        )
        answer = self._dispatcher.answer(message, context, headers)
        if answer.held is not None:
            return HttpResponse(answer.status, None, held=answer.held)
        if answer.body is None:
            return ACCEPTED
        data = jsonrpc.encode_long(answer.body)
        return HttpResponse(answer.status, data, retry_after(answer.retry_after_seconds))

    def _anonymous(self, message: Message, address: str) -> Principal:
        if not isinstance(message, Request):
            self._turn_away(address)
        return self._authenticator.anonymous(message.method, message.params, address)

    def _turn_away(self, address: str) -> NoReturn:
        """Refuse an anonymous caller whose request is no login; the authenticator notes it."""
        self._authenticator.anonymous("", None, address)
        raise UnauthorizedError

    def _refuse_anonymous(self, address: str) -> HttpResponse:
        try:
            self._turn_away(address)
        except AuthError as refused:
            return of_error(refused) or UNAUTHORIZED

    def _take_note(self, message: Message, scope: str) -> None:
        if isinstance(message, Notification) and message.method == "notifications/cancelled":
            request_id = message.params.get("requestId")
            if isinstance(request_id, str | int):
                self._inflight.cancel(scope, request_id, "the client cancelled the request")


def _allow(head: Head, *methods: str) -> None:
    if head.method not in methods:
        allowed = ", ".join(methods)
        raise HttpError(405, f"method not allowed: use {allowed}", (("Allow", allowed),))


def _unfit(head: Head) -> HttpError | None:
    """Why a request brings no message that can be read; old scripts do not name its type."""
    content_type = head.headers.get("content-type", "application/json")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return HttpError(415, "send the message as application/json")
    if head.headers.get("content-encoding", "identity").lower() != "identity":
        # RFC 9110, section 12.5.3: what would be accepted.
        return HttpError(
            415,
            "send the message without a Content-Encoding",
            (("Accept-Encoding", "identity"),),
        )
    return None


def _is_for_anonymous(error: PgmcpError) -> bool:
    """Whether an anonymous caller is told: it is not let in, or nobody is let in just now."""
    return isinstance(error, AuthError | OverloadedError)

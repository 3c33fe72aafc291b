"""Which names, pages and proxies a server takes requests through, whatever credential they bring.

The rule: what an operator has not listed may not call from a browser, and a name that was made to
point here is no name of this server.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pgmcp.errors import HttpError
from pgmcp.transport import cors, origin
from pgmcp.transport.head import Head
from pgmcp.transport.response import ResponseHeaders


class CallerRules:
    """Decides by the head of a request alone.

    `local`: the server listens on loopback only, where Host must name this machine or one of
    `allowed_hosts`; where these are given, Host must name one of them wherever the server listens.
    Pages of `allowed_origins` ("https://host[:port]") may call from a browser.
    `trusted` are the proxies whose X-Forwarded-For is believed.
    """

    def __init__(
        self,
        *,
        local: bool = False,
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
        trusted: Sequence[origin.Network] = (),
    ) -> None:
        self._local = local
        self._allowed_hosts = frozenset(allowed_hosts)
        self._last_host: str | None = None  # that was allowed: most requests say the same
        self._allowed_origins = frozenset(allowed_origins)
        self._trusted = trusted

    def client_address(self, head: Head, peer: str) -> str:
        """The address that limits and logs go by; `peer` is the socket's other end."""
        return origin.client_address(peer, head.headers.get("x-forwarded-for", ""), self._trusted)

    def is_listed_page(self, head: Head) -> bool:
        """Whether a page of a listed origin asks."""
        return head.headers.get("origin") in self._allowed_origins

    def cors_headers(self, head: Head) -> ResponseHeaders:
        """What each answer to this request says besides, for the browser of a page that may call;
        nothing for other callers."""
        return cors.allowing(head.headers["origin"]) if self.is_listed_page(head) else ()

    def check(self, head: Head) -> None:
        """Refuse pages of other sites, and names made to point here (2025-11-25 and 2026-07-28,
        Streamable HTTP, "Security"): HttpError."""
        sender = head.headers.get("origin")
        if sender is not None and not origin.origin_allowed(
            sender, head.host, allowed=self._allowed_origins, local=self._local
        ):
            raise HttpError(403, "pages of this origin may not call this server")
        # Of every peer, trusted proxies too: a browser on a proxy's machine has its address.
        if (self._local or self._allowed_hosts) and head.host != self._last_host:
            if not origin.host_allowed(head.host, self._allowed_hosts, local=self._local):
                raise HttpError(403, self._wrong_host())
            self._last_host = head.host

    def _wrong_host(self) -> str:
        if self._allowed_hosts:
            return "this server may not be called by the name in the Host field"
        return "this server listens on this machine only: call it as localhost"

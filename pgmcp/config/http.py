"""The section `http`: whether and where MCP is served over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pgmcp.config.auth import Auth
from pgmcp.config.key import key, section
from pgmcp.config.kinds import ADDRESS, BOOLEAN, HOST_NAMES, NETWORKS, ORIGINS, whole
from pgmcp.config.layers import Layer, Settings, fill
from pgmcp.config.tls import Tls
from pgmcp.config.values import Address

PREFIX = "http."
_LOOPBACK = "127.0.0.1:8080"
_EVERY_INTERFACE = ":8080"


@dataclass(frozen=True, slots=True)
class Http:
    """The HTTP side. `trusted_proxies` are networks in CIDR form; `allowed_hosts` are hosts, some
    with `:port`, as `authority.parse` spells them, and `allowed_origins` origins as browsers do."""

    enabled: bool = key(
        False,
        BOOLEAN,
        "Serve MCP over HTTP; without it, over standard input and output.",
        env="PGEDGE_HTTP_ENABLED",
        flag="http",
        restart=True,
    )
    address: Address = key(
        _LOOPBACK,
        ADDRESS,
        "Where to listen: host:port, or :port for every interface.",
        env="PGEDGE_HTTP_ADDRESS",
        flag="addr",
        default_note=f"`{_LOOPBACK}`; `{_EVERY_INTERFACE}` with TLS and authentication",
        restart=True,
    )
    trusted_proxies: tuple[str, ...] = key(
        (),
        NETWORKS,
        "Proxies, as addresses or networks, whose X-Forwarded-For header is believed.",
    )
    allowed_hosts: tuple[str, ...] = key(
        (),
        HOST_NAMES,
        "The names that clients may call the server by (the Host header); needed with "
        "http.trusted_proxies. Names of this machine are allowed where it listens on loopback.",
        env="PGEDGE_HTTP_ALLOWED_HOSTS",
    )
    allowed_origins: tuple[str, ...] = key(
        (),
        ORIGINS,
        "The origins whose pages may call from a browser and read the answers (CORS), such as "
        "https://app.example.com. Pages of the server's own origin need not be listed.",
        env="PGEDGE_HTTP_ALLOWED_ORIGINS",
    )
    max_connections: int = key(
        512,
        whole(16, 100_000),
        "The most clients that are connected at once. At the limit others make room for a new one: "
        "those that have not authenticated first, then those of the address (or IPv6 /64) that has "
        "the most.",
    )
    workers: int = key(
        1,
        whole(1, 64),
        "The processes that serve the port together, for more calls than one processor can answer. "
        "They share sessions, limits and the bounds on connections.",
        flag="workers",
        restart=True,
    )
    tls: Tls = section(Tls)
    auth: Auth = section(Auth)


def effective_address(settings: Settings) -> Settings:
    """The settings, with every interface where callers are asked who they are and tokens are
    encrypted on their way; else the default is this machine alone.

    An address that was given stays. Needs the settings of `http`, `http.auth` and `http.tls`.
    """
    address = settings["http.address"]
    if address.layer is not Layer.DEFAULT:
        return settings
    if not (settings["http.auth.enabled"].value and settings["http.tls.enabled"].value):
        return settings
    every = replace(
        address,
        value=ADDRESS.of_text(_EVERY_INTERFACE),
        source="default with TLS and authentication",
    )
    return {**settings, address.label: every}


def build(settings: Settings, tls: Tls, auth: Auth) -> Http:
    """The section's value. ConfigError for a proxy without names, and for idle flags."""
    http = fill(Http, settings, PREFIX, tls=tls, auth=auth)
    if http.enabled and http.trusted_proxies and not http.allowed_hosts:
        settings["http.trusted_proxies"].refuse(
            "http.allowed_hosts is missing: a browser on a proxy's machine has the proxy's address,"
            " so the names that clients call have to be known",
            "List the names that clients call the proxy by, such as\n"
            '  allowed_hosts: ["mcp.example.com"]\n'
            "beside it, or set PGEDGE_HTTP_ALLOWED_HOSTS=mcp.example.com.",
        )
    if not http.enabled:
        for path in ("http.address", "http.tls.enabled", "http.workers"):
            setting = settings[path]
            if setting.layer is Layer.FLAG and setting.value is not False:
                setting.refuse("it has no effect without the HTTP server", "Add -http.")
    return http

"""By which names a server may be called, so that no web page makes one up."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgmcp.auth.no_authentication import NoAuthentication
from pgmcp.auth.principal import local
from pgmcp.cli.http_findings import host_findings
from pgmcp.config import authority
from pgmcp.config.addresses import parse_host_name
from pgmcp.config.model import Config
from pgmcp.errors import ConfigError
from pgmcp.transport.origin import host_allowed, networks
from tests.configuration import configure
from tests.observing import run
from tests.program import NOWHERE, running, write_config
from tests.serving import Reader, post, rpc, serving, until

Load = Callable[..., Config]
ALLOWED = ("mcp.example.com", "other.example:8443", "192.0.2.1", "[2001:db8::1]", "plain:443")


@pytest.mark.parametrize(
    "host",
    [
        "mcp.example.com",
        "MCP.Example.COM",
        "mcp.example.com.",
        "mcp.example.com:8443",
        "mcp.example.com:",
        "mcp.example.com.:0080",
        "other.example:8443",
        "192.0.2.1:8080",
        "[2001:DB8:0:0::1]",
        "[2001:db8::1]:8443",
        "plain",
        "plain:443",
    ],
)
def test_hosts_of_the_list_may_be_called(host: str) -> None:
    assert host_allowed(host, ALLOWED, local=False)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "mcp.example.com.evil.example",
        "evil.example.mcp.example.com",
        "mcp.example.com..",
        "other.example",
        "other.example:84430",
        "plain:80",
        "user@mcp.example.com",
        "mcp.example.com:x",
        "mcp.example.com:443:443",
        "mcp.example.com, evil.example",
        "mcp.example.com/",
        "2001:db8::1",
        "[2001:db8::2]",
        "[192.0.2.1]",
        "localhost",
        "127.0.0.1",
        "mcp.example.com" + "x" * 300,
    ],
)
def test_others_may_not(host: str) -> None:
    assert not host_allowed(host, ALLOWED, local=False)


def test_the_names_of_this_machine_may_be_called_where_only_it_can_reach_the_server() -> None:
    for host in ("localhost", "LOCALHOST.:1", "127.0.0.1", "[::1]:8080", "a.localhost"):
        assert host_allowed(host, ALLOWED, local=True)
        assert not host_allowed(host, ALLOWED, local=False)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("MCP.Example.com.", "mcp.example.com"),
        ("mcp.example.com:08443", "mcp.example.com:8443"),
        ("::1", "[::1]"),
        ("[2001:0db8::1]:80", "[2001:db8::1]:80"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_host_is_kept_in_one_spelling(text: str, host: str) -> None:
    assert parse_host_name(text) == host
    assert host_allowed(host, [parse_host_name(text)], local=False)


@pytest.mark.parametrize(
    "text", ["", "*", "*.example.com", "https://a.example", "a/b", "bücher.example", "a b", "a:0"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_host_name(text)


def test_what_is_no_authority_is_none() -> None:
    for text in ("[::1", "[::g]", "[fe80::1%eth0]", ".", "é", "a\n", "a:123456"):
        assert authority.parse(text) is None


# -- the configuration -----------------------------------------------------------------------------

PROXIED = 'http: {enabled: true, trusted_proxies: ["127.0.0.1"]'


def test_origins_are_written_as_browsers_send_them() -> None:
    listed = '["https://App.example:443", "http://a.example:80", "https://a.example:8443",'
    config = configure(
        f'http: {{allowed_origins: {listed} "http://[::1]:3000", "vscode-webview://x"]}}'
    )
    assert config.http.allowed_origins == (
        "https://app.example",
        "http://a.example",
        "https://a.example:8443",
        "http://[::1]:3000",
        "vscode-webview://x",
    )
    given = configure(
        "", environ={"PGEDGE_HTTP_ALLOWED_ORIGINS": "https://a.example, https://b.example"}
    )
    assert given.http.allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    "text",
    ["*", "null", "a.example", "https://", "https://a.example/", "https://*.a.example", "//a"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"http\.allowed_origins is "):
        configure(f'http: {{allowed_origins: ["{text}"]}}')


def test_a_trusted_proxy_needs_the_names_that_clients_call() -> None:
    with pytest.raises(ConfigError) as caught:
        configure(PROXIED + "}")
    assert "http.trusted_proxies: http.allowed_hosts is missing" in caught.value.message
    assert 'allowed_hosts: ["mcp.example.com"]' in caught.value.hint
    config = configure(PROXIED + ', allowed_hosts: ["MCP.example.com", "::1"]}')
    assert config.http.allowed_hosts == ("mcp.example.com", "[::1]")
    given = configure(
        PROXIED + "}", environ={"PGEDGE_HTTP_ALLOWED_HOSTS": "a.example, b.example:8443"}
    )
    assert given.http.allowed_hosts == ("a.example", "b.example:8443")
    assert configure(PROXIED.replace("true", "false") + "}").http.allowed_hosts == ()
    with pytest.raises(ConfigError, match=r"http\.allowed_hosts is .*URL: write its host alone"):
        configure(PROXIED + ', allowed_hosts: ["x/y"]}')


def test_check_names_the_hosts_and_the_lack_of_them(tmp_path: Path) -> None:
    config = configure(PROXIED + ', address: "127.0.0.1:1", allowed_hosts: [a.example]}')
    (said,) = host_findings(config.http)
    assert (said.status, said.message) == ("ok", "a.example and this machine's own names")
    for address, status in ((":1", ["warning"]), ("127.0.0.1:1", [])):
        opened = configure(
            f'http: {{enabled: true, address: "{address}", auth: {{enabled: false}}}}'
        )
        assert [finding.status for finding in host_findings(opened.http)] == status
    file = write_config(tmp_path, NOWHERE)
    _set(file, trusted_proxies=["127.0.0.1"])
    done = run(file, "-check", "-http")
    assert done.returncode == 1
    assert "http.allowed_hosts is missing" in done.stderr


# -- the server ------------------------------------------------------------------------------------


def _set(config: Path, **http: Any) -> None:
    settings = json.loads(config.read_text())
    settings["http"] |= http
    config.write_text(json.dumps(settings))


def called(host: str, version: str = "1.1") -> bytes:
    request = post(rpc(), "X-Forwarded-For: 192.0.2.9", token=None)
    return request.replace(b"Host: 127.0.0.1", host.encode()).replace(
        b"1.1\r", f"{version}\r".encode()
    )


@pytest.mark.parametrize(
    ("host", "version", "status"),
    [
        ("Host: mcp.example.com", "1.1", 200),
        ("Host: localhost", "1.1", 200),
        ("Host: evil.example", "1.1", 403),
        ("X: y", "1.1", 400),
        ("X: y", "1.0", 403),
        ("Host: mcp.example.com", "1.0", 200),
        ("Host: mcp.example.com\r\nHost: evil.example", "1.1", 400),
        ("Host:", "1.1", 403),
    ],
)
def test_a_trusted_proxys_machine_is_held_to_the_list(host: str, version: str, status: int) -> None:
    authenticator = NoAuthentication(local(("main",)))
    trusted = networks(["127.0.0.1"])
    with serving(
        authenticator=authenticator, local=True, trusted=trusted, allowed_hosts=ALLOWED
    ) as served:
        with served.connect() as sock:
            sock.sendall(called(host, version))
            assert Reader(sock).reply().status == status
        assert len(served.clients) == (status == 200)


def test_a_host_that_was_allowed_lets_no_other_in() -> None:
    with serving(authenticator=NoAuthentication(local(("main",))), allowed_hosts=ALLOWED) as served:
        for name, status in (("mcp.example.com", 200), ("evil.example", 403)) * 2:
            with served.connect() as sock:
                sock.sendall(called(f"Host: {name}"))
                assert Reader(sock).reply().status == status


def test_the_targets_authority_outranks_the_field() -> None:
    with serving(authenticator=NoAuthentication(local(("main",))), allowed_hosts=ALLOWED) as served:
        for target, status in (("http://evil.example", 403), ("http://mcp.example.com", 200)):
            request = called("Host: mcp.example.com" if status == 403 else "Host: evil.example")
            with served.connect() as sock:
                sock.sendall(request.replace(b"POST /", f"POST {target}/".encode()))
                assert Reader(sock).reply().status == status


def test_a_rebound_page_is_refused_behind_a_trusted_proxy_without_authentication(
    tmp_path: Path,
) -> None:
    with running(tmp_path, flags=("-no-auth",)) as program:
        _set(program.config, trusted_proxies=["127.0.0.1"])
        program.process.send_signal(signal.SIGHUP)
        until(lambda: "http.allowed_hosts is missing" in program.log.read_text())
        _set(program.config, allowed_hosts=["mcp.example.com"])
        program.process.send_signal(signal.SIGHUP)
        until(lambda: "Configuration reloaded" in program.log.read_text())
        rebound = called("Host: evil.example").replace(b"echo", b"ping")
        assert program.ask(rebound).status == 403
        named = called("Host: mcp.example.com").replace(b"echo", b"ping")
        assert program.ask(named).status == 200
        page = named.replace(b"\r\n", b"\r\nOrigin: https://app.example\r\n", 1)
        assert program.ask(page).status == 403
        _set(program.config, allowed_origins=["https://app.example"])
        program.process.send_signal(signal.SIGHUP)
        until(lambda: program.log.read_text().count("Configuration reloaded") == 2)
        allowed = program.ask(page)
        assert allowed.status == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"

"""Which pages may call, and which address counts."""

from __future__ import annotations

import pytest

from pgmcp.transport.origin import (
    client_address,
    host_is_local,
    is_loopback,
    networks,
    origin_allowed,
)

TRUSTED = networks(["10.0.0.0/8", "::1", "2001:db8::/32"])


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "a.localhost"]
)
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example"])
def test_what_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("authority", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"])
def test_hosts_that_name_this_machine(authority: str) -> None:
    assert host_is_local(authority)


@pytest.mark.parametrize(
    "authority",
    [
        "",
        "evil.example",
        "localhost.evil.example:80",
        "user@localhost",
        "localhost:x",
        "::1",
        "127.0.0.1.evil.example",
        "localhost:80:80",
        "localhost, evil.example",
    ],
)
def test_hosts_that_do_not(authority: str) -> None:
    assert not host_is_local(authority)


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        ("http://db.example", "db.example"),
        ("http://db.example:80", "db.example"),
        ("https://DB.example", "db.example:443"),
        ("http://db.example:8080", "db.example:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("https://app.example", "db.example"),
    ],
)
def test_a_page_of_the_same_host_or_of_the_list_may_call(origin: str, authority: str) -> None:
    assert origin_allowed(origin, authority, allowed=("https://app.example",))


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://db.example:81",
        "file://db.example",
        "db.example",
        "http://user@db.example",
        "http://db.example:x",
        "http://[",
        "http://localhost",
    ],
)
def test_a_page_of_another_origin_may_not(origin: str) -> None:
    assert not origin_allowed(origin, "db.example")


def test_pages_of_this_machine_may_call_a_server_of_this_machine() -> None:
    assert origin_allowed("http://localhost:6274", "127.0.0.1:8080", local=True)
    assert not origin_allowed("http://evil.example", "127.0.0.1:8080", local=True)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "1.1.1.1", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.2.2.2", "1.1.1.1"),
        ("10.0.0.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ("10.0.0.1", "1.1.1.1, nonsense, 10.2.2.2", "10.2.2.2"),
        ("10.0.0.1", "1.1.1.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", ", ,", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1:5555", "1.1.1.1"),
        ("::1", "[2001:4860::8]:99", "2001:4860::8"),
        ("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("::ffff:192.0.2.1", "1.1.1.1", "192.0.2.1"),
        ("10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("", "1.1.1.1", ""),
    ],
)
def test_the_address_is_the_rightmost_that_is_no_trusted_proxy(
    peer: str, forwarded: str, expected: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == expected


def test_without_trusted_proxies_nothing_is_believed() -> None:
    assert client_address("10.0.0.1", "1.1.1.1", ()) == "10.0.0.1"

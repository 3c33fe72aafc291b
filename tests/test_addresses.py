"""Which addresses are counted as one."""

from __future__ import annotations

import pytest

from pgmcp.net.addresses import address_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
        ("", ""),
        ("1" * 100_000, "1" * 100_000),
    ],
)
def test_ipv6_counts_per_64_and_ipv4_alone(address: str, key: str) -> None:
    assert address_key(address) == key


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:192.0.2.7",
        "::ffff:0:192.0.2.7",
        "64:ff9b::192.0.2.7",
        "64:ff9b:1::192.0.2.7",
        "64:ff9b:1:abcd:12:34:192.0.2.7",
        "2002:c000:207::1",
        "2002:c000:207:ffff:1:2:3:4",
        "2001:0:cb00:7101:0:ffff:3fff:fdf8",
    ],
)
def test_an_ipv4_address_inside_is_what_counts(address: str) -> None:
    assert address_key(address) == "192.0.2.7"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("64:ff9b:1:c000:2:700::", "64:ff9b:1:c000::/64"),
        ("64:ff9b:2::192.0.2.7", "64:ff9b:2::/64"),
        ("64:ff9b::1:192.0.2.7", "64:ff9b::/64"),
    ],
)
def test_where_no_ipv4_address_can_be_told_the_network_counts(address: str, key: str) -> None:
    assert address_key(address) == key

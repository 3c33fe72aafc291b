"""pgmcp.address_key: which addresses are counted as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.address_key import address_key


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("64:ff9b::c000:208", "192.0.2.8"),
        ("64:ff9b:1::192.0.2.7", "64:ff9b:1::c000:207"),
        ("2002:c000:207:1::5", "192.0.2.7"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdf8", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2::1", "2001:db8:1:2::/64"),
        ("64:ff9a::1", "64:ff9a::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_ipv6_counts_per_64_and_ipv4_alone_however_it_is_written(
    address: str, counted: str
) -> None:
    assert address_key(address) == counted


@given(st.ip_addresses(v=4))
def test_translated_clients_are_counted_one_by_one(address: object) -> None:
    keys = {address_key(f"{prefix}{address}") for prefix in ("", "::ffff:", "64:ff9b::")}
    assert keys == {str(address)}

"""What each kind of value accepts and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from pgmcp.config import addresses, durations
from pgmcp.config.kinds import BOOLEAN, DURATION, NETWORKS, PORTS, SECRET, TEXT, Kind, whole
from pgmcp.config.layers import show
from pgmcp.config.values import Address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("30s", 30),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("1.5s", 1.5),
        ("45", 45),
        (" 5s ", 5),
        ("24h", 86400),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5s", "5x", "5 m", "1m1h", "1m1m", "s", "1e3", "nan", "600h", "1.2.3s"]
)
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        durations.parse(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", Address("", 8080)),
        ("localhost:8080", Address("localhost", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[::]:1", Address("::", 1)),
    ],
)
def test_listen_addresses(text: str, address: Address) -> None:
    assert addresses.parse_listen(text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8080", "no port"),
        ("localhost", "no port"),
        ("[::1]", "no port"),
        ("::1:8080", "brackets"),
        ("[nothing]:1", "IPv6"),
        (":65536", "65535"),
        (":-1", "not a port"),
        (":http", "not a port"),
        (":٣", "not a port"),
        ("a b:1", "not a host"),
        ("*:80", "not a host"),
        ("http://localhost:8080", "URL"),
    ],
)
def test_a_bad_listen_address_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        addresses.parse_listen(text)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("db", ("db",)),
        ("a, b,10.0.0.1", ("a", "b", "10.0.0.1")),
        ("/var/run/postgresql", ("/var/run/postgresql",)),
        ("::1,[fe80::2]", ("::1", "fe80::2")),
    ],
)
def test_database_hosts(text: str, hosts: tuple[str, ...]) -> None:
    assert addresses.parse_hosts(text) == hosts


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a,,b", "empty"), ("db:5432", "port"), ("postgres://u:p@h/d", "URL"), ("a b", "not a host")],
)
def test_a_bad_database_host_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        addresses.parse_hosts(text)


def test_an_empty_port_in_a_list_is_5432() -> None:
    assert addresses.parse_ports("6000,") == (6000, 5432)


@pytest.mark.parametrize("value", [0, 65536, True, 5432.0, None, [5432]])
def test_a_port_in_yaml_is_a_number_in_range(value: object) -> None:
    with pytest.raises(ValueError, match="port"):
        PORTS.of_yaml(value)


def test_networks_come_out_in_cidr_form() -> None:
    assert NETWORKS.of_yaml(["10.0.0.1", "192.0.2.0/24", "2001:db8::/32"]) == (
        "10.0.0.1/32",
        "192.0.2.0/24",
        "2001:db8::/32",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [("10.0.0.1/8", "bits set"), ("proxy", "not an IP"), ("10.0.0.1/99", "not an IP")],
)
def test_a_bad_network_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        addresses.parse_network(text)


def test_an_ipv6_host_name_needs_no_brackets() -> None:
    assert addresses.parse_host_name("::1") == addresses.parse_host_name("[::1]") == "[::1]"
    assert addresses.parse_host_name("a.example:8443") == "a.example:8443"


@pytest.mark.parametrize("value", ["10.0.0.1", [10], ["10.0.0.1/8"], ["proxy"]])
def test_bad_networks_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        NETWORKS.of_yaml(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (BOOLEAN, "true"),
        (BOOLEAN, 1),
        (whole(0, 9), "5"),
        (whole(0, 9), True),
        (whole(0, 9), 10),
        (whole(0, 9), 5.0),
        (TEXT, 5),
        (TEXT, "a\nb"),
        (SECRET, 12345),
        (SECRET, "a\0b"),
        (DURATION, True),
        (DURATION, []),
        (DURATION, float("nan")),
        (DURATION, 10**400),
        (DURATION, 0),
    ],
)
def test_yaml_values_of_another_type_are_refused(kind: Kind, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        kind.of_yaml(value)


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "yes", "on"])
def test_words_for_true(word: str) -> None:
    assert BOOLEAN.of_text(word) is True


@pytest.mark.parametrize("word", ["false", "0", "no", "Off"])
def test_words_for_false(word: str) -> None:
    assert BOOLEAN.of_text(word) is False


@pytest.mark.parametrize("text", ["1.5", "", "٣", "9" * 5000, "--5", "0x10"])
def test_text_that_is_not_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        whole(0, 9).of_text(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", "'x'"),
        ("x" * 100, "'" + "x" * 56 + "..."),
        ("postgres://u:secret@h", "not shown, for it may hold a password"),
        pytest.param(16**5000, "a number too large to show", id="huge"),
    ],
)
def test_values_are_shown_shortly_and_never_with_a_password(value: Any, shown: str) -> None:
    assert show(value) == shown

"""Which addresses a webhook may have."""

import pytest

from gateway.core.addresses import is_address, is_loopback, is_public, names_loopback

PRIVATE = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1.1.1.1",
    "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "100::1",
    "", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4.5", "billing.example.com",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", PRIVATE)
def test_private(text: str) -> None:
    """Special addresses are not public, also where IPv6 hides them; a name is no address."""
    assert not is_public(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """All others are."""
    assert is_public(text)


def test_only_what_is_written_as_this_machine_names_it() -> None:
    """Odd notations and names under somebody's domain do not."""
    assert [names_loopback(host) for host in ("localhost", "127.0.0.1", "127.3.2.1", "::1")] == [True] * 4
    assert not any(map(names_loopback, ("127.1", "2130706433", "localhost.example.com", "10.0.0.1", "")))
    assert not is_loopback("10.0.0.1")
    assert (is_address("::1"), is_address("localhost")) == (True, False)

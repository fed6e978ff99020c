"""Which addresses of the network are everybody's, and which are this machine's or its neighbours'."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

# What an address of IPv6 may hide: the IPv4 address in its last bits is the one that is reached.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_UNICAST: Final = IPv6Network("2000::/3")


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet (IANA's registries of special addresses).

    False for all else: private, loopback, link-local, shared, multicast, reserved, tunnels to any of them, and what is
    no address.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        hidden = _hidden(address)
        if hidden is None:
            return address in _UNICAST and address.is_global
        address = hidden
    return address.is_global and not address.is_multicast


def _hidden(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    tunnel = address.teredo
    return address.ipv4_mapped or address.sixtofour or (tunnel[1] if tunnel else None)


def is_loopback(text: str) -> bool:
    """Whether an address is of this machine alone, and says so: ``::ffff:127.0.0.1`` hides it."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    is_hidden = isinstance(address, IPv6Address) and address.ipv4_mapped is not None  # Python 3.13 looks through it
    return address.is_loopback and not is_hidden


def names_loopback(host: str) -> bool:
    """Whether a URL's host says by itself that it is this machine, whatever a name server says."""
    return host == "localhost" or is_loopback(host)


def is_address(host: str) -> bool:
    """Whether a URL's host is an address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

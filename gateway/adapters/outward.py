"""Connections to hosts that others name: only to addresses that may be reached, and no name holds up another.

The check is made where a socket is made, on the very address that it will be connected to. So a name that is looked up
twice with two answers (rebinding), an address in an odd notation and one that hides in IPv6 are all seen there.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.adapters.daemon import in_daemon
from gateway.core.addresses import is_loopback, is_public

LOOKUPS_AT_ONCE: Final = 64
# Answers are short. What floods the gateway instead is held back in its network: 10,000 times "100 Continue" in one
# read are 0.1 s of work (measured), in which no call gets its verdict.
MOST_UNREAD_BYTES: Final = 8_192
_REMEDY: Final = "is private: set allow_private in [webhook] of gateway.toml if it is meant"


class PrivateAddressError(OSError):
    """The address may not be reached."""


def connector(admits: Callable[[str], bool], *, limit: int) -> aiohttp.TCPConnector:
    """A pool of connections to the addresses that ``admits``; no connection is made to any other."""

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, peer = info
        if not admits(peer[0]):
            raise PrivateAddressError(errno.EACCES, f"{peer[0]} {_REMEDY}")
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_UNREAD_BYTES)
        return made

    return aiohttp.TCPConnector(limit=limit, resolver=Resolver(), socket_factory=make_socket)


def admits(*, allow_private: bool, is_own: bool) -> Callable[[str], bool]:
    """Which addresses a webhook may have; ``is_own``: its URL says that it is on this machine."""
    if is_own:
        return is_loopback
    return (lambda _: True) if allow_private else is_public


class Resolver(AbstractResolver):
    """Looks names up in threads of its own.

    The event loop's are few (uvloop has 4), and a name whose servers are silent keeps one for up to half a minute.
    These are daemons: none of them holds up the end of the process.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of a name. Raises OSError."""
        async with self._slots:
            found = await in_daemon(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=str(peer[0]), port=port, family=kind, proto=protocol, flags=numeric)
            for kind, _, protocol, _, peer in found
        ]

    async def close(self) -> None:
        """Nothing to do: threads end by themselves."""

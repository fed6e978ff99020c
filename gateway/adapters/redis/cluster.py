"""What a Redis Cluster is made of, as a client sees it: addresses, slots, and the key that decides. Pure.

A URL may name several hosts, ``redis://user:word@a:7000,b:7000/0``: any one of them that answers tells of the
others. Each key belongs to one of 16,384 slots by its hash tag, and each slot to one primary.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.sentinel import SCHEMES

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS
Address = tuple[str, int]  # host and port; of a unix socket, its path and 0

_PORT: Final = 6379
_OF_HOSTS: Final = re.compile(r"(rediss?://(?:[^/?#]*@)?)([^/?#]*)(.*)")
# Commands without a key, of those that have any business here: any primary may answer them.
_KEYLESS: Final = frozenset(
    ("ACL", "CLIENT", "CLUSTER", "CONFIG", "ECHO", "FUNCTION", "INFO", "PING", "PUBLISH", "TIME", "WAIT", "WAITAOF")
)
_COUNTED: Final = frozenset(("FCALL", "FCALL_RO", "EVAL", "EVALSHA"))  # name, number of keys, keys
_NESTED: Final = frozenset(("MEMORY", "OBJECT", "XGROUP", "XINFO"))  # subcommand, key


@dataclass(frozen=True, slots=True)
class Range:
    """Slots from ``first`` to ``last``, and who has them."""

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...]


def seeds(url: str) -> list[str]:
    """Split a URL of several hosts into one URL each."""
    parts = _OF_HOSTS.fullmatch(url)
    return [f"{parts[1]}{host}{parts[3]}" for host in parts[2].split(",")] if parts else [url]


def address_of(url: str) -> Address:
    """Say where a URL of one host leads. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path, 0
    if parts.scheme in SCHEMES:  # of several hosts; who is behind them is looked up at each connect
        return parts.netloc.rpartition("@")[2], 0
    return parts.hostname or "localhost", parts.port or _PORT


def url_of(address: Address, seed: str) -> str:
    """Return the URL of a node; user, password, database and options are those of the seed."""
    host, port = address
    parts = urlsplit(seed)
    user, at, _ = parts.netloc.rpartition("@")
    netloc = f"{user}{at}[{host}]:{port}" if ":" in host else f"{user}{at}{host}:{port}"
    if parts.scheme == "unix":  # its path was the socket's
        parts = parts._replace(scheme="redis", path="")
    return urlunsplit(parts._replace(netloc=netloc))


@lru_cache(maxsize=8192)
def slot_of(key: Word) -> int:
    """Return the slot of a key. The first key of a step is always its tenant's account, so the cache hits."""
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def first_key(command: Sequence[Word]) -> Word | None:
    """Return the key that decides where a command goes; None where any primary will do."""
    name = command[0]
    if name in _COUNTED:
        return command[3] if int(command[2]) > 0 else None
    if name in _KEYLESS or len(command) == 1:
        return None
    return command[2] if name in _NESTED else command[1]


def read_slots(reply: Any, asked: Address) -> list[Range]:
    """Read the reply to CLUSTER SLOTS of the node that was asked. Raises ValueError when it makes no sense."""
    try:
        return [_read_range(row, asked) for row in reply]
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError("slots that cannot be read") from error


def _read_range(row: Any, asked: Address) -> Range:
    first, last, *nodes = row
    if not 0 <= first <= last < SLOTS:
        raise ValueError(f"slots {first} to {last}")
    (primary, *replicas) = _addresses(nodes, asked)
    return Range(first, last, primary, tuple(replicas))


def _addresses(nodes: Sequence[Any], asked: Address) -> Iterator[Address]:
    for host, port, *_ in nodes:
        yield known(host.decode() if host else "", asked), int(port)


def known(host: str, asked: Address) -> str:
    """Return the host; a node that does not know its own name has the one by which it was asked."""
    return asked[0] if host in {"", "?"} else host


def shown(name: str) -> str:
    """Return an address, or a URL without what may be a password in it."""
    parts = urlsplit(name) if "://" in name else None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts else name

"""Who has which slots: the first node that tells it, of those that are known."""

import asyncio
from collections.abc import Sequence
from typing import Final

from redis.exceptions import ResponseError

from gateway.adapters import tasks
from gateway.adapters.redis import cluster
from gateway.adapters.redis.cluster import Range
from gateway.adapters.redis.pipe import Pipe
from gateway.ports import LedgerUnavailable

_STAGGER_SECONDS: Final = 0.1  # a node that is silent holds a look up for so long, not for its whole time-out


class NoClusterError(Exception):
    """The server is one of its own, or its user may not ask for the slots, or what it tells makes no sense."""


async def look(urls: Sequence[str], timeout_seconds: float) -> list[Range]:
    """Return what the first node tells that tells anything; each is asked on a connection of its own.

    Raises LedgerUnavailable or NoClusterError: what the last one to fail said.
    """
    why: BaseException | None = None
    rest = iter(urls)
    asked: set[asyncio.Task[list[Range]]] = set()
    try:
        while (url := next(rest, None)) is not None or asked:
            if url is not None:
                asked.add(asyncio.create_task(_ask(url, timeout_seconds)))
            patience = None if url is None else _STAGGER_SECONDS
            done, asked = await asyncio.wait(asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                why = task.exception()
                if why is None:
                    return task.result()
    finally:
        await tasks.end(*asked)
    assert why is not None, "there is a URL to ask"
    raise why


async def _ask(url: str, timeout_seconds: float) -> list[Range]:
    pipe = Pipe(url, timeout_seconds=timeout_seconds)
    address = cluster.address_of(url)
    try:
        ranges = cluster.read_slots(await pipe.call("CLUSTER", "SLOTS"), address)
    except (ResponseError, ValueError) as error:
        raise NoClusterError(
            f"{address[0]}:{address[1]} is no node of a cluster (it said: {error}); name one server, or nodes of one."
        ) from error
    finally:
        await pipe.close()
    if not ranges:
        raise LedgerUnavailable(f"{address[0]}:{address[1]} is in cluster mode and knows of no slots.")
    return ranges

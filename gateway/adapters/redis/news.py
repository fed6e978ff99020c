"""What the ledger tells of its own accord: of a tenant's money, of leases, of calls that their owner may not know.

Messages may be lost, but not unheard: a new connection says so, and then all are looked at. A final call asks once more
by itself, a call that ran short only gets less, and leases are looked at several times a second.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.adapters.redis import sentinel
from gateway.adapters.redis.leases import LEASES_CHANNEL
from gateway.adapters.redis.wire import is_call_id, is_tenant
from gateway.ports import CallKey, CallRegistered, CreditRanShort, FundsCame, LeaseGiven

TOPUPS_CHANNEL: Final = "callgate:topups"
SHORT_CHANNEL: Final = "callgate:short"
REGISTERED_CHANNEL: Final = "callgate:registered"
_CHANNELS: Final = (TOPUPS_CHANNEL, SHORT_CHANNEL, REGISTERED_CHANNEL, LEASES_CHANNEL)
News = FundsCame | CreditRanShort | CallRegistered | LeaseGiven

_QUIET_SECONDS: Final = 10.0
_SHORT: Final = re.compile(r"(\S+) (\S+) ([0-9]{1,16}) ([0-9]{1,16})")  # tenant, call, share, end


async def follow(urls: Callable[[], Sequence[str]]) -> AsyncGenerator[News, None]:
    """Yield the news of all tenants, from all gateways, without end.

    ``urls``: the servers that are there now; any of a cluster's will do, they tell each other what is published.
    Yields ``FundsCame("")`` after every (re)connect: what happened before is not known, look at all tenants and calls.
    """
    pause_seconds = 0.0
    for turn in itertools.count():
        known = urls()
        try:
            async with contextlib.aclosing(_listen(known[turn % len(known)], urls)) as heard:
                async for news in heard:
                    pause_seconds = 0.0
                    yield news
        except (RedisError, OSError, TimeoutError):
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(1.0, max(0.02, pause_seconds * 2))


async def _listen(url: str, urls: Callable[[], Sequence[str]]) -> AsyncGenerator[News, None]:
    no_retry = Retry(NoBackoff(), 0)  # a silent reconnect would hide that messages may be lost
    async with (
        Redis.from_url(
            await sentinel.current_url(url), protocol=2, retry=no_retry, socket_timeout=_QUIET_SECONDS
        ) as client,
        client.pubsub() as subscription,
    ):
        await subscription.subscribe(*_CHANNELS)
        was_pinged = False
        while True:
            message = await subscription.get_message(timeout=_QUIET_SECONDS)
            if message is None and was_pinged:
                raise ConnectionError("the server fell silent")
            if message is None and url not in urls():
                raise ConnectionError("the server left the cluster, and hears of nothing")
            was_pinged = message is None
            if message is None:
                await subscription.ping()
            elif message["type"] == "subscribe":
                if message["data"] == len(_CHANNELS):  # each is confirmed by itself
                    yield FundsCame("")
            elif message["type"] == "message":
                news = _read(message["channel"], message["data"].decode(errors="replace"))
                if news is not None:
                    yield news


def _read(channel: bytes, text: str) -> News | None:
    """Read a message; None for one that makes no sense: anybody may publish."""
    if channel == TOPUPS_CHANNEL.encode():
        return FundsCame(text) if is_tenant(text) else None
    if channel == LEASES_CHANNEL.encode():
        return LeaseGiven()
    if channel == REGISTERED_CHANNEL.encode():
        tenant, _, call_id = text.partition(" ")
        return CallRegistered(CallKey(tenant, call_id)) if is_tenant(tenant) and is_call_id(call_id) else None
    words = _SHORT.fullmatch(text)
    if words is None or not is_tenant(words[1]):
        return None
    return CreditRanShort(words[1], words[2], int(words[3]), int(words[4]))

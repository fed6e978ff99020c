"""What the steps of a call make the real server do: commands that their functions run, and bytes both ways.

Python's part is counted elsewhere (``parts``); Lua's instructions cannot be, but what a function reads and writes is.
"""

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.pipe import Word
from gateway.core.asking import begin
from gateway.core.call import Call
from gateway.core.effects import Extend, Reserve
from gateway.core.events import QuotaLow
from gateway.core.lifecycle import advance
from gateway.ports import AccountTerms, CallKey
from gateway.service import memo
from rating import Ladder
from tests.unit.core import build

AT_ONCE: Final = 250
CREDIT_MICROS: Final = 5_000_000_000
SECOND_MICROS: Final = 10_000
_SECTIONS: Final = ("INFO", "stats", "commandstats")
_OWN: Final = frozenset({"info", "fcall", "ping"})
_CALLS: Final = re.compile(r"^cmdstat_([^:]+):calls=(\d+)", re.MULTILINE)
_numbers = count(1)


@dataclass(frozen=True)
class Cost:
    """Of one step."""

    commands: dict[str, int]
    bytes_in: int
    bytes_out: int


class Heard(RedisLedger):
    """Keeps the last reply of each function, as it came."""

    def __init__(self, url: str) -> None:
        super().__init__(url, sync=False)
        self.replies: dict[str, str] = {}

    def _function(self, name: str, keys: Sequence[str], *words: Word, read: Any = None) -> asyncio.Future[Any]:
        def note(reply: bytes) -> Any:
            self.replies[name] = reply.decode()
            return reply if read is None else read(reply)

        return super()._function(name, keys, *words, read=note)


class Account:
    """A tenant with money, and its calls, as the core has them."""

    def __init__(self, ledger: RedisLedger, tenant: str) -> None:
        self.ledger = ledger
        self.tenant = tenant

    async def open(self, micros: int) -> None:
        """With so much on it."""
        await self.ledger.open_account(AccountTerms(self.tenant, "USD"))
        if micros:
            await self.ledger.top_up(self.tenant, "first", micros, "USD", "test")

    def key(self) -> CallKey:
        """Of a new call; all are of one length."""
        number = next(_numbers)
        return CallKey(self.tenant, f"pbx1/1795364079.{number:06d}/{728830125415000000 + number}")

    def reserve(self, key: CallKey) -> Awaitable[object]:
        """As a gateway does."""
        call = _call()
        (step,) = begin(call)
        assert isinstance(step, Reserve)
        meta, offer = memo.write(call.terms), step.ladder
        return self.ledger.reserve(key, offer, step.validity_ms, meta, fair=step.is_fair, curbs=step.curbs)

    def answer(self, key: CallKey) -> Awaitable[object]:
        """Likewise."""
        return self.ledger.answer(key, "1795364079.000002", build.ASKED_AT_MS + 5_000, 90_000)

    def extend(self, key: CallKey) -> Awaitable[object]:
        """Likewise, five seconds before the end of the first quantum."""
        call = build.answered_call(60, tariff_row=_ROW)
        (step,) = advance(call, QuotaLow(call.cap_at_ms - call.lead_ms))
        assert isinstance(step, Extend)
        return self.ledger.extend(
            key, step.step, step.committed_micros, step.ladder, step.validity_ms, fair=step.is_fair, curbs=step.curbs
        )

    def settle(self, key: CallKey, step: int = 2, seconds: int = 57) -> Awaitable[object]:
        """Likewise."""
        return self.ledger.settle(key, step, seconds * SECOND_MICROS, seconds, is_estimate=False)

    def release(self, key: CallKey) -> Awaitable[object]:
        """Likewise."""
        return self.ledger.release(key)

    async def fill(self, closed: int, live: int) -> None:
        """Have had so many calls, and have so many."""
        for _ in range(0, closed, AT_ONCE):
            keys = [self.key() for _ in range(AT_ONCE)]
            await asyncio.gather(*(self.ledger.reserve(key, _ONE_RUNG, 90_000, "{}") for key in keys))
            await asyncio.gather(*map(self.answer, keys))
            await asyncio.gather(*(self.settle(key, 1, 1) for key in keys))
        for _ in range(0, live, AT_ONCE):
            keys = [self.key() for _ in range(AT_ONCE)]
            await asyncio.gather(*map(self.reserve, keys))
            await asyncio.gather(*map(self.answer, keys))


_ROW: Final = build.rate(initial=1, increment=1)
_ONE_RUNG: Final = Ladder(0, ((1, SECOND_MICROS),))


def _call() -> Call:
    return build.call(_ROW)


async def costs(account: Account) -> dict[str, Cost]:
    """Of each step of a call, and of the release of another one."""
    talked, given_up = account.key(), account.key()
    steps: list[tuple[str, Callable[[CallKey], Awaitable[object]], CallKey]] = [
        ("reserve", account.reserve, talked),
        ("answer", account.answer, talked),
        ("extend", account.extend, talked),
        ("settle", account.settle, talked),
    ]
    found = {name: await _cost(account.ledger, partial(act, key)) for name, act, key in steps}
    await account.reserve(given_up)
    return found | {"release": await _cost(account.ledger, partial(account.release, given_up))}


async def _cost(ledger: RedisLedger, step: Callable[[], Awaitable[object]]) -> Cost:
    before = await ledger.pipe.call(*_SECTIONS)
    await step()
    after = await ledger.pipe.call(*_SECTIONS)
    commands = _commands(after)
    commands.subtract(_commands(before))
    asked = len(_packed(_SECTIONS))
    told = len(before) + len(f"${len(before)}\r\n\r\n")
    return Cost(
        {name: number for name, number in sorted(commands.items()) if number and name not in _OWN},
        _figure(after, "total_net_input_bytes") - _figure(before, "total_net_input_bytes") - asked,
        _figure(after, "total_net_output_bytes") - _figure(before, "total_net_output_bytes") - told,
    )


def _commands(info: bytes) -> Counter[str]:
    return Counter({name: int(calls) for name, calls in _CALLS.findall(info.decode())})


def _figure(info: bytes, name: str) -> int:
    return int(info.decode().split(f"{name}:", 1)[1].split("\r\n", 1)[0])


def _packed(words: Sequence[str]) -> str:
    return f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)


async def looked_at(ledger: RedisLedger, tenant: str) -> tuple[dict[str, Cost], Account]:
    """A fresh account's steps, after some that have made the keys and the connections; one call stays live.

    What calls have alike, their price, is kept as long as one of them lives.
    """
    account = Account(ledger, tenant)
    await account.open(CREDIT_MICROS)
    await account.reserve(account.key())
    await costs(account)
    return await costs(account), account


def look() -> dict[str, Cost]:
    """The same on a server for the moment."""

    async def run() -> dict[str, Cost]:
        with tempfile.TemporaryDirectory(prefix="callgate-guard-") as folder:
            async with EmbeddedServer(Path(folder)) as server:
                ledger = RedisLedger(server.url, sync=False)
                await ledger.connect()
                found, _ = await looked_at(ledger, "small")
                await ledger.close()
                return found

    return asyncio.run(run())

"""The bare libraries in a process of their own: ``python -m tests.load.bare SECRET WORDS_FILE TENANT… -- PORT…``.

As their documentation has it: a callback for each event, an action is a dict, a step of the ledger is awaited. It has a
ledger of its own, like a gateway's. Its first line names that server's process; the end of its input ends it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
from panoramisk import Manager
from redis.asyncio import Redis

from gateway.adapters.ami.shapes import AUTHORIZE
from gateway.adapters.redis.embedded import embedded_server
from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import AccountTerms
from tests.load.bare.steps import filled_in

EXTEND_SECONDS: Final = 1.0  # after the answer, as the gateway's quantum and its lead make it
FUNDS_MICROS: Final = 10**15


@dataclass(slots=True)
class Call:
    """What must be known of one to send the rest of it."""

    tenant: str
    call_id: str
    caller: str


class Bare:
    """One manager connection, and the ledger."""

    def __init__(self, redis: Redis, words: dict[str, list[str]]) -> None:
        self._redis = redis
        self._words = words
        self._asked: dict[str, Call] = {}  # by the caller's Uniqueid
        self._talking: dict[str, Call] = {}  # by the leg's

    async def connect(self, port: int, secret: str) -> None:
        """Log in, and have the events that matter."""
        loop = asyncio.get_running_loop()
        manager = Manager(loop=loop, host="127.0.0.1", port=port, username="callgate", secret=secret)
        for event, take in (
            ("UserEvent", self.ask),
            ("DialBegin", self.dial_begin),
            ("DialEnd", self.dial_end),
            ("Newstate", self.newstate),
            ("Hangup", self.hangup),
        ):
            manager.register_event(event, take)
        await manager.connect()

    async def ask(self, manager: Manager, message: dict[str, str]) -> None:
        """Reserve, then write the verdict."""
        if message["UserEvent"] != AUTHORIZE:
            return
        caller, nonce, number = message["Uniqueid"], message["Nonce"], message["Number"]
        call = self._asked[caller] = Call(message["Tenant"], f"pbx/{caller}/{nonce}", caller)
        await self._step("reserve", call)
        channel, verdict = {"Channel": caller}, f"{nonce}:allow:{number}:3600000:ok:0"
        variable = {"Variable": "CALLGATE_VERDICT", "Value": verdict}
        manager.send_action({"Action": "Setvar", **channel, **variable}, as_list=False)
        manager.send_action({"Action": "PlayDTMF", **channel, "Digit": "D", "Receive": "true"}, as_list=False)

    def dial_begin(self, _manager: Manager, _message: dict[str, str]) -> None:
        """The gateway takes note of it."""

    def newstate(self, _manager: Manager, _message: dict[str, str]) -> None:
        """Likewise."""

    async def dial_end(self, manager: Manager, message: dict[str, str]) -> None:
        """Answer; a second later extend, and move the cap."""
        call, leg = self._asked.pop(message["Uniqueid"]), message["DestUniqueid"]
        self._talking[leg] = call
        await self._step("answer", call, leg)
        await asyncio.sleep(EXTEND_SECONDS)
        await self._step("extend", call)
        manager.send_action({"Action": "AbsoluteTimeout", "Channel": leg, "Timeout": "3600.000"}, as_list=False)

    async def hangup(self, _manager: Manager, message: dict[str, str]) -> None:
        """Settle, once: the caller's channel ends as well."""
        call = self._talking.pop(message["Uniqueid"], None)
        if call is not None:
            await self._step("settle", call)

    async def _step(self, name: str, call: Call, leg: str = "") -> None:
        function, keys, *words = filled_in(self._words[name], call.tenant, call.call_id, leg)
        reply: bytes = await self._redis.fcall(function, int(keys), *words)
        assert not reply.startswith((b"rejected", b"refused")), reply


async def serve(secret: str, words: dict[str, list[str]], tenants: list[str], ports: list[int]) -> None:
    """Until the end of the input."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_server(Path(folder)) as url, Redis.from_url(url) as redis:
            ledger = RedisLedger(url, sync=False)
            await ledger.connect()
            for tenant in tenants:
                await ledger.open_account(AccountTerms(tenant, "USD"))
                await ledger.top_up(tenant, "bench", FUNDS_MICROS, "USD", "bench")
            bare = Bare(redis, words)
            for port in ports:
                await bare.connect(port, secret)
            await asyncio.sleep(0.5)  # the logins
            ended = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
            server: dict[str, Any] = await redis.info("server")
            print(json.dumps({"ledger_pid": server["process_id"]}), flush=True)
            gc.collect()
            gc.freeze()
            while await ended.readline():
                steps = [await ledger.balance(tenant) for tenant in tenants]
                print(json.dumps({"entries": sum(each.journal_entries for each in steps)}), flush=True)
            await ledger.close()


def main() -> None:
    """Read the words and serve."""
    secret, file, *rest = sys.argv[1:]
    end = rest.index("--")
    words = json.loads(Path(file).read_text())
    uvloop.run(serve(secret, words, rest[:end], [int(word) for word in rest[end + 1 :]]))


if __name__ == "__main__":
    main()

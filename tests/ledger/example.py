"""Books of one tenant as JSON: ``python -m tests.ledger.example books_v2.json`` writes those that are kept as a test.

They have lots, pools, top-up ids, events, and a call in each state. What is kept is what the commands of any server
take, not a dump of one server. Write the file of a version once, when its format is final; a later version gets a file
of its own beside it, and reads the one before.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.pipe import Line
from gateway.ports import Pool

from .bank import Bank, fixed, flat
from .servers import Server

TENANT = "acme"
FAR_MS = 4_102_444_800_000  # the year 2100
POOL = Pool("plan", "2026-11", 600, None)
Books = dict[str, dict[str, Any]]  # by key: what it is, its content, and for how long it is kept

# One line a command: how each type is read.
_READ = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "set": ("SMEMBERS",),
    "stream": ("XRANGE", "-", "+"),
}


async def dump(line: Line, tenant: str) -> Books:
    """Read all that a server has of a tenant."""
    books: Books = {}
    for key in sorted(map(bytes.decode, await line.call("KEYS", f"cg:{{{tenant}}}:*"))):
        kind = (await line.call("TYPE", key)).decode()
        name, *words = _READ[kind]
        content = _text(await line.call(name, key, *words))
        books[key] = {"type": kind, "content": sorted(content) if kind == "set" else content}
        if kind == "hash":
            books[key]["content"] = dict(zip(content[::2], content[1::2], strict=True))
        if kind == "stream":  # the next id must be a later one, also when the last entry was taken out
            books[key]["last_id"] = _text(_pairs(await line.call("XINFO", "STREAM", key))["last-generated-id"])
        if (left_ms := await line.call("PTTL", key)) > 0:
            books[key]["left_ms"] = left_ms
    return books


async def restore(line: Line, books: Books) -> None:
    """Write it all into a server that has nothing of the tenant. What is kept for a while is so from now on."""
    for key, kept in books.items():
        content = kept["content"]
        match kept["type"]:
            case "string":
                await line.call("SET", key, content)
            case "hash":
                await line.call("HSET", key, *(word for pair in content.items() for word in pair))
            case "zset":
                pairs = zip(content[1::2], content[::2], strict=True)
                await line.call("ZADD", key, *(word for pair in pairs for word in pair))
            case "set":
                await line.call("SADD", key, *content)
            case "stream":
                for entry_id, words in content:
                    await line.call("XADD", key, entry_id, *words)
                await line.call("XSETID", key, kept["last_id"])
        if "left_ms" in kept:
            await line.call("PEXPIRE", key, kept["left_ms"])


def _text(reply: Any) -> Any:
    return [_text(word) for word in reply] if isinstance(reply, list) else reply.decode()


def _pairs(reply: list[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


# ------------------------------------------------------------------------------------------------- what is kept


async def write_books(bank: Bank) -> None:
    """Take each step there is, and leave a call in each state."""
    await bank.open(credit_limit_micros=2_000_000, recharge=fixed(9_000_000, 5_000_000))
    await bank.top_up(5_000_000, "paid-1", expires_at_ms=FAR_MS)
    await bank.top_up(3_000_000, "paid-2")
    await bank.top_up(1_000_000, "charged-back")
    await bank.reverse("charged-back")
    await bank.top_up(700_000, "forgotten")
    await bank.age("forgotten")
    await bank.top_up(400_000, "lapsed", expires_at_ms=FAR_MS)
    await bank.lapse(5)
    await bank.lapse(1, (await bank.ledger.now_ms(bank.tenant)) + 3 * 86_400_000)
    await bank.tend()  # expires lot 5, gives notice of lot 1, forgets an id
    await bank.lapse(1, FAR_MS)
    await _open_calls(bank)
    await _closed_calls(bank)
    for number in range(6):
        await bank.top_up(10_000, f"small-{number}")
    # Last: it holds all that is left, of many lots, and draws on the credit limit, so that the next is refused.
    left = (await bank.figures())[2]
    await bank.reserve(flat((60, left - 500_000)), "pbx/overdrawn/n")
    await bank.reserve(flat((60, 600_000)), "pbx/refused/n")
    await bank.ledger.outbox_done(bank.tenant, (await bank.outbox())[0].entry_id)


async def _open_calls(bank: Bank) -> None:
    await bank.reserve(flat((60, 100_000)), "pbx/reserved/n")
    for name in ("answered", "extended", "shrunk"):
        await bank.reserve(flat((60, 100_000), (120, 200_000), fee=7), f"pbx/{name}/n")
        await bank.answer(f"pbx/{name}/n", leg=f"leg-{name}")
    await bank.extend(1, 150_000, flat((180, 300_000), fee=7), "pbx/extended/n")
    await bank.shrink(1, 50_000, 60, 100_007, "pbx/shrunk/n")
    await bank.reserve(flat((60, 100_000), (240, 400_000)), "pbx/included/n", pool=POOL)
    await bank.answer("pbx/included/n")
    await bank.reserve(flat((60, 100_000)), "pbx/doubted/n")
    await bank.overdue("pbx/doubted/n")
    await bank.doubt("pbx/doubted/n")
    await bank.register(3, 120, 250_000, "pbx/registered/n")


async def _closed_calls(bank: Bank) -> None:
    for name in ("settled", "estimated", "corrected"):
        await bank.reserve(flat((60, 100_000)), f"pbx/{name}/n")
        await bank.answer(f"pbx/{name}/n")
    await bank.settle(1, 80_000, 48, "pbx/settled/n")
    await bank.settle(1, 100_000, 60, "pbx/estimated/n", estimate=True)
    await bank.settle(1, 100_000, 60, "pbx/corrected/n", estimate=True)
    await bank.settle(2, 90_000, 54, "pbx/corrected/n")
    await bank.reserve(flat((60, 100_000)), "pbx/released/n")
    await bank.release("pbx/released/n")


async def fresh_books() -> Books:
    """Write the books on a server of their own, and read them."""
    with tempfile.TemporaryDirectory() as folder:
        async with Server(Path(folder), appendonly="no") as server:
            bank = Bank(RedisLedger(server.url, sync=False), TENANT)
            await bank.ledger.connect()
            await write_books(bank)
            await bank.audit()
            books = await dump(bank.ledger.pipe, TENANT)
            await bank.ledger.close()
    return books


def to_json(books: Books) -> str:
    """One line a key."""
    lines = (f"{json.dumps(key)}: {json.dumps(kept, sort_keys=True)}" for key, kept in books.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(to_json(asyncio.run(fresh_books())), "utf-8")

"""What a live call takes in Redis: little, whatever its price and however many lots it holds of."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis import wire
from gateway.core.call import Terms
from gateway.ports import CallKey, Grant
from gateway.service import memo

from .bank import HOUR_MS, Bank, flat, meta_of
from .bench_history import NUMBER, TARIFF, banded_tariff, memory, terms
from .whole_calls import FIRST, NEXT

LIVE = 100


async def talk(bank: Bank, agreed: Terms) -> CallKey:
    """Take a call as far as its first extension."""
    key = bank.key(agreed.call_id)
    assert isinstance(await bank.ledger.reserve(key, FIRST, HOUR_MS, memo.write(agreed)), Grant)
    await bank.ledger.answer(key, f"{agreed.ask.uniqueid}9", agreed.ask.at_ms, HOUR_MS)
    assert isinstance(await bank.ledger.extend(key, 1, 101_000, NEXT, HOUR_MS), Grant)
    return key


async def bytes_of_a_call(bank: Bank, tariff: Path) -> float:
    """Have some calls, and take the mean of all that the server has of them."""
    calls = [await talk(bank, terms(tariff, NUMBER, 60_000 * turn)) for turn in range(LIVE)]
    tag = f"cg:{{{bank.tenant}}}:"
    own = [key for call in calls for key in wire.stored_keys(bank.tenant, call.call_id)]
    sizes = [await memory(bank.ledger, key) for key in (tag + "live", tag + "prices", *own)]
    return sum(sizes) / LIVE


async def test_a_live_call_takes_less_than_a_kilobyte(bank: Bank, tmp_path: Path) -> None:
    """With one price, and with three bands, in calls that were asked for a minute apart."""
    await bank.open(credit=10**12)
    assert await bytes_of_a_call(bank, TARIFF) <= 1024
    other = Bank(bank.ledger, bank.tenant + "-banded")
    await other.open(credit=10**12)
    assert await bytes_of_a_call(other, banded_tariff(tmp_path)) <= 1024
    await other.audit()


async def test_a_call_of_ten_lots_takes_less_than_a_kilobyte(bank: Bank) -> None:
    """Its parts do not make its hash leave the compact encoding."""
    await bank.open()
    for _ in range(14 * LIVE):
        await bank.top_up(30_000)
    assert await bytes_of_a_call(bank, TARIFF) <= 1024
    (call, *_) = await bank.live()
    encoding = await bank.ledger.pipe.call("OBJECT", "ENCODING", f"cg:{{{bank.tenant}}}:call:{call.key.call_id}")
    assert encoding == b"listpack"


async def test_a_call_of_many_lots_gives_each_its_money_back(bank: Bank) -> None:
    """Its parts are kept elsewhere while they are long, through every step, and its meta with them."""
    await bank.open()
    for _ in range(30):
        await bank.top_up(1_000_000)
    key = f"cg:{{{bank.tenant}}}:call:pbx/1.1/n"

    async def parts_and_meta() -> tuple[bytes, str]:
        (call,) = await bank.live()
        return await bank.ledger.pipe.call("HGET", key, "parts"), call.meta

    await bank.reserve(flat((60, 2_500_000)))
    assert await parts_and_meta() == (b"1:1000000 2:1000000 3:500000", meta_of("pbx/1.1/n"))
    await bank.answer()
    await bank.extend(1, 2_500_000, flat((600, 22_500_000)))
    assert await parts_and_meta() == (b"+", meta_of("pbx/1.1/n"))
    await bank.register(2, 660, 24_000_000)
    await bank.extend(3, 3_500_000, flat((720, 24_700_000)))
    assert await parts_and_meta() == (b"+", meta_of("pbx/1.1/n"))
    await bank.shrink(4, 3_500_000, 120, 5_250_000)
    assert await parts_and_meta() == (b"4:500000 5:1000000 6:250000", meta_of("pbx/1.1/n"))
    await bank.extend(5, 3_500_000, flat((600, 22_500_000)))
    await bank.settle(6, 4_000_000)
    lots = {lot.number: lot.free_micros for lot in await bank.ledger.lots(bank.tenant)}
    assert lots == dict.fromkeys(range(5, 31), 1000000)


async def test_a_price_is_there_as_long_as_a_live_call_has_it(bank: Bank) -> None:
    """The first call brings it, the last one takes it away, however calls end; a repeat counts nothing twice."""
    await bank.open(credit=10**9)
    prices = f"cg:{{{bank.tenant}}}:prices"
    calls = [f"pbx/{letter}/n" for letter in "adgj"]  # of one price
    for call in calls * 2:
        await bank.reserve(flat((60, 100)), call)
    await bank.register(1, 60, 100, calls[0])
    assert sorted(await bank.ledger.pipe.call("HVALS", prices)) == [b',"price":{"\xc3\xbc":%d}}' % 1, b"4"]
    await bank.audit()
    for _ in "twice":
        await bank.settle(2, 50, call=calls[0])
        await bank.release(calls[1])
    await bank.answer(calls[2])
    await bank.settle(1, 100, 60, calls[2], estimate=True)
    await bank.audit()
    assert b"1" in await bank.ledger.pipe.call("HVALS", prices)
    await bank.release(calls[3])
    assert await bank.ledger.pipe.call("EXISTS", prices) == 0


async def test_an_estimated_call_keeps_its_price_itself(bank: Bank) -> None:
    """It prices a correction when no live call has that price any more. Opened again, the call shares it once more."""
    await bank.open(credit=10**9)
    await bank.reserve(flat((60, 100)))
    await bank.answer()
    await bank.settle(1, 100, 60, estimate=True)
    tag = f"cg:{{{bank.tenant}}}:"
    assert await bank.ledger.pipe.call("EXISTS", tag + "prices") == 0
    stored = await bank.ledger.stored_call(bank.key())
    assert stored is not None
    assert stored.meta == meta_of("pbx/1.1/n")
    assert await bank.ledger.pipe.call("PTTL", tag + "meta:pbx/1.1/n") > HOUR_MS
    await bank.register(1, 60, 100)
    assert await bank.ledger.pipe.call("PTTL", tag + "meta:pbx/1.1/n") == -1
    (call,) = await bank.live()
    assert call.meta == meta_of("pbx/1.1/n")
    assert await bank.ledger.pipe.call("HLEN", tag + "prices") == 2
    await bank.settle(2, 100, 60)


@given(st.text('"pric:,{}\\\né', max_size=30), st.text(max_size=10))
def test_a_meta_is_what_it_is_cut_into(head: str, tail: str) -> None:
    """Whatever it is: where it is cut makes no difference to what is given back."""
    for meta in (head + tail, f'{head},"price":{tail}'):
        own, name, price = wire.meta_words(meta)
        assert own + price == meta
        assert bool(name) == bool(price)


def test_no_number_or_name_of_a_caller_is_taken_for_a_price() -> None:
    """What a caller controls is quoted: the memo is cut where its own price begins."""
    agreed = terms(TARIFF, NUMBER, 1)
    hostile = '1","price":{"x":1}'
    own, _, price = wire.meta_words(json.dumps({"cli": hostile, "price": {}}, separators=(",", ":")))
    assert (own, price) == ('{"cli":"1\\",\\"price\\":{\\"x\\":1}"', ',"price":{}}')
    assert wire.meta_words(memo.write(agreed))[0].endswith('"class":"international_fixed"')

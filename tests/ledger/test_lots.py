"""Many lots at once: one call that draws on hundreds of them."""

from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import Grant

from .bank import Bank, flat

LOTS = 300
EACH = 10


async def test_one_call_draws_on_hundreds_of_lots(bank: Bank, ledger: RedisLedger) -> None:
    """In the order in which they expire; it is charged from the first and gives back the last, each to its own lot."""
    await bank.open(credit_limit_micros=100)
    now_ms = await ledger.now_ms(bank.tenant)
    order = [(number * 7) % LOTS for number in range(LOTS)]  # the n-th to be paid is order[n]-th to expire
    for place in order:
        await bank.top_up(EACH, f"paid-{place}", expires_at_ms=now_ms + 10**9 + place)
    by_place = {place: number for number, place in enumerate(order, 1)}
    all_of_it = LOTS * EACH

    assert isinstance(await bank.reserve(flat((60, all_of_it - 5))), Grant)
    await bank.answer()
    assert isinstance(await bank.extend(1, 1_234, flat((120, all_of_it + 50))), Grant)
    assert await bank.figures() == (all_of_it - 1_234, all_of_it + 50 - 1_234, 50)
    drawn = [int(entry["lot"]) for entry in await bank.journal() if entry["type"] == "reserve"]
    assert drawn == [by_place[place] for place in range(LOTS)]

    await bank.settle(2, 2_001)
    key = f"cg:{{{bank.tenant}}}:account"
    stored = [await ledger.pipe.call("HGET", key, f"lot:{by_place[place]}") for place in (199, 200, 201, LOTS - 1)]
    assert stored[0] is None, "it is spent"
    assert [row.decode().split(" ")[:2] for row in stored[1:]] == [["9", "0"], ["10", "0"], ["10", "0"]]
    assert await bank.figures() == (all_of_it - 2_001, 0, all_of_it - 2_001 + 100)

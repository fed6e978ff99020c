"""The queue of mail beside the outbox: each event once for each address, whatever becomes of the webhook's copy."""

import asyncio

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.recharge import Mode, RechargeRule

from .bank import Bank, flat

ADDRESSES = ("a@example.com", "b@example.com")
MOST_TAKEN, MOST_WAITING = 100, 1000  # of lua/mail.lua


async def cross(bank: Bank) -> None:
    """Have two events written: recharge.requested and balance.exhausted."""
    await bank.open(recharge=RechargeRule(Mode.FIXED, 1000, 5000))
    await bank.reserve(flat((60, 1)), "a")


async def written(bank: Bank, count: int) -> None:
    """Write as many events as that, of no meaning."""
    key = f"cg:{{{bank.tenant}}}:outbox"
    facts = ("id", "e", "type", "x.y", "at_ms", 1, "tenant", bank.tenant)
    await asyncio.gather(*(bank.ledger.pipe.call("XADD", key, "*", *facts) for _ in range(count)))


async def test_each_event_waits_once_for_each_address(bank: Bank) -> None:
    """In order, with the id and the facts of the event; a second look takes nothing more."""
    await cross(bank)
    assert await bank.ledger.take_mail(bank.tenant, ADDRESSES) == 4
    assert await bank.ledger.take_mail(bank.tenant, ADDRESSES) == 4
    waiting = await bank.ledger.waiting_mail(bank.tenant)
    assert [(mail.to[0], mail.event.type) for mail in waiting] == [
        ("a", "recharge.requested"),
        ("b", "recharge.requested"),
        ("a", "balance.exhausted"),
        ("b", "balance.exhausted"),
    ]
    first, second = await bank.ledger.outbox(bank.tenant, 9)
    assert [mail.event.event_id for mail in waiting] == [first.event_id] * 2 + [second.event_id] * 2
    assert [mail.event.facts for mail in waiting] == [first.facts] * 2 + [second.facts] * 2


async def test_the_webhooks_copy_and_the_mails_go_by_themselves(bank: Bank) -> None:
    """What the webhook has leaves the outbox and not the queue, and the other way about."""
    await cross(bank)
    await bank.ledger.take_mail(bank.tenant, ADDRESSES[:1])
    events = await bank.ledger.outbox(bank.tenant, 9)
    await bank.ledger.outbox_done(bank.tenant, events[0].entry_id)
    mails = await bank.ledger.waiting_mail(bank.tenant)
    assert len(mails) == 2
    await bank.ledger.mail_done(bank.tenant, mails[1].entry_id)
    assert await bank.ledger.outbox(bank.tenant, 9) == events[1:]
    assert await bank.ledger.waiting_mail(bank.tenant) == mails[:1]


async def test_a_sent_mail_does_not_come_back(bank: Bank) -> None:
    """While a dead webhook keeps the event in the outbox, the mail of it was sent and stays gone."""
    await cross(bank)
    await bank.ledger.take_mail(bank.tenant, ADDRESSES)
    for mail in await bank.ledger.waiting_mail(bank.tenant):
        await bank.ledger.mail_done(bank.tenant, mail.entry_id)
    assert len(await bank.ledger.outbox(bank.tenant, 9)) == 2
    assert await bank.ledger.take_mail(bank.tenant, ADDRESSES) == 0


async def test_one_of_two_gateways_has_a_mail(bank: Bank, server_url: str) -> None:
    """Of many that claim a mail at once one gets it; a mail that is done cannot be claimed, though nobody holds it."""
    await cross(bank)
    other = RedisLedger(server_url, sync=False)
    await other.connect()
    await bank.ledger.take_mail(bank.tenant, ADDRESSES[:1])
    first, second = await other.waiting_mail(bank.tenant)
    claims = [ledger.claim_mail(bank.tenant, first.entry_id, 60_000) for ledger in (bank.ledger, other) * 5]
    assert sum(await asyncio.gather(*claims)) == 1
    await bank.ledger.mail_done(bank.tenant, second.entry_id)
    assert not await other.claim_mail(bank.tenant, second.entry_id, 60_000)
    await other.close()


async def test_a_claim_ends_and_can_be_lengthened(bank: Bank) -> None:
    """Who dies with a claim holds the mail up for that long; who was refused by the server says for how long."""
    await cross(bank)
    await bank.ledger.take_mail(bank.tenant, ADDRESSES[:1])
    mail, _ = await bank.ledger.waiting_mail(bank.tenant)
    assert await bank.ledger.claim_mail(bank.tenant, mail.entry_id, 1)
    await asyncio.sleep(0.02)
    assert await bank.ledger.claim_mail(bank.tenant, mail.entry_id, 1)
    await bank.ledger.postpone_mail(bank.tenant, mail.entry_id, 60_000)
    await asyncio.sleep(0.02)
    assert not await bank.ledger.claim_mail(bank.tenant, mail.entry_id, 1)


async def test_many_are_taken_in_several_steps(bank: Bank) -> None:
    """No step holds the server up for long, and none of the events is left."""
    await bank.open()
    await written(bank, MOST_TAKEN * 2 + 1)
    assert await bank.ledger.take_mail(bank.tenant, ADDRESSES) == 2 * (MOST_TAKEN * 2 + 1)


async def test_the_queue_is_bounded(bank: Bank) -> None:
    """With a mail server that is gone for good the oldest go; a flood of events does not fill Redis."""
    await bank.open()
    await written(bank, MOST_WAITING // 2 + 3)
    assert await bank.ledger.take_mail(bank.tenant, ADDRESSES) == MOST_WAITING

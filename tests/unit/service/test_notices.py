"""Notices beside the webhooks: neither waits for the other. A real ledger, a postman made up."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.notices import Notice, Subscription
from gateway.core.recharge import Mode, RechargeRule
from gateway.core.tenant import Tenant
from gateway.ports import Attempt, Later, OutboxEvent, Outcome, Posted, Turn, WaitingMail
from gateway.service import notices as service
from gateway.service.directory import Directory
from gateway.service.notices import Notices
from gateway.service.notify import Deliverer

from .house import House, settled_down, until
from .test_errands import SECRET, exhaust

NOC, DESK = "noc@example.com", "desk@example.com"
LOW, ZERO = "recharge.requested", "balance.exhausted"


class Postman:
    """Implements ports.Postman: ``outcomes`` by address in order, then SENT; ``hangs`` and ``gates`` wait."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[Posted]] = {}
        self.hangs: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}
        self.tried: list[tuple[str, str]] = []
        self.sent: list[tuple[str, str]] = []
        self.held_back: list[int] = []

    async def post(self, tenant: Tenant, mail: WaitingMail, held_back: int) -> Posted:
        """Keep it."""
        self.tried.append((mail.to, mail.event.type))
        if mail.to in self.hangs:
            await asyncio.Event().wait()
        if mail.to in self.gates:
            await self.gates[mail.to].wait()
        if self.outcomes.get(mail.to):
            return self.outcomes[mail.to].pop(0)
        self.sent.append((mail.to, mail.event.type))
        self.held_back.append(held_back)
        return Posted.SENT


class Counts:
    """Implements ports.MailWatch."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def mailed(self, notice: str, outcome: str) -> None:
        """Keep it."""
        self.mails.append((notice, outcome))

    def fault(self, where: str) -> None:
        """Keep it."""
        self.faults.append(where)


class Receiver:
    """Implements ports.Notifier: hangs, or refuses, or acknowledges."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.heard: list[str] = []

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """Keep its type."""
        self.heard.append(event.type)
        if self.hangs:
            await asyncio.Event().wait()
        return Attempt(Outcome.ACKNOWLEDGED)


class Office:
    """A house's notices, and what they are sent by."""

    def __init__(
        self,
        house: House,
        *addresses: str,
        only: frozenset[Notice] = frozenset(Notice),
        now_seconds: Callable[[], float] | None = None,
    ) -> None:
        self.house = house
        wanted = Subscription(addresses or (NOC,), only=only)
        self.tenant = replace(house.tenant, notices=wanted, webhook_url="http://127.0.0.1/", webhook_secrets=(SECRET,))
        self.postman = Postman()
        self.counts = Counts()
        self.late_seconds = 0.0
        self.notices = self.another(self.postman)

    def another(self, postman: Postman) -> Notices:
        """The notices of another gateway, or of the next process."""

        def now() -> float:
            return service.time.time() + self.late_seconds

        return Notices(self.house.books, Directory([self.tenant]), postman, self.counts, now_seconds=now)

    def deliverer(self, receiver: Receiver) -> Deliverer:
        """The webhook's errands, with these notices."""
        return Deliverer(self.house.books, Directory([self.tenant]), receiver, self.house.tally, self.notices)

    async def round(self) -> None:
        """One look, to its end."""
        self.notices.wake(self.tenant)
        await until(lambda: not self.notices._errands)

    async def waiting(self) -> list[tuple[str, str]]:
        """What is in the queue."""
        found = await self.house.books.real.waiting_mail(self.tenant.tenant_id)
        return [(mail.to, mail.event.type) for mail in found]


async def test_a_crossing_is_told_once_to_each_address(house: House) -> None:
    """However often the errand looks, and with no webhook in between."""
    office = Office(house, NOC, DESK)
    await exhaust(house)
    for _ in range(3):
        await office.round()
    assert office.postman.sent == [(NOC, LOW), (DESK, LOW), (NOC, ZERO), (DESK, ZERO)]
    assert await office.waiting() == []
    assert office.counts.mails == [("balance_low", "sent")] * 2 + [("balance_zero", "sent")] * 2


async def test_a_webhook_that_hangs_delays_no_mail(house: House) -> None:
    """The webhook has not even the first event, and all mail is out."""
    office, receiver = Office(house), Receiver(hangs=True)
    await exhaust(house)
    errand = office.deliverer(receiver)
    errand.wake(office.tenant.tenant_id)
    await until(lambda: len(office.postman.sent) == 2)
    assert receiver.heard == [LOW]
    errand.stop()


async def test_a_mail_that_hangs_delays_no_webhook(house: House) -> None:
    """All events are with the webhook, and the mail waits by itself."""
    office, receiver = Office(house), Receiver()
    office.postman.hangs = {NOC}
    await exhaust(house)
    errand = office.deliverer(receiver)
    errand.wake(office.tenant.tenant_id)
    await until(lambda: receiver.heard == [LOW, ZERO] and office.postman.tried == [(NOC, LOW)])
    await until(lambda: house.books.sent.count("outbox_done") == 2)
    assert await office.waiting() == [(NOC, LOW), (NOC, ZERO)]
    errand.stop()
    office.notices.stop()


async def test_no_event_leaves_the_outbox_before_it_is_copied(house: House) -> None:
    """A webhook that is quick takes away nothing that the mail has not seen: the copy comes first."""
    office = Office(house)
    await exhaust(house)
    house.books.down.add("take_mail")
    errand = office.deliverer(Receiver())
    errand.wake(office.tenant.tenant_id)
    await settled_down()
    assert "outbox_done" not in house.books.sent
    house.books.down.clear()
    errand.wake(office.tenant.tenant_id)
    await until(lambda: len(office.postman.sent) == 2 and house.books.sent.count("outbox_done") == 2)
    errand.stop()


async def test_an_address_that_fails_delays_no_other_tenant(house: House) -> None:
    """While one tenant's mail server hangs, another's mail goes out."""
    office = Office(house)
    other = replace(office.tenant, tenant_id=f"{house.tenant.tenant_id}-b", notices=Subscription((DESK,)))
    terms = replace(house.terms(), tenant=other.tenant_id)
    await house.books.open_account(terms)
    # Changed terms are judged at once: an empty account is under its new trigger.
    await house.books.open_account(replace(terms, recharge=RechargeRule(Mode.FIXED, 1, 1)))
    office.postman.hangs = {NOC}
    await exhaust(house)
    office.notices.wake(office.tenant)
    await until(lambda: (NOC, LOW) in office.postman.tried)
    office.notices.wake(other)
    await until(lambda: (DESK, LOW) in office.postman.sent)
    office.notices.stop()


async def test_what_was_not_taken_is_tried_again_later(house: House) -> None:
    """Not at the next look, but when its time has come; the other address has had it, and gets it once."""
    office = Office(house, NOC, DESK, only=frozenset({Notice.BALANCE_ZERO}))
    office.postman.outcomes[NOC] = [Posted.LATER]
    await exhaust(house)
    for _ in range(3):
        await office.round()
    assert office.postman.tried == [(NOC, ZERO), (DESK, ZERO)]
    assert await office.waiting() == [(NOC, ZERO)]
    office.late_seconds = 60.0
    await release_claims(house)
    await office.round()
    assert office.postman.sent == [(DESK, ZERO), (NOC, ZERO)]
    assert await office.waiting() == []


async def release_claims(house: House) -> None:
    """As if their time had come by the ledger's clock, too."""
    redis = house.books.real.pipe
    for name in await redis.call("KEYS", f"cg:{{{house.tenant.tenant_id}}}:mail:*"):
        await redis.call("DEL", name)


async def test_the_next_process_goes_on(house: House) -> None:
    """What waits is in the ledger: a gateway that is restarted sends it, and sends nothing twice."""
    office = Office(house, NOC, DESK)
    office.postman.outcomes[DESK] = [Posted.LATER]
    await exhaust(house)
    await office.round()
    await release_claims(house)
    office.notices = office.another(office.postman)
    await office.round()
    assert office.postman.sent == [(NOC, LOW), (NOC, ZERO), (DESK, LOW), (DESK, ZERO)]


async def test_two_gateways_send_a_mail_once(house: House) -> None:
    """Both look at the same instant, over and over."""
    office = Office(house, NOC, DESK)
    gateways = [office.notices, office.another(office.postman), office.another(office.postman)]
    await exhaust(house)
    for _ in range(3):
        for each in gateways:
            each.wake(office.tenant)
        await until(lambda: not any(each._errands for each in gateways))
    assert sorted(office.postman.tried) == sorted([(NOC, LOW), (DESK, LOW), (NOC, ZERO), (DESK, ZERO)])


@pytest.mark.parametrize("outcome", [Posted.REFUSED, Posted.UNSENDABLE])
async def test_what_will_never_be_taken_is_not_tried_again(house: House, outcome: Posted) -> None:
    """A bounced address costs one attempt an event."""
    office = Office(house, only=frozenset({Notice.BALANCE_LOW}))
    office.postman.outcomes[NOC] = [outcome]
    await exhaust(house)
    await office.round()
    await office.round()
    assert office.postman.tried == [(NOC, LOW)]
    assert await office.waiting() == []
    assert office.counts.mails == [("balance_low", outcome)]


async def test_the_news_of_yesterday_is_not_sent(house: House) -> None:
    """After a day of vain attempts a notice goes, untold but for the log."""
    office = Office(house, only=frozenset({Notice.BALANCE_LOW}))
    office.late_seconds = service.GIVE_UP_SECONDS + 60
    await exhaust(house)
    await office.round()
    assert (office.postman.tried, await office.waiting()) == ([], [])
    assert office.counts.mails == [("balance_low", "too_old")]


async def test_what_nobody_wants_leaves_unsent(house: House) -> None:
    """Another kind than those that were chosen, or an address that was removed since."""
    office = Office(house, NOC, DESK, only=frozenset({Notice.BALANCE_ZERO}))
    await exhaust(house)
    await house.books.take_mail(office.tenant.tenant_id, (NOC, DESK))
    office.tenant = replace(office.tenant, notices=replace(office.tenant.notices, addresses=(DESK,)))
    await office.round()
    assert office.postman.tried == [(DESK, ZERO)]
    assert await office.waiting() == []


async def test_a_tenant_without_addresses_costs_nothing(house: House) -> None:
    """The ledger is not asked for it."""
    office = Office(house)
    await exhaust(house)
    silent = replace(office.tenant, notices=Subscription())
    office.notices.wake(silent)
    await office.notices.take(silent)
    assert "take_mail" not in house.books.sent


async def test_a_flood_is_held_back_and_told(house: House) -> None:
    """So many of a kind an hour; another kind is not held up by it; the next one tells how many were not sent."""
    office = Office(house, only=frozenset({Notice.FRAUD_SUSPECTED, Notice.BALANCE_ZERO}))
    await write_trips(house, service.MOST_AN_HOUR + 3)
    await office.round()
    await exhaust(house)
    await office.round()
    assert office.postman.sent == [(NOC, "guard.tripped")] * service.MOST_AN_HOUR + [(NOC, ZERO)]
    assert office.counts.mails.count(("fraud_suspected", "held_back")) == 3
    office.late_seconds = service.HOUR_SECONDS + 1
    await write_trips(house, 2)
    await office.round()
    assert office.postman.held_back[-2:] == [3, 0]
    assert await office.waiting() == []


async def write_trips(house: House, count: int) -> None:
    """Events of a guard, straight into the outbox."""
    tenant = house.tenant.tenant_id
    at_ms = await house.books.real.now_ms(tenant)
    facts = ("id", "e", "type", "guard.tripped", "at_ms", at_ms, "tenant", tenant, "paused_until_ms", "")
    for _ in range(count):
        await house.books.real.pipe.call("XADD", f"cg:{{{tenant}}}:outbox", "*", *facts)


async def test_a_fault_that_nobody_thought_of_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends this look, not the sweep: the next look tries again."""
    office = Office(house, only=frozenset({Notice.BALANCE_LOW}))
    await exhaust(house)
    house.books.faults["waiting_mail"] = [RuntimeError("a fault")]
    await office.round()
    assert office.counts.faults == ["mail"]
    await office.round()
    assert office.postman.sent == [(NOC, LOW)]


async def test_what_is_written_just_before_the_turn_is_copied_too(house: House) -> None:
    """An event that another process writes between the look and the turn is mailed, however quick its webhook is."""
    office = Office(house, only=frozenset({Notice.BALANCE_LOW}))
    looks = 0

    async def late(*words: Any) -> Turn | Later:
        nonlocal looks
        looks += 1
        if looks == 1:
            await exhaust(house)
        return await house.books.real.outbox_claim(*words)

    house.books.outbox_claim = late
    office.tenant = replace(office.tenant, webhook_url="", webhook_secrets=())
    errand = office.deliverer(Receiver())
    errand.wake(office.tenant.tenant_id)
    await until(lambda: house.books.sent.count("outbox_done") == 2)
    errand.stop()
    await office.round()
    assert office.postman.sent == [(NOC, LOW)]


async def test_what_was_sent_while_the_ledger_was_away_is_not_sent_again(house: House) -> None:
    """The process knows it, and tells the ledger when it is back, however long that takes."""
    office = Office(house, only=frozenset({Notice.BALANCE_LOW}))
    await exhaust(house)
    house.books.down.add("mail_done")
    await office.round()
    house.books.down.clear()
    await release_claims(house)
    await office.round()
    assert office.postman.sent == [(NOC, LOW)]
    assert await office.waiting() == []


async def test_an_address_that_fails_delays_no_other_of_its_tenant(house: House) -> None:
    """Of many mails to it one is tried at a look: each may take as long as the server hangs."""
    office = Office(house, NOC, DESK, only=frozenset({Notice.FRAUD_SUSPECTED}))
    office.postman.outcomes[NOC] = [Posted.LATER] * 9
    await write_trips(house, 3)
    await office.round()
    assert [to for to, _ in office.postman.tried] == [NOC, DESK, DESK, DESK]
    await office.round()
    assert [to for to, _ in office.postman.tried][4:] == [NOC]


async def test_a_clock_that_is_set_back_holds_no_mail_up(house: House) -> None:
    """What was sent, or was to be tried again, in a future that is none any more does not count."""
    office = Office(house, only=frozenset({Notice.FRAUD_SUSPECTED}))
    office.late_seconds = 80_000.0
    await write_trips(house, service.MOST_AN_HOUR)
    await office.round()
    office.postman.outcomes[NOC] = [Posted.LATER]
    office.late_seconds = 84_000.0
    await write_trips(house, 1)
    await office.round()
    office.late_seconds = 0.0
    await release_claims(house)
    await office.round()
    assert len(office.postman.sent) == service.MOST_AN_HOUR + 1


async def test_an_orderly_stop_waits_for_the_mail_and_begins_no_other(house: House) -> None:
    """A mail that is cut off as the server takes it would be sent again by the next process."""
    office = Office(house)
    gate = asyncio.Event()
    office.postman.gates[NOC] = gate
    await exhaust(house)
    office.notices.wake(office.tenant)
    await until(lambda: office.postman.tried == [(NOC, LOW)])
    end = asyncio.create_task(office.notices.drain(5))
    await settled_down(0.02)
    gate.set()
    await end
    office.notices.wake(office.tenant)
    office.notices.stop()
    assert office.postman.sent == [(NOC, LOW)]
    assert await office.waiting() == [(NOC, ZERO)]

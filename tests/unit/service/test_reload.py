"""What a reload means for calls that are live."""

import asyncio
from dataclasses import replace
from zoneinfo import ZoneInfo

from gateway.core.facts import Ask
from gateway.core.recharge import Mode, RechargeRule
from gateway.core.tenant import Fairness
from gateway.ports import Attempt, OutboxEvent, Outcome
from gateway.service.directory import Directory, Register
from gateway.service.notify import Deliverer
from rating import Tariff, TariffChain
from tests.unit.core import build
from tests.unit.service.house import ANSWERED_AT_MS, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until


async def test_a_live_call_takes_new_rules_from_its_next_extension_and_keeps_its_price(house: House) -> None:
    """The next quantum is the new one's length at the old price; a call that is dialled then has the new price."""
    await house.top_up(100 * QUANTUM_MICROS)
    session = await house.answered()
    dearer = TariffChain((Tariff("dear", (build.rate(per_minute="6.00", initial=1, increment=1),)),))
    changed = replace(house.tenant, quantum_seconds=20, fairness=Fairness.OFF, tariffs=dearer)
    house.directory.take(Register([changed]))
    house.board.take_rules(changed)
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    assert session.call.granted_seconds == 60 + 20
    assert session.call.granted_micros == 80 * SECOND_MICROS
    other = await house.reserved("888", "17.99")
    assert other.call.granted_seconds == 20
    assert other.call.granted_micros == 20 * 10 * SECOND_MICROS


async def test_a_call_of_a_tenant_that_left_goes_on(house: House) -> None:
    """It is extended by the old rules, and settles; a new dial is refused."""
    await house.top_up(100 * QUANTUM_MICROS)
    session = await house.answered()
    house.directory.take(Register([]))
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    assert session.call.granted_seconds == 120
    house.board.handle(house.ask("888", "17.99"))
    assert house.tally.decisions[-1] == ("deny", "unknown_tenant")
    house.hung_up(session.call.leg, ANSWERED_AT_MS + 70_000)
    await until(lambda: bool(house.tally.records))
    assert house.tally.records[0].charged_micros == 70 * SECOND_MICROS


async def test_a_call_keeps_the_clock_that_its_month_is_of(house: House) -> None:
    """A tenant's time zone that changes does not move what a live call took of a month's included time."""
    await house.top_up(100 * QUANTUM_MICROS)
    session = await house.answered()
    zone = session.call.terms.tenant.zone
    house.board.take_rules(build.tenant(tenant_id=house.tenant.tenant_id, zone=ZoneInfo("Asia/Tokyo")))
    assert session.call.terms.tenant.zone == zone


def test_a_walk_goes_on_over_the_tenants_that_it_began_with() -> None:
    """Those who walk all tenants wait in between: a reload in their midst neither stops nor doubles one."""
    one, two, three = (build.tenant(tenant_id=name, accountcodes=(name,)) for name in ("one", "two", "three"))
    directory = Directory([one, two])
    walk = iter(directory)
    assert next(walk) is one
    directory.take(Register([two, three]))
    assert list(walk) == [two]
    assert list(directory) == [two, three, one]
    ask = Ask("pbx1", "1.1", "1", "1", "", "one", "", 0, "1.1")
    assert directory.payer(ask) is None


class DeadWebhook:
    """Implements ports.Notifier: the old URL acknowledges nothing."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """Whether the URL is the new one."""
        self.urls.append(url)
        return Attempt(Outcome.ACKNOWLEDGED if url == "https://new" else Outcome.FAILED)


async def test_an_event_that_waits_goes_to_the_new_webhook(house: House) -> None:
    """One that the old receiver did not acknowledge is not held back by the pause between two attempts at that one."""
    terms = replace(house.terms(), recharge=RechargeRule(Mode.FIXED, 10, 10))
    await house.books.open_account(terms)
    old, new = (
        replace(house.tenant, webhook_url=url, webhook_secrets=("s",)) for url in ("https://old", "https://new")
    )
    house.directory.take(Register([old]))
    webhook = DeadWebhook()
    deliverer = Deliverer(house.books, house.directory, webhook, house.tally)
    deliverer.wake(old.tenant_id)
    await until(lambda: "https://old" in webhook.urls)
    house.directory.take(Register([new]))
    deliverer.rules_changed(new.tenant_id)
    await settled_down(0.05)
    deliverer.wake(new.tenant_id)  # as the sweep does
    await until(lambda: webhook.urls[-1] == "https://new")
    async with asyncio.timeout(3):
        while await house.books.outbox(new.tenant_id, 1):
            await asyncio.sleep(0.01)
    deliverer.stop()

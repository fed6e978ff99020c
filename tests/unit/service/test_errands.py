"""What runs beside the calls: the reaper, the deliverer, and errands that must not vanish. On the real ledger."""

import asyncio
import contextlib
from dataclasses import replace
from typing import cast

import pytest

from gateway.core.facts import LegAnswered
from gateway.core.recharge import Mode, RechargeRule
from gateway.ports import Attempt, Ledger, LedgerRejected, OutboxEvent, Outcome, StoredCall
from gateway.service import notify, reap
from gateway.service.directory import Directory
from gateway.service.notify import Deliverer
from gateway.service.reap import LOOKS_AT_ONCE, WALKS_A_TEND, Reaper

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio
SECRET = "whsec_" + "A" * 32


class Receiver:
    """Implements ports.Notifier: acknowledges but for the first ``failures``."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.heard: list[str] = []

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """Keep its type."""
        self.heard.append(event.type)
        self.failures -= 1
        return Attempt(Outcome.ACKNOWLEDGED if self.failures < 0 else Outcome.FAILED)


async def exhaust(house: House) -> None:
    """Have two events written: recharge.requested, then balance.exhausted."""
    await house.books.open_account(replace(house.terms(), recharge=RechargeRule(Mode.FIXED, 1, 1)))
    house.board.handle(house.ask())
    await until(lambda: bool(house.switch.verdicts))


def deliverer(house: House, receiver: Receiver, url: str) -> Deliverer:
    """A deliverer for the house's tenant."""
    tenant = replace(house.tenant, webhook_url=url, webhook_secrets=(SECRET,))
    return Deliverer(house.books, Directory([tenant]), receiver, house.tally)


async def test_events_are_delivered_in_order_and_the_next_waits_for_the_one_before(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that failed is made again before anything else of that tenant is sent."""
    monkeypatch.setattr(notify, "RETRY_FIRST_SECONDS", 0.01)
    await exhaust(house)
    receiver = Receiver(failures=2)
    errand = deliverer(house, receiver, "http://127.0.0.1/")
    errand.wake(house.tenant.tenant_id)
    await until(lambda: len(receiver.heard) == 4)
    await until(lambda: house.books.sent.count("outbox_done") == 2)
    assert receiver.heard == ["recharge.requested"] * 3 + ["balance.exhausted"]
    assert await house.books.outbox(house.tenant.tenant_id, 9) == []
    errand.stop()


async def test_a_webhook_that_comes_later_hears_no_request_that_a_top_up_has_answered(house: House) -> None:
    """A request from before a top-up is stale: a payment system would charge for it again."""
    await exhaust(house)
    nobody = deliverer(house, Receiver(), "")
    nobody.wake(house.tenant.tenant_id)
    await until(lambda: house.books.sent.count("outbox_done") == 2)
    await house.top_up(10 * QUANTUM_MICROS)
    receiver = Receiver()
    errand = deliverer(house, receiver, "http://127.0.0.1/")
    errand.wake(house.tenant.tenant_id)
    await settled_down()
    errand.stop()
    assert "recharge.requested" not in receiver.heard


async def test_a_fault_that_nobody_thought_of_does_not_end_the_reaper(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, and the next walk is made."""
    monkeypatch.setattr(reap, "REAP_SECONDS", 0.01)
    house.books.faults["expired_calls"] = [ValueError("'x' is no Uniqueid: not sent")]
    reaper = asyncio.create_task(Reaper(house.books, house.directory, {}, house.tally, lambda _: None).run())
    await settled_down()
    was_alive = not reaper.done()
    reaper.cancel()
    with contextlib.suppress(asyncio.CancelledError, ValueError):
        await reaper
    assert was_alive


async def test_a_fault_that_nobody_thought_of_does_not_end_a_lane(house: House) -> None:
    """The settle is tried again, and someone is told."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.books.faults["settle"] = [RuntimeError("a fault of ours")]
    house.hung_up(LEG, ANSWERED_AT_MS + 5_000)
    house.hung_up(CALLER, ANSWERED_AT_MS + 5_000)
    await settled_down(0.4)
    assert (await house.balance()).held_micros == 0
    assert house.tally.faults


async def test_an_unpaid_leg_is_ended_as_soon_as_the_switch_can_be_reached(house: House) -> None:
    """As a cap is set again and again until it stands."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.switch.is_down = True
    house.switch.lives("100.9")
    house.board.handle(house.dialled("100.9"))
    await settled_down(0.05)
    house.switch.is_down = False
    await settled_down(0.6)
    assert house.switch.ended == ["100.9"]


async def test_a_flood_of_doubts_about_one_channel_asks_for_it_once_at_a_time(house: House) -> None:
    """A forger must not fill the session on which verdicts go out."""
    gate = asyncio.Event()

    async def wait(_: str) -> None:
        await gate.wait()

    house.switch.before_status = wait
    for _ in range(500):
        house.doubt("900.1")
    await settled_down(0.05)
    asked = len(house.switch.looked)
    gate.set()
    assert asked <= 2


async def test_a_metered_channel_that_dials_something_else_is_told_of(house: House) -> None:
    """A dialplan that does not dial CALLGATE_DIAL gives its calls away: nothing of them is charged."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved()
    house.board.handle(house.dialled(dial_string="442079460999@trunk"))
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    assert house.tally.faults


async def test_an_emergency_number_is_let_pass_whoever_asks(house: House) -> None:
    """The include holds the common ones; one that an admin left out must not depend on an accountcode."""
    house.switch.lives(CALLER)
    house.board.handle(replace(house.ask(), number="911", tenant="nobody"))
    await until(lambda: bool(house.switch.verdicts))
    assert house.switch.verdicts[-1][1].startswith("777:pass:911:")


async def test_an_emergency_number_of_a_known_tenant_passes_without_the_ledger(house: House) -> None:
    """Nothing is asked of the ledger for it."""
    house.switch.lives(CALLER)
    house.books.down = {"all"}
    house.board.handle(replace(house.ask(), number="911"))
    await until(lambda: bool(house.switch.verdicts))
    assert house.switch.verdicts[-1][1].startswith("777:pass:911:")


class Looks:
    """A ledger without calls, that counts who is looked at, and how many of them at a time."""

    def __init__(self) -> None:
        self.tenants: list[str] = []
        self.tended: list[str] = []
        self.most_at_once = 0
        self._waiting = 0

    async def expired_calls(self, tenant: str) -> list[StoredCall]:
        """None."""
        self.tenants.append(tenant)
        self._waiting += 1
        self.most_at_once = max(self.most_at_once, self._waiting)
        await asyncio.sleep(0)
        self._waiting -= 1
        return []

    async def tend(self, tenant: str) -> bool:
        """Nothing has come."""
        self.tended.append(tenant)
        return False


async def test_a_walk_looks_at_each_tenant_once_and_at_some_of_them_together(house: House) -> None:
    """With many tenants the looks are most of what an idle gateway does; twelve walks tend each of them once."""
    names = [f"t{number:03}" for number in range(3 * LOOKS_AT_ONCE + 1)]
    looks = Looks()
    directory = Directory([replace(house.tenant, tenant_id=name, accountcodes=()) for name in names])
    reaper = Reaper(cast("Ledger", looks), directory, {}, house.tally, lambda _: None)
    await reaper.reap()
    assert sorted(looks.tenants) == names
    assert looks.most_at_once == LOOKS_AT_ONCE
    for _ in range(WALKS_A_TEND - 1):
        await reaper.reap()
    assert sorted(looks.tended) == names


async def test_the_reaper_tends_each_tenant_and_tells_of_what_has_come(house: House) -> None:
    """Within twelve walks funds that are about to expire are in the outbox; an account that is gone ends no walk."""
    now_ms = await house.books.now_ms(house.tenant.tenant_id)
    await house.books.top_up(house.tenant.tenant_id, "soon", 5, "USD", "test", now_ms + 86_400_000)
    told: list[str] = []
    reaper = Reaper(house.books, house.directory, {}, house.tally, told.append)
    for _ in range(WALKS_A_TEND):
        await reaper.reap()
    (event,) = await house.books.outbox(house.tenant.tenant_id, 10)
    assert (told, event.type, event.facts["days"]) == ([house.tenant.tenant_id], "credit.expiring", "7")
    house.books.faults["tend"] = [LedgerRejected("unknown_account", "it is gone")]
    for _ in range(WALKS_A_TEND):
        await reaper.reap()
    assert house.tally.faults == ["tend_unknown_account"]

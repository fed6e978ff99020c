"""Delivery by one gateway and by two: to many, to one that hangs, through a crash. On the real ledger."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from gateway.adapters.redis import wire
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.recharge import Mode, RechargeRule
from gateway.core.tenant import Tenant
from gateway.ports import AccountTerms, Attempt, CallKey, Happening, Later, OutboxEvent, Outcome, Turn
from gateway.service import notify
from gateway.service.accounts import in_slices
from gateway.service.directory import Directory, Register
from gateway.service.notify import Deliverer, wait_after
from rating import Ladder
from tests.unit.core import build
from tests.unit.webhooks.receiver import Receiver, serving

from .house import House, Tally, settled_down, until

SECRET, NEW_SECRET = "whsec_" + "A" * 32, "whsec_" + "B" * 32
URL = "https://billing.example.com/"
ACKNOWLEDGED, FAILED = Attempt(Outcome.ACKNOWLEDGED), Attempt(Outcome.FAILED, "it answered 500")
ORDER = {"recharge.requested": 1, "balance.exhausted": 2}  # as cross() has them written


class Post:
    """Implements ports.Notifier: keeps what is sent, and answers as told."""

    def __init__(self, answer: Attempt = ACKNOWLEDGED) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.ids: set[str] = set()
        self.gate: Callable[[], Awaitable[object]] | None = None

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """Keep which one it is; answer once the gate is open."""
        self.ids.add(event.event_id)
        self.sent.append(f"evt_{event.tenant}_{ORDER[event.type]}")
        if self.gate is not None:
            await self.gate()
        return self.answer


def webhook(tenant_id: str, url: str = URL) -> Tenant:
    """A tenant with one."""
    return build.tenant(tenant_id=tenant_id, webhook_url=url, webhook_secrets=(SECRET,))


async def cross(ledger: RedisLedger, tenants: Sequence[Tenant], *, events: int = 1) -> None:
    """Each tenant crosses its trigger: one event each, or two (the second: nothing is available)."""

    async def one(tenant: Tenant) -> None:
        name = tenant.tenant_id
        await ledger.open_account(AccountTerms(name, "USD", recharge=RechargeRule(Mode.FIXED, 5, 5)))
        await ledger.top_up(name, "one", 10, "USD", "test")
        await ledger.reserve(CallKey(name, "a"), Ladder(0, ((60, 6 if events == 1 else 10),)), 60_000, "{}")

    await in_slices([partial(one, tenant) for tenant in tenants])


async def emptied(ledger: RedisLedger, tenants: Sequence[Tenant], seconds: float = 30) -> None:
    """Wait until nothing waits any more."""
    async with asyncio.timeout(seconds):
        for tenant in tenants:
            while await ledger.outbox(tenant.tenant_id, 1):
                await asyncio.sleep(0.02)


async def test_a_thousand_tenants_cross_at_once_and_each_event_comes_once(house: House) -> None:
    """A thousand events to one receiver that answers in 50 ms: each is there, none of them twice."""
    receiver = Receiver(delay_seconds=0.05)
    async with serving(receiver) as url, WebhookNotifier() as notifier:
        tenants = [webhook(f"many-{number}", url) for number in range(1000)]
        await cross(house.books.real, tenants)
        deliverer = Deliverer(house.books, Directory(tenants), notifier, house.tally)
        for tenant in tenants:
            deliverer.wake(tenant.tenant_id)
        await emptied(house.books.real, tenants)
        await deliverer.drain(1)
    came = Counter(headers["webhook-id"] for headers, _ in receiver.seen)
    assert Counter(name.rpartition("_")[0] for name in came) == {f"evt_{tenant.tenant_id}": 1 for tenant in tenants}
    assert set(came.values()) == {1}
    assert receiver.most_at_once <= notify.ATTEMPTS_AT_A_HOST


async def test_what_the_ledger_tells_of_is_counted_once_however_often_it_is_sent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that fails twice makes no second recharge; nor does having none make less of a quarantine."""
    monkeypatch.setattr(notify, "RETRY_FIRST_SECONDS", 0.01)
    tenants = [webhook("counted"), build.tenant(tenant_id="counted-alone")]
    await cross(house.books.real, tenants)
    await house.books.restrict("counted-alone", "", "test", None)
    post = Post(FAILED)
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    for tenant in tenants:
        deliverer.wake(tenant.tenant_id)
    await until(lambda: len(post.sent) == 3)
    post.answer = ACKNOWLEDGED
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert Counter(house.tally.happenings) == {
        (Happening.RECHARGE, "counted", "requested"): 1,
        (Happening.RECHARGE, "counted-alone", "requested"): 1,
        (Happening.RESTRAINT, "counted-alone", "by_hand"): 1,
    }


async def test_what_is_left_to_do_holds_no_place_at_the_receiver(house: House) -> None:
    """An answer is booked when the disk has it: until then others are sent to the same host."""
    tenants = [webhook(f"left-{number}") for number in range(notify.ATTEMPTS_AT_A_HOST + 8)]
    await cross(house.books.real, tenants)
    disk = asyncio.Event()

    async def book() -> Attempt:
        await disk.wait()
        return ACKNOWLEDGED

    post = Post(replace(ACKNOWLEDGED, then=book))
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    for tenant in tenants:
        deliverer.wake(tenant.tenant_id)
    await until(lambda: len(post.sent) == len(tenants))
    assert all([await house.books.outbox(tenant.tenant_id, 1) for tenant in tenants]), (
        "none is done before it is booked"
    )
    disk.set()
    await emptied(house.books.real, tenants)
    deliverer.stop()


async def test_a_receiver_that_hangs_delays_only_itself(house: House) -> None:
    """While hundreds of tenants' attempts hang at one host, those of another host are all delivered."""
    stuck, well = Receiver(hang=True), Receiver()
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(serving(stuck))
        good = (await stack.enter_async_context(serving(well))).replace("127.0.0.1", "localhost")
        notifier = await stack.enter_async_context(WebhookNotifier(timeout_seconds=60))
        hung = [webhook(f"hung-{number}", bad) for number in range(400)]
        fine = [webhook(f"fine-{number}", good) for number in range(40)]
        await cross(house.books.real, [*hung, *fine])
        deliverer = Deliverer(house.books, Directory([*hung, *fine]), notifier, house.tally)
        for tenant in (*hung, *fine):
            deliverer.wake(tenant.tenant_id)
        await emptied(house.books.real, fine)
        deliverer.stop()
    assert len(well.seen) == 40
    assert 0 < len(stuck.seen) <= notify.ATTEMPTS_AT_A_HOST


async def test_two_gateways_on_one_ledger_send_nothing_twice(house: House, server_url: str) -> None:
    """Both are woken for each event, both sweep all the time, and the receiver takes its time."""
    post = Post()
    post.gate = lambda: asyncio.sleep(0.005)
    tenants = [webhook(f"pair-{number}") for number in range(60)]
    await cross(house.books.real, tenants, events=2)
    other = RedisLedger(server_url, sync=False)
    await other.connect()
    both = [Deliverer(ledger, Directory(tenants), post, Tally()) for ledger in (house.books.real, other)]

    async def sweep(deliverer: Deliverer) -> None:
        while True:
            for tenant in tenants:
                deliverer.wake(tenant.tenant_id)
            await deliverer.sweep()

    sweeps = [asyncio.create_task(sweep(deliverer)) for deliverer in both]
    await emptied(house.books.real, tenants)
    for task in sweeps:
        task.cancel()
    for deliverer in both:
        await deliverer.drain(1)
    await other.close()
    assert Counter(post.sent) == {f"evt_{tenant.tenant_id}_{n}": 1 for tenant in tenants for n in (1, 2)}
    assert len(post.ids) == len(post.sent)
    for tenant in tenants:
        mine = [event_id for event_id in post.sent if event_id.startswith(f"evt_{tenant.tenant_id}_")]
        assert mine == sorted(mine)


async def test_after_a_crash_only_the_event_in_flight_comes_again(house: House) -> None:
    """It has the same id; what was acknowledged before, and what was not begun, comes once."""
    tenants = [webhook("crash")]
    await cross(house.books.real, tenants, events=2)
    died = Post()
    died.gate = asyncio.Event().wait
    crashed = Deliverer(house.books, Directory(tenants), died, house.tally)
    crashed.wake("crash")
    await until(lambda: bool(died.sent))
    crashed.stop()  # nothing is told to the ledger
    lives = Post()
    deliverer = Deliverer(house.books, Directory(tenants), lives, house.tally)
    deliverer.wake("crash")
    await settled_down()
    assert lives.sent == [], "the dead one's turn is not over"
    await house.books.real.pipe.call("HSET", wire.outbox_keys("crash")[1], "till", 1)
    deliverer.wake("crash")
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert (died.sent, lives.sent) == (["evt_crash_1"], ["evt_crash_1", "evt_crash_2"])


async def test_a_turn_lasts_as_long_as_the_attempt(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a receiver takes, no other gateway begins with the same event."""
    monkeypatch.setattr(notify, "RENEW_SECONDS", 0.02)
    tenants = [webhook("long")]
    await cross(house.books.real, tenants)
    post, answered = Post(), asyncio.Event()
    post.gate = answered.wait
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("long")
    await until(lambda: bool(post.sent))
    await house.books.real.pipe.call("HSET", wire.outbox_keys("long")[1], "till", 1)
    await settled_down(0.1)
    other = Post()
    second = Deliverer(house.books, Directory(tenants), other, house.tally)
    second.wake("long")
    await settled_down(0.05)
    second.stop()
    answered.set()
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert (post.sent, other.sent) == (["evt_long_1"], [])


async def test_what_was_acknowledged_while_the_ledger_was_away_is_not_sent_again(house: House) -> None:
    """The process knows it, and tells the ledger when it is back."""
    tenants = [webhook("away")]
    await cross(house.books.real, tenants)
    post = Post()
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    house.books.down = {"outbox_done"}
    deliverer.wake("away")
    await until(lambda: bool(post.sent))
    await settled_down()
    house.books.down = set()
    await deliverer.sweep()
    await settled_down()
    deliverer.wake("away")
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert post.sent == ["evt_away_1"]


async def test_an_orderly_stop_waits_for_the_attempt_and_begins_no_other(house: House) -> None:
    """What the receiver acknowledges meanwhile is not sent again by the next process."""
    tenants = [webhook("stop")]
    await cross(house.books.real, tenants, events=2)
    post, answered = Post(), asyncio.Event()
    post.gate = answered.wait
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("stop")
    await until(lambda: bool(post.sent))
    end = asyncio.create_task(deliverer.drain(5))
    await settled_down(0.02)
    answered.set()
    await end
    assert post.sent == ["evt_stop_1"]
    assert [ORDER[event.type] for event in await house.books.outbox("stop", 9)] == [2]


async def test_a_reload_cuts_no_attempt_off(house: House) -> None:
    """The event under way is not sent a second time to the same receiver because some rule of the tenant changed."""
    tenants = [webhook("reload")]
    await cross(house.books.real, tenants)
    post, answered = Post(), asyncio.Event()
    post.gate = answered.wait
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("reload")
    await until(lambda: bool(post.sent))
    deliverer.rules_changed("reload")
    await settled_down(0.02)
    answered.set()
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert post.sent == ["evt_reload_1"]


async def test_a_410_is_told_to_a_person_and_nothing_is_sent_until_one_acts(house: House) -> None:
    """Sweeps count it; a retry by hand sends what waits."""
    tenants = [webhook("gone")]
    await cross(house.books.real, tenants, events=2)
    post = Post(Attempt(Outcome.GONE, "it answered 410"))
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("gone")
    await until(lambda: "webhook_gone" in house.tally.faults)
    await deliverer.sweep()
    await settled_down(0.05)
    assert post.sent == ["evt_gone_1"]
    waiting, oldest_seconds, dead, disabled = house.tally.waits
    assert (waiting, dead, disabled) == (2, 0, 1)
    assert oldest_seconds > 0
    post.answer = ACKNOWLEDGED
    await house.books.outbox_retry("gone")
    await deliverer.sweep()
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert post.sent == ["evt_gone_1", "evt_gone_1", "evt_gone_2"]


async def test_after_days_an_event_is_a_dead_letter_and_a_person_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next event has its own time."""
    monkeypatch.setattr(notify, "GIVE_UP_SECONDS", 0.05)
    monkeypatch.setattr(notify, "RETRY_FIRST_SECONDS", 0.0)
    tenants = [webhook("days")]
    await cross(house.books.real, tenants)
    post = Post(FAILED)
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("days")
    await until(lambda: "event_given_up" in house.tally.faults)
    deliverer.stop()
    (dead,) = await house.books.dead_events("days", 9)
    assert (ORDER[dead.event.type], dead.why) == (1, "it answered 500")
    assert len(post.sent) > 1


async def test_an_event_that_can_never_be_sent_holds_up_no_other(house: House) -> None:
    """It is a dead letter at once."""
    tenants = [webhook("odd")]
    await cross(house.books.real, tenants, events=2)
    post = Post(Attempt(Outcome.UNSENDABLE, "it cannot be written"))
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("odd")
    await emptied(house.books.real, tenants)
    deliverer.stop()
    assert len(await house.books.dead_events("odd", 9)) == 2


async def test_another_url_is_tried_though_the_old_one_has_long_to_wait(house: House) -> None:
    """The pause of hours belongs to the endpoint that failed."""
    tenant = webhook("moved")
    await cross(house.books.real, [tenant])
    await house.books.outbox_claim("moved", "other", notify.mark_of(tenant), 1e6)
    await house.books.outbox_failed("moved", "other", 3600, 1e6, "it answered 500")
    post = Post()
    moved = replace(tenant, webhook_url="https://new.example.com/")
    for owner in (tenant, moved):
        deliverer = Deliverer(house.books, Directory([owner]), post, house.tally)
        await deliverer.sweep()
        await settled_down(0.05)
        deliverer.stop()
        assert len(post.sent) == (owner is moved)


def test_the_waits_double_up_to_an_hour() -> None:
    """A receiver that was away for a minute is asked again within about two, one that is away for days each hour."""
    waits = [wait_after(tries) for tries in range(100_000)]
    assert waits[:4] == [1, 2, 4, 8]
    assert waits == sorted(waits)
    assert waits[12] == waits[-1] == 3600


async def test_a_fault_of_the_gateways_own_blocks_nothing_for_ever(house: House) -> None:
    """An attempt that raises what nobody thought of is one that failed: it is counted, and waits as any other."""
    tenants = [webhook("fault")]
    await cross(house.books.real, tenants)

    async def broken() -> None:
        raise RuntimeError("T0KEN")

    post = Post()
    post.gate = broken
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    deliverer.wake("fault")
    await until(lambda: "outbox_failed" in house.books.sent)
    deliverer.stop()
    state = await house.books.real.outbox_state("fault", notify.mark_of(tenants[0]))
    assert (state.tries, state.why) == (1, "a fault of the gateway's own: RuntimeError")
    assert house.tally.faults == ["deliver"]


async def test_a_wake_is_heard_as_an_errand_ends(house: House) -> None:
    """What was written just after the last look is delivered now, and not at the next sweep."""
    tenants = [webhook("ending")]
    await cross(house.books.real, tenants)
    post = Post()
    deliverer = Deliverer(house.books, Directory(tenants), post, house.tally)
    looks = 0

    async def empty_at_first(*words: Any) -> Turn | Later:
        nonlocal looks
        looks += 1
        if looks > 1:
            return await house.books.real.outbox_claim(*words)
        errand = deliverer._errands["ending"]
        asyncio.get_running_loop().call_soon(lambda: errand.done() and deliverer.wake("ending"))
        return Later(None)

    house.books.outbox_claim = empty_at_first
    deliverer.wake("ending")
    await until(lambda: post.sent == ["evt_ending_1"])
    deliverer.stop()


async def test_an_old_secret_verifies_until_it_leaves_the_config(house: House) -> None:
    """By the public package: the old one and the new one while both are there, then the new one alone."""
    receiver = Receiver()
    async with serving(receiver) as url, WebhookNotifier() as notifier:
        before = webhook("rotating", url)
        both = replace(before, webhook_secrets=(NEW_SECRET, SECRET))
        after = replace(before, webhook_secrets=(NEW_SECRET,))
        await cross(house.books.real, [before], events=2)
        directory = Directory([both])
        deliverer = Deliverer(house.books, directory, notifier, house.tally)
        deliverer.wake("rotating")
        await emptied(house.books.real, [both])
        directory.take(Register([after]))
        await house.books.real.top_up("rotating", "two", 10, "USD", "test")
        await house.books.real.reserve(CallKey("rotating", "b"), Ladder(0, ((60, 10),)), 60_000, "{}")
        deliverer.wake("rotating")
        await emptied(house.books.real, [after])
        await deliverer.drain(1)
    ids = [headers["webhook-id"] for headers, _ in receiver.seen]
    assert ids == sorted(set(ids))
    assert receiver.verified(SECRET, 0) == receiver.verified(NEW_SECRET, 0)
    assert receiver.verified(NEW_SECRET, -1)
    with pytest.raises(WebhookVerificationError):
        receiver.verified(SECRET, -1)

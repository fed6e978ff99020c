"""Webhooks and payment programs of one tenant do not wait for each other. On the real ledger, with real programs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.recharge import State
from gateway.service import notify
from gateway.service.directory import Register
from tests.unit.webhooks.receiver import Receiver, serving

from .house import House, until
from .test_recharge import Till, program, till, webhooks

__all__ = ["webhooks"]

PAYS = "open(sys.argv[0] + '.asked', 'a').write('x'); print('{\"status\": \"succeeded\"}')"
HANGS = "open(sys.argv[0] + '.asked', 'a').write('x'); time.sleep(60)"


def times_asked(folder: Path) -> int:
    """How often the program was run."""
    file = folder / "pay.asked"
    return len(file.read_text()) if file.exists() else 0


@pytest.fixture
async def stop() -> AsyncIterator[Callable[[Till], Till]]:
    """Ends what is under way after the test."""
    begun: list[Till] = []

    def keep(one: Till) -> Till:
        begun.append(one)
        return one

    yield keep
    for one in begun:
        one.deliverer.stop()
        await one.deliverer.drain(5)
    await asyncio.sleep(0.1)  # a program that was ended is closed by the loop


async def test_a_payment_does_not_wait_behind_a_webhook_that_fails(
    house: House, webhooks: WebhookNotifier, tmp_path: Path, stop: Callable[[Till], Till]
) -> None:
    """The webhook refuses everything, the program is asked and its payment booked; the events wait on, in order."""
    async with serving(receiver := Receiver(status=500)) as url:
        one = stop(await till(house, webhooks, url, program(tmp_path, PAYS)))
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: len(receiver.seen) > 1 and times_asked(tmp_path) == 1)
        async with asyncio.timeout(10):
            while await one.state() is not State.SUCCEEDED:
                await asyncio.sleep(0.01)
    assert all(b"recharge.requested" not in body for _, body in receiver.seen)
    assert [event.type for event in await house.books.outbox(one.tenant.tenant_id, 9)] == [
        "balance.exhausted",
        "recharge.succeeded",
    ]


async def test_events_do_not_wait_behind_a_program_that_hangs(
    house: House, webhooks: WebhookNotifier, tmp_path: Path, stop: Callable[[Till], Till]
) -> None:
    """While it runs, and when its time is over and it is asked again, the webhook has what is its own."""
    async with serving(receiver := Receiver()) as url:
        one = await till(house, webhooks, url, program(tmp_path, HANGS))
        one.tenant = replace(one.tenant, payment_timeout_seconds=60)
        one.directory.take(Register([one.tenant]))
        stop(one).deliverer.wake(one.tenant.tenant_id)
        await until(lambda: times_asked(tmp_path) == 1)
        await until(lambda: len(receiver.seen) == 1)
        assert b"balance.exhausted" in receiver.seen[0][1]
        await one.deliverer.sweep()
    assert (house.tally.waits[0], house.tally.payments[0]) == (0, 1)
    assert [event.type for event in await house.books.outbox(one.tenant.tenant_id, 9)] == ["recharge.requested"]


async def test_two_gateways_ask_a_program_once(
    house: House, webhooks: WebhookNotifier, tmp_path: Path, stop: Callable[[Till], Till]
) -> None:
    """Both have both lanes; each event is sent by one of them."""
    async with serving(receiver := Receiver()) as url:
        one = stop(await till(house, webhooks, url, program(tmp_path, PAYS)))
        other = stop(Till(house, webhooks, url, program(tmp_path, PAYS)))
        for each in (one, other) * 4:
            each.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: len(receiver.seen) == 2)
        await one.deliver()
    assert times_asked(tmp_path) == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == len(receiver.seen) == 2


async def test_where_a_program_is_taken_away_the_webhook_has_its_requests(
    house: House,
    webhooks: WebhookNotifier,
    tmp_path: Path,
    stop: Callable[[Till], Till],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what the program had failed at is no failure of the webhook's."""
    monkeypatch.setattr(notify, "RETRY_FIRST_SECONDS", 60.0)
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = stop(await till(house, webhooks, url, program(tmp_path, "sys.exit(1)")))
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: len(receiver.seen) == 1)
        tenant = replace(one.tenant, payment_command=())
        one.directory.take(Register([tenant]))
        one.deliverer.rules_changed(tenant.tenant_id)
        await until(lambda: len(receiver.seen) == 3)
    assert b"recharge.requested" in receiver.seen[1][1]
    assert await one.state() is State.SUCCEEDED

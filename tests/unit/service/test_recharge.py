"""What payment systems answer, at once or later, by a webhook or by a program: booked once. On the real ledger."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from gateway.adapters.payment_program import AT_ONCE, CommandPayments
from gateway.adapters.redis import wire
from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.recharge import (
    MOST_ANSWER_BYTES,
    Answer,
    Mode,
    Payment,
    RechargeRule,
    State,
    read_answer,
    recharge_id,
)
from gateway.core.tenant import Tenant
from gateway.ports import Leaving, LedgerRejected, OutboxEvent, Outcome
from gateway.service import notify
from gateway.service.deliveries import Deliveries
from gateway.service.desk_error import DeskError
from gateway.service.directory import Directory
from gateway.service.recharge import Payments, Recharges
from tests.ledger.bank import Bank
from tests.unit.webhooks.receiver import Receiver, raw, serving

from .house import House, settled_down, until
from .test_notify import cross, emptied, webhook

SECRET = "whsec_" + "A" * 32
RULE = RechargeRule(Mode.FIXED, 10_000_000, 25_000_000)
EXAMPLE = Path(__file__).parents[3] / "config/payments/example.py"


class Till:
    """A house whose tenant has asked for a recharge of 25.00, and all that delivers it."""

    def __init__(self, house: House, webhooks: WebhookNotifier, url: str, command: tuple[str, ...]) -> None:
        self.tenant = replace(
            house.tenant,
            webhook_url=url,
            webhook_secrets=(SECRET,),
            recharge=RULE,
            payment_command=command,
            payment_timeout_seconds=1,
        )
        self.house, self.webhooks = house, webhooks
        self.deliverer = self.deliverer_of(self.tenant)

    def deliverer_of(self, tenant: Tenant) -> Deliveries:
        """What delivers, with its tenant as it is now."""
        self.directory = Directory([tenant])
        self.recharges = Recharges(self.house.books, self.directory, lambda name: self.deliverer.wake(name))  # noqa: PLW0108
        self.payments = Payments(self.recharges, self.directory, self.webhooks, CommandPayments())
        return Deliveries(self.house.books, self.directory, self.payments, self.house.tally)

    async def deliver(self) -> None:
        """Until the outbox is empty."""
        self.deliverer.wake(self.tenant.tenant_id)
        async with asyncio.timeout(10):
            while await self.house.books.outbox(self.tenant.tenant_id, 1):
                await asyncio.sleep(0.01)

    async def state(self) -> State:
        """Of the recharge."""
        return (await self.recharges.status(self.tenant.tenant_id)).state

    async def balance(self) -> int:
        """Of the tenant, in micro-units."""
        return int((await self.house.books.balance(self.tenant.tenant_id)).balance_micros)


@pytest.fixture
async def webhooks(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebhookNotifier]:
    """The webhooks' adapter; what failed is sent again at once."""
    monkeypatch.setattr(notify, "RETRY_FIRST_SECONDS", 0.01)
    async with WebhookNotifier(timeout_seconds=2) as webhooks:
        yield webhooks


async def till(house: House, webhooks: WebhookNotifier, url: str = "", command: tuple[str, ...] = ()) -> Till:
    """One whose recharge is requested."""
    made = Till(house, webhooks, url, command)
    await house.books.open_account(replace(house.terms(), recharge=RULE))
    assert await made.state() is State.REQUESTED
    return made


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (b'{"status": "succeeded"}', State.SUCCEEDED),
        (b'{"status": "failed", "reason": "no"}', State.FAILED),
        (b'{"status": "pending"}', State.PENDING),
        (b"", State.REQUESTED),
        (b"OK", State.REQUESTED),
        (b'{"status": "paid"}', State.REQUESTED),
        (b'["succeeded"]', State.REQUESTED),
        (b'{"status": "succeeded", "more": "' + b"x" * MOST_ANSWER_BYTES + b'"}', State.REQUESTED),
    ],
)
async def test_a_webhook_may_answer_in_its_body(
    house: House, webhooks: WebhookNotifier, body: bytes, state: State
) -> None:
    """What is no answer is taken for none, and the answer is waited for."""
    async with serving(Receiver(body=body)) as url:
        one = await till(house, webhooks, url)
        await one.deliver()
    assert await one.state() is state
    assert await one.balance() == 25_000_000 * (state is State.SUCCEEDED)


async def test_an_answer_that_could_not_be_booked_is_asked_for_again(house: House, webhooks: WebhookNotifier) -> None:
    """The ledger is away after the payment was made: the same event comes again, and one lot is booked."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        house.books.down.add("answer_recharge")
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: len(receiver.seen) == 3)
        house.books.down.clear()
        await one.deliver()
    requests = [headers["webhook-id"] for headers, body in receiver.seen if b"recharge.requested" in body]
    assert len(requests) >= 3
    assert len(set(requests)) == 1
    assert await one.balance() == 25_000_000


async def test_what_is_not_wanted_any_more_is_not_asked_for(house: House, webhooks: WebhookNotifier) -> None:
    """Funds came by hand before the payment system was reached: it hears of no request, and takes no money."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        await house.top_up(25_000_000)
        await one.deliver()
    assert [body for _, body in receiver.seen if b"recharge.requested" in body] == []
    assert await one.balance() == 25_000_000


async def timed_out(one: Till) -> None:
    """Its time is over, and nobody answered."""
    bank = Bank(one.house.books.real, one.tenant.tenant_id)
    await bank.expire_recharge()
    await bank.tend()
    assert await one.state() is State.FAILED


async def test_what_was_paid_while_the_ledger_was_away_is_booked_however_late(
    house: House, webhooks: WebhookNotifier
) -> None:
    """The recharge has timed out before the ledger is back: it is asked for again all the same, and one lot booked."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        house.books.down.add("answer_recharge")
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: bool(receiver.seen))
        await timed_out(one)
        house.books.down.clear()
        await one.deliver()
    assert await one.balance() == 25_000_000


async def test_what_was_paid_as_the_gateway_died_is_booked_however_late(
    house: House, webhooks: WebhookNotifier
) -> None:
    """The next gateway comes up after the recharge has timed out: nobody knows whether it was paid, so it asks."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}', hang=True)) as url:
        one = await till(house, webhooks, url)
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: bool(receiver.seen))
        one.deliverer.stop()
        await timed_out(one)
        receiver.hang = False
        after = Till(house, webhooks, url, ())
        await house.books.real.pipe.call("HSET", wire.outbox_keys(one.tenant.tenant_id)[1], "till", 1)
        await after.deliver()
    assert await one.balance() == 25_000_000


async def test_what_never_left_is_not_asked_for_afterwards(house: House, webhooks: WebhookNotifier) -> None:
    """Nobody listened there; then funds came by hand, and then somebody listens: no money is taken."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, "http://127.0.0.1:1/hook")
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: "outbox_failed" in house.books.sent)
        one.deliverer.stop()
        await house.top_up(25_000_000)
        await Till(house, webhooks, url, ()).deliver()
    assert [body for _, body in receiver.seen if b"recharge.requested" in body] == []
    assert await one.balance() == 25_000_000


async def test_nobody_is_asked_to_pay_for_a_closed_account(house: House, webhooks: WebhookNotifier) -> None:
    """It was closed before the request left."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        await house.books.close_account(one.tenant.tenant_id)
        await one.deliver()
    assert [body for _, body in receiver.seen if b"recharge.requested" in body] == []


async def test_what_was_paid_for_an_account_that_is_closed_is_booked_when_it_is_open_again(
    house: House, webhooks: WebhookNotifier
) -> None:
    """Closed as the money was taken, and for longer than the recharge had time."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}', delay_seconds=0.1)) as url:
        one = await till(house, webhooks, url)
        one.deliverer.wake(one.tenant.tenant_id)
        await until(lambda: bool(receiver.seen))
        await house.books.close_account(one.tenant.tenant_id)
        await timed_out(one)
        await until(lambda: len(receiver.seen) > 1)
        await house.books.reopen_account(one.tenant.tenant_id)
        await one.deliver()
    assert await one.balance() == 25_000_000


@pytest.mark.parametrize("code", ["version", "bad_amount"])
async def test_a_paid_answer_that_the_books_refuse_for_now_is_not_forgotten(
    house: House, webhooks: WebhookNotifier, code: str
) -> None:
    """Books of another version, or sums too large: what a person can mend is no end of the answer."""
    async with serving(Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        house.books.faults["answer_recharge"] = [LedgerRejected(code, "for now")]
        await one.deliver()
    assert await one.balance() == 25_000_000


@pytest.mark.parametrize("length", [b"4000000", b"20"])
async def test_a_part_of_an_answer_books_nothing(house: House, webhooks: WebhookNotifier, length: bytes) -> None:
    """One that drips is no answer in time, and is asked for again; one that ends too soon is none."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: " + length + b"\r\n\r\n")
        for letter in b'{"status": "succeede':
            writer.write(bytes([letter]))
            await asyncio.sleep(0.005 if length == b"20" else 0.2)

    async with raw(drip) as url, WebhookNotifier(timeout_seconds=0.3) as impatient:
        one = await till(house, impatient, url)
        attempt = await one.payments.deliver(url, SECRET, await first_event(one))
    assert attempt.outcome is (Outcome.ACKNOWLEDGED if length == b"20" else Outcome.FAILED)
    assert await one.state() is State.REQUESTED


async def test_events_of_recharges_verify_with_the_public_package(house: House, webhooks: WebhookNotifier) -> None:
    """The request and what came of it, while a secret is rotated: by the old one and by the new one."""
    async with serving(receiver := Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        old, new = "whsec_" + "B" * 32, SECRET
        one.tenant = replace(one.tenant, webhook_secrets=(new, old))
        one.deliverer = one.deliverer_of(one.tenant)
        await one.deliver()
    types = []
    for headers, body in receiver.seen:
        told = Webhook(new).verify(body, headers)
        assert told == Webhook(old).verify(body, headers)
        types.append(told["type"])
    assert types[0] == "recharge.requested"
    assert "recharge.succeeded" in types


async def test_a_program_under_way_ends_with_the_gateway(
    house: House, webhooks: WebhookNotifier, tmp_path: Path
) -> None:
    """With all that it started; and its request is asked for again by the next one."""
    pids = tmp_path / "pids"
    text = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}} ")
time.sleep(60)"""
    one = await till(house, webhooks, command=program(tmp_path, text))
    one.deliverer.wake(one.tenant.tenant_id)
    await until(lambda: pids.exists() and pids.read_text().endswith(" "))
    await one.deliverer.drain(0.01)
    one.deliverer.stop()
    await until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))
    assert await one.house.books.real.recharge_leaves(one.tenant.tenant_id, 1) is Leaving.AGAIN


async def test_a_program_that_hangs_delays_no_other_program(
    house: House, webhooks: WebhookNotifier, tmp_path: Path
) -> None:
    """As many of it as may run at once hang, and as many wait; another one is run at once."""
    one = await till(house, webhooks)
    event, asks = await first_event(one), CommandPayments()
    hung = [asyncio.create_task(asks.ask(["/bin/sleep", "60"], 60, event)) for _ in range(2 * AT_ONCE)]
    await settled_down(0.05)
    async with asyncio.timeout(5):
        assert await asks.ask(["/bin/echo", "paid"], 60, event) == b"paid\n"
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)


def test_the_example_takes_no_money_when_it_is_too_late() -> None:
    """A request may come again after its time: what was not paid by then is not paid any more."""
    event = {"type": "recharge.requested", "data": {"id": "rch_acme_1", "amount_micros": 1, "expires_at_ms": 1}}
    done = subprocess.run(
        [sys.executable, EXAMPLE], input=json.dumps(event).encode(), stdout=subprocess.PIPE, check=True
    )
    assert read_answer(done.stdout) == Answer(Payment.FAILED, "asked for too late")


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie that its new parent has not looked at yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_same_answer_by_all_ways_is_one_payment(house: House, webhooks: WebhookNotifier) -> None:
    """In the body, and later by the API, twice."""
    async with serving(Receiver(body=b'{"status": "succeeded"}')) as url:
        one = await till(house, webhooks, url)
        await one.deliver()
    number = recharge_id(one.tenant.tenant_id, 1)
    for _ in "ab":
        assert (await one.recharges.answer(number, Answer(Payment.SUCCEEDED))).is_repeat
    assert await one.balance() == 25_000_000


async def test_a_thousand_tenants_are_recharged_at_once(house: House) -> None:
    """All cross in the same second; the receiver pays each in its answer, after 50 ms: a thousand events, and lots."""
    receiver = Receiver(delay_seconds=0.05, body=b'{"status": "succeeded"}')
    async with serving(receiver) as url:
        tenants = [webhook(f"paid-{number}", url) for number in range(1000)]
        await cross(house.books.real, tenants)
        directory = Directory(tenants)
        recharges = Recharges(house.books, directory, lambda name: deliverer.wake(name))  # noqa: PLW0108 - it is made below
        async with WebhookNotifier() as webhooks:
            payments = Payments(recharges, directory, webhooks, CommandPayments())
            deliverer = Deliveries(house.books, directory, payments, house.tally)
            for tenant in tenants:
                deliverer.wake(tenant.tenant_id)
            await emptied(house.books.real, tenants)
            await deliverer.drain(1)
    came = Counter(headers["webhook-id"] for headers, _ in receiver.seen)
    assert Counter(name.rpartition("_")[0] for name in came) == {f"evt_{tenant.tenant_id}": 2 for tenant in tenants}
    assert set(came.values()) == {1}
    for tenant in tenants:
        assert await tops_up(house, tenant.tenant_id) == ["one", f"rch_{tenant.tenant_id}_1"]


async def tops_up(house: House, tenant_id: str) -> list[str]:
    """The ids of a tenant's top-ups, in the order of their booking."""
    entries = await house.books.real.pipe.call("XRANGE", f"cg:{{{tenant_id}}}:journal", "-", "+")
    rows = [dict(zip(words[::2], words[1::2], strict=True)) for _, words in entries]
    return [row[b"call"].decode() for row in rows if row[b"type"] == b"topup"]


@pytest.mark.parametrize("number", ["rch_nobody_1", "rch_acme_0", "evt_acme_1", "rch_acme_1;", ""])
async def test_an_id_of_nothing(house: House, webhooks: WebhookNotifier, number: str) -> None:
    """An id that no recharge can have is told so."""
    one = await till(house, webhooks)
    with pytest.raises(DeskError) as caught:
        await one.recharges.answer(number, Answer(Payment.SUCCEEDED))
    assert caught.value.code == "unknown_recharge"


def test_a_reason_is_one_line_of_what_can_be_printed() -> None:
    """Whatever a payment system writes, the journal and a terminal stay whole."""
    answer = read_answer(json.dumps({"status": "failed", "reason": "a\nb\x1b[2J\ud800" + "x" * 500}).encode())
    assert answer is not None
    assert answer.reason.startswith("a b [2J xxx")
    assert len(answer.reason) <= 200


# -------------------------------------------------------------------------------------------------------- a program


def program(folder: Path, text: str) -> tuple[str, ...]:
    """A program of the admin's."""
    file = folder / "pay"
    file.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
    file.chmod(0o700)
    return (str(file), "$HOME;`id`")


async def test_a_program_is_asked_in_the_webhooks_place(
    house: House, webhooks: WebhookNotifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the event, hears its arguments as they are and no secret, and its answer is booked."""
    seen = tmp_path / "seen.json"
    text = f"""
told = json.load(sys.stdin)
json.dump([told, sys.argv[1:], sorted(os.environ)], open({str(seen)!r}, "w"))
print(json.dumps({{"status": "succeeded", "reason": "visa 4711"}}))"""
    monkeypatch.setenv("CALLGATE_TEST_SECRET", "a secret")
    one = await till(house, webhooks, command=program(tmp_path, text))
    await one.deliver()
    told, arguments, environment = json.loads(seen.read_text())
    assert (told["type"], told["data"]["id"]) == ("recharge.requested", recharge_id(one.tenant.tenant_id, 1))
    assert (told["data"]["amount"], told["data"]["reason"]) == ("25.00", "crossed")
    assert arguments == ["$HOME;`id`"]
    assert "CALLGATE_TEST_SECRET" not in environment
    assert await one.balance() == 25_000_000


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("sys.exit('no card')", "payment.failed"),
        ("time.sleep(60)", "payment.timed_out"),
        ("os.close(0); os.close(1); time.sleep(60)", "payment.timed_out"),
        ("os.kill(os.getpid(), 9)", "payment.failed"),
    ],
)
async def test_a_program_that_fails_is_told_and_asked_again(
    house: House, webhooks: WebhookNotifier, tmp_path: Path, text: str, event: str
) -> None:
    """Nothing is booked on it, and nothing of it is left."""
    one = await till(house, webhooks, command=program(tmp_path, text))
    with capture_logs() as logs:
        attempt = await one.payments.deliver("", "", await first_event(one))
    assert attempt.outcome is Outcome.FAILED
    assert [line["event"] for line in logs if line["event"].startswith("payment.")] == [event]
    assert await one.state() is State.REQUESTED


async def test_a_program_that_floods_is_no_answer(house: House, webhooks: WebhookNotifier, tmp_path: Path) -> None:
    """Of what it prints some kilobytes are kept."""
    one = await till(house, webhooks, command=program(tmp_path, "print('x' * 50_000_000)"))
    found = await CommandPayments().ask(one.tenant.payment_command, 10, await first_event(one))
    assert found == b"x" * (MOST_ANSWER_BYTES + 1)


async def test_a_program_that_is_not_there(house: House, webhooks: WebhookNotifier, tmp_path: Path) -> None:
    """The log says so, and it is asked again later."""
    one = await till(house, webhooks)
    assert await CommandPayments().ask([str(tmp_path / "none")], 1, await first_event(one)) is None


async def first_event(one: Till) -> OutboxEvent:
    """The request."""
    event: OutboxEvent = (await one.house.books.outbox(one.tenant.tenant_id, 1))[0]
    return event


# --------------------------------------------------------------------------------------------------- the example


async def test_the_example_takes_a_test_payment_as_a_program(house: House, webhooks: WebhookNotifier) -> None:
    """config/payments/example.py, run as the config names it."""
    one = await till(house, webhooks, command=(sys.executable, str(EXAMPLE)))
    await one.deliver()
    assert await one.balance() == 25_000_000


async def test_the_example_takes_a_test_payment_as_a_receiver(house: House, webhooks: WebhookNotifier) -> None:
    """It checks the signature, and pays."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = {**os.environ, "CALLGATE_WEBHOOK_SECRET": SECRET}
    example = subprocess.Popen([sys.executable, str(EXAMPLE), "--port", str(port)], env=environment)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        one = await till(house, webhooks, f"http://127.0.0.1:{port}/")
        forged = replace(one.tenant, webhook_secrets=("whsec_" + "B" * 32,))
        attempt = await webhooks.deliver(forged.webhook_url, forged.webhook_secrets[0], await first_event(one))
        assert attempt.outcome is Outcome.FAILED
        await one.deliver()
    finally:
        example.kill()
        example.wait()
    assert await one.balance() == 25_000_000

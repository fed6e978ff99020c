"""The notices of what the ledger itself writes: each of its events has one, and lacks nothing that its words name."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib import resources

import pytest

from gateway.adapters.mail.letter import write
from gateway.core.curbs import Curbs, Kind
from gateway.core.notices import LANGUAGES, Notice, Subscription, notice_of
from gateway.core.reasons import Reason
from gateway.core.recharge import Mode, Payment, RechargeRule
from gateway.ports import OutboxEvent
from tests.unit.core import build

from .bank import Bank, fixed, flat
from .test_limits import MINUTE, at_most, trigger

DAY_MS = 86_400_000
FULL = 10_000
Drive = Callable[[Bank], Awaitable[object]]


async def recharged(bank: Bank) -> None:
    """A call crosses the trigger, and the payment arrives."""
    await bank.open(FULL, recharge=fixed(9_000, 5_000))
    await bank.reserve(flat((60, 2_000)))
    await bank.answer_recharge(1, Payment.SUCCEEDED)


async def not_recharged(bank: Bank) -> None:
    """It fails, and so do the second and the last."""
    await bank.open(FULL, recharge=fixed(9_000, 5_000, give_up_after=2))
    await bank.reserve(flat((60, 2_000)))
    await bank.answer_recharge(1, Payment.FAILED, "card declined")
    await bank.expire_recharge()
    await bank.tend()
    await bank.expire_recharge()  # nobody answers the second
    await bank.tend()


async def bounded(bank: Bank) -> None:
    """A day may have one recharge, and the second is due."""
    await bank.open(FULL, recharge=fixed(9_000, 5_000, recharges_a_day=1))
    await bank.reserve(flat((60, 2_000)), "a")
    await bank.answer_recharge(1, Payment.SUCCEEDED)
    await bank.reserve(flat((60, 5_000)), "b")


async def low_and_zero(bank: Bank) -> None:
    """No recharge is wanted; a call takes all there is."""
    await bank.open(FULL, recharge=RechargeRule(Mode.NONE, 9_000, 0))
    await bank.reserve(flat((60, FULL)))


async def lapsed(bank: Bank) -> None:
    """Funds come near their end, and to it."""
    await bank.open()
    now_ms = await bank.ledger.now_ms(bank.tenant)
    await bank.top_up(FULL, expires_at_ms=now_ms + 3 * DAY_MS)
    await bank.tend()
    await bank.lapse(1)
    await bank.tend()


async def limited(bank: Bank) -> None:
    """A day's money is used up to 80 %."""
    await bank.open(FULL)
    await bank.reserve(MINUTE, curbs=at_most(Kind.MONEY, 70))


async def guarded(bank: Bank) -> None:
    """Guards tell, pause and quarantine; a person does so too."""
    await bank.open(FULL)
    for pause_ms in (None, 60_000, 0):
        for number in range(3):
            curbs = Curbs(refusals=replace(trigger("refusals"), pause_ms=pause_ms))
            await bank.ledger.note_refusal(bank.key(f"{pause_ms}-{number}"), Reason.BARRED, "{}", curbs)
    await bank.ledger.restrict(bank.tenant, "", "calls at night", 3600)
    await bank.ledger.restrict(bank.tenant, "", "calls at night", None)


STORIES: tuple[tuple[Drive, list[Notice]], ...] = (
    (recharged, [Notice.BALANCE_LOW, Notice.RECHARGE_SUCCEEDED]),
    (not_recharged, [Notice.BALANCE_LOW, Notice.RECHARGE_FAILED, Notice.BALANCE_LOW, *[Notice.RECHARGE_FAILED] * 2]),
    (bounded, [Notice.BALANCE_LOW, Notice.RECHARGE_SUCCEEDED, Notice.RECHARGE_FAILED]),
    (low_and_zero, [Notice.BALANCE_LOW, Notice.BALANCE_ZERO]),
    (lapsed, [Notice.FUNDS_EXPIRING, Notice.FUNDS_EXPIRED, Notice.BALANCE_ZERO]),
    (limited, [Notice.LIMIT_NEAR]),
    (guarded, [Notice.FRAUD_SUSPECTED, Notice.FRAUD_SUSPECTED, *[Notice.QUARANTINED] * 3]),
)


def test_each_notice_has_a_story() -> None:
    """All nine of them are driven here, and none is left to a made-up event."""
    assert {notice for _, notices in STORIES for notice in notices} == {*Notice}


def test_each_event_of_the_ledger_has_a_notice() -> None:
    """Who adds an event to the ledger thinks of the people who should hear of it."""
    files = resources.files("gateway.adapters.redis.lua").iterdir()
    kinds = {kind for file in files for kind in re.findall(r"emit\(books, '([a-z_.]+)'", file.read_text("utf-8"))}
    assert kinds
    assert [kind for kind in sorted(kinds) if notice_of(kind, {}) is None] == []


@pytest.mark.parametrize(("drive", "notices"), STORIES, ids=lambda each: getattr(each, "__name__", ""))
async def test_what_the_ledger_writes_reads_whole(bank: Bank, drive: Drive, notices: list[Notice]) -> None:
    """In each language, with every figure that the words name: a question mark stands for one that is missing."""
    await drive(bank)
    events = await bank.outbox()
    assert [notice_of(event.type, event.facts) for event in events] == notices
    gaps = [(event.type, language) for event in events for language in LANGUAGES if "?" in read(event, language)]
    assert gaps == []


def read(event: OutboxEvent, language: str) -> str:
    """The whole notice as text."""
    notices = Subscription(("noc@example.com",), language)
    letter = write(replace(build.tenant(), tenant_id=event.tenant, currency="EUR", notices=notices), event)
    return f"{letter.subject}\n{letter.text}"

"""Sends notices by e-mail: each event once to each address, in no haste, and in nobody's way.

- Events are copied out of a tenant's outbox as they come, so that a webhook that hangs delays no mail; and before the
  webhook's errand lets one go, so that none is missed.
- A mail that was not taken is tried again after as long as it is old, within bounds; after a day it is given up: what
  it tells is history then.
- One tenant's mail goes out one after the other, and so many tenants' at once. Where an address fails, its other mail
  waits for the next look: each attempt may take as long as a server hangs.
- Each kind is sent to an address at most so many times an hour; the next one tells how many were held back. Each
  gateway counts by itself, from its start on.
"""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

import structlog

from gateway.core.notices import Notice, notice_of
from gateway.core.tenant import Tenant
from gateway.ports import LedgerUnavailable, MailBox, MailWatch, Posted, Postman, WaitingMail
from gateway.service.directory import Directory

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 5.0
AT_ONCE = 64  # tenants looked at before the sweep pauses
PAUSE_SECONDS = 0.05
MOST_CONNECTIONS = 16  # mail servers count a client's
CLAIM_MS = 120_000  # longer than any attempt takes
RETRY_FIRST_SECONDS = 30.0
RETRY_LONGEST_SECONDS = 3600.0
JITTER: Final = (0.75, 1.25)
GIVE_UP_SECONDS = 86_400.0
MOST_AN_HOUR = 4
HOUR_SECONDS = 3600.0

_Kind = tuple[str, str, Notice]  # tenant, address, notice
_Slot = tuple[str, str]  # tenant, entry


class Notices:
    """One errand for each tenant that has mail to send."""

    def __init__(
        self,
        box: MailBox,
        directory: Directory,
        postman: Postman,
        watch: MailWatch,
        *,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._box = box
        self._directory = directory
        self._postman = postman
        self._watch = watch
        self._now_seconds = now_seconds
        self._connections = asyncio.Semaphore(MOST_CONNECTIONS)
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # woken while their errand was under way
        self._not_before: dict[_Slot, float] = {}  # saves asking for a claim in vain
        self._handled: set[_Slot] = set()  # and the ledger could not be told
        self._is_stopping = False
        self._allowance = Allowance()

    async def take(self, tenant: Tenant) -> int:
        """Copy what is new in a tenant's outbox; how many mails wait. Raises LedgerUnavailable."""
        if not tenant.notices.addresses:
            return 0
        return await self._box.take_mail(tenant.tenant_id, tenant.notices.addresses)

    def wake(self, tenant: Tenant) -> None:
        """Look after a tenant's mail now, or once more when its errand is under way."""
        name = tenant.tenant_id
        if self._is_stopping or not tenant.notices.addresses:
            return
        if name in self._errands:
            self._again.add(name)
            return
        task = asyncio.create_task(self._send_all(tenant))
        self._errands[name] = task
        task.add_done_callback(lambda _: self._errands.pop(name, None))

    async def run(self) -> None:
        """Sweep all tenants, over and over, until cancelled."""
        while True:
            for number, tenant in enumerate(self._directory, 1):
                self.wake(tenant)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(PAUSE_SECONDS)
            now = self._now_seconds()
            self._not_before = {slot: at for slot, at in self._not_before.items() if at > now}
            await asyncio.sleep(SWEEP_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Begin no mail any more, and wait for those under way: one that is cut off may be sent again."""
        self._is_stopping = True
        if self._errands:
            await asyncio.wait(self._errands.values(), timeout=seconds)

    def stop(self) -> None:
        """Drop what is under way; the queue keeps it."""
        self._is_stopping = True
        for task in tuple(self._errands.values()):
            task.cancel()

    async def _send_all(self, tenant: Tenant) -> None:
        name = tenant.tenant_id
        try:
            is_first = True
            while is_first or name in self._again:
                is_first = False
                self._again.discard(name)
                waiting = await self._box.waiting_mail(name) if await self.take(tenant) else ()
                failing: set[str] = set()
                for mail in waiting:
                    if mail.to not in failing and await self._handle(tenant, mail) == Posted.LATER:
                        failing.add(mail.to)
        except LedgerUnavailable as error:
            log.warning("mail.postponed", tenant=name, problem=str(error))
        except Exception as error:
            self._watch.fault("mail")
            log.error("mail.failed", tenant=name, exc_info=error)

    # ------------------------------------------------------------------------------------------------ one mail

    async def _handle(self, tenant: Tenant, mail: WaitingMail) -> str | None:
        """Send it, or see why not; what came of an attempt. What nobody wants any more leaves at once."""
        notice = notice_of(mail.event.type, mail.event.facts)
        slot = (tenant.tenant_id, mail.entry_id)
        wanted = tenant.notices
        if slot in self._handled or notice is None or notice not in wanted.only or mail.to not in wanted.addresses:
            await self._done(slot)
            return None
        if self._must_wait(slot):
            return None
        async with self._connections:
            if self._is_stopping or not await self._box.claim_mail(*slot, CLAIM_MS):
                return None
            self._not_before.pop(slot, None)
            outcome = await self._attempt(tenant, mail, notice)
        self._watch.mailed(notice, outcome)
        await self._after(mail, slot, outcome)
        return outcome

    def _must_wait(self, slot: _Slot) -> bool:
        """Until it is time. One that is further off than any wait is of a clock that was set back since."""
        wait_seconds = self._not_before.get(slot, 0.0) - self._now_seconds()
        return 0 < wait_seconds <= RETRY_LONGEST_SECONDS * JITTER[1]

    async def _attempt(self, tenant: Tenant, mail: WaitingMail, notice: Notice) -> str:
        now = self._now_seconds()
        kind = (tenant.tenant_id, mail.to, notice)
        if now - mail.event.at_ms / 1000 > GIVE_UP_SECONDS:
            return "too_old"
        if not self._allowance.has(kind, now):
            self._allowance.hold_back(kind)
            return "held_back"
        outcome = await self._postman.post(tenant, mail, self._allowance.held_back(kind))
        if outcome is Posted.SENT:
            self._allowance.spend(kind, now)
        return outcome

    async def _after(self, mail: WaitingMail, slot: _Slot, outcome: str) -> None:
        told = log.bind(tenant=slot[0], to=mail.to, type=mail.event.type, event_id=mail.event.event_id)
        if outcome == Posted.LATER:
            age = self._now_seconds() - mail.event.at_ms / 1000
            wait = min(max(age, RETRY_FIRST_SECONDS), RETRY_LONGEST_SECONDS) * random.uniform(*JITTER)  # noqa: S311 - jitter
            self._not_before[slot] = self._now_seconds() + wait
            await self._box.postpone_mail(*slot, int(wait * 1000))
            return
        if outcome == Posted.SENT:
            told.info("mail.sent")
        else:
            told.warning("mail.not_sent", why=str(outcome))
        await self._done(slot)

    async def _done(self, slot: _Slot) -> None:
        self._handled.add(slot)
        await self._box.mail_done(*slot)
        self._handled.discard(slot)


class Allowance:
    """How many of a kind an address may still be sent within the hour, and how many it was not."""

    def __init__(self) -> None:
        self._sent: defaultdict[_Kind, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_AN_HOUR))
        self._held_back: defaultdict[_Kind, int] = defaultdict(int)

    def has(self, kind: _Kind, now_seconds: float) -> bool:
        """Whether one more may be sent."""
        sent = self._sent[kind]
        return len(sent) < MOST_AN_HOUR or abs(now_seconds - sent[0]) >= HOUR_SECONDS  # a clock may be set back

    def hold_back(self, kind: _Kind) -> None:
        """One was not sent."""
        self._held_back[kind] += 1

    def held_back(self, kind: _Kind) -> int:
        """How many were not sent since the last one that was."""
        return self._held_back.get(kind, 0)

    def spend(self, kind: _Kind, now_seconds: float) -> None:
        """One was sent, and told of those that were not."""
        self._sent[kind].append(now_seconds)
        self._held_back.pop(kind, None)

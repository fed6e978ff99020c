"""A load on the ledger that keeps its own record of what was acknowledged, and holds the books against it.

Each client tops up or runs whole calls, one after the other, and sends a step again until it is answered, as the
service does. A step's fate is not known until then: the books may have it or not. Once it is acknowledged they have it,
exactly once.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TypeVar

from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import AccountTerms, CallKey, Grant, LedgerRejected, LedgerUnavailable
from rating import Ladder

from .bank import Bank, flat

T = TypeVar("T")
Send = Callable[[], Awaitable[T]]

AMPLE = 10**12
_AGAIN_SECONDS = 0.005
_AT_ONCE = 500
# What a step hears whose call, or a former step of it, is not in the books any more.
_FORGOTTEN = ("unknown_call", "exceeds_grant", "bad_state")


@dataclass
class Booking:
    """One top-up, or the charge of one call: what was asked, and whether it was acknowledged."""

    possible: tuple[int, ...]  # micro-units that the books may have of it
    again: Send[bool] | None = None  # repeats what was acknowledged; whether the same was heard


@dataclass
class Record:
    """What one tenant's clients know."""

    topups: dict[str, Booking] = field(default_factory=dict)
    charges: dict[str, Booking] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)


class Load:
    """Clients, and the gate that every step of theirs passes.

    ``ledger`` makes the steps; ``reader`` is another one, which waits for no disk, and which asks for the repeats.
    ``may_forget``: a reservation that was granted can be lost with the machine; it is registered again then.
    """

    def __init__(
        self, ledger: RedisLedger, reader: RedisLedger, seed: str, *, tenants: Sequence[str], may_forget: bool = False
    ) -> None:
        self.ledger = ledger
        self.reader = reader
        self.seen: Counter[str] = Counter()
        self.may_forget = may_forget
        self.validity_ms = 3_600_000
        self.pause_seconds = 0.0  # the longest between two steps of a call
        self.lifetime_ms: int | None = None  # of half of the top-ups; the others never expire
        self._seed = seed
        self._records = {tenant: Record() for tenant in tenants}
        self._gate = asyncio.Event()
        self._pending = 0
        self._is_over = False

    async def open(self) -> None:
        """Open the accounts, with ample credit."""
        for tenant, record in self._records.items():
            await self.ledger.open_account(AccountTerms(tenant, "EUR"))
            await heard(partial(self.ledger.top_up, tenant, "first", AMPLE, "EUR", "test"))
            record.topups["first"] = Booking((AMPLE,))

    def run(self, clients: int) -> list[asyncio.Task[None]]:
        """Start the clients; the gate is closed."""
        return [asyncio.create_task(self._client(number)) for number in range(clients)]

    def go(self) -> None:
        """Let steps be sent."""
        self._gate.set()

    async def pause(self) -> None:
        """Let none be sent, and wait until the fate of all that were is known, or known to be unknown."""
        self._gate.clear()
        while self._pending:
            await asyncio.sleep(0.001)

    def finish(self) -> None:
        """Let each client end what it has begun."""
        self._is_over = True
        self.go()

    async def until_answered(self, send: Send[T]) -> T:
        """Send a step again until it is answered."""
        while True:
            await self._gate.wait()
            self._pending += 1
            try:
                return await send()
            except LedgerUnavailable:
                self.seen["unanswered"] += 1
            finally:
                self._pending -= 1
            await asyncio.sleep(_AGAIN_SECONDS)

    # ------------------------------------------------------------------------------------------ the clients

    async def _client(self, number: int) -> None:
        rng = Random(f"{self._seed}/{number}")
        turn = 0
        while not self._is_over:
            turn += 1
            tenant = rng.choice(list(self._records))
            if rng.random() < 0.3:
                await self._top_up(tenant, f"paid-{number}.{turn}", rng.randint(1, 10**6))
            else:
                await Talk(self, CallKey(tenant, f"pbx/{number}.{turn}/n"), rng).run()

    async def _top_up(self, tenant: str, name: str, amount: int) -> None:
        booking = self._records[tenant].topups[name] = Booking((0, amount))
        expires_at_ms = None
        if self.lifetime_ms is not None and amount % 2:
            expires_at_ms = await self.until_answered(lambda: self.ledger.now_ms(tenant)) + self.lifetime_ms
        words = (tenant, name, amount, "EUR", "test", expires_at_ms)

        async def again() -> bool:
            return (await heard(lambda: self.reader.top_up(*words))).is_repeat

        try:
            await self.until_answered(lambda: self.ledger.top_up(*words))
        except LedgerRejected as error:
            if error.code != "bad_amount":  # the clock has jumped over its end
                raise
            booking.possible = (0,)
            return
        booking.possible, booking.again = (amount,), again
        self.seen["topups"] += 1

    def charge(self, key: CallKey) -> Booking:
        """The booking of a call's charge."""
        return self._records[key.tenant].charges.setdefault(key.call_id, Booking((0,)))

    def released(self, key: CallKey) -> None:
        """The caller has given up."""
        self._records[key.tenant].released.add(key.call_id)
        self.seen["released"] += 1

    # -------------------------------------------------------------------------------------------- the books

    async def check(self) -> None:
        """Hold the books against the record, while the gate is closed."""
        for tenant, record in self._records.items():
            await Bank(self.reader, tenant).audit()
            before = await self._totals(tenant)
            for total, bookings in zip(before, (record.topups, record.charges), strict=True):
                least = sum(min(booking.possible) for booking in bookings.values())
                most = sum(max(booking.possible) for booking in bookings.values())
                assert least <= total <= most, f"{tenant}: {least} <= {total} <= {most}"
            for bookings in (record.topups, record.charges):
                known = {name: booking.again for name, booking in bookings.items() if booking.again is not None}
                repeats = await _all(list(known.values()))
                missing = [name for name, is_same in zip(known, repeats, strict=True) if not is_same]
                assert not missing, f"{tenant}: acknowledged, and not there: {missing}"
            assert await self._totals(tenant) == before, "a repeat moved money"

    async def _totals(self, tenant: str) -> tuple[int, int]:
        """All top-ups, and the charges of all closed calls, in micro-units."""
        account = await self.reader.balance(tenant)
        open_calls = sum(call.charged_micros for call in await self.reader.live_calls(tenant))
        return account.credits_micros, account.charges_micros - account.adjustments_micros - open_calls

    async def check_end(self) -> None:
        """When all clients have ended the books are the record, to the micro-unit, and nothing is held."""
        await self.check()
        for tenant, record in self._records.items():
            await self._reap(tenant, record)
            account = await self.reader.balance(tenant)
            assert (account.held_micros, account.live_calls) == (0, 0), account
            bookings = [*record.topups.values(), *record.charges.values()]
            assert all(len(booking.possible) == 1 for booking in bookings), "a client did not end"

    async def _reap(self, tenant: str, record: Record) -> None:
        """A release is not waited for: lost with the machine, it leaves a reservation to the reaper."""
        for call in await self.reader.live_calls(tenant):
            assert self.may_forget, call
            assert call.key.call_id in record.released, call
            await heard(partial(self.reader.release, call.key))
            self.seen["released again"] += 1


class Talk:
    """One call, as its gateway knows it."""

    def __init__(self, load: Load, key: CallKey, rng: Random) -> None:
        self._load, self._key, self._rng = load, key, rng
        self._step = self._seconds = self._paid = self._committed = 0
        self._leg = ""

    async def run(self) -> None:
        """From the ask to the settle, or to the release."""
        load, ledger, key, rng = self._load, self._load.ledger, self._key, self._rng
        self._take(await load.until_answered(lambda: ledger.reserve(key, self._ladder(), load.validity_ms, "{}")))
        await self._talk_on()
        if rng.random() < 0.15:
            await load.until_answered(lambda: ledger.release(key))
            load.released(key)
            return
        # Known before the ledger has heard of it: who registers the call anew says that it was answered.
        self._leg = f"leg-{key.call_id}"
        await self._known(lambda: ledger.answer(key, self._leg, 1_700_000_000_000, load.validity_ms))
        for _ in range(rng.randint(0, 2)):
            await self._talk_on()
            if not await self._extend():
                break
        await self._talk_on()
        if rng.random() < 0.1:
            await self._settle(is_estimate=True)
        await self._settle(is_estimate=False)
        load.seen["calls"] += 1

    async def _talk_on(self) -> None:
        if self._load.pause_seconds:
            await asyncio.sleep(self._rng.uniform(0, self._load.pause_seconds))

    def _ladder(self) -> Ladder:
        return flat((self._seconds + 30, self._paid + 500), (self._seconds + 60, self._paid + 1000))

    def _take(self, grant: object) -> None:
        assert isinstance(grant, Grant)
        self._seconds, self._paid = grant.granted_seconds, self._committed + grant.held_micros

    async def _extend(self) -> bool:
        """Commit some of it, and take more; False when the reaper has estimated it, which no extend undoes."""
        committed, ladder = self._rng.randint(self._committed, self._paid), self._ladder()
        step = self._step + 1
        try:
            grant = await self._known(
                lambda: self._load.ledger.extend(self._key, step, committed, ladder, self._load.validity_ms)
            )
        except LedgerRejected as error:
            if error.code not in ("bad_state", "stale_step"):
                raise
            return False
        self._step, self._committed = step, committed
        self._take(grant)
        return True

    async def _settle(self, *, is_estimate: bool) -> None:
        ledger, key = self._load.ledger, self._key
        step = self._step + 1
        charge, seconds = self._rng.randint(0, self._paid), self._rng.randint(0, self._seconds)
        if is_estimate:  # as the reaper does: nothing that was granted may be missing from the correction
            charge, seconds = self._paid, self._seconds
        booking = self._load.charge(key)
        booking.possible, booking.again = (*booking.possible, charge), None
        told = await self._known(lambda: ledger.settle(key, step, charge, seconds, is_estimate=is_estimate))

        async def again() -> bool:
            reader = self._load.reader
            return told == await heard(lambda: reader.settle(key, step, charge, seconds, is_estimate=is_estimate))

        self._step, self._committed = step, told.charged_micros
        booking.possible, booking.again = (told.charged_micros,), again

    async def _known(self, send: Send[T]) -> T:
        """Send a step of a call that must be known; where it may have been forgotten, register it and send again."""
        while True:
            try:
                return await self._load.until_answered(send)
            except LedgerRejected as error:
                if not self._load.may_forget or error.code not in _FORGOTTEN:
                    raise
                self._load.seen["registered"] += 1
            await self._load.until_answered(self._register)

    def _register(self) -> Awaitable[None]:
        return self._load.ledger.register(
            self._key, self._step, self._seconds, self._paid, self._leg, 1_700_000_000_000, self._load.validity_ms, "{}"
        )


async def heard(send: Send[T]) -> T:
    """Send a step again until it is answered, whatever the gate: a connection may be new."""
    while True:
        try:
            return await send()
        except LedgerUnavailable:
            await asyncio.sleep(_AGAIN_SECONDS)


async def _all(sends: Sequence[Send[bool]]) -> list[bool]:
    told: list[bool] = []
    for start in range(0, len(sends), _AT_ONCE):
        told += await asyncio.gather(*(send() for send in sends[start : start + _AT_ONCE]))
    return told

"""The ledger on Redis or Valkey: each step is one function call, atomic and idempotent.

The books themselves, with their rules and invariants, are in ``lua/``; ``server`` runs the functions, ``call_steps``
has the steps of a call, ``recharge_steps`` those of a recharge, ``outbox`` those of events. This file has the rest of
``gateway.ports``: accounts, limits by hand, what is there.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from gateway.adapters.redis import wire
from gateway.adapters.redis.figures import read_day, read_pause
from gateway.adapters.redis.journal import read_books, read_journal, read_lots
from gateway.adapters.redis.leases import LeaseSteps
from gateway.adapters.redis.limits import allow_country, lift, read_refusals, read_restrictions
from gateway.adapters.redis.mail import MailBoxes
from gateway.adapters.redis.news import News, follow
from gateway.adapters.redis.outbox import OutboxSteps
from gateway.adapters.redis.recharge_steps import RechargeSteps
from gateway.core.findings import Books
from gateway.core.journal import Entry
from gateway.ports import (
    AccountTerms,
    Balance,
    CallKey,
    DayFigures,
    Lot,
    Refusal,
    Restriction,
    StoredCall,
    TopUp,
)

_CALLS_AT_ONCE: Final = 256  # read by one function call, in which the server does nothing else


class RedisLedger(RechargeSteps, OutboxSteps, MailBoxes, LeaseSteps):
    """Implements the ledger's side of ``gateway.ports``; see ``Server`` for how it is made.

    That is ``Ledger``, ``JournalReader``, ``Restraints``, ``RechargeBooks``, ``Outbox``, ``MailBox`` and ``Leases``.
    """

    # ------------------------------------------------------------------------------------------ the account

    async def open_account(self, terms: AccountTerms) -> Balance:
        """Open the account, or apply changed terms to it. Rejected: ``wrong_currency``, ``bad_amount``."""
        keys = wire.account_keys(wire.checked_tenant(terms.tenant))
        return wire.read_balance(terms.tenant, await self._function("open", keys, *wire.terms_words(terms)))

    async def balance(self, tenant: str) -> Balance:
        """Rejected: ``unknown_account``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return wire.read_balance(tenant, await self._function("balance", keys))

    async def lots(self, tenant: str) -> Sequence[Lot]:
        """Those that have money, the soonest to expire first; one may have expired since the last step."""
        return await read_lots(self._told, tenant)

    async def close_account(self, tenant: str) -> Balance:
        """Sell nothing more to the tenant. Rejected: ``unknown_account``, ``bad_state`` while calls are live."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return wire.read_balance(tenant, await self._function("close", keys))

    async def reopen_account(self, tenant: str) -> Balance:
        """Sell again. Rejected: ``unknown_account``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return wire.read_balance(tenant, await self._function("reopen", keys))

    async def now_ms(self, tenant: str) -> int:
        """Return the time of the server that keeps the tenant's books, in UTC epoch milliseconds."""
        wire.checked_tenant(tenant)
        seconds, micros = await self._told("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def top_up(
        self,
        tenant: str,
        topup_id: str,
        amount_micros: int,
        currency: str,
        source: str,
        expires_at_ms: int | None = None,
    ) -> TopUp:
        """Add funds, once for an id, as a lot; wakes who listens to ``subscribe``.

        Rejected: ``unknown_account``, ``wrong_currency``, ``id_reused``, ``too_old``, ``account_closed``,
        ``bad_amount`` (funds that have expired already, too), ``bad_id``.
        """
        keys = wire.topup_keys(wire.checked_tenant(tenant))
        amount = wire.checked_amount(amount_micros, 1)
        expires = 0 if expires_at_ms is None else wire.checked_amount(expires_at_ms, 1)
        words = (wire.checked_topup_id(topup_id), amount, wire.checked_currency(currency), wire.checked_text(source))
        return wire.read_topup(await self._function("topup", keys, *words, expires))

    async def reverse(self, tenant: str, topup_id: str, reason: str) -> TopUp:
        """Take a top-up back, once, but for what of it has expired; what is spent is owed.

        Rejected: ``unknown_account``, ``unknown_topup``, ``too_old``, ``bad_id``.
        """
        keys = wire.topup_keys(wire.checked_tenant(tenant))
        words = (wire.checked_topup_id(topup_id), wire.checked_text(reason))
        return wire.read_topup(await self._function("reverse", keys, *words))

    async def tend(self, tenant: str) -> bool:
        """Do what is due by the clock: expiry and its notices, recharges, forecasts, ids that become a mark.

        True when the outbox has something. Rejected: ``unknown_account``.
        """
        keys = wire.tend_keys(wire.checked_tenant(tenant))
        return bool((await self._function("tend", keys, self._kept_ms)).endswith(b" 1"))

    # -------------------------------------------------------------------------------------- limits, by hand

    async def restrict(self, tenant: str, cli: str, why: str, seconds: int | None) -> None:
        """Refuse the asks of a caller, or of the whole tenant, for a time, or until that is lifted.

        Rejected: ``unknown_account``, ``bad_amount``, ``bad_id``.
        """
        keys = [*wire.call_keys(CallKey(wire.checked_tenant(tenant), "-"))]
        ms = 0 if seconds is None else wire.checked_amount(seconds * 1000, 1)
        await self._function("restrict", keys, wire.pause_target(cli), ms, wire.checked_text(why))

    async def lift(self, tenant: str, target: str) -> bool:
        """Take back a restriction or a guard's pause. False: there was none. Rejected: ``bad_id``."""
        return await lift(self._told, tenant, target)

    async def restrictions(self, tenant: str) -> Sequence[Restriction]:
        """What is restricted or paused now."""
        return await read_restrictions(self._told, tenant)

    async def refusals(self, tenant: str, most: int) -> Sequence[Refusal]:
        """The last asks that were refused, the newest first; some thousand are kept."""
        return await read_refusals(self._told, tenant, most)

    async def allow_country(self, tenant: str, country: str) -> None:
        """Let calls to a country pass that ``new_country`` holds. Rejected: ``bad_id``."""
        await allow_country(self._told, tenant, country)

    # ---------------------------------------------------------------------------------------- what is there

    async def stored_call(self, key: CallKey) -> StoredCall | None:
        """Return a call that is live or estimated; None for any other. Rejected: ``unknown_account``."""
        found = await self._read_calls(wire.checked_call(key).tenant, [key.call_id.encode()])
        return found[0] if found else None

    async def live_calls(self, tenant: str) -> Sequence[StoredCall]:
        """All reservations that are neither settled, estimated nor released, the first to expire first."""
        return await self._read_calls(tenant, await self._live_ids(tenant))

    async def live_ids(self, tenant: str) -> Sequence[str]:
        """Their ids alone, which cost much less."""
        return [call_id.decode() for call_id in await self._live_ids(tenant)]

    async def calls_after(self, tenant: str, after: str, most: int) -> Sequence[StoredCall]:
        """The first of them after an id, by id: of thousands, only those are read."""
        later = sorted(call_id for call_id in await self._live_ids(tenant) if call_id > after.encode())
        found: list[StoredCall] = []
        while later and len(found) < most:  # some may have closed since their ids were read
            missing = most - len(found)
            some, later = later[:missing], later[missing:]
            found += await self._read_calls(tenant, some)
        return found

    async def expired_calls(self, tenant: str) -> Sequence[StoredCall]:
        """Those of them whose validity has run out, by the ledger's own clock, the longest gone first."""
        live_key = wire.account_keys(wire.checked_tenant(tenant))[1]
        return await self._read_calls(tenant, await self._function("expired", [live_key]))

    async def day_figures(self, tenant: str, counters: Sequence[str]) -> DayFigures:
        """What was charged of late, and what counters of limits stand at."""
        return await read_day(self._told, tenant, counters)

    async def paused_until_ms(self, tenant: str) -> int | None:
        """Until when all of a tenant's asks are refused; 0: until a person lifts it; None: they are not."""
        return await read_pause(self._told, tenant)

    async def journal(self, tenant: str, after_id: str, most: int) -> Sequence[Entry]:
        """The oldest entries after that one ("": from the beginning). Raises ValueError for what is no entry."""
        return await read_journal(self._told, tenant, after_id, most)

    async def archived(self, tenant: str, n: int, entry_id: str) -> None:
        """Forget the journal up to that entry, which is on disk. Rejected: ``unknown_account``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        await self._function("archived", keys, wire.checked_amount(n, 1), entry_id)

    async def books(self, tenant: str) -> tuple[Books, int]:
        """The account at one instant, then its live calls, then its last entry's n. Rejected: ``unknown_account``."""
        return await read_books(self._told, tenant)

    def subscribe(self) -> AsyncGenerator[News, None]:
        """Yield news as they happen, from all gateways, without end; see ``news.follow``."""
        return follow(lambda: self.pipe.urls)

    async def _live_ids(self, tenant: str) -> list[bytes]:
        live_key = wire.account_keys(wire.checked_tenant(tenant))[1]
        found: list[bytes] = await self._told("ZRANGE", live_key, 0, -1)
        return found

    async def _read_calls(self, tenant: str, ids: Sequence[bytes]) -> list[StoredCall]:
        calls = []
        for start in range(0, len(ids), _CALLS_AT_ONCE):
            names = [call_id.decode() for call_id in ids[start : start + _CALLS_AT_ONCE]]
            keys = [key for name in names for key in wire.stored_keys(tenant, name)]
            rows = await self._function("live", [wire.prices_key(tenant), *keys])
            # A call that closed since its id was read has an empty row.
            calls += [wire.read_call(tenant, name, row) for name, row in zip(names, rows, strict=True) if row]
        return calls

"""What an admin or a clerk can do, once, for HTTP and for the command line.

Nothing here asks who it is that asks: that is the door's business (adapters/http/api).
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from gateway.core.facts import Direction
from gateway.core.guards import pause_meant
from gateway.core.ownership import SWITCH, View
from gateway.core.quote import Quote, quote
from gateway.core.reasons import CALL_REJECTED, NORMAL_CLEARING
from gateway.core.tenant import Tenant
from gateway.ports import (
    ArchivePage,
    Balance,
    CallKey,
    DeadEvent,
    DeskLedger,
    Happening,
    Lane,
    Leases,
    Lot,
    MailBox,
    OutboxDesk,
    OutboxEvent,
    OutboxState,
    Refusal,
    Reloaded,
    Restraints,
    Restriction,
    StoredCall,
    SwitchUnavailable,
    TopUp,
)
from gateway.service.desk_error import DeskError
from gateway.service.directory import Directory
from gateway.service.funds import add_funds
from gateway.service.history import History, history
from gateway.service.journal import JournalPage, PageOf, journal_page
from gateway.service.notify import mark_of
from gateway.service.recharge import Recharges
from gateway.service.session import Session
from gateway.service.story import CallStory, call_story
from gateway.service.switchboard import Switchboard
from rating import is_country

log = structlog.get_logger(__name__)

ARCHIVE_READS_AT_ONCE = 2  # threads that the archive and the settle queue need, too
CALL_ID_PARTS = 3  # switch/uniqueid/nonce
REFUSALS_READ = 500  # looked through for one call's
DAY_MS = 86_400_000
MOST_HISTORY_MS = 366 * DAY_MS


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call whose books are open, and what its memo says of it."""

    stored: StoredCall
    number: str  # E.164 where it has one, else as it was dialled
    cli: str
    call_class: str
    direction: str


@dataclass(frozen=True, slots=True)
class Events:
    """A tenant's events: how their delivery goes, the oldest of those that wait, the oldest of those given up."""

    state: OutboxState
    payments: OutboxState | None  # of requests for a recharge, where a program has these; else they are as all others
    waiting: Sequence[OutboxEvent]
    dead: Sequence[DeadEvent]


class Desk:
    """The tenants, the books, the switches and the config of one running gateway, or of none (``boards`` empty)."""

    def __init__(
        self,
        ledger: DeskLedger,
        directory: Directory,
        archive: ArchivePage,
        *,
        boards: Mapping[str, Switchboard] | None = None,
        limits: Restraints | None = None,
        events: OutboxDesk | None = None,
        mail: MailBox | None = None,
        leases: Leases | None = None,
        reload: Callable[[], Awaitable[Reloaded]] | None = None,
        outbox_written: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Without ``boards`` no call can be cut; ``limits``, ``events``, ``leases``, ``reload`` that lack are not had.

        ``mail`` takes a dropped event's copy, where notices are sent by mail.
        ``outbox_written`` is told the tenant; without it, its events wait for the next look at the outbox.
        """
        self.recharges = Recharges(ledger, directory, outbox_written)
        self._ledger = ledger
        self._directory = directory
        self._archive = archive
        self._boards = boards or {}
        self._restraints = limits
        self._events = events
        self._mail = mail
        self._leases = leases
        self._reload = reload
        self._reads = asyncio.Semaphore(ARCHIVE_READS_AT_ONCE)

    # ---------------------------------------------------------------------------------------------- the tenants

    def tenants(self) -> list[Tenant]:
        """All of the config in force, by id."""
        return sorted(self._directory, key=lambda tenant: tenant.tenant_id)

    def tenant(self, tenant_id: str) -> Tenant:
        """One of them. Error: ``unknown_tenant``."""
        tenant = self._directory.get(tenant_id)
        if tenant is None:
            raise DeskError("unknown_tenant", "There is no such tenant.")
        return tenant

    def quote(
        self, tenant_id: str, number: str, at_ms: int | None = None, direction: Direction = Direction.OUTBOUND
    ) -> Quote:
        """What a call would cost, answered at an instant, or now. Error: ``unknown_tenant``."""
        return quote(self.tenant(tenant_id), number, int(time.time() * 1000) if at_ms is None else at_ms, direction)

    # ------------------------------------------------------------------------------------------------ the books

    async def balance(self, tenant_id: str) -> Balance:
        """Error: ``unknown_tenant``. Raises LedgerUnavailable, LedgerRejected as ``Ledger.balance``."""
        return await self._ledger.balance(self.tenant(tenant_id).tenant_id)

    async def lots(self, tenant_id: str) -> Sequence[Lot]:
        """Those that have money. Error: ``unknown_tenant``. Raises LedgerUnavailable."""
        return await self._ledger.lots(self.tenant(tenant_id).tenant_id)

    async def journal(self, tenant_id: str, wanted: PageOf) -> JournalPage:
        """A page of a tenant's journal. Error: ``unknown_tenant``.

        Raises LedgerUnavailable, ArchiveBrokenError, OSError.
        """
        tenant = self.tenant(tenant_id).tenant_id
        if not wanted.with_archive:
            return await journal_page(self._ledger, tenant, wanted, None)
        async with self._reads:
            return await journal_page(self._ledger, tenant, wanted, self._archive)

    async def history(self, tenant_id: str, from_ms: int | None, points: int) -> History:
        """The balance from an instant, or for a day, up to now. Error: ``unknown_tenant``. Raises as ``journal``."""
        tenant = self.tenant(tenant_id).tenant_id
        now_ms = await self._ledger.now_ms(tenant)
        day = await self._ledger.day_figures(tenant, ())
        from_ms = now_ms - DAY_MS if from_ms is None else min(max(from_ms, now_ms - MOST_HISTORY_MS), now_ms)
        return await history(lambda wanted: self.journal(tenant, wanted), day, from_ms, now_ms, points)

    async def top_up(
        self,
        tenant_id: str,
        topup_id: str,
        amount_micros: int,
        source: str,
        *,
        currency: str | None = None,
        expires_at_ms: int | None = None,
    ) -> TopUp:
        """Add funds, once for an id, by the tenant's rule of expiry or until a time.

        Errors: ``unknown_tenant``, and ``wrong_currency`` where the one that is named is not the tenant's.
        Raises LedgerUnavailable, LedgerRejected as ``Ledger.top_up``.
        """
        tenant = self.tenant(tenant_id)
        if currency not in {None, tenant.currency}:
            raise DeskError("wrong_currency", f"The tenant's account is in {tenant.currency}, not in {currency}.")
        return await add_funds(self._ledger, tenant, topup_id, amount_micros, source, expires_at_ms=expires_at_ms)

    async def reverse(self, tenant_id: str, topup_id: str, reason: str) -> TopUp:
        """Take a top-up back, once. Error: ``unknown_tenant``. Raises LedgerUnavailable, LedgerRejected."""
        return await self._ledger.reverse(self.tenant(tenant_id).tenant_id, topup_id, reason)

    async def close_account(self, tenant_id: str) -> Balance:
        """No new calls, no top-ups. Error: ``unknown_tenant``. Raises LedgerUnavailable, LedgerRejected."""
        return await self._ledger.close_account(self.tenant(tenant_id).tenant_id)

    async def reopen_account(self, tenant_id: str) -> Balance:
        """Sell again. Error: ``unknown_tenant``. Raises LedgerUnavailable, LedgerRejected."""
        return await self._ledger.reopen_account(self.tenant(tenant_id).tenant_id)

    # ------------------------------------------------------------------------------------------------ the calls

    async def calls(self, tenant_id: str, after: str, most: int) -> list[LiveCall]:
        """A tenant's calls whose books are open, of all gateways on these books: the first ones after an id, by id.

        Error: ``unknown_tenant``. Raises LedgerUnavailable.
        """
        return [_live(call) for call in await self._ledger.calls_after(self.tenant(tenant_id).tenant_id, after, most)]

    async def story(self, tenant_id: str, call_id: str) -> CallStory:
        """What became of a call. Errors: ``unknown_tenant``, ``unknown_call``. Raises as ``journal``."""
        tenant = self.tenant(tenant_id).tenant_id
        stored = await self._ledger.stored_call(CallKey(tenant, call_id))
        is_asked = stored is None and self._restraints is not None  # what has books was not refused
        refusals = await self._limits.refusals(tenant, REFUSALS_READ) if is_asked else ()
        found = await call_story(call_id, lambda wanted: self.journal(tenant, wanted), refusals, stored)
        if not found.is_known:
            raise DeskError("unknown_call", "Nothing is known of such a call; it may be too long ago.")
        return found

    def payer_of(self, call_id: str) -> str | None:
        """The tenant of a call that runs at this gateway; None: there is no such call here."""
        session = self._session(call_id)
        return session.tenant_id if session else None

    async def check_is_here(self, call_id: str) -> None:
        """Errors: ``other_gateway`` names the one that has the call's switch; ``switch_unavailable``: none has it now.

        Raises LedgerUnavailable.
        """
        switch = call_id.partition("/")[0]
        board = self._boards.get(switch)
        if board is not None and board.world.tenure.is_held:
            return
        lease = (await self.owners()).leases.get(SWITCH + switch) if self._leases is not None else None
        if board is None and (lease is None or lease.is_free):
            return  # no such switch
        if lease is None or lease.is_free:
            raise DeskError("switch_unavailable", f"No gateway has switch {switch} just now; try again in a second.")
        raise DeskError("other_gateway", f"Gateway {lease.owner} has switch {switch}; ask the API of that one.")

    async def cut(self, call_id: str) -> None:
        """End a call. It settles as any call that ends, when the PBX says that it has.

        An answered leg ends with cause 16, as at the end of its paid time: its record is that of an ordinary end.
        Before the answer the channel that asked ends with 21, which PJSIP sends as 403: 16 would become 603 there
        (DESIGN section 2), and no upstream is to take this for a fault and try another carrier.
        Errors: ``unknown_call``, ``call_ended``, ``switch_unavailable``.
        """
        session = self._session(call_id)
        if session is None:
            raise DeskError("unknown_call", "No such call runs at this gateway.")
        call = session.call
        channel, cause = (call.leg, NORMAL_CLEARING) if call.leg else (call.caller, CALL_REJECTED)
        world = self._boards[call_id.partition("/")[0]].world
        try:
            is_there = await world.switch.hang_up(channel, cause)
        except SwitchUnavailable as error:
            raise DeskError("switch_unavailable", f"The switch was not heard to end it: {error}.") from error
        log.info("call.cut_by_hand", call=call_id, tenant=session.tenant_id, is_there=is_there)
        if is_there and call.leg:
            world.watch.happened(Happening.CUT, world.switch.name, "operator")
        if not is_there:
            raise DeskError("call_ended", "The PBX says that the call has ended; its books close by themselves.")

    def _session(self, call_id: str) -> Session | None:
        parts = call_id.split("/")
        board = self._boards.get(parts[0])
        return board.calls.session(call_id) if board is not None and len(parts) == CALL_ID_PARTS else None

    # ------------------------------------------------------------------------------- restrictions and refusals

    async def restrict(self, tenant_id: str, cli: str, why: str, seconds: int | None) -> None:
        """Quarantine a CLI, or with an empty one the tenant, for some seconds or until it is lifted."""
        await self._limits.restrict(self.tenant(tenant_id).tenant_id, cli, why, seconds)

    async def lift(self, tenant_id: str, target: str) -> bool:
        """Take back a restriction or a pause: ``Restriction.target``, or a caller's number. False: there was none.

        Error: ``invalid``.
        """
        tenant, meant = self.tenant(tenant_id).tenant_id, pause_meant(target)
        if not meant:
            raise DeskError("invalid", f"{target!a} is none of: tenant, cli:NUMBER, prefix:DIGITS; nothing is lifted.")
        return await self._limits.lift(tenant, meant)

    async def restrictions(self, tenant_id: str) -> Sequence[Restriction]:
        """What is restricted or paused now."""
        return await self._limits.restrictions(self.tenant(tenant_id).tenant_id)

    async def refusals(self, tenant_id: str, most: int) -> Sequence[Refusal]:
        """The last ones, newest first."""
        return await self._limits.refusals(self.tenant(tenant_id).tenant_id, most)

    async def allow_country(self, tenant_id: str, country: str) -> None:
        """Let first calls to a country pass: ISO 3166, or a code of no country, as +881. Error: ``unknown_country``."""
        if not is_country(country):
            raise DeskError(
                "unknown_country", f"{country!a} is no country that has numbers; write one such as MC or +881."
            )
        await self._limits.allow_country(self.tenant(tenant_id).tenant_id, country)

    @property
    def _limits(self) -> Restraints:
        if self._restraints is None:
            raise DeskError("not_available", "These books know no restrictions.")
        return self._restraints

    # ---------------------------------------------------------------------------------------------- events

    async def events(self, tenant_id: str, most: int) -> Events:
        """Those that wait for the webhook, and those that were given up. Error: ``unknown_tenant``."""
        tenant = self.tenant(tenant_id)
        state, payments = await self._outbox_states(tenant)
        waiting = await self._outbox.outbox(tenant_id, most)
        return Events(state, payments, waiting, await self._outbox.dead_events(tenant_id, most))

    async def retry_events(self, tenant_id: str, event_ids: Sequence[str]) -> int:
        """Let dead letters wait again, all where none is named, and the webhook be tried at once; how many there were.

        A running gateway sees it within its next sweep. Error: ``unknown_tenant``.
        """
        return await self._outbox.outbox_retry(self.tenant(tenant_id).tenant_id, event_ids)

    async def drop_events(self, tenant_id: str, event_ids: Sequence[str]) -> int:
        """Forget events that wait or were given up; all of the latter where none is named; how many there were.

        The webhook alone does without them: who is told by mail is told all the same.
        """
        tenant = self.tenant(tenant_id)
        if self._mail is not None and tenant.notices.addresses:
            await self._mail.take_mail(tenant_id, tenant.notices.addresses)
        return await self._outbox.outbox_drop(tenant_id, event_ids)

    async def _outbox_states(self, tenant: Tenant) -> tuple[OutboxState, OutboxState | None]:
        lanes = (Lane.EVENTS, Lane.PAYMENTS) if tenant.payment_command else (Lane.ALL,)
        states = [await self._outbox.outbox_state(tenant.tenant_id, mark_of(tenant, lane), lane) for lane in lanes]
        return states[0], states[1] if len(states) > 1 else None

    @property
    def _outbox(self) -> OutboxDesk:
        if self._events is None:
            raise DeskError("not_available", "These books know no events.")
        return self._events

    # ------------------------------------------------------------------------------------------------ the gateways

    async def owners(self) -> View:
        """The gateways that live, and who has which switch. Error: ``not_available``. Raises LedgerUnavailable."""
        if self._leases is None:
            raise DeskError("not_available", "These books know no gateways.")
        return await self._leases.lease_look()

    # ---------------------------------------------------------------------------------------------- the config

    async def reload(self) -> Reloaded:
        """Put the config's files in force, or keep the old and say why. Error: ``not_available``."""
        if self._reload is None:
            raise DeskError("not_available", "This gateway cannot reload its config; restart it (calls go on).")
        return await self._reload()


def _live(stored: StoredCall) -> LiveCall:
    try:
        memo = json.loads(stored.meta)
        words = [str(memo.get(name) or "") for name in ("e164", "number", "cli", "class", "direction")]
    except (ValueError, AttributeError):  # it still holds money, and must be shown
        words = [""] * 5
    e164, dialled, cli, call_class, direction = words
    return LiveCall(stored, e164 or dialled, cli, call_class, direction or Direction.OUTBOUND)

"""The ledger's server: the model of tests/ledger, made to answer what ``ports.Ledger`` asks.

The model is written from the contract, and the tests of the ledger hold the real one against it. What the model does
not keep, since a test of the ledger sets it by hand, is kept here: until when a call is valid, by the ledger's clock,
and what the gateway gave to be remembered.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.books import Grant, Pool, Refused, Settled
from gateway.core.ownership import Member, View, Want
from gateway.core.reasons import Reason
from gateway.ports import (
    AccountTerms,
    Balance,
    CallKey,
    CallRegistered,
    CreditRanShort,
    FundsCame,
    LeaseGiven,
    LedgerRejected,
    OwnersKey,
    StoredCall,
)
from rating import Ladder
from tests.ledger.audit import Audit
from tests.ledger.model import Model, ModelCall, Outcome
from tests.ledger.model_offer import Pool as ModelPool

from .leases import LeaseBook
from .net import World

EPOCH_MS: Final = 1_763_900_000_000
REFUSAL_KEPT_MS: Final = 60_000
News = FundsCame | CreditRanShort | CallRegistered | LeaseGiven


@dataclass(slots=True)
class Kept:
    """What the ledger keeps of a call beside the model."""

    meta: str = ""
    valid_until_ms: int = 0
    answered_at_ms: int = 0
    refused_at_ms: int = 0
    fence: int = 0  # the largest that a step of an owner had
    seconds: int = 0  # of the last settle
    closings: list[tuple[bool, int, int]] = field(default_factory=list)  # is it an estimate, micros, seconds


@dataclass
class Shelf:
    """One tenant's account."""

    model: Model
    currency: str
    kept: dict[str, Kept] = field(default_factory=dict)
    audit: Audit = field(default_factory=Audit)


class Vault:
    """All accounts. ``after_step`` is called after each step, with the tenant."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock_ms = 0
        self.is_running = True
        self.shelves: dict[str, Shelf] = {}
        self.subscribers: list[Callable[[News], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self.after_step: Callable[[str, str], None] = lambda _tenant, _name: None
        self.leases = LeaseBook()
        self.replica: tuple[dict[str, Shelf], LeaseBook] | None = None
        self.after_owners_step: Callable[[str, OwnersKey], None] = lambda _name, _key: None
        # What gateways were told, whatever became of the ledger: seconds granted, and when last raised (true seconds).
        self.granted: dict[str, tuple[int, float]] = {}
        self.lent: dict[str, int] = {}  # and the seconds that gateways lent, of calls that were lent some
        self.on_difference: Callable[[str], None] = lambda _what: None  # where there is a second ledger beside it

    def now(self) -> int:
        """Its clock."""
        return EPOCH_MS + self.world.loop.now_ms() + self.clock_ms

    async def open(self, terms: AccountTerms, credit: int) -> None:
        """Before anything happens."""
        self._open(terms)
        if credit:
            self.top_up(terms.tenant, "opening", credit)

    async def audit(self) -> None:
        """When all is over: what is left to look at."""

    def start(self) -> None:
        """It is back."""
        self.is_running = True

    def remember(self) -> None:
        """What a replica has: all that was written so far."""
        self.replica = copy.deepcopy((self.shelves, self.leases))

    def fail_over(self) -> None:
        """The replica takes over: what was written since is lost."""
        assert self.replica is not None
        (self.shelves, self.leases), self.replica = self.replica, None
        for tell in tuple(self.on_down):
            tell()
        self.subscribers.clear()

    def stop(self) -> None:
        """It goes down; all that it has said is on disk."""
        self.is_running = False
        for tell in tuple(self.on_down):
            tell()
        self.subscribers.clear()

    def ask(self, name: str, words: tuple[Any, ...], more: dict[str, Any], tell: Callable[[Any], None]) -> None:
        """Carry out one step, and tell what came of it: a value, or the exception."""
        try:
            told = self.carry_out(name, words, more)
        except LedgerRejected as error:
            told = error
        tell(told)

    def carry_out(self, name: str, words: tuple[Any, ...], more: dict[str, Any]) -> Any:
        """One step. Raises LedgerRejected."""
        if name == "open_account":
            return self._open(*words)
        if name == "lease_turn":
            return self._lease_turn(*words, **more)
        first = words[0]
        tenant = first.tenant if isinstance(first, CallKey) else first
        shelf = self.shelves.get(tenant)
        if shelf is None:
            raise LedgerRejected("unknown_account", f"there is no account {tenant}")
        shelf.model.now_ms = self.now()
        if isinstance(first, OwnersKey):
            self.check_fence(shelf, first)
        told = getattr(self, f"_{name}")(shelf, *words, **more)
        if isinstance(first, OwnersKey):
            self._note_fence(shelf, name, first)
        self.after_step(tenant, name)
        self.world.happened(name)
        return told

    # --------------------------------------------------------------------------------------------------- leases

    def _lease_turn(self, me: Member, life: str, ttl_ms: int, wants: Sequence[Want], *, is_first: bool) -> View:
        fences = {name: held.fence for name, held in self.leases.names.items()}
        view, given = self.leases.turn(self.now(), me, life, ttl_ms, wants, is_first=is_first)
        for name in given:
            self.world.note("lease", name, "is given by", me.name)
            self._publish(LeaseGiven())
            self.world.happened("given")
        for name, held in self.leases.names.items():
            if held.fence != fences.get(name, 0):
                self.world.note("lease", name, "is now", held.owner, held.fence)
                self.world.happened("won")
        return view

    def check_fence(self, shelf: Shelf, key: OwnersKey) -> None:
        """Raises LedgerRejected for a step of a former owner."""
        kept = shelf.kept.get(key.call_id)
        if kept is not None and key.fence < kept.fence:
            raise LedgerRejected("fenced", "another gateway has the call")

    def _note_fence(self, shelf: Shelf, name: str, key: OwnersKey) -> None:
        kept = shelf.kept.get(key.call_id)
        if kept is not None:
            kept.fence = max(kept.fence, key.fence)
        self.after_owners_step(name, key)

    def _claim(self, _shelf: Shelf, _key: CallKey) -> None:
        """All that there is to it is the fence."""

    # ---------------------------------------------------------------------------------------------- the account

    def _open(self, terms: AccountTerms) -> Balance:
        shelf = self.shelves.get(terms.tenant)
        if shelf is None:
            shelf = self.shelves[terms.tenant] = Shelf(Model(now_ms=self.now()), terms.currency)
        shelf.model.open(terms.credit_limit_micros, terms.recharge)
        self.after_step(terms.tenant, "open_account")
        return self._balance(shelf, terms.tenant)

    def _balance(self, shelf: Shelf, tenant: str) -> Balance:
        told = _told(shelf.model.balance_reply())
        _, status, balance, held, limit, credits_, charges, adjustments, expired, live, written = told
        return Balance(
            tenant, shelf.currency, status == "closed", balance, held, limit, credits_, charges, adjustments, expired,
            live, written,
        )  # fmt: skip

    def _now_ms(self, _shelf: Shelf, _tenant: str) -> int:
        return self.now()

    def _tend(self, shelf: Shelf, _tenant: str) -> bool:
        return bool(_told(shelf.model.tend())[1])

    def top_up(self, tenant: str, name: str, micros: int) -> None:
        """A person pays."""
        shelf = self.shelves[tenant]
        shelf.model.now_ms = self.now()
        shelf.model.top_up(name, micros, 0, "test")
        self.after_step(tenant, "top_up")
        self._publish(FundsCame(tenant))

    def _publish(self, news: News) -> None:
        for tell in tuple(self.subscribers):
            tell(news)

    # --------------------------------------------------------------------------------------------- steps of calls

    def _reserve(
        self, shelf: Shelf, key: CallKey, ladder: Ladder, validity_ms: int, meta: str, *, fair: bool = False,
        pool: Pool | None = None, curbs: object = None,
    ) -> Grant | Refused:  # fmt: skip
        model, name = shelf.model, key.call_id
        kept = shelf.kept.get(name)
        if kept is not None and kept.refused_at_ms and self.now() - kept.refused_at_ms > REFUSAL_KEPT_MS:
            del shelf.kept[name], model.calls[name]
        is_new = name not in model.calls
        share = self._share(model, 1)
        told = self._offered(model.reserve(name, ladder, fair=fair, pool=_pool(pool)))
        if is_new:
            refused_at_ms = self.now() if isinstance(told, Refused) else 0
            kept = shelf.kept[name] = Kept(meta, self.now() + validity_ms, refused_at_ms=refused_at_ms)
            if isinstance(told, Grant):
                self._note_grant(name, told.granted_seconds)
            self._tell_short(shelf, key, told, share, fair=fair)
        return told

    def _answer(self, shelf: Shelf, key: CallKey, leg: str, answered_at_ms: int, validity_ms: int) -> None:
        call = shelf.model.calls.get(key.call_id)
        was_answered = call is not None and call.state == "answered"
        _told(shelf.model.answer(key.call_id, leg))
        if not was_answered:
            kept = shelf.kept[key.call_id]
            kept.answered_at_ms, kept.valid_until_ms = answered_at_ms, self.now() + validity_ms

    def _extend(
        self, shelf: Shelf, key: CallKey, step: int, committed: int, ladder: Ladder, validity_ms: int, *,
        fair: bool = False, pool: Pool | None = None, curbs: object = None,
    ) -> Grant | Refused:  # fmt: skip
        model = shelf.model
        share, before = self._share(model, 0), model.written
        told = self._offered(_told(model.extend(key.call_id, step, committed, ladder, fair=fair, pool=_pool(pool))))
        if model.written > before:
            if isinstance(told, Grant):
                kept = shelf.kept[key.call_id]
                kept.valid_until_ms = self.now() + validity_ms
                self._note_grant(key.call_id, told.granted_seconds)
            self._tell_short(shelf, key, told, share, fair=fair)
        return told

    def _shrink(
        self, shelf: Shelf, key: CallKey, step: int, committed: int, seconds: int, total: int, included: int,
        validity_ms: int,
    ) -> Grant:  # fmt: skip
        before = shelf.model.written
        told = self._offered(_told(shelf.model.shrink(key.call_id, step, committed, seconds, total, included)))
        assert isinstance(told, Grant)
        if shelf.model.written > before:
            kept = shelf.kept[key.call_id]
            kept.valid_until_ms = self.now() + validity_ms
            self._note_grant(key.call_id, told.granted_seconds)
            if key.call_id in self.lent:  # given back, as what was granted
                self.lent[key.call_id] = told.granted_seconds
            self._publish(FundsCame(key.tenant))
        return told

    def _settle(
        self, shelf: Shelf, key: CallKey, step: int, charge: int, seconds: int, *, is_estimate: bool,
        included_seconds: int = 0, short_call: object = None,
    ) -> Settled:  # fmt: skip
        before = shelf.model.written
        told = _told(
            shelf.model.settle(key.call_id, step, charge, seconds, is_estimate=is_estimate, used=included_seconds)
        )
        if shelf.model.written > before:
            kept = shelf.kept[key.call_id]
            kept.seconds = seconds
            kept.closings.append((is_estimate, charge, seconds))
        return _settled(told)

    def _register(
        self, shelf: Shelf, key: CallKey, step: int, granted: int, total: int, leg: str, answered_at_ms: int,
        validity_ms: int, meta: str, *, pool: Pool | None = None, included_seconds: int = 0, curbs: object = None,
    ) -> None:  # fmt: skip
        name = f"{pool.name}|{pool.period}" if pool else ""
        _told(shelf.model.register(key.call_id, step, granted, total, leg, pool=name, included=included_seconds))
        kept = shelf.kept.setdefault(key.call_id, Kept())
        kept.meta, kept.valid_until_ms, kept.refused_at_ms = meta, self.now() + validity_ms, 0
        kept.answered_at_ms = answered_at_ms or kept.answered_at_ms
        if not isinstance(key, OwnersKey):
            self._publish(CallRegistered(key))

    def _release(self, shelf: Shelf, key: CallKey) -> Settled:
        told = _told(shelf.model.release(key.call_id))
        shelf.kept.setdefault(key.call_id, Kept()).refused_at_ms = 0
        return _settled(told)

    def _doubt(self, shelf: Shelf, key: CallKey) -> None:
        call, kept = shelf.model.calls.get(key.call_id), shelf.kept.get(key.call_id)
        if call is not None and kept is not None:
            call.is_overdue = kept.valid_until_ms <= self.now()
        shelf.model.doubt(key.call_id)

    def _note_refusal(self, _shelf: Shelf, *_words: object) -> bool:
        return False

    def _note_grant(self, call: str, seconds: int) -> None:
        """For the judge."""
        before, at = self.granted.get(call, (0, 0.0))
        self.granted[call] = seconds, self.world.loop.seconds if seconds > before else at

    def note_lent(self, call: str, seconds: int) -> None:
        """For the judge, by a gateway: so many seconds of the call in all, without a word of the ledger."""
        self.world.note("lent", call, seconds)
        self.lent[call] = max(seconds, self.lent.get(call, 0))

    def promised(self, call: str) -> tuple[int, float]:
        """Seconds that the ledger granted, or a gateway lent, and when the ledger did (true seconds)."""
        granted, at = self.granted.get(call, (0, 0.0))
        return max(granted, self.lent.get(call, 0)), at

    def _offered(self, told: Outcome) -> Grant | Refused:
        if isinstance(told, str):
            raise LedgerRejected(told, f"the model says {told}")
        if told[0] == "refused":
            return Refused(Reason(told[1]), told[2])
        _, granted, held, available, is_short, news, included = told
        return Grant(granted, held, available, is_short, news, included)

    def _share(self, model: Model, more: int) -> int:
        return max(0, model.available) // max(1, len(model.live) + more)

    def _tell_short(self, shelf: Shelf, key: CallKey, told: Grant | Refused, share: int, *, fair: bool) -> None:
        """As the library does: whom a shortage concerns is told."""
        is_short = told.is_short if isinstance(told, Grant) else told.reason is Reason.NO_CREDIT
        if not fair or not is_short:
            return
        call, kept = shelf.model.calls[key.call_id], shelf.kept.get(key.call_id)
        answered_at_ms = kept.answered_at_ms if kept else 0
        ends_at_ms = answered_at_ms + call.granted * 1000 if answered_at_ms else 0
        self._publish(CreditRanShort(key.tenant, key.call_id, share, ends_at_ms))

    # ------------------------------------------------------------------------------------------------ what is live

    def _stored(self, shelf: Shelf, tenant: str, name: str, call: ModelCall) -> StoredCall:
        kept = shelf.kept[name]
        return StoredCall(
            key=CallKey(tenant, name),
            state=call.state,
            step=max(0, call.step),
            granted_seconds=call.granted,
            charged_micros=call.charged,
            held_micros=call.held,
            leg=call.leg,
            answered_at_ms=kept.answered_at_ms,
            valid_until_ms=kept.valid_until_ms,
            meta=kept.meta,
            included_seconds=call.included,
            pool=call.pool,
        )

    def _live_calls(self, shelf: Shelf, tenant: str) -> list[StoredCall]:
        return [self._stored(shelf, tenant, name, call) for name, call in shelf.model.live.items()]

    def _live_ids(self, shelf: Shelf, _tenant: str) -> list[str]:
        return list(shelf.model.live)

    def _expired_calls(self, shelf: Shelf, tenant: str) -> list[StoredCall]:
        now_ms = self.now()
        live = shelf.model.live.items()
        return [
            self._stored(shelf, tenant, name, call) for name, call in live if shelf.kept[name].valid_until_ms <= now_ms
        ]

    def _stored_call(self, shelf: Shelf, key: CallKey) -> StoredCall | None:
        call = shelf.model.calls.get(key.call_id)
        is_kept = call is not None and (call.is_open or call.state == "estimated")
        return self._stored(shelf, key.tenant, key.call_id, call) if call is not None and is_kept else None


def _told(outcome: Outcome) -> tuple[Any, ...]:
    """A reply. Raises LedgerRejected."""
    if isinstance(outcome, str):
        raise LedgerRejected(outcome, f"the model says {outcome}")
    return outcome


def _settled(told: tuple[Any, ...]) -> Settled:
    _, charged, seconds, balance, is_estimate, news = told
    return Settled(charged, seconds, balance, is_estimate, news)


def _pool(pool: Pool | None) -> ModelPool | None:
    if pool is None:
        return None
    return ModelPool(f"{pool.name}|{pool.period}", pool.size_seconds, pool.spare_seconds, pool.covered_micros)

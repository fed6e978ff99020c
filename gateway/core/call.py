"""One metered call: what is known of it, and the arithmetic of its time. How it changes is in lifecycle.py.

Rules:

- Time is the PBX's own clock and used only as differences, so that CDRs agree.
- Seconds are whole, the ceiling of milliseconds, at least 1 once answered, and never beyond the armed cap:
  a call that the PBX cut at the end of its grant costs exactly the grant. A grant that was held but whose cap
  never reached the PBX was not talked, and is not charged.
- One ask pays for one answered leg. The first leg to answer consumes it.
- Included time is of the month in which was dialled: it is taken then.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gateway.core.books import Pool
from gateway.core.cdr import CallRecord
from gateway.core.events import CreditShort
from gateway.core.facts import Ask, LegDialled
from gateway.core.reasons import Reason
from gateway.core.tenant import Fairness, Included, Tenant
from rating import (
    Destination,
    Price,
    Schedule,
    billed_seconds,
    charge_with_included,
    covered_micros,
    longest_seconds,
    month_of,
)

# Beyond the last instant at which a reservation can still be used: late packets, a slow dial, a busy PBX.
VALIDITY_SLACK_MS = 30_000
# A leg that ends this soon after its cap was cut by it (seen within 10 ms; a loaded PBX is slower) ...
CUT_LATE_MS = 1_000
# ... and this shortly before it, too: the cap is set on an estimate of the PBX's clock.
CUT_EARLY_MS = 50


class State(StrEnum):
    """Where a call is; the words of the design's section 3."""

    ASKED = "asked"  # the reserve is on its way
    RESERVED = "reserved"  # money is held and the verdict is sent
    REFUSED = "refused"
    RINGING = "ringing"
    ANSWERED = "answered"  # the quota runs
    EXTENDING = "extending"  # the quota runs, and more of it was asked for
    FINAL = "final"  # nothing more can be reserved; the PBX cuts at the end of the grant
    SETTLED = "settled"
    RELEASED = "released"  # never answered: nothing is charged


_LIVE: Final = (State.ANSWERED, State.EXTENDING, State.FINAL)


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed when the call was authorized; the same for its whole life."""

    ask: Ask
    tenant: Tenant
    destination: Destination
    price: Price
    latest_answer_ms: int  # the end of the longest ringing: until then the price is held for
    dial_number: str  # what the dialplan was told to dial
    verdict_deadline_ms: int
    included: Included | None = None  # the time that the call may spend before money
    ends_dear: bool = False  # the price ends where a row takes over that a limit finds too dear

    @property
    def call_id(self) -> str:
        """The ask's: ``switch/uniqueid/nonce``."""
        return self.ask.call_id


@dataclass(slots=True, eq=False)
class Call:
    """The state of one call. Changed by ``lifecycle.advance`` alone."""

    terms: Terms
    state: State = State.ASKED
    step: int = 0  # of the last extend sent; the settle takes the next
    is_step_unheard: bool = False  # its answer was lost: it is sent again under the same number
    step_at_ms: int = 0
    committed_micros: int = 0  # charged so far, by the extends sent; never goes back
    granted_seconds: int = 0  # what the ledger holds or has charged
    granted_micros: int = 0  # the price of it all, charged or held
    included_seconds: int = 0  # taken from the pool
    pool_period: str = ""  # of a call that was taken back: the zone in the config may have changed
    armed_seconds: int = 0  # what the PBX is known to allow; lags behind the grant
    is_cap_known: bool = True  # False: taken back, and not set since: the cap of a former process may stand anywhere
    shrink_to_seconds: int = 0  # the cap that the PBX was asked for, to give back what lies beyond; 0: none
    warned_of_seconds: int = 0  # the cut, from the answer, that the caller was last warned of
    early_answer_ms: int = 0  # when an unasked leg was answered, while its money was still asked for
    early_seconds: int = 0  # what it had talked before it was found
    missed_short: CreditShort | None = None  # the last one heard while a cap or a step was on its way
    extensions: int = 0
    booked_seconds: int = 0  # of the grant, what the books are known to hold or to have charged ...
    booked_micros: int = 0  # ... and its price; the rest is the tenant's exposure
    was_lent: bool = False  # something was granted on exposure
    lent_micros: int = 0  # the most of it at a time
    legs: tuple[LegDialled, ...] = ()  # dialled and not ended, before the answer
    leg: str = ""  # the leg that answered and is paid for
    answered_at_ms: int = 0
    _schedule: Schedule | None = None  # the price's, from the answer on
    ended_at_ms: int = 0
    billed_seconds: int = 0
    cause_q850: int = 0
    reason: Reason | None = None
    final_reason: Reason | None = None  # why it got no more, if so
    was_topped_up: bool = False  # while an extend was on its way: its refusal may be out of date
    was_continued: bool = False  # the dialplan heard no verdict and went on by itself, with a cap of its own

    @property
    def caller(self) -> str:
        """Uniqueid of the channel that asked."""
        return self.terms.ask.uniqueid

    @property
    def schedule(self) -> Schedule:
        """The blocks and amounts of an answered call."""
        assert self._schedule is not None, "a call has a schedule from its answer on"
        return self._schedule

    def take_rules(self, tenant: Tenant) -> None:
        """Go on by changed rules of the tenant; the price, and what was taken of a month's time, stay as agreed."""
        # The month that this call's included time is of is the one by the clock at which it was dialled.
        zone = self.terms.tenant.zone
        self.terms = replace(self.terms, tenant=replace(tenant, zone=zone) if tenant.zone != zone else tenant)

    def clock_set(self, by_ms: int) -> None:
        """Go on by a PBX's clock that was set: what was talked stays, and so does the price."""
        self.answered_at_ms += by_ms
        self.step_at_ms += by_ms

    def answer_at(self, at_ms: int) -> None:
        """Start the clock, and fix what each block costs."""
        self.answered_at_ms = at_ms
        self._schedule = self.terms.price.schedule(self._priced_at_ms)

    @property
    def _priced_at_ms(self) -> int:
        """The instant whose price holds: the answer, or, before it, the ask.

        An answer that is told for an instant outside of the longest ringing (a second trunk that rang too, a
        clock that was set, a leg found late) has the price of its border: no other is held for.
        """
        earliest, latest = self.terms.ask.at_ms, self.terms.latest_answer_ms
        return max(earliest, min(self.answered_at_ms, latest))

    @property
    def wanted_seconds(self) -> int:
        """Where the PBX is to end the leg, from the answer: the grant, or what it is about to shrink to."""
        return self.shrink_to_seconds or self.granted_seconds

    @property
    def cap_at_ms(self) -> int:
        """When the PBX ends the leg, on the PBX's clock."""
        return self.answered_at_ms + self.granted_seconds * 1000

    @property
    def armed_until_ms(self) -> int:
        """When the PBX is known to end the leg; the cap may already be paid for beyond it."""
        return self.answered_at_ms + self.armed_seconds * 1000

    @property
    def lead_ms(self) -> int:
        """How long before the cap more is asked for."""
        return self.terms.tenant.lead_ms

    @property
    def exposed(self) -> tuple[int, int]:
        """Seconds and micro-units that were promised, or talked, and that no books are known to have."""
        if self.state in {State.RELEASED, State.REFUSED}:
            return 0, 0
        seconds, micros = self.granted_seconds, self.granted_micros
        if self.state is State.SETTLED:
            seconds, micros = self.billed_seconds, self.charge_of(self.billed_seconds)[0]
        return max(0, seconds - self.booked_seconds), max(0, micros - self.booked_micros)

    @property
    def is_fair(self) -> bool:
        """It gets at most an equal share of what is left among its tenant's live calls."""
        return self.terms.tenant.fairness is not Fairness.OFF

    @property
    def is_live(self) -> bool:
        """A leg is Up on this call's money."""
        return self.state in _LIVE

    @property
    def own_leg(self) -> LegDialled:
        """The channel that asked, as the leg that it is itself: nobody here dialled it."""
        ask = self.terms.ask
        return LegDialled("", ask.uniqueid, "", self.terms.dial_number, ask.at_ms, ask.linkedid)

    def pays_for(self, dialled: LegDialled) -> bool:
        """Whether a leg is what was asked for: the dialplan dials the number of the verdict, and only that."""
        return self.terms.dial_number in dialled.dial_string

    def seconds_at(self, at_ms: int) -> int:
        """Seconds used by that time: ceiling, at least 1, at most what was granted.

        A leg that ended right at a cap which the PBX was not heard to have moved, was cut by that cap: the PBX
        cuts within 10 ms (measured), and those are no second of the caller's. Where no cap is known, it may have been
        at the end of any block: a former process died before it set a granted one, or told of one that it lowered.
        """
        elapsed_ms = at_ms - self.answered_at_ms
        whole_seconds = elapsed_ms // 1000
        is_within = 0 < whole_seconds <= self.granted_seconds
        if not self.is_cap_known and is_within and self._is_block_end(whole_seconds):
            return whole_seconds
        for cap_seconds in (self.armed_seconds, self.shrink_to_seconds):
            if cap_seconds and 0 <= elapsed_ms - cap_seconds * 1000 < CUT_LATE_MS:
                return cap_seconds
        return max(1, min(-(-elapsed_ms // 1000), self.granted_seconds))

    def capped_at(self, hangup_at_ms: int) -> int:
        """Where a cap of this call stands that the PBX tells of, in seconds from the answer; 0 for none of ours.

        The PBX tells it in whole seconds of its clock, rounded down, and it was set on an estimate of that clock: it
        may be the second beside. A cap is where a block ends.
        """
        told = hangup_at_ms // 1000 - self.answered_at_ms // 1000
        near = (told, told - 1, told + 1)
        return next((cap for cap in near if cap > 0 and self._is_block_end(cap)), 0)

    def _is_block_end(self, seconds: int) -> bool:
        return billed_seconds(self.schedule, seconds) == seconds

    def charge_at(self, at_ms: int) -> int:
        """What the call costs in all, in micro-units, were it to end then."""
        return self.charge_of(self.seconds_at(at_ms))[0]

    def charge_of(self, seconds: int) -> tuple[int, int]:
        """What so many seconds cost, in micro-units, and how many of the included seconds they use."""
        return charge_with_included(self.schedule, seconds, self.included_seconds)

    def pool(self, *, spare_seconds: int | None = None) -> Pool | None:
        """The included time that the next step may draw on: of a call that was granted nothing else."""
        included = self.terms.included
        if included is None or (self.granted_seconds and not self.included_seconds):
            return None
        covered = covered_micros(self.schedule, self.included_seconds) if self.included_seconds else 0
        period = self.pool_period or month_of(self.terms.ask.at_ms, self.terms.tenant.zone).name
        return Pool(included.name, period, included.seconds, spare_seconds, covered)

    @property
    def _longest_reason(self) -> Reason:
        """Why the longest call is no longer: a limit's word counts where the tariff's own is not sooner."""
        if not self.terms.ends_dear:
            return Reason.LONGEST_CALL
        longest = longest_seconds(replace(self.terms.price, ends_at_ms=None).schedule(self._priced_at_ms))
        return Reason.LONGEST_CALL if longest == self.granted_seconds else Reason.RATE_TOO_HIGH

    @property
    def _cut_reason(self) -> str:
        """Lack of credit is what the balance tells; a limit has to be named."""
        return "" if self.final_reason in {None, Reason.NO_CREDIT} else str(self.final_reason)

    def record(self, outcome: str, charged_micros: int, balance_micros: int) -> CallRecord:
        """The record of the closed call."""
        terms = self.terms
        rate = terms.price.rate_at(self._priced_at_ms)
        was_cut = self.billed_seconds > 0 and self.ended_at_ms >= self.armed_until_ms - CUT_EARLY_MS
        is_longest = was_cut and self.granted_seconds == longest_seconds(self.schedule)
        return CallRecord(
            call_id=terms.call_id,
            switch=terms.ask.switch,
            tenant=terms.tenant.tenant_id,
            cli=terms.ask.cli,
            dialled=terms.ask.number,
            e164=terms.destination.e164,
            call_class=terms.destination.call_class,
            outcome=outcome,
            reason=self.reason or (self._longest_reason if is_longest else self._cut_reason if was_cut else ""),
            asked_at_ms=terms.ask.at_ms,
            answered_at_ms=self.answered_at_ms,
            ended_at_ms=self.ended_at_ms,
            billsec=self.billed_seconds,
            granted_seconds=self.granted_seconds,
            extensions=self.extensions,
            charged_micros=charged_micros,
            balance_micros=balance_micros,
            currency=terms.tenant.currency,
            prefix=rate.prefix if rate else "",
            leg=self.leg,
            cause_q850=self.cause_q850,
            was_cut=was_cut,
            included_seconds=self.charge_of(self.billed_seconds)[1] if self.billed_seconds else 0,
            direction=terms.ask.direction,
            exposed_micros=self.lent_micros,
        )

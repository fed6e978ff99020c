"""callgate's calls against the PBX's own call records: what is missing, extra, of another length, or estimated.

Rules:

- A call and a CDR belong together by the Uniqueid of the channel that asked. One channel may have asked and dialled
  more than once: as many answered CDRs as charged calls are paired in the order of their answers; else each call
  gets the one nearest in length, and no estimate is corrected by a guess.
- A CDR counts from its caller's answer, which on a channel that was answered before it asked (an IVR, DISA) is
  earlier than the leg's (measured: 3 s of menu and 2.3 s of talk are a billsec of 6). The time between is taken off.
- A call that came in is as long as all CDRs of its channel together, from its answer to its end: whatever the channel
  did meanwhile, a dial of its own too, it was the leg.
- A leg that was transferred goes on in a CDR of its own Uniqueid, or as the second channel of another's (measured:
  its asker's CDR ends with the transfer). Such a call lasted to the end of the last of them; as it is put together of
  whole seconds, no estimate is corrected by it.
- callgate's seconds are the ceiling of the leg's milliseconds, never beyond the grant; billsec is cut to whole seconds,
  and its caller is told of the answer some milliseconds after the leg (measured: a leg of 1.001 s is 2 seconds here and
  a billsec of 0). So callgate's may be two more, or one less.
- A CDR's times are local or UTC, as cdr.conf has it, and do not say which: they are used only within a quarter of
  an hour, of which every zone's offset is a multiple.
- What the PBX says is not charged blind: a call that was settled is never changed by a CDR, and an estimate is
  corrected to what a settle would have charged, never beyond what was granted.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from gateway.core.journal import Entry

_MOST_LESS_SECONDS: Final = 1
_MOST_MORE_SECONDS: Final = 2
# Of what is put together: the leg's answer is known to a second only, and, but for an estimate, on the ledger's clock;
# and a transfer's CDRs are cut to whole seconds each.
_LOOSE_TOLERANCE_SECONDS: Final = 2
_ZONE_SECONDS: Final = 900
_EPOCH: Final = re.compile(r"(?:.*-)?([0-9]{1,11})\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Cdr:
    """One call record of the PBX, as far as it is needed. Texts may be a caller's."""

    where: str = field(compare=False)  # file and line, for people
    uniqueid: str  # of the caller's channel
    accountcode: str
    dst: str  # what was dialled
    dstchannel: str  # empty: no leg was dialled
    lastdata: str  # of a Dial: what it dialled, and its options
    is_answered: bool
    answer_seconds: int  # since the epoch, in a zone that is not known; 0: never answered
    billsec: int

    @property
    def end_seconds(self) -> int:
        """When it ended, on the clock of ``answer_seconds``."""
        return self.answer_seconds + self.billsec


class Booked(StrEnum):
    """How a call stands in the books."""

    OPEN = "open"  # reserved or answered
    RELEASED = "released"
    SETTLED = "settled"
    ESTIMATED = "estimated"
    CORRECTED = "corrected"


_CHARGED: Final = frozenset({Booked.SETTLED, Booked.ESTIMATED, Booked.CORRECTED})


@dataclass(slots=True)
class BookedCall:
    """One call as its tenant's journal tells it."""

    tenant: str
    call_id: str  # switch/uniqueid/nonce
    state: Booked = Booked.OPEN
    seconds: int = 0
    charged_micros: int = 0
    granted_micros: int = 0  # all that was ever held or charged for it while it ran
    granted_included_seconds: int = 0
    answered_at_ms: int = 0  # ledger clock
    leg: str = ""  # Uniqueid of the channel that answered
    is_own_leg: bool = False  # the channel that asked is itself the leg
    is_whole: bool = False  # from its first entry on: else more was granted than is known here

    @property
    def uniqueid(self) -> str:
        """Of the channel that asked."""
        return self.call_id.rsplit("/", 2)[1]

    def take(self, entry: Entry) -> None:
        """Go on by one entry of the journal."""
        if entry.type == "reserve":
            self.is_own_leg = self.is_own_leg or _CAME_IN in entry.note
        if entry.type in _GRANTS:
            self.granted_micros += entry.held + entry.revenue
            self.granted_included_seconds += entry.included
        elif entry.type == "answer":
            self.answered_at_ms = entry.at_ms
            self.leg = entry.note
            self.is_own_leg = self.leg == self.uniqueid
        elif entry.type == "release":
            self.state = Booked.RELEASED
        elif entry.type in _CLOSES and entry.total is not None:  # on the first entry of a step alone
            self.state = _CLOSES[entry.type]
            self.charged_micros = entry.total
            self.seconds = int(entry.note) if entry.note.isdecimal() else 0


_CAME_IN: Final = '"direction":"inbound"'  # in what is kept of an ask (service/memo.py)
_BEGINS: Final = frozenset({"reserve", "register"})
_GRANTS: Final = _BEGINS | {"extend", "shrink"}
_CLOSES: Final = {"settle": Booked.SETTLED, "estimate": Booked.ESTIMATED, "correct": Booked.CORRECTED}


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: one switch's calls, by the instant at which the asking channel was made."""

    switch: str
    tenant: str = ""  # empty: all
    from_ms: int | None = None
    to_ms: int | None = None  # the first instant that is not compared any more
    trunks: tuple[str, ...] = ()  # how the names of metered outbound channels begin; empty: not known

    def has_call(self, call_id: str) -> bool:
        """Whether a call of that id is compared."""
        parts = call_id.rsplit("/", 2)
        return len(parts) == 3 and parts[0] == self.switch and self.has_time(parts[1])  # noqa: PLR2004

    def has_time(self, uniqueid: str) -> bool:
        """Whether a channel was made in the span. It is part of its Uniqueid, so both sides have the same instant."""
        made_ms = made_at_ms(uniqueid)
        if made_ms is None:  # an id that somebody chose (Originate with a ChannelId)
            return True
        return (self.from_ms is None or made_ms >= self.from_ms) and (self.to_ms is None or made_ms < self.to_ms)

    def is_trunk(self, cdr: Cdr) -> bool:
        """Whether a record is of a leg on a metered channel, as far as that is known."""
        return bool(cdr.dstchannel) and (not self.trunks or cdr.dstchannel.startswith(self.trunks))


def made_at_ms(uniqueid: str) -> int | None:
    """When a channel was made, by the PBX's clock: ``[system-]SECONDS.NUMBER``; None where its id does not say."""
    found = _EPOCH.fullmatch(uniqueid)
    return int(found[1]) * 1000 if found else None


class Kind(StrEnum):
    """What was found. All but the first two want a person."""

    MATCHED = "matched"
    CORRECTED = "already corrected"  # an estimate of before, which agrees now
    ESTIMATE = "estimate"  # a CDR can correct it
    MISSING = "missing"  # charged, and the PBX has no CDR
    EXTRA = "extra"  # the PBX has an answered CDR, and nothing was charged
    DIFFERING = "differing"
    OPEN = "open"  # the PBX is done with it, the ledger is not


@dataclass(frozen=True, slots=True)
class Finding:
    """One call, one CDR, or the two together."""

    kind: Kind
    tenant: str  # empty: the CDR names none
    call: BookedCall | None
    cdr: Cdr | None
    why: str = ""

    @property
    def cdr_seconds(self) -> int | None:
        """The length by the CDR as it stands there, a menu before the ask included; 0 where nobody answered."""
        if self.cdr is None:
            return None
        return self.cdr.billsec if self.cdr.is_answered else 0


# ---------------------------------------------------------------------------------------------------- the lengths


def talked_seconds(cdr: Cdr, leg_answered_at_ms: int) -> int:
    """The length from the leg's answer on, in whole seconds; 0 or less where the CDR cannot be of that leg."""
    if not cdr.is_answered:
        return 0
    before = (leg_answered_at_ms // 1000 - cdr.answer_seconds) % _ZONE_SECONDS
    if before >= _ZONE_SECONDS - _LOOSE_TOLERANCE_SECONDS:  # the caller was told after the leg, as it is in common
        before = 0
    return cdr.billsec - before


def due_seconds(cdr: Cdr, leg_answered_at_ms: int, granted_seconds: int, estimated_seconds: int) -> int | None:
    """What a settle would have billed: the second that was begun is one, and none is beyond the grant.

    A CDR has whole seconds, cut off: whether the last one was begun it cannot tell, and a leg that was cut at its cap
    ends on a whole one. An estimate within these bounds stands. None where the CDR cannot be of that leg.
    """
    talked = talked_seconds(cdr, leg_answered_at_ms)
    if talked < 0:
        return None
    if talked <= estimated_seconds <= talked + 1:
        return estimated_seconds
    return min(talked + 1, granted_seconds)


def _is_near(call: BookedCall, cdr: Cdr) -> bool:
    return cdr.is_answered and -_MOST_LESS_SECONDS <= call.seconds - cdr.billsec <= _MOST_MORE_SECONDS


def _agrees(call: BookedCall, cdr: Cdr, *, is_loose: bool) -> bool:
    if _is_near(call, cdr):
        return True
    talked = talked_seconds(cdr, call.answered_at_ms)
    return (is_loose or talked < cdr.billsec) and abs(talked - call.seconds) <= _LOOSE_TOLERANCE_SECONDS


# --------------------------------------------------------------------------------------------------- the comparison

_Span = tuple[int, int, str]


@dataclass(slots=True)
class Reconciliation:
    """First all entries of the journals, then all CDRs, then the findings. Keeps what is within the scope.

    ``is_free``: whether a record is of a call that its tenant's rules let pass unmetered; ``payer``: whose it is.
    """

    scope: Scope
    is_free: Callable[[Cdr], bool] = lambda _: False
    payer: Callable[[Cdr], str] = lambda _: ""
    begins_at: dict[str, int] = field(default_factory=dict)  # a tenant's first entry here
    _calls: dict[tuple[str, str], BookedCall] = field(default_factory=dict)
    _by_uniqueid: dict[str, list[BookedCall]] = field(default_factory=dict)
    _legs: set[str] = field(default_factory=set)
    _answered: dict[str, list[Cdr]] = field(default_factory=lambda: defaultdict(list))
    _unanswered: dict[str, Cdr] = field(default_factory=dict)
    _of_own_leg: dict[str, dict[Cdr, None]] = field(default_factory=lambda: defaultdict(dict))
    _strangers: dict[Cdr, None] = field(default_factory=dict)
    # All answered CDRs, whatever the trunks: (answer, end, uniqueid) by what a transferred leg may be found by.
    _by_leg: dict[str, list[_Span]] = field(default_factory=lambda: defaultdict(list))
    _by_dstchannel: dict[str, list[_Span]] = field(default_factory=lambda: defaultdict(list))

    def book(self, tenant: str, entry: Entry) -> None:
        """Take one entry of a tenant's journal; they come in order."""
        first_n = self.begins_at.setdefault(tenant, entry.n)
        if entry.type in {"topup", "reverse"} or not entry.call:  # a top-up's id stands where a call's does
            return
        call = self._calls.get((tenant, entry.call))
        if call is None:
            if not self.scope.has_call(entry.call):
                return
            call = self._calls[tenant, entry.call] = BookedCall(tenant, entry.call)
            # A journal that lacks its oldest entries may begin within a step.
            call.is_whole = entry.type in _BEGINS and (entry.n > first_n or entry.n == 1)
            self._by_uniqueid.setdefault(call.uniqueid, []).append(call)
        call.take(entry)
        self._legs.add(call.leg)

    def record(self, cdr: Cdr) -> None:
        """Take one CDR. The same one twice (files that overlap) is one."""
        if cdr.is_answered:
            self._note_span(cdr)
        if not self.scope.has_time(cdr.uniqueid):
            return
        if any(call.is_own_leg for call in self._by_uniqueid.get(cdr.uniqueid, ())):
            self._of_own_leg[cdr.uniqueid][cdr] = None
        if not self.scope.is_trunk(cdr):
            return
        if cdr.uniqueid not in self._by_uniqueid:
            if self.scope.trunks and cdr.is_answered:
                self._strangers[cdr] = None
        elif not cdr.is_answered:
            self._unanswered[cdr.uniqueid] = cdr
        elif cdr not in self._answered[cdr.uniqueid]:
            self._answered[cdr.uniqueid].append(cdr)

    def _note_span(self, cdr: Cdr) -> None:
        span = (cdr.answer_seconds, cdr.end_seconds, cdr.uniqueid)
        if cdr.uniqueid in self._legs:
            self._by_leg[cdr.uniqueid].append(span)
        if cdr.dstchannel:
            self._by_dstchannel[cdr.dstchannel].append(span)

    def findings(self) -> Iterator[Finding]:
        """All of them, the matched too, of the tenant that was asked for."""
        for finding in self._all():
            if self.scope.tenant in {"", finding.tenant}:
                yield finding

    def _all(self) -> Iterator[Finding]:
        for uniqueid, calls in self._by_uniqueid.items():
            own = [call for call in calls if call.is_own_leg]
            dialled = [call for call in calls if not call.is_own_leg]
            if own:
                yield from _of_own_leg(own, list(self._of_own_leg.get(uniqueid, ())))
            if dialled:
                yield from self._of_channel(dialled, self._answered.get(uniqueid, []), has_own_leg=bool(own))
        yield from (self._extra(cdr, "") for cdr in self._strangers if not self.is_free(cdr))

    def _of_channel(self, calls: list[BookedCall], cdrs: list[Cdr], *, has_own_leg: bool) -> Iterator[Finding]:
        """``has_own_leg``: the channel is answered as a leg of its own, and its CDRs need no dial to explain them."""
        charged = [call for call in calls if call.state in _CHARGED]
        if len(charged) != len(cdrs):  # the channel may have dialled what passes unmetered, too
            cdrs = [cdr for cdr in cdrs if not self.is_free(cdr)]
        pairs, is_sure = _paired(charged, cdrs), len(charged) == len(cdrs)
        for call in charged:
            cdr = pairs.get(call.call_id) or self._unanswered.get(call.uniqueid)
            end_seconds = self._leg_end_seconds(call, cdr) if cdr else 0
            if cdr and end_seconds > cdr.end_seconds:
                yield _transferred(call, replace(cdr, billsec=end_seconds - cdr.answer_seconds))
            else:
                yield _judged(call, cdr, is_sure=is_sure)
        taken = cdrs if has_own_leg else list(pairs.values())
        still_open = [call for call in calls if call.state is Booked.OPEN]
        for cdr in cdrs:
            if cdr not in taken:
                yield _open(still_open.pop(0), cdr) if still_open else self._extra(cdr, calls[0].tenant)

    def _leg_end_seconds(self, call: BookedCall, cdr: Cdr) -> int:
        """When the leg's last CDR ended: it was on its way then, in the same zone."""
        latest = cdr.end_seconds + _LOOSE_TOLERANCE_SECONDS
        others = [span for span in self._by_dstchannel.get(cdr.dstchannel, ()) if span[2] != cdr.uniqueid]
        # The names of channels begin anew when the PBX does: one of that name is the same only while it is up.
        after = [end for answer, end, _ in others if answer <= latest and end > cdr.end_seconds]
        return max([end for _, end, _ in self._by_leg.get(call.leg, ())] + after, default=0)

    def _extra(self, cdr: Cdr, asker: str) -> Finding:
        why = "its channel asked, and this leg was not charged" if asker else "its answer was unheard, or nobody asked"
        return Finding(Kind.EXTRA, asker or self.payer(cdr), None, cdr, why)


def _of_own_leg(calls: list[BookedCall], cdrs: list[Cdr]) -> Iterator[Finding]:
    """Calls of a channel that came in: one is charged at the most, and all its CDRs are of that."""
    answered = sorted((cdr for cdr in cdrs if cdr.is_answered), key=lambda cdr: cdr.answer_seconds)
    whole = None
    if answered:
        whole = replace(answered[0], billsec=max(cdr.end_seconds for cdr in answered) - answered[0].answer_seconds)
    charged = [call for call in calls if call.state in _CHARGED]
    if charged:
        yield from (_judged(call, whole or next(iter(cdrs), None), is_sure=len(charged) == 1) for call in charged)
    elif whole is not None:
        still_open = next((call for call in calls if call.state is Booked.OPEN), None)
        why = "its channel asked, and the call that came in was not charged"
        yield _open(still_open, whole) if still_open else Finding(Kind.EXTRA, calls[0].tenant, None, whole, why)


def _open(call: BookedCall, cdr: Cdr) -> Finding:
    why = "not settled yet" if call.answered_at_ms else "its answer was never heard"
    return Finding(Kind.OPEN, call.tenant, call, cdr, why)


def _paired(calls: list[BookedCall], cdrs: list[Cdr]) -> Mapping[str, Cdr]:
    """The CDR of each call."""
    calls = sorted(calls, key=lambda call: call.answered_at_ms)
    left = sorted(cdrs, key=lambda cdr: cdr.answer_seconds)
    if len(calls) == len(left):
        return {call.call_id: cdr for call, cdr in zip(calls, left, strict=True)}
    pairs = {}
    for call in calls:
        if left:
            nearest = min(left, key=lambda cdr: _distance(call, cdr))
            left.remove(nearest)
            pairs[call.call_id] = nearest
    return pairs


def _distance(call: BookedCall, cdr: Cdr) -> int:
    lengths = (cdr.billsec, talked_seconds(cdr, call.answered_at_ms))
    return min(abs(length - call.seconds) for length in lengths)


def _judged(call: BookedCall, cdr: Cdr | None, *, is_sure: bool) -> Finding:
    is_estimate = call.state is Booked.ESTIMATED
    if cdr is None:
        return Finding(Kind.MISSING, call.tenant, call, None, "an estimate" if is_estimate else "")
    if not cdr.is_answered:
        return Finding(Kind.DIFFERING, call.tenant, call, cdr, "the PBX says that nobody answered")
    if is_estimate:
        if is_sure:
            return Finding(Kind.ESTIMATE, call.tenant, call, cdr)
        return Finding(Kind.DIFFERING, call.tenant, call, cdr, "an estimate, and more than one CDR may be its own")
    return _compared(call, cdr, "")


def _transferred(call: BookedCall, cdr: Cdr) -> Finding:
    """``cdr``: as long as all of the leg's together."""
    if call.state is Booked.ESTIMATED:
        return Finding(Kind.DIFFERING, call.tenant, call, cdr, "an estimate, and its leg was transferred")
    return _compared(call, cdr, "its leg was transferred")


def _compared(call: BookedCall, cdr: Cdr, why: str) -> Finding:
    if not _agrees(call, cdr, is_loose=bool(why)):
        return Finding(Kind.DIFFERING, call.tenant, call, cdr, why)
    return Finding(Kind.CORRECTED if call.state is Booked.CORRECTED else Kind.MATCHED, call.tenant, call, cdr, why)


def counts(findings: Iterable[Finding]) -> dict[Kind, int]:
    """How many there are of each kind."""
    found = dict.fromkeys(Kind, 0)
    for finding in findings:
        found[finding.kind] += 1
    return found

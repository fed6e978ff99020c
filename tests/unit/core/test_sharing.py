"""What a call gives back when another one runs short: the PBX ends it sooner first, and the books follow."""

from collections import deque

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.asking import begin
from gateway.core.books import Grant, Refused
from gateway.core.call import Call, State
from gateway.core.effects import Arm, Effect, Extend, Settle, Shrink, Wake
from gateway.core.events import Armed, CreditShort, Event, LedgerSilent, LegEnded, QuotaLow, ToppedUp
from gateway.core.facts import LegAnswered
from gateway.core.lifecycle import advance
from gateway.core.reasons import Reason
from gateway.core.tenant import Fairness
from rating import Rate, charge_micros
from tests.unit.core.build import ASKED_AT_MS, LEG, call, dialled, rate

ANSWERED_AT_MS = ASKED_AT_MS + 5_000
SECOND_MICROS = 10_000
BY_THE_SECOND = rate("0.60", initial=1, increment=1)
BY_SIX = rate("0.60", initial=6, increment=6)


def talking(seconds: int = 60, row: Rate = BY_THE_SECOND, **of_tenant: object) -> Call:
    """A call that holds so many seconds, answered, its cap known to stand."""
    one = call(row, **of_tenant)
    advance(one, Grant(seconds, charge_micros(row.schedule, seconds), 0, is_short=False, has_outbox=False))
    advance(one, dialled())
    advance(one, LegAnswered(LEG, ANSWERED_AT_MS))
    return one


def short(at_second: float, ends_at_second: float = 0, share_micros: int = 0) -> CreditShort:
    """Another call ran short then; its grant ends there, counted from this call's answer; 0: it is not answered."""
    ends_at_ms = ANSWERED_AT_MS + int(ends_at_second * 1000) if ends_at_second else 0
    return CreditShort(ANSWERED_AT_MS + int(at_second * 1000), share_micros, ends_at_ms)


def given_back(one: Call, event: CreditShort) -> int:
    """The seconds that a call is to end after; 0 where it keeps all."""
    effects = advance(one, event)
    return effects[0].seconds if effects and isinstance(effects[0], Arm) else 0


# ------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("row", "ends_at_second", "kept"),
    [(BY_THE_SECOND, 20, 20), (BY_THE_SECOND, 20.001, 21), (BY_SIX, 20, 24), (BY_SIX, 24, 24), (BY_SIX, 60, 0)],
)
def test_a_call_keeps_the_block_in_progress_where_the_other_ends(row: Rate, ends_at_second: float, kept: int) -> None:
    """So they end within one block of each other, and never before it."""
    assert given_back(talking(row=row), short(10, ends_at_second)) == kept


def test_beside_one_that_is_not_answered_yet_it_keeps_its_lead() -> None:
    """Of five seconds: about to ask for more, it gives nothing back."""
    assert given_back(talking(), short(10)) == 15
    assert given_back(talking(), short(55)) == 0


def test_it_keeps_time_for_the_pbx_and_for_its_next_extension() -> None:
    """However soon the other ends: a second."""
    assert given_back(talking(), short(10, ends_at_second=10.1)) == 11


def test_it_gives_back_only_what_is_worth_more_than_two_shares() -> None:
    """Else two calls would hand the same seconds to and fro."""
    assert given_back(talking(), short(10, 20, share_micros=20 * SECOND_MICROS)) == 0
    assert given_back(talking(), short(10, 20, share_micros=20 * SECOND_MICROS - 1)) == 20


@pytest.mark.parametrize("fairness", [Fairness.OFF, Fairness.SHARE])
def test_where_the_admin_turned_it_off_it_keeps_all(fairness: Fairness) -> None:
    """Calls then end within one quantum of each other."""
    assert given_back(talking(fairness=fairness), short(10, 20)) == 0


def test_what_is_committed_is_never_given_back() -> None:
    """The PBX's clock was set back by a minute after an extension."""
    one = talking()
    advance(one, QuotaLow(one.cap_at_ms - 5_000))
    advance(one, Grant(120, 65 * SECOND_MICROS, 0, is_short=False, has_outbox=False))
    advance(one, Armed(120, one.cap_at_ms - 65_000))
    assert given_back(one, short(1, 10)) == 0


# ------------------------------------------------------------------------------------------- the arm, then the books


def test_the_pbx_is_told_first_and_the_ledger_after() -> None:
    """No second is talked that was given back."""
    one = talking()
    (arm,) = advance(one, short(10, 20))
    assert arm == Arm(LEG, ANSWERED_AT_MS + 20_000, 20, 20_000)
    assert one.granted_seconds == 60
    (shrink,) = advance(one, Armed(20, ANSWERED_AT_MS + 10_020))
    assert isinstance(shrink, Shrink)
    assert (shrink.seconds, shrink.total_micros) == (20, 20 * SECOND_MICROS)
    assert one.state is State.EXTENDING
    (wake,) = advance(one, Grant(20, 20 * SECOND_MICROS, 0, is_short=False, has_outbox=False))
    assert (one.state, one.granted_seconds, wake) == (State.ANSWERED, 20, Wake(ANSWERED_AT_MS + 15_000, is_over=False))


def test_who_gave_back_asks_for_more_after_those_for_whom_it_did() -> None:
    """Within its lead already, it waits a moment all the same."""
    one = talking()
    advance(one, short(10, 12))
    advance(one, Armed(12, ANSWERED_AT_MS + 10_020))
    (wake,) = advance(one, Grant(12, 12 * SECOND_MICROS, 0, is_short=False, has_outbox=False))
    assert wake == Wake(ANSWERED_AT_MS + 10_020 + 250, is_over=False)


def test_a_final_call_gives_back_what_lies_beyond_the_others_end() -> None:
    """It was refused, and another one, refused too, ends sooner. It asks again when that is done."""
    one = talking()
    advance(one, QuotaLow(one.cap_at_ms - 5_000))
    advance(one, Refused(Reason.NO_CREDIT))
    arm, wake = advance(one, short(55.5, 57))
    assert isinstance(arm, Arm)
    assert (arm.seconds, one.state) == (57, State.ANSWERED)
    assert wake == Wake(ANSWERED_AT_MS + 56_000, is_over=False)
    (shrink,) = advance(one, Armed(57, ANSWERED_AT_MS + 55_520))
    assert isinstance(shrink, Shrink)


def test_a_shortage_heard_while_a_cap_is_on_its_way_counts_once_it_stands() -> None:
    """The extension's cap first; the news is not lost."""
    one = talking()
    advance(one, QuotaLow(one.cap_at_ms - 5_000))
    assert advance(one, short(55.1, 70)) == ()
    advance(one, Grant(120, 65 * SECOND_MICROS, 0, is_short=False, has_outbox=False))
    assert advance(one, short(55.2, 70)) == ()
    _, arm = advance(one, Armed(120, ANSWERED_AT_MS + 55_300))
    assert isinstance(arm, Arm)
    assert arm.seconds == 70


def test_a_cap_that_is_never_taken_leaves_the_call_what_it_had() -> None:
    """The PBX is away: before more is asked for, the cap of the whole grant is set again."""
    one = talking()
    advance(one, short(10, 20))
    arm, wake = advance(one, QuotaLow(one.cap_at_ms - 5_000))
    assert isinstance(arm, Arm)
    assert (arm.seconds, one.shrink_to_seconds) == (60, 0)
    assert isinstance(wake, Wake)
    advance(one, Armed(60, wake.at_ms))
    (extend,) = advance(one, QuotaLow(wake.at_ms))
    assert isinstance(extend, Extend)


@pytest.mark.parametrize("is_armed", [False, True])
def test_a_leg_cut_at_its_shrunk_cap_costs_exactly_that(is_armed: bool) -> None:
    """Whether or not the PBX was heard to have taken the cap; 8 ms late are no second."""
    one = talking()
    advance(one, short(10, 20))
    if is_armed:
        advance(one, Armed(20, ANSWERED_AT_MS + 10_020))
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 20_008, 16))
    assert isinstance(settle, Settle)
    assert (settle.seconds, settle.charge_micros) == (20, 20 * SECOND_MICROS)


def test_a_silent_ledger_is_told_the_same_step_again() -> None:
    """It may have happened: under the same number it happens once."""
    one = talking()
    advance(one, short(10, 20))
    (shrink,) = advance(one, Armed(20, ANSWERED_AT_MS + 10_020))
    assert isinstance(shrink, Shrink)
    (wake,) = advance(one, LedgerSilent(ANSWERED_AT_MS + 12_000))
    assert isinstance(wake, Wake)
    (again,) = advance(one, QuotaLow(wake.at_ms))
    assert isinstance(again, Shrink)
    assert (again.step, again.committed_micros, again.seconds) == (shrink.step, shrink.committed_micros, shrink.seconds)


def test_a_top_up_meanwhile_is_had_by_the_extension_that_follows() -> None:
    """The call goes on past its shrunk cap, which is moved after the ledger granted more."""
    one = talking()
    advance(one, short(10, 12))
    advance(one, ToppedUp(ANSWERED_AT_MS + 10_010))
    advance(one, Armed(12, ANSWERED_AT_MS + 10_020))
    advance(one, ToppedUp(ANSWERED_AT_MS + 10_030))
    (wake,) = advance(one, Grant(12, 12 * SECOND_MICROS, 0, is_short=False, has_outbox=False))
    assert isinstance(wake, Wake)
    (extend,) = advance(one, QuotaLow(wake.at_ms))
    assert isinstance(extend, Extend)
    assert extend.ladder.rungs[0][0] == 13
    arm, _ = advance(one, Grant(72, 72 * SECOND_MICROS, 0, is_short=False, has_outbox=False))
    assert isinstance(arm, Arm)
    assert arm.seconds == 72


# --------------------------------------------------------------------------------------------------- in any order


class World:
    """One call, a PBX that takes caps in order, and a ledger that takes steps in order; each may fall silent."""

    def __init__(self, row: Rate, quantum_seconds: int) -> None:
        self.row = row
        self.call = call(row, quantum_seconds=quantum_seconds, extend_lead_ms=5_000)
        begin(self.call)
        self.now_ms = ANSWERED_AT_MS
        self.granted_seconds = -(-quantum_seconds // row.increment_seconds) * row.increment_seconds
        self.done = ("", 0)  # the ledger's last step
        self.reply: Grant | Refused = self.grant()
        self.cut_at_ms = ANSWERED_AT_MS + self.granted_seconds * 1000
        self.arms: deque[Arm] = deque()
        self.steps: deque[Extend | Shrink] = deque()
        advance(self.call, self.reply)
        advance(self.call, dialled())
        self.tell(LegAnswered(LEG, ANSWERED_AT_MS))

    def grant(self) -> Grant:
        """The ledger's answer."""
        total = charge_micros(self.row.schedule, self.granted_seconds)
        return Grant(self.granted_seconds, total - self.call.committed_micros, 0, is_short=False, has_outbox=False)

    def tell(self, event: Event) -> None:
        """Let the call take it."""
        self.take(advance(self.call, event))

    def take(self, effects: tuple[Effect, ...]) -> None:
        """Line up what the call asks for."""
        for effect in effects:
            if isinstance(effect, Arm):
                self.arms.append(effect)
            elif isinstance(effect, Extend | Shrink):
                self.steps.append(effect)

    def arm(self, is_taken: bool, is_heard: bool) -> None:
        """The PBX's turn; what it was not heard to take is sent again while it is wanted."""
        while self.arms and self.call.wanted_seconds != self.arms[0].seconds:
            self.arms.popleft()
        if not self.arms:
            return
        arm = self.arms[0]
        if is_taken:
            # One that is past already ends the leg now.
            self.cut_at_ms = max(self.now_ms, min(arm.cut_at_ms, self.now_ms + arm.longest_ms))
            assert self.cut_at_ms <= ANSWERED_AT_MS + self.granted_seconds * 1000, "more may be talked than is held"
            if is_heard:
                self.arms.popleft()
                self.tell(Armed(arm.seconds, self.now_ms))

    def step(self, is_done: bool, is_heard: bool, most_rungs: int) -> None:
        """The ledger's turn; a step of which nothing was heard is told as silence."""
        if not self.steps:
            return
        step = self.steps.popleft()
        name = (type(step).__name__, step.step)
        if is_done and name != self.done:
            self.done = name
            self.book(step, most_rungs)
        if is_done and is_heard:
            self.tell(self.reply)
        else:
            self.tell(LedgerSilent(self.now_ms))

    def book(self, step: Extend | Shrink, most_rungs: int) -> None:
        """A step happens: so many rungs are affordable."""
        if isinstance(step, Shrink):
            assert step.seconds < self.granted_seconds
            assert self.cut_at_ms <= ANSWERED_AT_MS + step.seconds * 1000, "it is given back and may still be talked"
            assert step.committed_micros <= step.total_micros
            self.granted_seconds = step.seconds
        elif most_rungs:
            self.granted_seconds = step.ladder.rungs[:most_rungs][-1][0]
        self.reply = self.grant() if isinstance(step, Shrink) or most_rungs else Refused(Reason.NO_CREDIT)

    def pass_time(self, ms: int) -> bool:
        """Whether the leg still lives."""
        self.now_ms = min(self.now_ms + ms, self.cut_at_ms)
        return self.now_ms < self.cut_at_ms


TURNS = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), st.booleans(), st.booleans()),
        st.tuples(st.just("step"), st.booleans(), st.booleans(), st.integers(0, 60)),
        st.tuples(st.just("low")),
        st.tuples(st.just("topped up")),
        st.tuples(st.just("short"), st.integers(0, 8_000), st.integers(0, 5 * SECOND_MICROS)),
        st.tuples(st.just("pass"), st.integers(1, 4_000)),
    ),
    min_size=5,
    max_size=60,
)


@example(
    turns=[("arm", False, False), ("short", 0, 0), ("pass", 2_000), ("arm", True, False)], row=BY_THE_SECOND, quantum=6
)
@given(turns=TURNS, row=st.sampled_from([BY_THE_SECOND, BY_SIX]), quantum=st.sampled_from([6, 20, 60]))
def test_whatever_overtakes_what_a_call_costs_what_was_talked_and_no_given_back_second_is(
    turns: list[tuple[object, ...]], row: Rate, quantum: int
) -> None:
    """At no instant does the PBX allow more than the ledger holds, and the charge is the tariff's.

    A leg that ended within a second of a cap that nobody knows to be moved was cut by it, so far as can be known. One
    that ended later, at the instant at which the PBX took a cap that was past, is charged up to its end.
    """
    world = World(row, quantum)
    for turn in turns:
        match turn:
            case "arm", bool(is_taken), bool(is_heard):
                world.arm(is_taken, is_heard)
            case "step", bool(is_done), bool(is_heard), int(most_rungs):
                world.step(is_done, is_heard, most_rungs)
            case ("low",):
                world.tell(QuotaLow(world.now_ms))
            case ("topped up",):
                world.tell(ToppedUp(world.now_ms))
            case "short", int(ms), int(share):
                world.tell(CreditShort(world.now_ms, share, world.now_ms + ms))
            case "pass", int(ms):
                if not world.pass_time(ms):
                    break
    world.now_ms += 5 if world.now_ms == world.cut_at_ms else 0
    talked_ms = min(world.now_ms, world.cut_at_ms) - ANSWERED_AT_MS
    settle = advance(world.call, LegEnded(LEG, world.now_ms, 16))[0]
    assert isinstance(settle, Settle)
    caps = {world.call.armed_seconds, world.call.shrink_to_seconds} - {0}
    likely = [cap for cap in caps if 0 <= talked_ms - cap * 1000 < 1_000]
    lasted_ms = world.now_ms - ANSWERED_AT_MS
    assert settle.seconds in (likely or [max(1, -(-ms // 1000)) for ms in (talked_ms, lasted_ms)])
    assert settle.charge_micros == charge_micros(row.schedule, settle.seconds)
    assert settle.charge_micros <= charge_micros(row.schedule, world.granted_seconds)

"""When the caller of a call that is about to end is warned."""

from dataclasses import replace

import pytest

from gateway.core.books import Refused
from gateway.core.call import Call, State
from gateway.core.effects import Effect, Extend, Wake, Warn
from gateway.core.events import Armed, CreditShort, QuotaLow, ToppedUp
from gateway.core.lifecycle import advance
from gateway.core.reasons import Reason
from tests.unit.core.build import ASKED_AT_MS, answered_call, grant, rate

ANSWERED_AT_MS = ASKED_AT_MS + 5_000
BY_THE_SECOND = rate(initial=1, increment=1)
NO_CREDIT = Refused(Reason.NO_CREDIT)


def warned(seconds: int = 10, granted_seconds: int = 60, **of_tenant: object) -> Call:
    return answered_call(granted_seconds, tariff_row=BY_THE_SECOND, warning_seconds=seconds, **of_tenant)


def made_final(one: Call, before_cut_ms: int) -> tuple[Effect, ...]:
    """Ask for more so long before the cut, and hear that there is none."""
    (extend,) = advance(one, QuotaLow(one.cap_at_ms - before_cut_ms))
    assert isinstance(extend, Extend)
    effects = advance(one, NO_CREDIT)
    assert one.state is State.FINAL
    return effects


def extended(one: Call, seconds: int) -> None:
    """More was granted, and the PBX took the cap."""
    asked_at_ms = one.step_at_ms
    advance(one, grant(seconds))
    advance(one, Armed(seconds, asked_at_ms + 20))


def test_more_is_asked_for_early_enough_to_warn() -> None:
    """The tenant's lead is five seconds; its warning wants ten."""
    assert warned(10, extend_lead_ms=5_000).lead_ms == 10_000
    assert warned(10, extend_lead_ms=15_000).lead_ms == 15_000
    assert warned(0, extend_lead_ms=5_000).lead_ms == 5_000
    assert warned(10, quantum_seconds=12).lead_ms == 6_000


def test_a_call_that_becomes_final_at_its_warnings_time_is_warned_at_once() -> None:
    """And asks once more before the cut, as ever."""
    one = warned(10, warning_sound="callgate/soon")
    assert made_final(one, 10_000) == (
        Warn("callgate/soon"),
        Wake(ANSWERED_AT_MS + 59_400, is_over=False),
    )


def test_a_call_that_becomes_final_sooner_is_warned_when_it_is_time() -> None:
    """It asks once more before it warns; the alarm may ring a little early; the last ask comes after it."""
    one = warned(10)
    assert made_final(one, 30_000) == (Wake(ANSWERED_AT_MS + 50_000, is_over=False),)
    assert made_final(one, 10_050) == (Warn(""), Wake(ANSWERED_AT_MS + 59_400, is_over=False))
    assert made_final(one, 600) == (Wake(ANSWERED_AT_MS + 61_000, is_over=True),)


@pytest.mark.parametrize(("before_cut_ms", "is_warned"), [(9_000, True), (2_000, True), (1_999, False), (700, False)])
def test_a_final_grant_shorter_than_the_warning_is_warned_of_at_once_unless_it_is_over(
    before_cut_ms: int, is_warned: bool
) -> None:
    """Two seconds are the least."""
    one = warned(10)
    assert (Warn("") in made_final(one, before_cut_ms)) is is_warned


def test_a_tenant_without_warnings_has_none() -> None:
    """Zero seconds: off."""
    assert made_final(warned(0), 10_000) == (Wake(ANSWERED_AT_MS + 59_400, is_over=False),)


def test_a_top_up_in_time_takes_the_warning_back() -> None:
    """The call is final and its warning still to come: money makes it an ordinary call again."""
    one = warned(10)
    made_final(one, 30_000)
    (extend,) = advance(one, ToppedUp(ANSWERED_AT_MS + 40_000))
    assert isinstance(extend, Extend)
    extended(one, 120)
    assert one.state is State.ANSWERED
    (extend,) = advance(one, QuotaLow(one.cap_at_ms - one.lead_ms))
    assert isinstance(extend, Extend)


def test_a_top_up_that_crosses_the_refusal_is_asked_for_before_anyone_is_warned() -> None:
    """The refusal was given before it."""
    one = warned(10)
    advance(one, QuotaLow(one.cap_at_ms - 10_000))
    advance(one, ToppedUp(one.cap_at_ms - 9_990))
    assert advance(one, NO_CREDIT) == (Wake(0, is_over=False),)
    (extend,) = advance(one, QuotaLow(one.cap_at_ms - 9_980))
    assert isinstance(extend, Extend)


def test_a_cut_is_warned_of_once() -> None:
    """However often more is asked for and refused before it."""
    one = warned(10)
    assert Warn("") in made_final(one, 10_000)
    advance(one, ToppedUp(one.cap_at_ms - 8_000))
    assert advance(one, NO_CREDIT) == (Wake(ANSWERED_AT_MS + 59_400, is_over=False),)


def test_a_later_cut_is_warned_of_again() -> None:
    """A top-up after the warning, and its end in turn."""
    one = warned(10)
    made_final(one, 10_000)
    advance(one, ToppedUp(one.cap_at_ms - 8_000))
    extended(one, 90)
    assert Warn("") in made_final(one, 10_000)


def test_a_call_that_lives_on_small_change_does_not_beep_all_the_time() -> None:
    """A cut that is later by less than the warning's time was told of already."""
    one = warned(10)
    made_final(one, 10_000)
    warnings = 0
    for seconds in range(61, 81):
        advance(one, ToppedUp(one.cap_at_ms - 5_000))
        extended(one, seconds)
        warnings += made_final(one, 5_000).count(Warn(""))
    assert warnings == 2


def test_a_call_that_shrinks_after_its_warning_is_not_warned_again() -> None:
    """Its caller knows that the end is near."""
    one = warned(10)
    one.granted_micros = 600_000
    assert Warn("") in made_final(one, 10_000)
    now_ms = one.cap_at_ms - 9_000
    effects = advance(one, CreditShort(now_ms, 1, now_ms + 3_000))
    assert one.shrink_to_seconds == 54
    assert Warn("") not in effects
    advance(one, Armed(54, now_ms + 10))
    advance(one, grant(54))
    assert made_final(one, 2_500) == (Wake(one.cap_at_ms - 600, is_over=False),)


def test_the_end_of_the_longest_call_is_warned_of_too() -> None:
    """No money makes it longer; to the caller it is a cut like any other."""
    one = answered_call(60, tariff_row=replace(BY_THE_SECOND, maximum_seconds=60), warning_seconds=10)
    assert advance(one, QuotaLow(one.cap_at_ms - 30_000)) == (Wake(one.cap_at_ms - 10_000, is_over=False),)
    warning, *_ = advance(one, QuotaLow(one.cap_at_ms - 10_000))
    assert warning == Warn("")
    assert advance(one, QuotaLow(one.cap_at_ms - 600)) == (Wake(one.cap_at_ms + 1_000, is_over=True),)

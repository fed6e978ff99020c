"""Which calls a tenant may make at all."""

import pytest

from gateway.core.barring import Barring
from gateway.core.reasons import Reason
from rating import CallClass, Destination, Prefixes

PREMIUM, SATELLITE, FIXED = CallClass.PREMIUM, CallClass.SATELLITE, CallClass.INTERNATIONAL_FIXED


def to(e164: str, call_class: CallClass = FIXED) -> Destination:
    return Destination(e164, f"+{e164}" if e164 else "", call_class)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("881612345678", None),  # allowed by more digits than it is barred by
        ("881112345678", Reason.BARRED_PREFIX),
        ("5352000001", Reason.BARRED_PREFIX),  # both: barred
        ("442079460000", None),
    ],
)
def test_the_longest_prefix_that_a_list_names_decides(number: str, reason: Reason | None) -> None:
    """One both barred and allowed is barred."""
    barring = Barring(prefixes=Prefixes.of(["881", "53"]), allowed_prefixes=Prefixes.of(["8816", "53"]))
    assert barring.judge(to(number)) is reason


def test_a_prefix_goes_before_a_class() -> None:
    """An allowed one of a barred class passes, a barred one of any class does not."""
    barring = Barring(
        classes=frozenset({SATELLITE}), prefixes=Prefixes.of(["882"]), allowed_prefixes=Prefixes.of(["8816"])
    )
    judged = [barring.judge(to(number, SATELLITE)) for number in ("88161", "88171", "88211")]
    assert judged == [None, Reason.BARRED, Reason.BARRED_PREFIX]


def test_an_allow_list_that_is_not_strict_refuses_nobody() -> None:
    """It only makes exceptions from what is barred."""
    barring = Barring(allowed_prefixes=Prefixes.of(["44"]), allowed_classes=frozenset({PREMIUM}))
    assert [barring.judge(to("33123", each)) for each in (FIXED, PREMIUM)] == [None, None]


def test_strict_refuses_what_no_allow_list_names() -> None:
    """And bar lists are not looked at."""
    barring = Barring(
        classes=frozenset({PREMIUM}),
        prefixes=Prefixes.of(["44"]),
        allowed_prefixes=Prefixes.of(["44"]),
        allowed_classes=frozenset({PREMIUM}),
        is_strict=True,
    )
    judged = [barring.judge(to(*one)) for one in (("4420", FIXED), ("9001", PREMIUM), ("3312", FIXED))]
    assert judged == [None, None, Reason.BARRED]


@pytest.mark.parametrize("call_class", [CallClass.EMERGENCY, CallClass.INTERNAL])
@pytest.mark.parametrize("number", ["", "911"])
def test_emergency_and_internal_calls_pass_whatever_the_lists_say(call_class: CallClass, number: str) -> None:
    """Also strict ones, and though someone barred their class or number."""
    barred = Barring(classes=frozenset({call_class}), prefixes=Prefixes.of(["9"]))
    assert barred.judge(to(number, call_class)) is None
    assert Barring(is_strict=True).judge(to(number, call_class)) is None

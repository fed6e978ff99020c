"""What becomes of an ask before any money is looked at."""

from dataclasses import replace
from fractions import Fraction

import pytest

from gateway.core.asking import begin
from gateway.core.barring import Barring
from gateway.core.call import Call, Terms
from gateway.core.decide import Deny, Pass, decide
from gateway.core.effects import SendVerdict
from gateway.core.reasons import Reason
from gateway.core.tenant import DialFormat
from gateway.core.verdict import allow, deny, let_pass
from rating import CallClass, Tariff, TariffChain
from tests.unit.core.build import ASKED_AT_MS, NUMBER, ask, rate, tenant

DEADLINE_MS = ASKED_AT_MS + 2_000


def NOBODYS(_number: str) -> bool:  # noqa: N802 - a constant answer
    return False


@pytest.mark.parametrize("number", ["911", "2001", "12125550123"])
def test_emergency_internal_and_domestic_calls_pass_unmetered(number: str) -> None:
    """They need no rate and no credit."""
    assert decide(ask(number), tenant(), DEADLINE_MS, NOBODYS) == Pass("acme", number)


def test_an_international_call_is_metered_by_the_row_that_covers_it() -> None:
    """It is dialled in the form that the trunk wants."""
    terms = decide(ask(), tenant(dial_format=DialFormat.PLUS), DEADLINE_MS, NOBODYS)
    assert isinstance(terms, Terms)
    assert (terms.price.rates[0].prefix, terms.dial_number, terms.call_id) == ("44", f"+{NUMBER}", "pbx1/100.1/777")
    assert terms.destination.call_class is CallClass.INTERNATIONAL_FIXED


def test_a_metered_number_that_no_row_covers_is_refused_never_free() -> None:
    """A gap in a tariff must not become a free call."""
    assert decide(ask("01133142685300"), tenant(), DEADLINE_MS, NOBODYS) == Deny(Reason.NO_RATE, "acme")


def test_a_short_code_that_is_known_to_be_premium_is_refused_never_free() -> None:
    """It has no E.164 number, so no row covers it."""
    assert decide(ask("24280"), tenant(), DEADLINE_MS, NOBODYS) == Deny(Reason.NO_RATE, "acme")


@pytest.mark.parametrize("number", ["", "0", "011", "1" * 40, "00000000000"])
def test_a_number_that_is_no_number_is_refused(number: str) -> None:
    """It rings nowhere, and is called what it is."""
    assert decide(ask(number), tenant(), DEADLINE_MS, NOBODYS) == Deny(Reason.BAD_NUMBER, "acme")


def test_an_ask_without_a_payer_is_refused() -> None:
    """Nobody's calls are free calls."""
    assert decide(ask(), None, DEADLINE_MS, NOBODYS) == Deny(Reason.UNKNOWN_TENANT, "")


def test_an_emergency_number_of_any_tenant_passes_whoever_asks() -> None:
    """Nobody's accountcode may stand in its way."""
    assert decide(ask("999"), None, DEADLINE_MS, lambda number: number == "999") == Pass("", "999")


def test_the_verdict_is_one_text_of_six_fields() -> None:
    """As config/asterisk/extensions-callgate.conf reads it."""
    for text in (allow("1", "44", 1000), let_pass("1", "911"), deny("1", Reason.NO_RATE)):
        assert text.count(":") == 5


def test_an_allowance_without_a_cap_cannot_be_written() -> None:
    """An empty L() was seen to be no cap at all, and L(0) ends the Dial."""
    with pytest.raises(AssertionError):
        allow("1", "44", 0)


def test_a_class_that_the_plan_bars_is_refused() -> None:
    """Before any money is looked at, also where it would be unmetered."""
    barred = frozenset({CallClass.INTERNATIONAL_FIXED, CallClass.DOMESTIC_FIXED})
    one = tenant(barring=Barring(barred))
    assert decide(ask(), one, DEADLINE_MS, NOBODYS) == Deny(Reason.BARRED, "acme")
    assert decide(ask("12125550123"), one, DEADLINE_MS, NOBODYS) == Deny(Reason.BARRED, "acme")
    assert decide(ask("911"), one, DEADLINE_MS, NOBODYS) == Pass("acme", "911")


def test_the_class_of_the_row_goes_before_that_of_the_number_plan() -> None:
    """A prefix that the tariff calls premium is barred and metered as premium."""
    row = replace(rate(), call_class=CallClass.PREMIUM)
    one = tenant(tariffs=TariffChain((Tariff("test", (row,)),)))
    terms = decide(ask(), one, DEADLINE_MS, NOBODYS)
    assert isinstance(terms, Terms)
    assert terms.destination.call_class is CallClass.PREMIUM
    barred = replace(one, barring=Barring(frozenset({CallClass.PREMIUM})))
    assert decide(ask(), barred, DEADLINE_MS, NOBODYS) == Deny(Reason.BARRED, "acme")


def test_a_row_that_is_not_in_effect_yet_covers_nothing() -> None:
    """The number is refused until then, never free."""
    row = replace(rate(), effective_from_ms=ASKED_AT_MS + 1_000)
    one = tenant(tariffs=TariffChain((Tariff("test", (row,)),)))
    assert decide(ask(), one, DEADLINE_MS, NOBODYS) == Deny(Reason.NO_RATE, "acme")


@pytest.mark.parametrize(
    ("of_row", "counts"),
    [
        (CallClass.DOMESTIC_FIXED, CallClass.INTERNATIONAL_FIXED),
        (CallClass.TOLL_FREE, CallClass.INTERNATIONAL_FIXED),
        (CallClass.SATELLITE, CallClass.SATELLITE),
    ],
)
def test_a_row_makes_no_class_cheaper(of_row: CallClass, counts: CallClass) -> None:
    """A slip in the class column makes no dear call free."""
    row = replace(rate(), call_class=of_row)
    terms = decide(ask(), tenant(tariffs=TariffChain((Tariff("test", (row,)),))), DEADLINE_MS, NOBODYS)
    assert isinstance(terms, Terms)
    assert terms.destination.call_class is counts


def test_a_charge_that_no_account_can_hold_is_refused_for_want_of_a_rung() -> None:
    """Not by an exception in the midst of a verdict."""
    row = replace(rate(initial=86_400, increment=86_400), per_minute=Fraction(100_000_000))
    terms = decide(ask(), tenant(tariffs=TariffChain((Tariff("test", (row,)),))), DEADLINE_MS, NOBODYS)
    assert isinstance(terms, Terms)
    assert isinstance(begin(Call(terms))[0], SendVerdict)

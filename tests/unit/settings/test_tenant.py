"""The number that the dialplan is told to dial, and a webhook's secret."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.tenant import DialFormat, Tenant, decode_webhook_secret, dial_number
from rating import DOMESTIC_CLASSES, CallClass, Destination, NumberError, NumberPlan, TariffChain, read_tariff
from tests.unit.settings.folder import TARIFF

TENANT = Tenant(
    tenant_id="acme",
    currency="USD",
    plan=NumberPlan("US", ("011",), "1", ("_2XXX",), ()),
    tariffs=TariffChain((read_tariff(TARIFF, "default"),)),
    dial_prefix="9",
)


def dialled_as(dial_format: DialFormat, number: str) -> str:
    """What a trunk of that format gets when a caller dials ``number``."""
    return dial_number(replace(TENANT, dial_format=dial_format), TENANT.plan.resolve(number))


def test_a_tenant_of_which_nothing_is_said_pays_for_what_costs_money() -> None:
    """Domestic calls, extensions, short codes and emergency numbers are unmetered; every other class is metered."""
    free = DOMESTIC_CLASSES | {CallClass.INTERNAL, CallClass.SHORT_CODE, CallClass.EMERGENCY}
    assert TENANT.metered_classes == set(CallClass) - free


@pytest.mark.parametrize(
    ("dial_format", "expected"),
    [
        (DialFormat.DIALLED, "011442079460000"),
        (DialFormat.E164, "442079460000"),
        (DialFormat.PLUS, "+442079460000"),
        (DialFormat.PREFIX, "9442079460000"),
    ],
)
def test_formats(dial_format: DialFormat, expected: str) -> None:
    """A number goes to the trunk as dialled, as digits, with +, or with the tenant's prefix."""
    assert dialled_as(dial_format, "011442079460000") == expected


@pytest.mark.parametrize("number", ["2001", "911"])
@pytest.mark.parametrize("dial_format", list(DialFormat))
def test_numbers_without_e164(dial_format: DialFormat, number: str) -> None:
    """An extension or an emergency number goes as it was dialled in each format: it has no other form."""
    assert dialled_as(dial_format, number) == number


@given(st.text(alphabet="0123456789+*#&,:/", min_size=1, max_size=20), st.sampled_from(DialFormat))
def test_nothing_else_is_ever_dialled(number: str, dial_format: DialFormat) -> None:
    """Whatever was dialled, the number for Dial is refused or holds only 0-9, +, * and #."""
    try:
        result = dialled_as(dial_format, number)
    except NumberError:
        return
    assert result
    assert set(result) <= set("0123456789+*#")


def test_a_hostile_destination_is_stopped() -> None:
    """A number that did not come from the number plan cannot add a leg: the function stops."""
    destination = Destination("500&PJSIP/1@trunk", "", TENANT.plan.resolve("2001").call_class)
    with pytest.raises(AssertionError):
        dial_number(TENANT, destination)


def test_a_webhook_secret_is_decoded() -> None:
    """The key is what stands in base64 after whsec_."""
    assert decode_webhook_secret("whsec_" + base64.b64encode(b"k" * 24).decode()) == b"k" * 24


@pytest.mark.parametrize(
    "secret",
    ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_!!!!", "whsec_YWJj", "whsec_" + "YWJj" * 22],
)
def test_a_bad_webhook_secret(secret: str) -> None:
    """No prefix, no base64, fewer than 24 or more than 64 bytes: an error that shows nothing of the secret."""
    with pytest.raises(ValueError, match="webhook secret") as caught:
        decode_webhook_secret(secret)
    assert len(secret) < 7 or secret[6:] not in str(caught.value)

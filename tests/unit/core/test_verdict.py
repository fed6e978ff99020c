"""The verdict's text, as config/asterisk/extensions-callgate.conf takes it apart."""

import pytest

from gateway.core import verdict
from gateway.core.books import Refused
from gateway.core.effects import SendVerdict
from gateway.core.lifecycle import advance
from gateway.core.reasons import Reason
from tests.unit.core.build import call


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (403, Reason.NO_CREDIT, "777:deny:::no_credit:21"),
        (402, Reason.NO_CREDIT, "777:deny::402:no_credit:21"),
        (402, Reason.BARRED, "777:deny:::barred:21"),
        (402, Reason.LEDGER_UNAVAILABLE, "777:deny:::ledger_unavailable:38"),
    ],
)
def test_a_refusal_names_402_for_want_of_credit_alone(status: int, reason: Reason, expected: str) -> None:
    """Where the tenant has it, in the field of the cap: dialplans of before do not look at that in a refusal."""
    effects = advance(call(no_credit_status=status), Refused(reason))
    assert isinstance(effects[0], SendVerdict)
    assert effects[0].verdict == expected


@pytest.mark.parametrize(
    "text",
    [verdict.allow("777", "1800", 60_000), verdict.let_pass("777", "1800"), verdict.deny("777", Reason.BARRED, 402)],
)
def test_every_verdict_has_six_fields(text: str) -> None:
    """The dialplan refuses any other."""
    assert text.count(":") == 5

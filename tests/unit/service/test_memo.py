"""A call's terms as text come back as they were, are short, and are read as former versions wrote them."""

import json
from dataclasses import replace

import pytest

from gateway.core.call import Terms
from gateway.core.tenant import Included
from gateway.ports import CallKey, StoredCall
from gateway.service import memo
from rating import CallClass
from tests.unit.core.build import call, rate, tenant

PLAN_MINUTES = Included("minutes", 600, frozenset({CallClass.INTERNATIONAL_FIXED}), ())
TENANT = tenant(included=(PLAN_MINUTES,))
TERMS = replace(call().terms, tenant=TENANT)
PLAIN = replace(TERMS, dial_number=TERMS.ask.number, ask=replace(TERMS.ask, linkedid=TERMS.ask.uniqueid))
RARE = replace(TERMS, included=PLAN_MINUTES, ends_dear=True, ask=replace(TERMS.ask, linkedid="17.1"))


def restored(terms: Terms, text: str, call_id: str = "") -> Terms:
    """The terms that a new process reads."""
    stored = StoredCall(
        CallKey("acme", call_id or terms.call_id),
        "reserved",
        0,
        60,
        0,
        0,
        "",
        0,
        1,
        included_seconds=0,
        pool="",
        meta=text,
    )
    return memo.restore(stored, TENANT).terms


@pytest.mark.parametrize("terms", [PLAIN, RARE, replace(PLAIN, ask=replace(PLAIN.ask, linkedid=""))])
def test_terms_come_back_as_they_were(terms: Terms) -> None:
    """Whether they are as most calls' are or not."""
    assert restored(terms, memo.write(terms)) == terms


def test_what_the_calls_id_says_is_not_written_again() -> None:
    """Nor what is as it mostly is: the memo of each live call is in the ledger's memory."""
    written = memo.write(PLAIN)
    assert PLAIN.ask.uniqueid not in written
    assert not {"switch", "uniqueid", "nonce", "linkedid", "dial", "included", "ends_dear"} & json.loads(written).keys()


@pytest.mark.parametrize("terms", [PLAIN, RARE])
def test_a_memo_that_says_all_is_read(terms: Terms) -> None:
    """As it was written before: a call lives longer than its gateway."""
    ask = terms.ask
    included = terms.included.name if terms.included else ""
    said = {"switch": ask.switch, "uniqueid": ask.uniqueid, "nonce": ask.nonce, "linkedid": ask.linkedid}
    text = json.dumps(json.loads(memo.write(terms)) | said | {"dial": terms.dial_number, "included": included})
    assert restored(terms, text) == terms


@pytest.mark.parametrize("call_id", ["pbx1", "pbx1/1.2", "pbx1/1.2/3/4"])
def test_a_call_whose_id_is_none_of_ours_cannot_be_restored(call_id: str) -> None:
    """Its switch, channel and ask are not known."""
    with pytest.raises(ValueError, match="cannot be read"):
        restored(PLAIN, memo.write(PLAIN), call_id)


def test_calls_that_are_taken_back_share_a_price() -> None:
    """Thousands at once have few."""
    one, other = (restored(PLAIN, memo.write(PLAIN)) for _ in range(2))
    assert one.price is other.price
    dear = replace(PLAIN, price=call(rate("0.90")).terms.price)
    assert restored(dear, memo.write(dear)).price == dear.price

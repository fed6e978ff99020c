"""Recharges over the API: the rule, the answers of a payment system, and whose they are."""

import json

import pytest

from gateway.core.recharge import recharge_id

from .office import Caller, Office

RULE = {"mode": "fixed", "trigger": "10.00", "amount": "25.00"}


@pytest.fixture
def path(office: Office) -> str:
    """Of mine."""
    return f"/v1/tenants/{office.mine}/recharge"


async def test_a_rule_is_changed_in_part_and_taken_back(api: Caller, path: str) -> None:
    """What is not named stays; it is in force at once; the config's rule, here none, comes back by a word."""
    assert (await api("PATCH", path, "bill", json=RULE))[1]["state"] == "requested"  # the account is empty
    _, told = await api("PATCH", path, "bill", json={"amount_per_day": "50.00", "mode": "level"})
    assert (told["mode"], told["trigger"], told["amount"], told["amount_per_day"]) == (
        "level",
        "10.00",
        "25.00",
        "50.00",
    )
    assert told["is_by_hand"]
    _, told = await api("PATCH", path, "bill", json={"amount_per_day": None})
    assert told["amount_per_day"] is None
    _, told = await api("PATCH", path, "bill", json={"as_config": True})
    assert (told["mode"], told["trigger"], told["is_by_hand"]) == ("none", None, False)


async def test_a_forecast_is_set_and_shown(api: Caller, office: Office, path: str) -> None:
    """Its minutes are part of the rule, and 0 ends it; without calls and without a week before, nothing is spent."""
    _, told = await api("PATCH", path, "bill", json={**RULE, "forecast_minutes": 30})
    assert (told["forecast_minutes"], told["forecast"]) == (30, None)
    assert (await api("PATCH", path, "bill", json={"forecast_minutes": 1441}))[0] == 422
    assert (await api("PATCH", path, "bill", json={"forecast_minutes": 0}))[1]["forecast_minutes"] == 0
    await office.ledger.pipe.call("HSET", f"cg:{{{office.mine}}}:account", "rate", 200_000, "balance", 8_000_000)
    told = (await api("GET", path, "read"))[1]["forecast"]
    assert told == {"seconds_to_zero": 2400, "rate_per_minute": "0.20", "rate_per_minute_micros": 200_000}


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"amount": "9.00"}, "amount: from an empty account this leaves the tenant under its trigger of 10.00"),
        ({"amount_per_day": "20.00"}, "amount_per_day: an empty account takes 25.00"),
        ({"mode": "level", "amount": "10.00"}, "amount: a recharge up to this level"),
        ({"trigger": None}, "trigger cannot be null"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(api: Caller, path: str, changes: dict[str, str], detail: str) -> None:
    """With the config's own words, and the rule of before stays."""
    await api("PATCH", path, "bill", json=RULE)
    status, told = await api("PATCH", path, "bill", json=changes)
    assert (status, told["code"]) == (409, "bad_recharge")
    assert detail in told["detail"]
    assert (await api("GET", path, "read"))[1]["amount"] == "25.00"


async def test_a_payment_systems_answers(api: Caller, office: Office, path: str) -> None:
    """Failed, asked for again by a person, paid: the funds are there, once; the audit log has who said so."""
    await api("PATCH", path, "bill", json=RULE)
    first, second = (f"/v1/recharges/{recharge_id(office.mine, number)}" for number in (1, 2))
    _, told = await api("POST", f"{first}/pending", "bill", json={"reason": "3-D Secure"})
    assert (told["state"], told["is_repeat"]) == ("pending", False)
    assert (await api("POST", f"{first}/pending", "bill", json={}))[1]["is_repeat"]
    _, told = await api("POST", f"{first}/failed", "bill", json={"reason": "card declined"})
    assert (told["state"], told["is_repeat"]) == ("failed", False)
    assert (await api("GET", path, "read"))[1]["reason"] == "card declined"
    assert (await api("POST", f"{path}/retry", "bill"))[1]["state"] == "requested"
    told = [(await api("POST", f"{second}/succeeded", "bill", json={}))[1] for _ in "ab"]
    assert [(one["state"], one["balance"], one["is_repeat"]) for one in told] == [
        ("succeeded", "25.00", False),
        ("succeeded", "25.00", True),
    ]
    assert (await api("POST", f"{second}/failed", "bill", json={}))[1]["code"] == "bad_state"
    lines = [line for line in office.audit() if line["operation"] == "recharge_succeeded"]
    assert [(line["token"], line["what"]["tenant"], line["what"]["is_repeat"]) for line in lines] == [
        ("bill", office.mine, False),
        ("bill", office.mine, True),
    ]


async def test_anothers_recharge_is_not_there(api: Caller, office: Office) -> None:
    """A token of mine hears the same of the other's recharge as of one that was never asked for."""
    other = f"/v1/tenants/{office.other}/recharge"
    await api("PATCH", other, "bill", json=RULE)
    answers = [
        await api("POST", f"/v1/recharges/{number}/succeeded", "mine", json={})
        for number in (recharge_id(office.other, 1), recharge_id("nobody", 1), recharge_id(office.mine, 1), "x")
    ]
    assert len({json.dumps(answer) for answer in answers}) == 1
    assert answers[0][0] == 404
    assert (await api("GET", other, "read"))[1]["state"] == "requested"

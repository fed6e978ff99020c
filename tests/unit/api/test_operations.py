"""What each operation does, on the real ledger."""

from datetime import UTC, datetime

import pytest

from gateway.adapters.http.api import handlers
from gateway.core.ownership import Member, Want, Wish
from gateway.core.reasons import Reason
from gateway.ports import Happening, Refusal
from tests.unit.service.house import CALLER, LEG, until

from .office import MICROS, Caller, Office, Reloaded


def of(office: Office, rest: str = "") -> str:
    """A path of the tenant ``mine``."""
    return f"/v1/tenants/{office.mine}{rest}"


# --------------------------------------------------------------------------------------------------------- money


async def test_an_amount_and_a_time_stand_twice(api: Caller, office: Office) -> None:
    """In units and in micro-units; in ISO 8601 and in epoch milliseconds."""
    await api.top_up("25.50", expires_at="2031-01-01T00:00:00+01:00")
    _, told = await api("GET", of(office, "/lots"))
    (lot,) = told["items"]
    assert (lot["free"], lot["free_micros"]) == ("25.50", 25_500_000)
    assert lot["expires_at"] == "2030-12-31T23:00:00.000Z"
    assert lot["expires_at_ms"] == int(datetime(2030, 12, 31, 23, tzinfo=UTC).timestamp() * 1000)


async def test_a_key_is_booked_once(api: Caller, office: Office) -> None:
    """Sent again it is told as a repeat; with another amount it is an error and no second credit."""
    first, again, other = await api.top_up(), await api.top_up(), await api.top_up("5.00")
    assert (first[0], first[1]["is_repeat"], first[1]["balance"]) == (200, False, "25.00")
    assert (again[0], again[1]["is_repeat"], again[1]["balance"]) == (200, True, "25.00")
    assert (other[0], other[1]["code"]) == (409, "id_reused")
    assert (await office.house.balance()).balance_micros == 25 * MICROS


async def test_a_reversal_takes_it_back_once(api: Caller, office: Office) -> None:
    """And one of no top-up is unknown."""
    await api.top_up()
    path = of(office, "/reversals")
    told = [await api("POST", path, json={"id": key}) for key in ("pay-1", "pay-1", "pay-2")]
    assert [(status, body.get("is_repeat", body.get("code"))) for status, body in told] == [
        (200, False),
        (200, True),
        (404, "unknown_topup"),
    ]
    assert told[0][1]["balance_micros"] == 0


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"amount": 25}, "body.amount"),
        ({"amount": "1e3"}, "body.amount"),
        ({"amount": "-1.00"}, "body.amount"),
        ({"amount": "0.00"}, "body.amount"),
        ({"amount": "0.0000001"}, "body.amount"),
        ({"amount": "9999999999"}, "body.amount"),
        ({"amount": "1.00", "extra": 1}, "body.extra"),
        ({"amount": "1.00", "expires_at": "2031-01-01"}, "body.expires_at"),
        ({"amount": "1.00", "expires_at": 5}, "body.expires_at"),
        ({"amount": "1.00", "expires_at": "2031-02-29T00:00:00Z"}, "body.expires_at"),
        ({"amount": "1.00", "source": "a\nb"}, "body.source"),
        ({}, "body.amount"),
        ([], "body"),
        ("text", "body"),
    ],
)
async def test_a_wrong_value_is_named(api: Caller, office: Office, body: object, at: str) -> None:
    """And nothing is booked."""
    status, told = await api(
        "POST", of(office, "/topups"), json=body, headers={"Idempotency-Key": "k", "Content-Type": "application/json"}
    )
    assert (status, told["code"], [wrong["at"] for wrong in told["errors"]]) == (422, "invalid", [at])
    assert (await office.house.balance()).journal_entries == 1


@pytest.mark.parametrize(
    "key", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "a b"}, {"Idempotency-Key": "x" * 201}]
)
async def test_a_top_up_has_a_key(api: Caller, office: Office, key: dict[str, str]) -> None:
    """One word of at most 200 characters."""
    status, told = await api("POST", of(office, "/topups"), json={"amount": "1.00"}, headers=key)
    assert (status, [wrong["at"] for wrong in told["errors"]]) == (422, ["header.Idempotency-Key"])


async def test_a_currency_that_is_named_must_be_the_accounts(api: Caller) -> None:
    """Nobody tops up 25 francs as 25 dollars."""
    assert (await api.top_up(currency="CHF"))[1]["code"] == "wrong_currency"
    assert (await api.top_up(currency="USD"))[0] == 200


async def test_what_the_books_refuse_is_told_with_their_code(api: Caller, office: Office) -> None:
    """Funds that have expired; a top-up of a closed account."""
    assert (await api.top_up(expires_at="2020-01-01T00:00:00Z"))[1]["code"] == "bad_amount"
    status, told = await api("POST", of(office, "/close"))
    assert (status, told["is_closed"]) == (200, True)
    assert (await api.top_up())[1]["code"] == "account_closed"
    assert (await api("POST", of(office, "/reopen")))[1]["is_closed"] is False
    assert (await api.top_up())[0] == 200


async def test_balances_of_all_tenants_come_in_pages(api: Caller, office: Office) -> None:
    """By id; a token of one tenant has a page of one."""
    await api.top_up()
    _, first = await api("GET", "/v1/balances?limit=1")
    _, second = await api("GET", f"/v1/balances?limit=1&cursor={first['next_cursor']}")
    items = [*first["items"], *second["items"]]
    assert [(row["tenant"], row["balance"]) for row in items] == [(office.mine, "25.00"), (office.other, "0.00")]
    assert second["next_cursor"] is None
    _, told = await api("GET", "/v1/balances", "mine")
    assert [row["tenant"] for row in told["items"]] == [office.mine]


# -------------------------------------------------------------------------------------------------------- tenants


async def test_a_tenants_terms(api: Caller, office: Office) -> None:
    """Those in force, with the defaults; an amount that there is not is null, twice."""
    _, told = await api("GET", of(office))
    assert (told["tenant"], told["currency"], told["home_country"]) == (office.mine, "USD", "US")
    assert (told["recharge_trigger"], told["recharge_trigger_micros"]) == (None, None)
    assert "emergency" not in told["metered_classes"]


async def test_a_quote_is_that_of_the_gate(api: Caller, office: Office) -> None:
    """Metered with its charge, free, barred, no number: each is an answer."""
    told = {}
    for number in ("011442079460000", "911", "0119999", "01133123456789"):
        status, told[number] = await api("GET", of(office, f"/quote?number={number}&seconds=61"))
        assert status == 200
    assert told["011442079460000"]["charge"]["charge"] == "0.61"
    assert told["911"]["outcome"] == "free"
    assert (told["0119999"]["outcome"], told["0119999"]["reason"][:6]) == ("refused", "number")
    assert told["0119999"]["sentence"]
    assert (told["01133123456789"]["outcome"], told["01133123456789"]["reason"]) == ("refused", "no_rate")


# ---------------------------------------------------------------------------------------------------------- calls


async def test_a_live_call_is_shown(api: Caller, office: Office) -> None:
    """With what it holds, and whom it calls; in the list of all calls and in the tenant's."""
    await api.top_up()
    session = await office.house.answered()
    for path in ("/v1/calls", of(office, "/calls")):
        _, told = await api("GET", path, "mine")
        (call,) = told["items"]
        assert (call["call"], call["state"], call["number"]) == (session.key.call_id, "answered", "+442079460000")
        assert (call["granted_seconds"], call["held_micros"]) == (60, 600_000)
        assert call["answered_at_ms"] == session.call.answered_at_ms


@pytest.mark.parametrize("tenants_a_page", [1, 100])
async def test_calls_come_in_pages(
    api: Caller, office: Office, monkeypatch: pytest.MonkeyPatch, tenants_a_page: int
) -> None:
    """None twice, none left out, across tenants; a token of one tenant meets no other's."""
    monkeypatch.setattr(handlers, "TENANTS_A_PAGE", tenants_a_page)
    await api.top_up()
    await office.ledger.top_up(office.other, "x", 25 * MICROS, "USD", "test")
    for number in range(3):
        await office.house.reserved(nonce=str(number), caller=f"10{number}.1")
    office.house.board.handle(office.ask_of_other())
    await until(lambda: len(office.house.switch.verdicts) == 4)
    found, cursor, pages = [], "", 0
    while cursor is not None:
        _, told = await api("GET", f"/v1/calls?limit=2{cursor and '&cursor=' + cursor}")
        ours = [call for call in told["items"] if call["tenant"] in {office.mine, office.other}]
        found += [call["call"] for call in ours]
        cursor, pages = told["next_cursor"], pages + 1
    assert found == ["pbx1/100.1/0", "pbx1/101.1/1", "pbx1/102.1/2", "pbx1/900.1/9"]
    assert pages >= 2
    _, told = await api("GET", "/v1/calls", "mine")
    assert {call["tenant"] for call in told["items"]} == {office.mine}


async def test_an_answered_call_is_cut_by_its_leg(api: Caller, office: Office) -> None:
    """With cause 16; the books close as for any call that ends, when the PBX says so."""
    await api.top_up()
    session = await office.house.answered()
    status, told = await api("POST", f"/v1/calls/{session.key.call_id}/cut", "operate")
    assert (status, told) == (200, {"tenant": office.mine, "call": session.key.call_id})
    assert office.house.switch.hangups == [(LEG, 16)]
    office.house.hung_up(LEG, session.call.answered_at_ms + 10_000)
    await until(lambda: bool(office.house.tally.records))
    assert office.house.tally.records[0].outcome == "settled"
    assert office.house.tally.happenings == [(Happening.CUT, "pbx1", "operator")]
    assert (await office.house.balance()).charges_micros == 100_000


async def test_a_ringing_call_is_refused(api: Caller, office: Office) -> None:
    """The channel that asked is ended, with cause 21."""
    await api.top_up()
    session = await office.house.reserved()
    await api("POST", f"/v1/calls/{session.key.call_id}/cut")
    assert office.house.switch.hangups == [(CALLER, 21)]


async def test_a_call_that_is_not_there(api: Caller, office: Office) -> None:
    """Another's, an unknown one, one of an unknown switch are one and the same to a token."""
    await office.ledger.top_up(office.other, "x", 25 * MICROS, "USD", "test")
    office.house.switch.lives("900.1")
    office.house.board.handle(office.ask_of_other())
    await until(lambda: bool(office.house.switch.verdicts))
    paths = ("pbx1/900.1/9", "pbx1/900.1/8", "pbx2/900.1/9")
    told = [await api("POST", f"/v1/calls/{path}/cut", "mine") for path in paths]
    assert [status for status, _ in told] == [404] * 3
    assert told[0] == told[1] == told[2]
    assert (await api("POST", "/v1/calls/pbx1/900.1/9/cut", "all"))[0] == 200


async def test_what_a_switch_says_to_a_cut(api: Caller, office: Office) -> None:
    """A leg that is gone, and a switch that does not answer."""
    await api.top_up()
    session = await office.house.answered()
    path = f"/v1/calls/{session.key.call_id}/cut"
    office.house.switch.is_down = True
    assert (await api("POST", path))[1]["code"] == "switch_unavailable"
    office.house.switch.is_down = False
    office.house.switch.living.clear()
    assert (await api("POST", path))[1]["code"] == "call_ended"


async def test_a_cut_at_another_gateway_names_the_one_that_has_the_switch(api: Caller, office: Office) -> None:
    """An admin who asks the wrong one of two is not told that the call is not there."""
    tenure = office.house.board.world.tenure
    tenure.is_held = False
    path = "/v1/calls/pbx1/900.1/9/cut"
    assert (await api("POST", path))[1]["code"] == "switch_unavailable"  # nobody has it
    west = Member("west", hears=frozenset({"switch:pbx1"}))
    await office.ledger.lease_turn(west, "1", 60_000, [Want("switch:pbx1", Wish.OWN)], is_first=True)
    status, told = await api("POST", path)
    assert (status, told["code"]) == (409, "other_gateway")
    assert told["detail"] == "Gateway west has switch pbx1; ask the API of that one."
    await office.ledger.lease_turn(west, "1", 60_000, [Want("switch:pbx2", Wish.OWN)], is_first=False)
    _, told = await api("POST", "/v1/calls/pbx2/900.1/9/cut")  # another process of this machine has that switch
    assert told["detail"] == "Gateway west has switch pbx2; ask the API of that one."
    assert (await api("POST", "/v1/calls/pbx3/900.1/9/cut"))[1]["code"] == "unknown_call"
    tenure.is_held = True
    assert (await api("POST", path))[1]["code"] == "unknown_call"
    await office.ledger.lease_turn(west, "1", 0, (), is_first=False)


# ----------------------------------------------------------------------------------------- restrictions, refusals


async def test_a_quarantine_is_set_and_lifted(api: Caller, office: Office) -> None:
    """Of a CLI for a time, and of the whole tenant until it is lifted."""
    path = of(office, "/restrictions")
    assert (await api("POST", path, json={"why": "hacked", "cli": "201", "seconds": 60}))[0] == 200
    _, told = await api("POST", path, json={"why": "unpaid"})
    assert [(one["target"], one["why"], one["until"]) for one in told["items"]] == [
        ("cli:201", "hacked", "1970-01-01T00:01:01.000Z"),
        ("tenant", "unpaid", None),
    ]
    assert (await api("DELETE", f"{path}?target=cli:201"))[1]["was_restricted"] is True
    assert (await api("DELETE", f"{path}?target=cli:201"))[1]["was_restricted"] is False
    assert (await api("DELETE", path))[1]["was_restricted"] is True
    assert (await api("GET", path))[1]["items"] == []


async def test_a_country_is_allowed(api: Caller, office: Office) -> None:
    """By its ISO code."""
    path = of(office, "/countries")
    assert (await api("POST", path, json={"country": "MC"}))[0] == 200
    assert (await api("POST", path, json={"country": "Monaco"}))[0] == 422
    assert office.limits.countries == {(office.mine, "MC")}


async def test_refusals_tell_their_figures(api: Caller, office: Office) -> None:
    """Also where a memo cannot be read."""
    office.limits.refused[office.mine] = [
        Refusal("pbx1/1.1/2", 2_000, Reason.BARRED, "nights", 3, 4, '{"number":"442"}'),
        Refusal("pbx1/1.1/1", 1_000, Reason.NO_CREDIT, "", 0, 0, "]"),
    ]
    _, told = await api("GET", of(office, "/refusals?limit=2"))
    assert [(one["reason"], one["used"], one["most"], one["facts"]) for one in told["items"]] == [
        ("barred", 3, 4, {"number": "442"}),
        ("no_credit", 0, 0, {}),
    ]


# --------------------------------------------------------------------------------------------------------- reload


async def test_a_reload_says_what_became_of_it(api: Caller, office: Office) -> None:
    """A config that is refused changes nothing, and names each problem."""
    office.reloaded = Reloaded(warnings=("warning: x",))
    assert await api("POST", "/v1/reload") == (200, {"warnings": ["warning: x"]})
    office.reloaded = Reloaded(is_taken=False, problems=("acme.toml:3: y",))
    status, told = await api("POST", "/v1/reload")
    assert (status, told["code"], told["errors"]) == (
        409,
        "config_refused",
        [{"at": "config", "what": "acme.toml:3: y"}],
    )


async def test_a_token_of_one_tenant_reloads_nothing(api: Caller) -> None:
    """It concerns all of them."""
    assert (await api("POST", "/v1/reload", "mine"))[1]["code"] == "forbidden"

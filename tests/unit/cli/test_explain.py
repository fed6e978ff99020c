"""Why a call was refused or what it was charged, as an admin asks it."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway import borrow
from gateway.adapters.http.api.answers import RefusalFacts
from gateway.cli.explain import why
from gateway.core.curbs import NO_CURBS, Check, Curbs, Kind
from gateway.core.reasons import Reason
from gateway.ports import CallKey, Grant, Refusal
from gateway.settings import load
from rating import Ladder
from tests.unit.cli.test_money import callgate, config, done

__all__ = ["config"]  # the fixture

META = (
    '{"number":"011442079460000","cli":"2001","at_ms":1795392000000,"deadline_ms":0,"latest_answer_ms":0,'
    '"e164":"+442079460000","class":"international_fixed","price":{"rates":[]}}'
)
MINUTE = Ladder(0, ((60, 500_000),))
ONE_CALL = Curbs(checks=(Check(Kind.LIVE, Reason.CONCURRENT_CALLS, "all", 1, "all||live"),))


@pytest.fixture
def calls(config: Path) -> Path:
    """A call that was charged, one that talks, and one that a limit refused."""
    done(config, "topup", "acme", "25.00")

    async def play() -> None:
        async with borrow.borrowed_ledger(load(config)) as ledger:
            for call, curbs in (("1.1", NO_CURBS), ("2.1", ONE_CALL), ("3.1", ONE_CALL)):
                key = CallKey("acme", f"pbx1/{call}/9")
                outcome = await ledger.reserve(key, MINUTE, 3_600_000, META, curbs=curbs)
                assert isinstance(outcome, Grant) == (call != "3.1")
                if call == "1.1":
                    await ledger.answer(key, "1.2", 1_795_392_000_000, 3_600_000)
                    await ledger.settle(key, 1, 400_000, 48, is_estimate=False)

    asyncio.run(play())
    return config


def test_a_charged_call_is_explained_by_its_movements(calls: Path) -> None:
    """Who dialled what, each entry of the journal, the sum, and how to see it block by block."""
    told = done(calls, "explain", "1.1")
    assert "2001 dialled 011442079460000: +442079460000, international_fixed" in told
    assert "charged 0.40 USD for 48 s" in told
    assert "callgate quote 011442079460000 --tenant acme --seconds 48 --at 2026-11-23T" in told
    (story,) = json.loads(callgate(calls, "explain", "pbx1/1.1/9", "--json").stdout)
    assert [entry["type"] for entry in story["entries"]] == ["reserve", "answer", "settle"]


def test_a_refused_call_is_explained_by_the_limit_and_its_figures(calls: Path) -> None:
    """What was used, and of how much."""
    assert "refused, concurrent_calls: limit all, 1 of 1 in use" in done(calls, "explain", "3.1", "--tenant", "acme")


def test_a_live_call_is_explained_by_what_it_holds(calls: Path) -> None:
    """Now."""
    assert "it is reserved: 60 s granted, 0.50 USD held now" in done(calls, "explain", "2.1")


def test_a_call_that_nobody_knows_is_said_to_be_unknown(calls: Path) -> None:
    """With where else to look."""
    result = callgate(calls, "explain", "9.9")
    assert (result.exit_code, "Nothing is known of '9.9'" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("reason", "limit", "used", "most", "told"),
    [
        ("spend_limit", "abroad", 49_500_000, 50_000_000, "spend_limit: limit abroad, 49.50 of 50.00 USD in use"),
        ("minutes_limit", "all", 590, 600, "minutes_limit: limit all, 590 of 600 s in use"),
        ("paused", "by_hand", 0, 1_795_392_000_000, "paused: by hand, until 2026-11-23 00:00:00.000"),
        ("paused", "sequence", 0, 0, "paused: by the guard sequence"),
        ("quarantined", "by_hand", 0, 0, "quarantined: by hand, until a person lifts it"),
        ("new_country", "MC", 0, 0, "new_country: MC"),
        ("no_credit", "", 0, 0, "no_credit"),
    ],
)
def test_a_refusal_has_its_figures_in_words(
    config: Path, reason: str, limit: str, used: int, most: int, told: str
) -> None:
    """Money in units, time in seconds or as a date, and no figure where there is none."""
    refusal = Refusal("pbx1/1.1/9", 0, reason, limit, used, most, "{}")
    assert why(refusal, load(config).tenants["acme"]) == told


def test_a_refusal_has_the_same_names_as_in_the_api(calls: Path) -> None:
    """One program reads both."""
    (one,) = json.loads(callgate(calls, "refusals", "acme", "--json").stdout)
    assert set(one) == set(RefusalFacts.model_fields) - {"at"}
    assert (one["call"], one["facts"]["cli"]) == ("pbx1/3.1/9", "2001")
    assert "limit all, 1 of 1 in use" in done(calls, "refusals", "acme")

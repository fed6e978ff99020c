"""A flood of asks: who waits, who is dropped, and that one tenant's flood is no other's. On the real ledger."""

import asyncio
from dataclasses import replace

import pytest

from gateway.core.facts import Ask, AskSilenced
from gateway.service import turns
from gateway.service.directory import Directory
from gateway.service.turns import A_TURN, MOST_ASKING, MOST_OF_TENANT
from tests.unit.core import build

from .house import CALLER, QUANTUM_MICROS, House, settled_down, until

FLOOD = 2_000


class Two:
    """A house with another tenant in it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.other = replace(house.tenant, tenant_id=f"{house.tenant.tenant_id}-b", accountcodes=("b",))
        house.directory = Directory([house.tenant, self.other])
        house.board = house.new_board()

    def ask(self, number: int, *, of_other: bool = False) -> Ask:
        """One of many."""
        tenant = self.other if of_other else self.house.tenant
        caller = f"{'b' if of_other else 'a'}.{number}"
        return build.ask(uniqueid=caller, nonce=str(number), tenant=tenant.tenant_id, at_ms=self.house.switch.clock_ms)

    def flood(self, asks: int) -> None:
        """So many of the first tenant, at once."""
        for number in range(asks):
            self.house.board.handle(self.ask(number))

    def verdicts_before(self, caller: str) -> int:
        """How many verdicts were written before that caller's."""
        return [uniqueid for uniqueid, _ in self.house.switch.verdicts].index(caller)


@pytest.fixture
async def two(house: House) -> Two:
    """Two tenants, the second one with credit."""
    two = Two(house)
    await house.books.real.open_account(replace(house.terms(), tenant=two.other.tenant_id))
    await house.books.real.top_up(two.other.tenant_id, "one", 10 * QUANTUM_MICROS, "USD", "test")
    return two


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood all of which may wait."""
    monkeypatch.setattr(turns, "MOST_OF_TENANT", FLOOD)


@pytest.mark.usefixtures("roomy")
async def test_a_flood_by_one_tenant_does_not_delay_another(two: Two) -> None:
    """Of 2,000 asks that came before it, only those that were under way are answered before it, and one turn's more."""
    two.flood(FLOOD)
    two.house.board.handle(two.ask(1, of_other=True))
    await until(lambda: any(uniqueid == "b.1" for uniqueid, _ in two.house.switch.verdicts))
    assert two.verdicts_before("b.1") <= FLOOD / 20
    await until(lambda: len(two.house.switch.verdicts) == FLOOD + 1, 30)
    assert not len(two.house.board.asks.turns)
    assert two.house.board.asks.turns.asking == 0


@pytest.mark.usefixtures("roomy")
async def test_a_ledger_that_hangs_holds_up_only_whom_it_hangs_for(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one tenant, so many asks wait for it at the most; another's goes out at once."""
    real, sent = two.house.books.real.reserve, []

    async def hangs(key: object, *words: object, **more: object) -> object:
        sent.append(key.tenant)  # type: ignore[attr-defined]
        if key.tenant == two.house.tenant.tenant_id:  # type: ignore[attr-defined]
            await asyncio.Event().wait()
        return await real(key, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(two.house.books, "reserve", hangs, raising=False)
    two.flood(FLOOD)
    await until(lambda: sent.count(two.house.tenant.tenant_id) >= MOST_ASKING)
    await settled_down()
    assert sent.count(two.house.tenant.tenant_id) == MOST_ASKING == two.house.board.asks.turns.asking
    two.house.board.handle(two.ask(1, of_other=True))
    await until(lambda: [uniqueid for uniqueid, _ in two.house.switch.verdicts] == ["b.1"])
    for number in range(MOST_ASKING):  # their callers hang up: as many others may ask
        two.house.hung_up(f"a.{number}", two.house.switch.clock_ms)
    await until(lambda: sent.count(two.house.tenant.tenant_id) == 2 * MOST_ASKING)


async def test_an_ask_alone_is_taken_at_once(house: House) -> None:
    """Nothing is put off while nothing waits."""
    house.board.handle(house.ask())
    assert house.board.calls.heard_of(house.ask()) is not None
    assert not len(house.board.asks.turns)


async def test_asks_past_their_deadline_are_dropped_before_any_work_is_done(two: Two) -> None:
    """Nobody is told, nothing is held, and the next one is decided."""
    two.flood(500)
    two.house.switch.clock_ms += 2_000
    waited = len(two.house.board.asks.turns)
    assert waited == 500 - A_TURN
    await until(lambda: not len(two.house.board.asks.turns))
    assert two.house.tally.decisions.count(("late", "verdict_late")) >= waited
    assert len(two.house.board) <= A_TURN
    two.house.board.handle(two.ask(1, of_other=True))
    await until(lambda: any(uniqueid == "b.1" for uniqueid, _ in two.house.switch.verdicts))


async def test_an_ask_for_which_there_is_no_room_is_refused_at_once(two: Two) -> None:
    """As overload: the caller need not wait for the dialplan's patience. Another tenant has its own room."""
    two.flood(A_TURN + MOST_OF_TENANT + 3)
    refused = [text for _, text in two.house.switch.verdicts]
    assert [text.split(":")[1:] for text in refused] == [["deny", "", "", "overload", "38"]] * 3
    assert two.house.board.asks.turns.refused == 3
    two.house.board.handle(two.ask(1, of_other=True))
    await until(lambda: any(uniqueid == "b.1" for uniqueid, _ in two.house.switch.verdicts))


async def test_an_emergency_call_does_not_wait(two: Two) -> None:
    """Also where there is no room any more."""
    two.flood(A_TURN + MOST_OF_TENANT)
    two.house.board.handle(replace(two.ask(9_999), number="911"))
    assert [text.split(":")[1] for _, text in two.house.switch.verdicts] == ["pass"]


@pytest.mark.parametrize("is_silenced", [True, False])
async def test_a_caller_that_has_left_is_not_decided_any_more(two: Two, *, is_silenced: bool) -> None:
    """Its hang-up, or its dialplan's silence, takes it from the queue."""
    two.flood(100)
    ask = two.ask(99)
    if is_silenced:
        two.house.board.handle(AskSilenced(ask.uniqueid, ask.nonce, continued=False, at_ms=ask.at_ms))
    else:
        two.house.hung_up(ask.uniqueid, ask.at_ms)
    await until(lambda: not len(two.house.board.asks.turns))
    await settled_down()
    assert all(uniqueid != ask.uniqueid for uniqueid, _ in two.house.switch.verdicts)
    assert two.house.board.calls.heard_of(ask) is None


async def test_a_channel_waits_with_its_last_ask(two: Two) -> None:
    """An ask that is told twice is one; a new one of the same channel takes its place."""
    two.flood(50)
    two.flood(50)
    assert len(two.house.board.asks.turns) == 50 - A_TURN
    again = replace(two.ask(40), nonce="4000")
    two.house.board.handle(again)
    await until(lambda: len(two.house.switch.verdicts) == 50)
    assert [text.split(":")[0] for uniqueid, text in two.house.switch.verdicts if uniqueid == "a.40"] == ["4000"]


async def test_a_call_refused_without_the_ledger_leaves_no_count_behind(house: House) -> None:
    """Else its tenant would have less room, for ever."""
    dear = build.rate("100000000", initial=86_400, increment=86_400)
    tariffs = build.TariffChain((build.Tariff("t", (dear,)),))
    house.directory = Directory([replace(house.tenant, tariffs=tariffs)])
    house.board = house.new_board()
    house.switch.lives(CALLER)
    house.board.handle(house.ask())
    await until(lambda: bool(house.switch.verdicts))
    assert house.board.asks.turns.asking == 0


async def test_refusals_are_noted_up_to_a_bound_and_the_others_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for them: a slow ledger must not make a heap of them."""
    sent = 0

    async def hangs(*_: object) -> bool:
        nonlocal sent
        sent += 1
        return await asyncio.Event().wait()

    monkeypatch.setattr(house.books, "note_refusal", hangs, raising=False)
    monkeypatch.setattr("gateway.service.refusals.MOST_NOTES", 5)
    for number in range(8):
        house.board.handle(replace(house.ask(str(number), f"9.{number}"), number="not a number"))
    await settled_down()
    assert (sent, house.board.asks.refusals.dropped) == (5, 3)


async def test_an_ask_outlives_the_silence_of_the_one_before(two: Two) -> None:
    """Asks are heard a moment sooner than all else: the word of the old one comes after it."""
    await two.house.top_up(10 * QUANTUM_MICROS)
    two.flood(MOST_ASKING + A_TURN)
    old, again = two.ask(900), replace(two.ask(901), uniqueid="a.900")
    two.house.board.handle(old)
    two.house.board.handle(again)
    two.house.board.handle(AskSilenced("a.900", old.nonce, continued=True, at_ms=old.at_ms))
    await until(lambda: any(uniqueid == "a.900" for uniqueid, _ in two.house.switch.verdicts))
    (verdict,) = [verdict for uniqueid, verdict in two.house.switch.verdicts if uniqueid == "a.900"]
    assert verdict.startswith("901:")

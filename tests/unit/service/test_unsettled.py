"""What a call is charged outlives the process that could not bring it to the ledger. On the real ledger."""

import asyncio
from pathlib import Path

import pytest

from gateway.adapters.settle_queue import FileSettleQueue
from gateway.core.facts import LegAnswered
from gateway.ports import LedgerRejected
from gateway.service.unsettled import Arrears

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio


async def arrears_of(house: House) -> Arrears:
    """A new process reads the queue."""
    house.board.stop()
    arrears = Arrears(house.books, house.drawer, house.tally, lambda _: None)
    await arrears.load()
    return arrears


async def ended_unheard(house: House, folder: Path | None = None, *, was_answer_heard: bool = True) -> None:
    """A call of 9 seconds whose end reaches no ledger."""
    await house.top_up(10 * QUANTUM_MICROS)
    if was_answer_heard:
        await house.answered()
        house.books.down = {"all"}
    else:
        await house.reserved()
        house.books.down = {"all"}
        house.board.handle(house.dialled())
        house.switch.clock_ms = ANSWERED_AT_MS
        house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    house.hung_up(LEG, ANSWERED_AT_MS + 9_000)
    house.hung_up(CALLER, ANSWERED_AT_MS + 9_000)
    await until(lambda: any(folder.glob("*.json")) if folder else bool(house.drawer.entries))


@pytest.mark.parametrize("was_answer_heard", [True, False])
async def test_a_settle_that_the_ledger_did_not_take_is_sent_by_the_next_process(
    house: House, was_answer_heard: bool
) -> None:
    """To the second, also where the ledger did not hear of the answer either; and once."""
    await ended_unheard(house, was_answer_heard=was_answer_heard)
    house.board.stop()
    house.books.down = set()
    for _ in range(2):
        await arrears_of(house)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (9 * SECOND_MICROS, 0)
    assert house.drawer.told == ["put", "done"]


@pytest.mark.parametrize("was_answer_heard", [True, False])
async def test_a_settle_of_a_call_that_a_fail_over_lost_is_booked_by_the_next_process(
    house: House, was_answer_heard: bool, tmp_path: Path
) -> None:
    """What the ledger must know of it for that is kept with the settle."""
    house.drawer = FileSettleQueue(tmp_path, house.tally)  # type: ignore[assignment]
    house.board = house.new_board()
    await house.top_up(10 * QUANTUM_MICROS)
    before = await house.keys()
    await ended_unheard(house, tmp_path, was_answer_heard=was_answer_heard)
    house.board.stop()
    await house.fail_over(before)
    house.books.down = set()
    house.drawer = FileSettleQueue(tmp_path, house.tally)  # type: ignore[assignment]
    await arrears_of(house)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (9 * SECOND_MICROS, 0)
    assert "registered_again" in house.tally.faults
    await house.drawer.close()  # type: ignore[attr-defined]
    assert not any(tmp_path.iterdir())


async def test_its_call_is_not_taken_back_while_it_waits(house: House) -> None:
    """Until the ledger takes it, over and over, the call is the queue's alone."""
    await ended_unheard(house)
    arrears = await arrears_of(house)
    (entry,) = house.drawer.entries.values()
    assert entry.key in arrears
    house.books.down = set()
    await arrears.send()
    assert entry.key not in arrears
    assert (await house.balance()).charges_micros == 9 * SECOND_MICROS


async def test_an_estimate_of_the_reaper_in_between_is_replaced(house: House) -> None:
    """What was talked counts, not what was held."""
    await ended_unheard(house)
    (entry,) = house.drawer.entries.values()
    await house.books.real.settle(entry.key, entry.step, QUANTUM_MICROS, 60, is_estimate=True)
    house.books.down = set()
    await arrears_of(house)
    account = await house.balance()
    assert account.charges_micros - account.adjustments_micros == 9 * SECOND_MICROS


@pytest.mark.parametrize(("code", "told"), [("unknown_call", ["put", "set aside"]), ("version", ["put"])])
async def test_one_that_the_ledger_rejects_is_kept_for_a_person(house: House, code: str, told: list[str]) -> None:
    """But one whose server is wrong waits until it is right."""
    await ended_unheard(house)
    house.board.stop()
    house.books.down = set()
    house.books.faults["settle"] = [LedgerRejected(code, "no")] * 2  # once more after a registration
    await arrears_of(house)
    assert house.drawer.told == told
    assert f"ledger_{code}" in house.tally.faults


async def test_a_settle_that_the_ledger_takes_at_once_is_never_kept(house: House) -> None:
    """The plain life of a call has nothing to do with this disk."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.hung_up(LEG, ANSWERED_AT_MS + 7_400)
    await until(lambda: len(house.board) == 0)
    assert house.drawer.told == []


async def test_a_settle_that_is_taken_at_last_is_kept_no_more(house: House) -> None:
    """Whatever the number of its tries, it is put once."""
    await ended_unheard(house)
    await settled_down(0.5)
    house.books.down = set()
    await until(lambda: len(house.board) == 0)
    assert house.drawer.told == ["put", "done"]
    assert (await house.balance()).charges_micros == 9 * SECOND_MICROS


async def test_a_settle_that_is_rejected_after_it_was_kept_is_set_aside(house: House) -> None:
    """Its record was written; the figures stay for a person, and no process sends them again."""
    await ended_unheard(house)
    house.books.faults["settle"] = [LedgerRejected("bad_amount", "what nobody sends")]
    house.books.down = set()
    await until(lambda: len(house.board) == 0)
    assert house.drawer.told == ["put", "set aside"]
    assert [record.outcome for record in house.tally.records] == ["rejected"]


async def test_a_settle_that_is_under_way_when_the_gateway_stops_is_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer came yet, so nobody knows; the next process sends it again, which books nothing twice."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    real = house.books.real.settle

    async def unanswered(*words: object, **more: object) -> None:
        await real(*words, **more)  # type: ignore[arg-type]
        await asyncio.Event().wait()

    monkeypatch.setattr(house.books, "settle", unanswered, raising=False)
    house.hung_up(LEG, ANSWERED_AT_MS + 9_000)
    await settled_down()
    assert house.drawer.told == []
    house.board.stop()
    monkeypatch.undo()
    await arrears_of(house)
    assert house.drawer.told == ["put", "done"]
    assert (await house.balance()).charges_micros == 9 * SECOND_MICROS


async def test_the_next_process_reads_it_from_disk(house: House, tmp_path) -> None:
    """The same with the queue that there is."""
    house.drawer = FileSettleQueue(tmp_path, house.tally)  # type: ignore[assignment]
    house.board = house.new_board()
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.books.down = {"all"}
    house.hung_up(LEG, ANSWERED_AT_MS + 9_000)
    await until(lambda: any(tmp_path.glob("*.json")))
    house.board.stop()
    house.books.down = set()
    house.drawer = FileSettleQueue(tmp_path, house.tally)  # type: ignore[assignment]
    await arrears_of(house)
    assert (await house.balance()).charges_micros == 9 * SECOND_MICROS
    await house.drawer.close()  # type: ignore[attr-defined]
    assert not any(tmp_path.iterdir())

"""The alarms of all calls on one wheel, on a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from gateway.service.alarms import RUNG_AT_ONCE, SLOT_SECONDS, Alarms
from tests.simulation.world.clock import START_SECONDS, WorldLoop

Rung = list[tuple[object, float]]


@pytest.fixture
def loop() -> Iterator[WorldLoop]:
    """One in which no time passes but to the next timer."""
    loop = WorldLoop()
    asyncio.set_event_loop(None)
    yield loop
    loop.leave()


def play(loop: WorldLoop, scene: Callable[[Alarms, Rung], Awaitable[None]]) -> Rung:
    """Who rang, and when, in the order in which they did."""
    rung: Rung = []

    async def played() -> None:
        await scene(Alarms(), rung)

    loop.run_until_complete(played())
    return rung


def note(loop: WorldLoop, rung: Rung, name: object) -> None:
    """Somebody is woken."""
    rung.append((name, round(loop.time() - START_SECONDS, 3)))


class Sleeper:
    """Implements alarms.Sleeper: notes that it was woken, or does something else."""

    def __init__(self, loop: WorldLoop, rung: Rung, name: object, act: Callable[[], object] | None = None) -> None:
        self._noted = (loop, rung, name)
        self._act = act

    def wake(self) -> None:
        """Its time has come."""
        note(*self._noted)
        if self._act is not None:
            self._act()


def test_alarms_ring_in_their_time_or_one_slot_before(loop: WorldLoop) -> None:
    """And in the order of their times, however they were set."""
    times = {"c": 7.31, "a": 0.2, "b": 0.33, "now": 0.0, "past": -3.0}

    async def scene(alarms: Alarms, rung: Rung) -> None:
        for name, seconds in times.items():
            alarms.set(START_SECONDS + seconds, Sleeper(loop, rung, name))
        await asyncio.sleep(8)

    rung = play(loop, scene)
    assert [name for name, _ in rung] == ["past", "now", "a", "b", "c"]
    for name, seconds in rung[2:]:
        assert times[str(name)] - SLOT_SECONDS <= seconds <= times[str(name)] + 0.001


def test_those_of_one_slot_ring_by_one_timer_in_the_order_in_which_they_were_set(loop: WorldLoop) -> None:
    """A wake-up of the process is what costs."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        for number in range(20):
            alarms.set(START_SECONDS + 1.01 + number / 1000, Sleeper(loop, rung, number))
        assert len(loop._scheduled) == 1
        await asyncio.sleep(2)

    assert play(loop, scene) == [(number, 1.0) for number in range(20)]


def test_one_that_is_cancelled_does_not_ring_and_wakes_nobody(loop: WorldLoop) -> None:
    """Nor does it hold up the next one; to cancel twice, or after the ring, is nothing."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        gone, kept = Sleeper(loop, rung, "gone"), Sleeper(loop, rung, "kept")
        slot = alarms.set(START_SECONDS + 1, gone)
        kept_in = alarms.set(START_SECONDS + 5, kept)
        alarms.drop(slot, gone)
        alarms.drop(slot, gone)
        assert [timer.when() for timer in loop._scheduled if not timer.cancelled()] == [START_SECONDS + 5]
        await asyncio.sleep(6)
        alarms.drop(kept_in, kept)
        alarms.set(START_SECONDS + 7, Sleeper(loop, rung, "later"))
        await asyncio.sleep(2)

    assert play(loop, scene) == [("kept", 5.0), ("later", 7.0)]


def test_a_sooner_one_moves_the_timer(loop: WorldLoop) -> None:
    """Also into a slot that was there before, and emptied."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        alarms.set(START_SECONDS + 5, Sleeper(loop, rung, "late"))
        first = Sleeper(loop, rung, "first")
        alarms.drop(alarms.set(START_SECONDS + 1, first), first)
        alarms.set(START_SECONDS + 1, Sleeper(loop, rung, "soon"))
        await asyncio.sleep(6)

    assert play(loop, scene) == [("soon", 1.0), ("late", 5.0)]


def test_one_may_cancel_and_set_others_as_it_rings(loop: WorldLoop) -> None:
    """Of its own slot, too."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        def go_on() -> None:
            alarms.drop(slot, second)
            alarms.set(loop.time(), Sleeper(loop, rung, "again"))

        second = Sleeper(loop, rung, "second")
        alarms.set(START_SECONDS + 1, Sleeper(loop, rung, "first", go_on))
        slot = alarms.set(START_SECONDS + 1, second)
        await asyncio.sleep(2)

    assert play(loop, scene) == [("first", 1.0), ("again", 1.0)]


def test_thousands_that_are_due_at_once_let_others_in_between(loop: WorldLoop) -> None:
    """An ask must not wait until all of them have rung."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        for number in range(5 * RUNG_AT_ONCE):
            alarms.set(START_SECONDS + 1, Sleeper(loop, rung, number))
        await asyncio.sleep(1)
        while len(rung) < 5 * RUNG_AT_ONCE:
            await asyncio.sleep(0)
            note(loop, rung, "ask")

    names = [name for name, _ in play(loop, scene)]
    assert [name for name in names if name != "ask"] == list(range(5 * RUNG_AT_ONCE))
    assert names.index("ask") <= 3 * RUNG_AT_ONCE


def test_one_that_was_dropped_when_it_was_due_is_let_lie_and_its_slot_is_not_mixed_up_with_the_next(
    loop: WorldLoop,
) -> None:
    """It lies down again for the same time meanwhile."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        def move() -> None:
            alarms.drop(slot, second)
            again = alarms.set(START_SECONDS + 1, second)
            alarms.drop(slot, second)
            assert second in again

        second = Sleeper(loop, rung, "second")
        alarms.set(START_SECONDS + 1, Sleeper(loop, rung, "first", move))
        slot = alarms.set(START_SECONDS + 1, second)
        await asyncio.sleep(2)

    assert play(loop, scene) == [("first", 1.0), ("second", 1.0)]


def test_one_that_fails_does_not_silence_the_others(loop: WorldLoop) -> None:
    """Of its own slot, and of later ones."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        alarms.set(START_SECONDS + 1, Sleeper(loop, rung, "fails", lambda: 1 // 0))
        alarms.set(START_SECONDS + 1, Sleeper(loop, rung, "same"))
        alarms.set(START_SECONDS + 2, Sleeper(loop, rung, "next"))
        await asyncio.sleep(3)

    assert play(loop, scene) == [("fails", 1.0), ("same", 1.0), ("next", 2.0)]

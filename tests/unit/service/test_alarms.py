"""The alarms of all calls on one wheel, on a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

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
    """Somebody rings."""
    rung.append((name, round(loop.time() - START_SECONDS, 3)))


def test_alarms_ring_in_their_time_or_one_slot_before(loop: WorldLoop) -> None:
    """And in the order of their times, however they were set."""
    times = {"c": 7.31, "a": 0.2, "b": 0.33, "now": 0.0, "past": -3.0}

    async def scene(alarms: Alarms, rung: Rung) -> None:
        for name, seconds in times.items():
            alarms.set(START_SECONDS + seconds, partial(note, loop, rung, name))
        await asyncio.sleep(8)

    rung = play(loop, scene)
    assert [name for name, _ in rung] == ["past", "now", "a", "b", "c"]
    for name, seconds in rung[2:]:
        assert times[str(name)] - SLOT_SECONDS <= seconds <= times[str(name)] + 0.001


def test_those_of_one_slot_ring_by_one_timer_in_the_order_in_which_they_were_set(loop: WorldLoop) -> None:
    """A wake-up of the process is what costs."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        for number in range(20):
            alarms.set(START_SECONDS + 1.01 + number / 1000, partial(note, loop, rung, number))
        assert len(loop._scheduled) == 1
        await asyncio.sleep(2)

    assert play(loop, scene) == [(number, 1.0) for number in range(20)]


def test_one_that_is_cancelled_does_not_ring_and_wakes_nobody(loop: WorldLoop) -> None:
    """Nor does it hold up the next one; to cancel twice, or after the ring, is nothing."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        gone = alarms.set(START_SECONDS + 1, partial(note, loop, rung, "gone"))
        kept = alarms.set(START_SECONDS + 5, partial(note, loop, rung, "kept"))
        gone.cancel()
        gone.cancel()
        assert [timer.when() for timer in loop._scheduled if not timer.cancelled()] == [START_SECONDS + 5]
        await asyncio.sleep(6)
        kept.cancel()
        alarms.set(START_SECONDS + 7, partial(note, loop, rung, "later"))
        await asyncio.sleep(2)

    assert play(loop, scene) == [("kept", 5.0), ("later", 7.0)]


def test_a_sooner_one_moves_the_timer(loop: WorldLoop) -> None:
    """Also into a slot that was there before, and emptied."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        alarms.set(START_SECONDS + 5, partial(note, loop, rung, "late"))
        alarms.set(START_SECONDS + 1, partial(note, loop, rung, "first")).cancel()
        alarms.set(START_SECONDS + 1, partial(note, loop, rung, "soon"))
        await asyncio.sleep(6)

    assert play(loop, scene) == [("soon", 1.0), ("late", 5.0)]


def test_one_may_cancel_and_set_others_as_it_rings(loop: WorldLoop) -> None:
    """Of its own slot, too."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        def first() -> None:
            note(loop, rung, "first")
            second.cancel()
            alarms.set(loop.time(), partial(note, loop, rung, "again"))

        alarms.set(START_SECONDS + 1, first)
        second = alarms.set(START_SECONDS + 1, partial(note, loop, rung, "second"))
        await asyncio.sleep(2)

    assert play(loop, scene) == [("first", 1.0), ("again", 1.0)]


def test_thousands_that_are_due_at_once_let_others_in_between(loop: WorldLoop) -> None:
    """An ask must not wait until all of them have rung."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        for number in range(5 * RUNG_AT_ONCE):
            alarms.set(START_SECONDS + 1, partial(note, loop, rung, number))
        await asyncio.sleep(1)
        while len(rung) < 5 * RUNG_AT_ONCE:
            await asyncio.sleep(0)
            note(loop, rung, "ask")

    names = [name for name, _ in play(loop, scene)]
    assert [name for name in names if name != "ask"] == list(range(5 * RUNG_AT_ONCE))
    assert names.index("ask") <= 3 * RUNG_AT_ONCE


def test_one_that_fails_does_not_silence_the_others(loop: WorldLoop) -> None:
    """Of its own slot, and of later ones."""

    async def scene(alarms: Alarms, rung: Rung) -> None:
        alarms.set(START_SECONDS + 1, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        alarms.set(START_SECONDS + 1, partial(note, loop, rung, "same"))
        alarms.set(START_SECONDS + 2, partial(note, loop, rung, "next"))
        await asyncio.sleep(3)

    assert play(loop, scene) == [("same", 1.0), ("next", 2.0)]

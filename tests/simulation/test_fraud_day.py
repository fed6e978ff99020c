"""A phone is hacked: what that costs, and whom the guards hurt.

``python -m tests.simulation.fraud_day`` tells it all.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache

import pytest

from tests.lab.build import LabUnavailable
from tests.ledger.preload import skip_or_fail

from .fraud.day import Made, Played, play
from .fraud.traffic import HOUR_MS, LINES, RECORDED, SEED, Wanted, Who, recorded, rotating, to_csv, wanted
from .fraud_day import harmed, loss_micros, of_office, of_thief, summary

DAILY_CAP_MICROS = 100_000_000  # of what leaves the country, in plans/guarded.toml
FEW_LINES = 8  # of the flood, in the short form


def played(calls: Sequence[Wanted], tenant: str) -> Played:
    """Play them, or skip the test where the clock cannot be played."""
    try:
        return play(calls, tenant)
    except LabUnavailable as problem:
        skip_or_fail(problem)


def some(calls: Sequence[Wanted], lines: int) -> list[Wanted]:
    """All but the flood's other lines."""
    return [call for call in calls if call.line <= lines]


def told(made: Made) -> tuple[object, ...]:
    """What the caller and the books know of a call."""
    return made.wanted, made.asked_at_ms, made.outcome, made.talk_seconds, made.micros


def test_the_recording_is_what_the_seed_makes() -> None:
    """Made anew, the traffic is the recorded file to the byte."""
    assert to_csv(wanted(SEED)) == RECORDED.read_text()
    assert recorded() == wanted(SEED)


def test_the_recording_has_all_who_phone() -> None:
    """Each kind of caller is there, and the flood has all its lines."""
    calls = Counter(call.who for call in recorded())
    assert set(calls) == set(Who)
    assert len({call.line for call in recorded() if call.who is Who.FLOOD}) == LINES


def test_who_rotates_changes_nothing_but_the_thiefs_caller_ids() -> None:
    """All other fields, and all other calls, are as recorded."""
    pairs = list(zip(recorded(), rotating(recorded()), strict=True))
    assert {after.who for before, after in pairs if before != after} == {Who.TEST, Who.FLOOD}
    assert all(
        (before.at_ms, before.number, before.talk_ms) == (after.at_ms, after.number, after.talk_ms)
        for before, after in pairs
    )
    assert len({after.cli for _, after in pairs if after.who is Who.FLOOD}) > 60


def test_a_day_that_is_played_again_comes_out_the_same() -> None:
    """Each call has the same fate and the same charge: no clock but the played one has a say."""
    evening = [call for call in some(recorded(), 2) if 22 * HOUR_MS <= call.at_ms < 26 * HOUR_MS]
    first, second = played(evening, "open"), played(evening, "open")
    assert list(map(told, first.made)) == list(map(told, second.made))
    assert first.steps == second.steps


def check_books(day: Played) -> None:
    """The ledger charged what the records say, and a call without a charge was not talked."""
    assert day.charged_micros == sum(call.micros for call in day.made)
    assert all(bool(call.talk_seconds) == bool(call.micros) for call in day.made)


def check_open(day: Played) -> None:
    """Nobody was in the way of anybody."""
    print(summary("open", day))
    check_books(day)
    assert not harmed(day)
    assert not any(call.is_refused for call in of_thief(day))
    assert len(of_office(day)) == sum(call.line == 0 and call.who is not Who.TEST for call in recorded())
    assert loss_micros(day) > 50 * sum(call.micros for call in of_office(day))


@cache
def loss_without_guards(lines: int) -> int:
    """In micro-units; played once."""
    day = played(some(recorded(), lines), "open")
    check_open(day)
    return loss_micros(day)


def check_guarded(day: Played, lines: int, most_harmed: int) -> None:
    """The thief takes little, and few of the office notice."""
    print(summary("guarded", day))
    check_books(day)
    assert loss_micros(day) < DAILY_CAP_MICROS
    assert 20 * loss_micros(day) < loss_without_guards(lines)
    assert len(harmed(day)) <= most_harmed


def test_without_guards_the_thief_takes_what_he_wants() -> None:
    """All his calls go through, and cost many times what the office's do."""
    assert loss_without_guards(FEW_LINES) > 10 * DAILY_CAP_MICROS


def test_with_the_guards_no_call_of_the_office_is_refused() -> None:
    """The thief is kept below the daily cap, and below a twentieth of what he takes without them."""
    check_guarded(played(some(recorded(), FEW_LINES), "guarded"), FEW_LINES, 0)


@pytest.mark.full
@pytest.mark.parametrize(("is_rotating", "most_harmed"), [(False, 0), (True, 2)])
def test_with_the_guards_the_whole_flood_takes_no_more(is_rotating: bool, most_harmed: int) -> None:
    """Nor does it with another caller ID each time; then the colleague on call finds the night's share spent."""
    calls = rotating(recorded()) if is_rotating else recorded()
    check_guarded(played(calls, "guarded"), LINES, most_harmed)

"""What a gateway that listens remembers: bounded, and enough."""

import pytest

from gateway.core.call import State
from gateway.core.facts import AskSilenced, ChannelEnded, Direction, Fact, LegAnswered, LinkUp
from gateway.service import recall
from gateway.service.recall import Recall
from tests.unit.core import build

from .pair import Clock

CALLER, LEG = build.CALLER, build.LEG
NONCE = build.ask().nonce
AT_MS = build.ASKED_AT_MS


def remembering(*facts: Fact, is_booked: bool = False) -> tuple[Recall, Clock]:
    clock = Clock()
    found = Recall(clock, 5.0, lambda _: is_booked)
    for fact in facts:
        found.note(fact)
    return found, clock


def owned(found: Recall, clock: Clock) -> None:
    """Somebody has the switch, and had time to book what has happened."""
    found.has_owner()
    clock.now += 2.5
    found.has_owner()
    clock.now += 2.5
    found.has_owner()


def test_an_ask_waits_until_something_is_heard_of_it() -> None:
    """A leg, the end of its channel, the dialplan's own decision, another ask."""
    ask = build.ask()
    assert remembering(ask)[0].waiting_asks() == [ask]
    ends = (build.dialled(), ChannelEnded(CALLER, 16, AT_MS), AskSilenced(CALLER, NONCE, False, AT_MS))
    for end in ends:
        assert remembering(ask, end)[0].waiting_asks() == []
    newer = build.ask(nonce="778")
    assert remembering(ask, newer)[0].waiting_asks() == [newer]


def test_an_ask_is_forgotten_after_its_time() -> None:
    """Its dialplan has gone on long ago."""
    found, clock = remembering(build.ask())
    clock.now += 5.1
    assert found.waiting_asks() == []


def test_a_story_begins_with_the_leg_however_long_it_rang() -> None:
    """Then the answer and the end, in order."""
    found, clock = remembering(build.dialled())
    call = build.call()
    call.state = State.RESERVED
    clock.now += 60
    since = [LegAnswered(LEG, AT_MS + 60_000), ChannelEnded(LEG, 16, AT_MS + 60_500)]
    for fact in since:
        found.note(fact)
    assert found.story_of([call]) == [build.dialled(), *since]


def test_a_leg_of_an_earlier_ask_of_the_same_channel_is_none_of_this_ones() -> None:
    """An IVR asks more than once."""
    found, _ = remembering(build.dialled())
    call = build.call()
    later = build.ask(at_ms=AT_MS + 10_000)
    object.__setattr__(call.terms, "ask", later)
    call.state = State.RESERVED
    assert found.story_of([call]) == []


def test_a_story_is_whole_from_when_there_was_an_owner_last() -> None:
    """While nobody can say who owns the switch, nobody else takes care of it."""
    found, clock = remembering(build.dialled(), LegAnswered(LEG, AT_MS + 100), ChannelEnded(LEG, 16, AT_MS + 200))
    call = build.call()
    call.state = State.RESERVED
    clock.now += 60
    found.note(ChannelEnded("x", 16, AT_MS))
    assert len(found.story_of([call])) == 4
    owned(found, clock)
    found.note(ChannelEnded("x", 16, AT_MS))
    assert found.story_of([call]) == [ChannelEnded("x", 16, AT_MS)] * 2


def test_a_leg_is_the_later_ones_of_two_asks_of_a_channel() -> None:
    """Whichever of them is known first."""
    found, _ = remembering(build.dialled())
    before, after = build.call(), build.call()
    object.__setattr__(after.terms, "ask", build.ask(at_ms=AT_MS + 10_000, nonce="778"))
    before.state = after.state = State.RESERVED
    assert found.story_of([before, after]) == found.story_of([after, before]) == []


def test_a_leg_of_a_later_ask_is_none_of_the_one_of_before() -> None:
    """The books know that one alone: what was asked later was lent by a gateway that is dead."""
    before, later = build.call(), build.ask(nonce="778", at_ms=AT_MS + 50)
    found, _ = remembering(before.terms.ask, later, build.dialled())
    before.state = State.RESERVED
    assert (found.story_of([before]), found.later_asks([before])) == ([], [later])


def test_a_leg_that_is_heard_of_after_a_later_ask_is_that_of_before() -> None:
    """An adapter holds other facts back until it believes them, and asks never."""
    before, later = build.call(), build.ask(nonce="778", at_ms=AT_MS + 150)
    found, _ = remembering(before.terms.ask, later, build.dialled())
    before.state = State.RESERVED
    assert found.story_of([before]) == [build.dialled()]


def test_a_channel_that_came_in_has_not_asked_anew_for_what_it_dials() -> None:
    """It may pay for both."""
    call, inbound = build.call(), build.ask(nonce="778", at_ms=AT_MS + 50, direction=Direction.INBOUND)
    found, _ = remembering(call.terms.ask, inbound)
    call.state = State.RESERVED
    assert found.later_asks([call]) == []


def test_what_happened_in_a_silence_is_remembered_until_its_owner_had_time_to_book_it() -> None:
    """Its owner may die when Redis is just back."""
    found, clock = remembering(build.dialled(), LegAnswered(LEG, AT_MS + 100), ChannelEnded(LEG, 16, AT_MS + 200))
    call = build.call()
    call.state = State.RESERVED
    clock.now += 60
    for _ in range(4):
        found.has_owner()
        clock.now += 1
        found.note(ChannelEnded("x", 16, AT_MS))
    assert len(found.story_of([call])) == 7


def test_a_leg_that_is_gone_is_forgotten_once_its_end_was_told_to_all() -> None:
    """Not before: its answer and its end may still be told together."""
    found, clock = remembering(build.dialled(), ChannelEnded(LEG, 16, AT_MS + 100))
    assert LEG in found._legs
    clock.now += 6
    owned(found, clock)
    found.note(ChannelEnded("x", 16, AT_MS))
    assert LEG not in found._legs


def test_a_leg_that_was_answered_is_forgotten_with_its_ask_once_that_was_booked() -> None:
    """However long it is talked; what the channel has asked since is not."""
    ask, later = build.ask(), build.ask(nonce="778", at_ms=AT_MS + 90_000)
    found, clock = remembering(ask, build.dialled(), LegAnswered(LEG, AT_MS + 100), is_booked=True)
    assert (LEG in found._legs, CALLER in found._asked) == (True, True)
    clock.now += 6
    found.note(later)
    owned(found, clock)
    found.note(ChannelEnded("x", 16, AT_MS))
    assert (found._legs, found._asked) == ({}, {CALLER: later})


def test_a_leg_whose_answer_is_not_known_to_be_booked_is_kept() -> None:
    """The call is another gateway's, or the books learn of it late."""
    found, clock = remembering(build.ask(), build.dialled(), LegAnswered(LEG, AT_MS + 100))
    clock.now += 6
    owned(found, clock)
    found.note(ChannelEnded("x", 16, AT_MS))
    assert found._facts[0][1] == ChannelEnded("x", 16, AT_MS)
    assert (LEG in found._legs, CALLER in found._asked) == (True, True)


def test_a_pbx_that_began_anew_has_no_legs() -> None:
    """And says so for as long as it is remembered."""
    found, clock = remembering(build.dialled(), LinkUp(restarted=True))
    assert (found.has_restarted(), found._legs) == (True, {})
    clock.now += 6
    owned(found, clock)
    assert not found.has_restarted()


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever floods it pushes out the oldest."""
    monkeypatch.setattr(recall, "MOST_FACTS", 10)
    monkeypatch.setattr(recall, "MOST_LEGS", 10)
    found, _ = remembering(*(build.dialled(f"leg{number}") for number in range(100)))
    assert (len(found._facts), len(found._legs), "leg99" in found._legs) == (10, 10, True)

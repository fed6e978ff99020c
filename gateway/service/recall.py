"""What a gateway that does not own a switch remembers of it: enough to go on as if it had listened all the time.

The last seconds of all facts, and the legs that are dialled and not gone, since one that was dialled long ago may be
answered in the very second in which its owner dies; its owner itself forgets those whose answer it has booked. While
nobody can say who owns the switch, no second is the last: all is remembered from when it was last known to have an
owner. Nor is it at once when Redis is back: its owner has to book first what happened meanwhile, and may die before it
has. All is bounded; what is lost so is found by ``Status`` or by the CDR.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from gateway.core.call import Call
from gateway.core.facts import Ask, AskSilenced, ChannelEnded, Fact, LegAnswered, LegDialled, LinkUp

MOST_FACTS = 20_000
MOST_LEGS = 50_000  # and asks
SILENCE_SECONDS = 3.0  # without an owner's sign of life; more than Redis is asked in (a quarter of the longest lease)

T = TypeVar("T")


class Recall:
    """Of one switch. ``clock`` is monotonic, in seconds; ``is_booked``: the books know that a leg of ours is Up."""

    def __init__(self, clock: Callable[[], float], keep_seconds: float, is_booked: Callable[[str], bool]) -> None:
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._is_booked = is_booked
        self._owned_at = self._told_at = clock()
        self._booking_until = 0.0
        self._facts: deque[tuple[float, Fact]] = deque()
        self._asked: dict[str, Ask] = {}  # what a channel, or a Linkedid, asked last
        self._legs: dict[str, tuple[LegDialled, Ask | None]] = {}  # with the ask that was heard before it

    def has_owner(self) -> None:
        """Somebody takes care of the switch: of what has happened, the last seconds will do."""
        now = self._clock()
        if now - self._told_at > SILENCE_SECONDS:
            self._booking_until = now + self._keep_seconds
        self._told_at = now
        if now >= self._booking_until:
            self._owned_at = now

    def note(self, fact: Fact) -> None:
        """Remember it for a while."""
        facts = self._facts
        facts.append((self._clock(), fact))
        if isinstance(fact, LegDialled):
            asked = self._asked.get(fact.caller) or self._asked.get(fact.linkedid)
            _put(self._legs, fact.leg, (fact, asked))
        elif isinstance(fact, Ask) and not fact.is_own_leg:
            for name in _names_of(fact):
                _put(self._asked, name, fact)
        elif isinstance(fact, LinkUp) and fact.restarted:
            self._legs.clear()
            self._asked.clear()
        oldest = self._owned_at - self._keep_seconds
        while facts[0][0] < oldest or len(facts) > MOST_FACTS:
            self._drop_oldest()

    def waiting_asks(self) -> list[Ask]:
        """Asks of which nothing was heard since, the oldest first. They may have got their verdict all the same."""
        asks: dict[str, Ask] = {}
        oldest = self._clock() - self._keep_seconds
        for fact in (fact for at, fact in self._facts if at >= oldest):
            match fact:
                case Ask():
                    asks.pop(fact.uniqueid, None)
                    asks[fact.uniqueid] = fact
                case LegDialled():
                    asks.pop(fact.caller, None)
                case LegAnswered():  # it came in, and was let
                    asks.pop(fact.leg, None)
                case ChannelEnded() | AskSilenced():
                    asks.pop(fact.uniqueid, None)
                case _:
                    pass
        return list(asks.values())

    def story_of(self, calls: Iterable[Call]) -> list[Fact]:
        """What happened to these calls, in order: legs of those that nobody has answered yet, then how all went on.

        A leg of another ask of the same channel is none of this one's, also where the books do not know that other one.
        Asks and the link itself are left out.
        """
        asking = [call for call in calls if _dials(call)]
        asking.sort(key=lambda call: call.terms.ask.at_ms)
        by_channel = {name: call for call in asking for name in (call.caller, _linkedid(call))}
        dialled = [leg for leg, asked in self._legs.values() if _is_of(leg, asked, by_channel)]
        return [
            *dialled,
            *(fact for fact in self._since_owned() if isinstance(fact, LegAnswered | ChannelEnded | AskSilenced)),
        ]

    def late_story_of(self, calls: Iterable[Call]) -> list[Fact]:
        """The same of calls that were taken back late, where all that is not theirs was told as it happened."""
        calls = list(calls)
        story = self.story_of(calls)
        channels = {name for call in calls for name in (call.caller, call.leg)}
        channels.update(fact.leg for fact in story if isinstance(fact, LegDialled))
        return [fact for fact in story if _channel_of(fact) in channels]

    def later_asks(self, calls: Iterable[Call]) -> list[Ask]:
        """What the channels of these calls have asked since: the books may know nothing of it."""
        heard = [(call.terms.ask, self._asked.get(call.caller)) for call in calls if _dials(call)]
        return [asked for ask, asked in heard if asked is not None and _is_later(asked, ask)]

    def has_restarted(self) -> bool:
        """The PBX itself began anew within what is remembered."""
        return any(isinstance(fact, LinkUp) and fact.restarted for fact in self._since_owned())

    def _since_owned(self) -> list[Fact]:
        oldest = self._owned_at - self._keep_seconds
        return [fact for at, fact in self._facts if at >= oldest]

    def _drop_oldest(self) -> None:
        _, fact = self._facts.popleft()
        if isinstance(fact, ChannelEnded):  # not before: its answer and its end may still have to be told
            self._legs.pop(fact.uniqueid, None)
            self._asked.pop(fact.uniqueid, None)
        elif isinstance(fact, LegAnswered) and self._is_booked(fact.leg):
            self._forget_answered(fact.leg)

    def _forget_answered(self, leg: str) -> None:
        """Leg and ask are not to be told again, however long the call lasts: they were a seventh of a live call."""
        _, asked = self._legs.pop(leg, (None, None))
        if asked is not None:
            for name in _names_of(asked):
                if self._asked.get(name) is asked:
                    del self._asked[name]


def _put(known: dict[str, T], name: str, value: T) -> None:
    """The oldest makes room; what is there already is made new."""
    if known.pop(name, None) is None and len(known) >= MOST_LEGS:
        del known[next(iter(known))]
    known[name] = value


def _names_of(ask: Ask) -> set[str]:
    return {ask.uniqueid, ask.linkedid or ask.uniqueid}


def _channel_of(fact: Fact) -> str:
    return fact.leg if isinstance(fact, LegDialled | LegAnswered) else getattr(fact, "uniqueid", "")


def _dials(call: Call) -> bool:
    return not call.is_live and not call.terms.ask.is_own_leg


def _is_later(asked: Ask, ask: Ask) -> bool:
    return asked.nonce != ask.nonce and asked.at_ms > ask.at_ms


def _linkedid(call: Call) -> str:
    return call.terms.ask.linkedid or call.caller


def _is_of(fact: LegDialled, asked: Ask | None, by_channel: Mapping[str, Call]) -> bool:
    call = by_channel.get(fact.caller) or by_channel.get(fact.linkedid)
    if call is None or fact.at_ms < call.terms.ask.at_ms:
        return False
    # An ask overtakes what was heard before it: its leg is dialled after it.
    return asked is None or asked.at_ms > fact.at_ms or not _is_later(asked, call.terms.ask)

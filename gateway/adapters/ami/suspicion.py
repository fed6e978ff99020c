r"""Which events of a stream are believed: forgery, and what it leaves behind.

A caller can put ``\r\n\r\nEvent: …`` into a dialled number or a From user, and Asterisk writes it as it is:
one true event then comes in as a head, forged messages, and a tail. The rules:

1. A message is *broken* when it begins with neither ``Event`` nor ``Response``, when a line of it is no
   header, when it answers no action of ours, or when it has not the shape of its type (``shapes``).
2. Nothing within ``REACH_BYTES`` of a broken message is believed: neither what begins less than that before
   its beginning, nor what begins less than that after its end. All of it becomes one or more ``Doubt`` with
   every Uniqueid that those messages named.
3. So a message that moves money is believed only when the ``REACH_BYTES`` after its beginning came in clean, or when
   nothing at all came in for ``QUIET_SECONDS`` and no unfinished message is waiting. Such a quiet also ends the
   reach of something broken: Asterisk writes an event in one piece, so what comes later is another event. Where TCP
   cut the stream makes no other difference: an attacker would need a cut at one certain byte and, there, a stall.
4. An ask is believed at once, unless something broken is near it in what came in so far: a call waits for
   it. It may so overtake other facts by ``QUIET_SECONDS``. A forged ask reserves for a moment and frees
   again; its verdict cannot be used, since the dialplan knows no such nonce.
5. An event of a type that the gateway does not read is ignored, and counts as broken if it tells of a part
   of a channel but not of all of it (``shapes``): so it cannot be the tail of a cut one. An admin who forgot
   the event filter has a working, if slower, gate; ``unfiltered`` counts, for the doctor.

Why this holds: a field that a caller writes has at most 79 bytes in chan_pjsip, chan_iax2 and chan_dahdi
(AST_CHANNEL_NAME, AST_MAX_EXTENSION, ``cid_num[80]``). The shortest forged event that begins in such a field
and is completed by the true headers after it needs more (its own headers up to CallerIDNum have 98 bytes),
and a whole one over 250. So of an event with such text in it at least one part is broken, and the whole is
shorter than the reach. A source of longer text (chan_sip, a dialplan that sets CALLERID from a header) can
in principle make a head, a forged event and a tail that are all whole. Against that stands the mark
(``shapes``), and only the mark.
"""

from collections import deque
from collections.abc import Callable, Mapping

from gateway.adapters.ami.facts import VALUES, Reading, check
from gateway.adapters.ami.layouts import Layouts
from gateway.adapters.ami.messages import Message
from gateway.adapters.ami.shapes import MOVES, event_fault, is_known, kind_of, named_uniqueids
from gateway.adapters.ami.stats import LinkStats
from gateway.core.facts import Ask, Doubt, Moved

# The longest event read here, a DialBegin, has 1,200 bytes with short fields, under 2,500 with long ones.
REACH_BYTES = 4096
QUIET_SECONDS = 0.010
PASSES_THE_FILTER = "Shutdown"  # of what is not read here, the shipped filter lets this by
MAX_DOUBTED = 64  # uniqueids in one Doubt; more make another one, none is lost


class Judge:
    """Reads the events of one connection and gives out those facts that are believed.

    ``interpret`` makes a fact of a well-shaped event whose values were checked (None: nothing to tell; ValueError: it
    makes no sense).
    """

    def __init__(
        self,
        interpret: Callable[[str, Mapping[str, str]], Reading | None],
        give_out: Callable[[Reading], None],
        stats: LinkStats,
        mark: str = "",
    ) -> None:
        self._interpret = interpret
        self._give_out = give_out
        self._stats = stats
        self._mark = mark
        self._layouts = Layouts(VALUES, mark)
        self._held: deque[tuple[int, bytes, Reading]] = deque()
        self._asks: list[tuple[int, bytes, Reading]] = []
        self._tainted_until = -1
        self._doubted: dict[str, None] = {}  # a set that keeps its order
        self._why = ""

    @property
    def awaits_quiet(self) -> bool:
        """Facts wait to be believed, or what comes next would be doubted."""
        return bool(self._held) or self._tainted_until >= 0

    def event_of_known_layout(self, start: int, frame: bytes) -> bool:
        """One message that stands at ``start``, if its layout was found genuine before. False: read it in full."""
        known = self._layouts.read(frame)
        if known is None:
            return False
        kind, headers = known
        if is_known(kind):
            self._genuine(start, frame, kind, headers)
        else:
            self._ignore(kind)
        return True

    def event(self, start: int, frame: bytes, message: Message) -> None:
        """One message that begins with Event and stands at ``start`` in the stream."""
        kind = kind_of(message)
        fault = event_fault(kind, message, self._mark)
        if fault:
            self.broken(start, frame, fault)
            return
        if kind in MOVES:
            self._believe(start, frame, Moved(tuple(named_uniqueids(frame)[:MAX_DOUBTED])))
            return
        if not is_known(kind):
            self._layouts.learn(kind, message)
            self._ignore(kind)
            return
        try:
            check(kind, message.headers)
        except ValueError as error:
            self.broken(start, frame, str(error))
            return
        self._layouts.learn(kind, message)
        self._genuine(start, frame, kind, message.headers)

    def _ignore(self, kind: str) -> None:
        if kind != PASSES_THE_FILTER:
            self._stats.unfiltered += 1

    def _genuine(self, start: int, frame: bytes, kind: str, headers: Mapping[str, str]) -> None:
        """A message that has the shape of its kind, and the values; they may still make no sense."""
        try:
            fact = self._interpret(kind, headers)
        except ValueError as error:
            self.broken(start, frame, str(error))
            return
        if fact is not None:
            self._believe(start, frame, fact)

    def _believe(self, start: int, frame: bytes, fact: Reading) -> None:
        if start < self._tainted_until:
            self._doubt(frame)
        elif isinstance(fact, Ask):
            self._asks.append((start, frame, fact))
        else:
            self._held.append((start, frame, fact))

    def broken(self, start: int, frame: bytes, why: str) -> None:
        """A message that cannot be genuine: take back what is near it, believe nothing near after it."""
        self._why = self._why or why
        for waiting in (self._held, self._asks):
            while waiting and waiting[-1][0] > start - REACH_BYTES:
                self._doubt(waiting.pop()[1])
        self._doubt(frame)
        self._tainted_until = start + len(frame) + REACH_BYTES

    def end_of_chunk(self, judged: int) -> None:
        """All messages up to ``judged``, a place in the stream, were read: give out what is proven by now."""
        if self._tainted_until <= judged:
            self._tainted_until = -1
        while self._held and self._held[0][0] + REACH_BYTES <= judged:
            self._give_out(self._held.popleft()[2])
        if self._asks:
            asks, self._asks = self._asks, []
            for _, _, ask in asks:
                self._give_out(ask)
        if self._why:
            self._flush_doubt()

    def quiet(self) -> None:
        """Nothing came in for QUIET_SECONDS, and no unfinished message waits: what comes next is another event."""
        self._tainted_until = -1
        while self._held:
            self._give_out(self._held.popleft()[2])

    def _doubt(self, frame: bytes) -> None:
        self._stats.dropped += 1
        for uniqueid in named_uniqueids(frame):
            self._doubted[uniqueid] = None
        self._why = self._why or "near a broken message"
        if len(self._doubted) >= MAX_DOUBTED:
            self._flush_doubt()

    def _flush_doubt(self) -> None:
        named, why = list(self._doubted), self._why
        self._doubted, self._why = {}, ""
        for first in range(0, max(len(named), 1), MAX_DOUBTED):
            self._stats.doubts += 1
            self._give_out(Doubt(tuple(named[first : first + MAX_DOUBTED]), why))

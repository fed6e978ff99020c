"""Layouts of events that were found genuine, each as one pattern: a message of a known one is read in one step.

A PBX writes an event type in one or two layouts, so nearly every event is of one that was read in full before. What
``shapes.event_fault`` judges is kept in the pattern letter by letter: the type, the privilege, every header's name and
place, and the mark where it stood; and so is what a value must be (``facts.VALUES``). What fits is thus what
``event_fault`` and ``facts.check`` have nothing against, and splits into the very lines of the layout, since no value
in it holds a CR. Everything else is read in full.

So is, once, what the gateway does not read and an event filter would have kept away: of a layout that was whole before
it is dropped for the price of one match, which an ``unfiltered`` manager user costs for most of its events.
"""

import re
from collections.abc import Mapping

from gateway.adapters.ami.messages import Message
from gateway.adapters.ami.shapes import ANY, is_told_mark

# A genuine stream has two of a type (UserEvent). Those that an attacker makes up are not worth a further one.
MOST_OF_A_TYPE = 8
MOST_TYPES = 64  # the classes that are asked for have about as many
MOST_LINES = 64  # a DialBegin has 33; to make a pattern of thousands would hold up everything
_SHARED = "UserEvent"  # also that of asks: those of other dialplans must not take their places
_FIXED = frozenset({"Event", "Privilege", "UserEvent"})


class Layouts:
    """What one connection has seen; ``values`` names the headers that are read of each kind, and what they must be."""

    def __init__(self, values: Mapping[str, Mapping[str, str]], mark: str) -> None:
        self._values = values
        self._mark = mark
        self._known: dict[bytes, list[tuple[re.Pattern[str], str]]] = {}  # by the line that names the type

    def read(self, frame: bytes) -> tuple[str, dict[str, str]] | None:
        """Kind and wanted headers of a genuine event; None: its layout is not known, judge it in full."""
        known = self._known.get(frame[: frame.find(b"\r")])
        if known is None:
            return None
        text = frame.decode("utf-8", "replace")
        for pattern, kind in known:
            found = pattern.fullmatch(text)
            if found is not None:
                return kind, found.groupdict()
        return None

    def learn(self, kind: str, message: Message) -> None:
        """Keep the layout of a message that was found genuine, its values too."""
        if kind not in self._values and (message.headers["Event"] == _SHARED or len(self._known) >= MOST_TYPES):
            return
        known = self._known.setdefault(f"Event: {message.headers['Event']}".encode(), [])
        if len(known) < MOST_OF_A_TYPE and len(message.pairs) <= MOST_LINES:
            lines = [self._line(name, value, self._values.get(kind, {})) for name, value in message.pairs]
            known.append((re.compile("\r\n".join(lines)), kind))

    def _line(self, name: str, value: str, wanted: Mapping[str, str]) -> str:
        if name in _FIXED or is_told_mark(name, value, self._mark):
            return re.escape(f"{name}: {value}")
        return f"{re.escape(name)}: " + (f"(?P<{name}>{wanted[name]})" if name in wanted else ANY)

"""Layouts of events that were found genuine, each as one pattern: a message of a known one is read in one step.

A PBX writes an event type in one or two layouts, so nearly every event is of one that was read in full before. What
``shapes.event_fault`` judges is kept in the pattern letter by letter: the type, the privilege, every header's name and
place, and the mark where it stood. What fits is thus what ``event_fault`` has nothing against, and splits into the
very lines of the layout, since no value in it holds a CR. Everything else is read in full.
"""

import re

from gateway.adapters.ami.messages import Message
from gateway.adapters.ami.shapes import is_told_mark

# A genuine stream has two of a type (UserEvent). Those that an attacker makes up are not worth a further one.
MOST_OF_A_TYPE = 8
MOST_LINES = 64  # a DialBegin has 33; to make a pattern of thousands would hold up everything
_FIXED = frozenset({"Event", "Privilege", "UserEvent"})


class Layouts:
    """What one connection has seen; ``wanted`` names the headers that are read from a message of a known layout."""

    def __init__(self, wanted: frozenset[str], mark: str) -> None:
        self._wanted = wanted
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
        """Keep the layout of a message of a known kind that ``event_fault`` has nothing against."""
        known = self._known.setdefault(f"Event: {message.headers['Event']}".encode(), [])
        if len(known) < MOST_OF_A_TYPE and len(message.pairs) <= MOST_LINES:
            known.append((re.compile("\r\n".join(self._line(name, value) for name, value in message.pairs)), kind))

    def _line(self, name: str, value: str) -> str:
        if name in _FIXED or is_told_mark(name, value, self._mark):
            return re.escape(f"{name}: {value}")
        return f"{re.escape(name)}: " + (f"(?P<{name}>[^\r]*+)" if name in self._wanted else "[^\r]*+")

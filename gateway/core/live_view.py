"""What those who look on are shown: the last word on each thing, and what changed since they last looked.

A thing (a call, a tenant, a refusal, a switch) is a kind and a key; its facts are plain. All who look on share one
view. What changed is kept in numbered turns, each as large as what changed in it; who has seen turn n is told what came
after it, however slowly it reads, and who is too far behind begins anew. So no watcher costs memory.

A thing is put into words (JSON) once, when it changes, whoever looks on and whatever they see: to tell one more is to
join texts. The facts themselves are let go of: a text is nothing that a garbage collection has to walk.

Who sees it: ``sight`` is the tenant that it is of, ``ALL_TENANTS`` for what concerns the gateway as a whole, and
``EVERYBODY`` for what says nothing of anyone.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.access import Token

EVERYBODY = "*"
ALL_TENANTS = "+"
TURNS_KEPT = 60
"""A watcher that was away for so many turns is told only what changed."""

Facts = Mapping[str, Any]

words_of: Final = json.JSONEncoder(separators=(",", ":")).encode
"""JSON of ASCII, without a line end in it, whatever the texts hold."""


@dataclass(frozen=True, slots=True)
class Item:
    """The last word on one thing, as JSON. ``words`` None: it is there no more."""

    kind: str
    key: str
    sight: str
    words: str | None


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """What changed since the turn before: the last word on each thing that did."""

    number: int
    items: tuple[Item, ...]


@dataclass(slots=True)
class LiveView:
    """All things now, and the last turns. ``number`` is that of the last turn."""

    number: int = 0
    things: dict[tuple[str, str], Item] = field(default_factory=dict)
    _changed: dict[tuple[str, str], Item] = field(default_factory=dict)
    _turns: deque[LiveTurn] = field(default_factory=lambda: deque(maxlen=TURNS_KEPT))

    def put(self, kind: str, key: str, sight: str, facts: Facts) -> None:
        """Say the last word on a thing. Nothing where it is what was said before."""
        known, words = self.things.get((kind, key)), words_of(facts)
        if known is None or known.words != words:
            self.things[kind, key] = self._changed[kind, key] = Item(kind, key, sight, words)

    def drop(self, kind: str, key: str) -> None:
        """Tell that a thing is there no more. Nothing where it never was."""
        known = self.things.pop((kind, key), None)
        if known is not None:
            self._changed[kind, key] = Item(kind, key, known.sight, None)

    def forget(self, kind: str, key: str) -> None:
        """Show a thing to nobody who comes from now on; who was shown it keeps it."""
        self.things.pop((kind, key), None)

    def turn(self) -> bool:
        """End a turn; False where nothing has changed in it: then there is none."""
        if not self._changed:
            return False
        self.number += 1
        self._turns.append(LiveTurn(self.number, tuple(self._changed.values())))
        self._changed.clear()
        return True

    def since(self, number: int) -> list[LiveTurn] | None:
        """The turns after that one, in order. None: they are not all there any more, or that one never was."""
        if number < 0 or not 0 <= self.number - number <= len(self._turns):
            return None
        return [turn for turn in self._turns if turn.number > number]


def is_shown(item: Item, token: Token) -> bool:
    """Whether who has that token may see it."""
    if item.sight == EVERYBODY or token.tenants is None:
        return True
    return item.sight != ALL_TENANTS and token.sees(item.sight)

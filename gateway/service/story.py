"""One call's whole story for a page: what was asked, and each step that the books took for it.

``explain`` reads a whole journal, as a command may. Here somebody waits and others' calls go on: a call's entries begin
near the time that its Uniqueid names, and so many entries are read from there at the most.
"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.core.journal import Entry
from gateway.ports import Refusal, StoredCall
from gateway.service.journal import JournalPage, PageOf

MOST_READ: Final = 5_000  # some 75 ms of this process, a slice at a time
PAGE: Final = 512
EARLY_MS: Final = 120_000  # the PBX's clock may be ahead of the ledger's
_ASKED: Final = ("number", "cli", "e164", "class", "at_ms", "limit")
_CLOSES: Final = frozenset({"settle", "release", "correct"})
_BEGAN: Final = re.compile(r"(?:^|-)([0-9]{9,11})\.[0-9]+$")  # a Uniqueid may begin with the system's name

ReadPage = Callable[[PageOf], Awaitable[JournalPage]]


@dataclass(frozen=True, slots=True)
class Step:
    """What the books did for a call at one instant, of all lots together."""

    type: str  # reserve, answer, extend, shrink, settle, ...
    at_ms: int
    step: int | None
    held_micros: int  # more, or less than 0: freed or charged
    charged_micros: int
    total_micros: int | None  # the charge of the whole call, where this closes it
    note: str


@dataclass(frozen=True, slots=True)
class CallStory:
    """``is_whole``: False where there is too much of others between its steps."""

    call_id: str
    asked: dict[str, Any]
    refusal: Refusal | None
    stored: StoredCall | None  # while its books are open
    steps: tuple[Step, ...]
    is_whole: bool

    @property
    def is_known(self) -> bool:
        """Anything is known of it at all."""
        return bool(self.refusal or self.stored or self.steps)


async def call_story(call_id: str, read: ReadPage, refusals: Sequence[Refusal], stored: StoredCall | None) -> CallStory:
    """All that is known of a call. ``read`` gives a page of its tenant's journal, whose exceptions pass."""
    refusal = next((one for one in refusals if one.call_id == call_id), None)
    entries: list[Entry] = []
    is_whole = True
    if refusal is None:
        entries, is_whole = await _entries(call_id, read)
    notes = [entry.note for entry in entries if entry.type == "reserve"]
    notes += [known.meta for known in (refusal, stored) if known is not None]
    return CallStory(call_id, _asked(notes), refusal, stored, _steps(entries), is_whole)


async def _entries(call_id: str, read: ReadPage) -> tuple[list[Entry], bool]:
    began = _BEGAN.search(call_id.split("/")[1])
    wanted = PageOf(PAGE, from_ms=max(1, int(began[1]) * 1000 - EARLY_MS) if began else 0, with_archive=True)
    found: list[Entry] = []
    for _ in range(0, MOST_READ, PAGE):
        page = await read(wanted)
        found += (entry for entry in page.entries if entry.call == call_id)
        if page.is_last or (found and found[-1].type in _CLOSES and page.entries[-1].call != call_id):
            return found, True
        wanted = replace(wanted, after_n=page.entries[-1].n, after_id=page.entries[-1].entry_id)
    return found, False


def _steps(entries: Sequence[Entry]) -> tuple[Step, ...]:
    """A step that moved the money of several lots has an entry for each."""
    made: list[Step] = []
    for entry in entries:
        step = Step(
            entry.type, entry.at_ms, entry.step, entry.held, entry.revenue + entry.adjustment, entry.total,
            "" if entry.type == "reserve" else entry.note,
        )  # fmt: skip
        last = made[-1] if made else None
        if last is not None and (last.type, last.step) == (step.type, step.step):
            total = step.total_micros if last.total_micros is None else last.total_micros
            held, charged = last.held_micros + step.held_micros, last.charged_micros + step.charged_micros
            made[-1] = replace(last, held_micros=held, charged_micros=charged, total_micros=total)
        else:
            made.append(step)
    return tuple(made)


def _asked(notes: Sequence[str]) -> dict[str, Any]:
    """What the ask said, as whoever wrote it down first has it; empty where nobody did."""
    for note in notes:
        with suppress(ValueError, RecursionError):
            facts = json.loads(note)
            if isinstance(facts, dict):
                return {name: facts[name] for name in _ASKED if name in facts}
    return {}

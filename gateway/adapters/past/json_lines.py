"""Calls of the past in callgate's own words: the lines ``call.closed`` of its log, and the archive of its journal.

The log has all: also what was refused (``call.refused``) and what passed unmetered (``call.passed``), of neither of
which a length is known. The journal has what opened books: what was charged, and what nobody answered. A call that
stands there twice (after a takeover both gateways may tell of it) counts once: as settled, where one says so.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any, BinaryIO, Final

from gateway.adapters.asterisk_cdr import CdrFileError, CdrProblem, numbered_lines
from gateway.adapters.past.rows import OTHERS, TOLD_EVERY, Row, Whose, is_instant
from gateway.core.facts import Direction
from gateway.core.journal import Entry, read_line
from gateway.core.replay import Fate, Kind, PastCall
from rating import MOST_CALL_SECONDS, AmountError, parse_amount

_CLOSED, _REFUSED, _PASSED = "call.closed", "call.refused", "call.passed"
_MASKED: Final = re.compile(r"\*{4,}")
_MOST_TEXT: Final = 512
_TOTALS: Final = frozenset({"settle", "estimate", "correct"})


class _BadLineError(Exception):
    """What is wrong with a line, and what to do."""


@dataclass(slots=True)
class _Journalled:
    """A call as far as the journal was read."""

    where: str
    number: str = ""
    cli: str = ""
    direction: Direction = Direction.OUTBOUND
    asked_at_ms: int = 0
    answered_at_ms: int = 0
    ended_at_ms: int = 0
    seconds: int = 0
    total: int | None = None
    is_known: bool = False  # its ask was read
    is_over: bool = False


class JsonCalls:
    """What all files tell together: a call may begin in one and end in the next."""

    def __init__(self, whose: Whose) -> None:
        """Nothing is read yet."""
        self._whose = whose
        self._logged: dict[str, PastCall] = {}
        self._journalled: dict[str, _Journalled] = {}

    def read(self, stream: BinaryIO, name: str, on_read: Callable[[int], None]) -> Iterator[CdrProblem | str]:
        """Take a file; what is wrong with a line of it, or why it is left out. Raises CdrFileError."""
        folder = PurePath(name).parent.name
        for line, text in numbered_lines(stream):
            if line % TOLD_EVERY == 0:
                on_read(stream.tell())
            if not text.strip():
                continue
            where = f"{name}:{line}"
            try:
                found = self._read_line(text, where, folder)
            except _BadLineError as error:
                yield CdrProblem(where, str(error))
                continue
            if found:
                yield found

    def calls(self) -> Iterator[Row]:
        """All that were read, each once; what the log tells of one goes first."""
        yield from self._logged.values()
        for name, call in self._journalled.items():
            if name not in self._logged:
                yield _of_journal(call)

    def _read_line(self, text: bytes, where: str, folder: str) -> str:
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):
            raise _BadLineError("this is no line of JSON; give the file as callgate wrote it.") from None
        if type(facts) is not dict:
            raise _BadLineError("this is no object of JSON; give the file as callgate wrote it.")
        if "event" in facts:
            return self._log_line(facts, where)
        try:
            entry = read_line(text)
        except ValueError:
            raise _BadLineError("this is neither a line of the log nor of the journal; leave the line out.") from None
        if folder in self._whose.other_tenants:  # an entry does not say whose it is: its folder does
            told = f"name the files of {self._whose.tenant}, or --tenant {folder}"
            raise CdrFileError(f"{where} is of the journal of {folder}; {told}.")
        self._entry(entry, where)
        return ""

    # ----------------------------------------------------------------------------------------------- the log

    def _log_line(self, facts: dict[str, Any], where: str) -> str:
        event = facts["event"]
        if event not in {_CLOSED, _REFUSED, _PASSED}:
            return ""
        if facts.get("tenant") != self._whose.tenant:
            return OTHERS
        call = _closed(facts, where, self._whose) if event == _CLOSED else _unbooked(facts, where, self._whose)
        name = _text(facts, "call")
        before = self._logged.get(name)
        if before is None or _is_charged(call) or not _is_charged(before):
            self._logged[name] = call
        return ""

    # ------------------------------------------------------------------------------------------- the journal

    def _entry(self, entry: Entry, where: str) -> None:
        if not entry.call or entry.type not in {"reserve", "register", "answer", "release", *_TOTALS}:
            return
        call = self._journalled.setdefault(entry.call, _Journalled(where))
        if entry.type == "reserve" and not call.is_known:
            _take_ask(call, entry)
        elif entry.type == "answer":
            call.answered_at_ms = entry.at_ms
        elif entry.type == "release":
            call.is_over, call.ended_at_ms = True, entry.at_ms
        elif entry.type in _TOTALS and entry.total is not None:  # on the first entry of a step alone
            call.is_over, call.total = True, entry.total
            call.seconds = int(entry.note) if entry.note.isdecimal() and len(entry.note) < 10 else 0  # noqa: PLR2004


def _is_charged(call: PastCall) -> bool:
    return call.was is not None and call.was.kind is Kind.CHARGED


def _closed(facts: dict[str, Any], where: str, whose: Whose) -> PastCall:
    outcome, reason, limit = (_text(facts, name) for name in ("outcome", "reason", "limit"))
    if facts.get("currency") != whose.currency:
        raise _BadLineError(f"its currency is not the tenant's, {whose.currency}; replay what came after the change.")
    direction = Direction.INBOUND if facts.get("direction") == Direction.INBOUND else Direction.OUTBOUND
    asked, answered, ended = (_whole(facts, name) for name in ("asked_at_ms", "answered_at_ms", "ended_at_ms"))
    seconds = _whole(facts, "billsec")
    if outcome == "refused":
        was, answered, seconds = Fate(Kind.REFUSED, reason=reason, limit=limit), 0, 0
        ended = asked
    elif outcome == "released":
        was, answered, seconds = Fate(Kind.UNANSWERED), 0, 0
    elif outcome in {"settled", "estimated"} and answered:
        try:
            charge = parse_amount(_text(facts, "charged"))
        except AmountError:
            raise _BadLineError("charged is no amount; give the log as callgate wrote it.") from None
        was = Fate(Kind.CHARGED, seconds=seconds, charge_micros=charge, was_cut=facts.get("was_cut") is True)
        answered = max(answered, asked)  # a leg that was found when it was Up already: priced from the ask on
        ended = answered + seconds * 1000
    else:
        raise _BadLineError("its outcome is none that callgate writes; give the log as callgate wrote it.")
    name = "e164" if direction is Direction.INBOUND else "dialled"
    return _checked(
        PastCall(where, _text(facts, name), _text(facts, "cli"), asked, answered, ended, seconds, direction, was)
    )


def _unbooked(facts: dict[str, Any], where: str, whose: Whose) -> PastCall:
    """An ask that was refused, or let pass, before any books were opened."""
    try:
        at = datetime.fromisoformat(_text(facts, "timestamp"))
        asked = int(at.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise _BadLineError("its timestamp is none; give the log as callgate wrote it.") from None
    is_refused = facts["event"] == _REFUSED
    was = Fate(Kind.REFUSED, reason=_text(facts, "reason")) if is_refused else Fate(Kind.FREE)
    number = _text(facts, "number")
    return _checked(PastCall(where, number, _text(facts, "cli"), asked, 0, asked, 0, whose.direction(number), was))


def _take_ask(call: _Journalled, entry: Entry) -> None:
    """What the ask said, as its reserve kept it. Raises _BadLineError."""
    try:
        facts = json.loads(entry.note)
    except (ValueError, RecursionError):
        facts = None
    if type(facts) is not dict:
        raise _BadLineError("its note does not tell what was asked; give the archive as callgate wrote it.")
    call.number, call.cli, call.asked_at_ms = _text(facts, "number"), _text(facts, "cli"), _whole(facts, "at_ms")
    is_inbound = facts.get("direction") == Direction.INBOUND
    call.direction = Direction.INBOUND if is_inbound else Direction.OUTBOUND
    call.is_known = True


def _of_journal(call: _Journalled) -> Row:
    if not call.is_known:
        return "of which these files do not have the beginning"
    if not call.is_over:
        return "that were not over"
    asked = call.asked_at_ms
    if call.total is None:
        ended, was = max(asked, call.ended_at_ms), Fate(Kind.UNANSWERED)
        found = PastCall(call.where, call.number, call.cli, asked, 0, ended, 0, call.direction, was)
    else:
        answered = max(asked, call.answered_at_ms)
        was = Fate(Kind.CHARGED, seconds=call.seconds, charge_micros=call.total)
        ended = answered + call.seconds * 1000
        where = (call.where, call.number, call.cli, asked, answered, ended)
        found = PastCall(*where, call.seconds, call.direction, was)
    try:
        return _checked(found)
    except _BadLineError as error:
        return CdrProblem(call.where, str(error))


def _checked(call: PastCall) -> PastCall:
    """Raises _BadLineError."""
    if _MASKED.search(call.number):
        raise _BadLineError("its number is masked ([log] numbers); give the archive of the journal, which keeps it.")
    first, last = call.asked_at_ms, max(call.answered_at_ms, call.ended_at_ms)
    most_ms = 2 * MOST_CALL_SECONDS * 1000
    if not is_instant(first) or not first <= last <= first + most_ms or call.seconds > MOST_CALL_SECONDS:
        raise _BadLineError("its times are none that a call can have; leave the line out.")
    return call


def _text(facts: dict[str, Any], name: str) -> str:
    value = facts.get(name, "")
    if type(value) is not str or len(value) > _MOST_TEXT:
        raise _BadLineError(f"{name} is no text, or too long; give the file as callgate wrote it.")
    return value


def _whole(facts: dict[str, Any], name: str) -> int:
    value = facts.get(name)
    if type(value) is not int or value < 0:
        raise _BadLineError(f"{name} is no whole number; give the file as callgate wrote it.")
    return value

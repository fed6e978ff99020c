"""Calls of the past in Asterisk's Master.csv, whose columns ``asterisk_cdr`` has; those after amaflags are not needed.

Its times are local or UTC, as cdr.conf has it, and whole seconds. A row begins with its channel, which is earlier than
the ask where a menu was heard first; it counts from the caller's answer, and is cut to whole seconds.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Final

from gateway.adapters.asterisk_cdr import CdrProblem, cell_text, master_rows
from gateway.adapters.past.rows import OTHERS, TOLD_EVERY, Row, Whose, is_instant
from gateway.core.facts import Direction
from gateway.core.replay import PastCall
from rating import MOST_CALL_SECONDS

_NUMBER: Final = re.compile(r"[0-9+*#]{1,64}")


def read_master(stream: BinaryIO, name: str, whose: Whose, on_read: Callable[[int], None]) -> Iterator[Row]:
    """Each row of a Master.csv: a call, a problem, or why it is left out."""
    for count, (line, row) in enumerate(master_rows(stream)):
        if count % TOLD_EVERY == 0:
            on_read(stream.tell())
        where = f"{name}:{line}"
        if row is None:
            yield CdrProblem(where, "this is no row as cdr_csv writes it; take it from Asterisk's own file, unchanged.")
            continue
        if cell_text(row[1]) in whose.other_codes:
            yield OTHERS
            continue
        try:
            yield _call(row, where, whose)
        except (ValueError, OverflowError, OSError):
            yield CdrProblem(where, "its times are none that a call can have; mend start, answer and billsec.")


def _call(row: re.Match[bytes], where: str, whose: Whose) -> PastCall | str:
    number = cell_text(row[3])
    is_answered = row[15] == b"ANSWERED" and bool(row[11])
    direction = whose.direction(number)
    why = _why_not(row, number, whose, is_inbound=direction is Direction.INBOUND, is_answered=is_answered)
    if why:
        return why
    start = datetime.fromisoformat((row[10] or b"").decode())
    asked_at_ms = int((start if whose.zone is None else start.replace(tzinfo=whose.zone)).timestamp()) * 1000
    lasted_ms, seconds = int(row[13]) * 1000, int(row[14])
    if not is_instant(asked_at_ms) or max(seconds * 1000, lasted_ms) > MOST_CALL_SECONDS * 1000:
        raise ValueError
    if not is_answered:
        return PastCall(where, number, cell_text(row[2]), asked_at_ms, 0, asked_at_ms + lasted_ms, 0, direction)
    rang = (datetime.fromisoformat((row[11] or b"").decode()) - start).total_seconds()
    # By the clock on the wall, which may have been set meanwhile: then the durations tell.
    rang_ms = int(rang) * 1000 if 0 <= rang * 1000 <= lasted_ms else max(0, lasted_ms - seconds * 1000)
    answered_at_ms = asked_at_ms + rang_ms
    ended_at_ms = answered_at_ms + seconds * 1000
    return PastCall(where, number, cell_text(row[2]), asked_at_ms, answered_at_ms, ended_at_ms, seconds, direction)


def _why_not(row: re.Match[bytes], number: str, whose: Whose, *, is_inbound: bool, is_answered: bool) -> str:
    """Why a row is no call that would have asked; empty where it is one."""
    if _NUMBER.fullmatch(number) is None:
        return "of which dst is no number"
    if is_inbound:
        return ""
    channel, leg = cell_text(row[6]), cell_text(row[7])
    if whose.trunks and channel.startswith(whose.trunks):
        return "that came in on a trunk, to a number that the tenant does not own"
    if whose.trunks and leg and not leg.startswith(whose.trunks):
        return "that went to no trunk"
    return "that were answered, and dialled nobody" if is_answered and not leg else ""

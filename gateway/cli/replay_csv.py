"""The calls of a replay as CSV, one a line, for a spreadsheet."""

import csv
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TextIO

from gateway.core.replay import Fate
from gateway.core.replay_sums import Replayed
from gateway.core.tenant import Tenant
from rating import format_amount

COLUMNS: Final = (
    "record", "asked_at", "direction", "caller", "dialled", "number", "class", "destination", "seconds",
    "was", "was_reason", "was_limit", "was_charge",
    "now", "now_reason", "now_limit", "now_seconds", "now_charge", "difference", "currency",
)  # fmt: skip
_IS_NUMBER: Final = re.compile(r"\+?[0-9]+|-?[0-9]+\.[0-9]+")
_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(stream: TextIO, calls: Iterable[Replayed], owner: Tenant) -> None:
    """Times are those of the tenant's clock, with their offset. Raises OSError."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in calls:
        writer.writerow([as_cell(text) for text in _cells(one, owner)])


def _cells(one: Replayed, owner: Tenant) -> tuple[str, ...]:
    call, was, now = one.call, one.was, one.now
    asked_at = datetime.fromtimestamp(call.asked_at_ms / 1000, UTC).astimezone(owner.zone)
    return (
        call.where,
        asked_at.isoformat(timespec="seconds"),
        call.direction,
        call.cli,
        call.number,
        now.e164,
        now.call_class,
        now.destination,
        str(call.seconds),
        word_of(was),
        was.reason,
        was.limit,
        format_amount(was.charge_micros),
        word_of(now),
        now.reason,
        now.limit,
        str(now.seconds),
        format_amount(now.charge_micros),
        format_amount(one.difference_micros),
        owner.currency,
    )


def word_of(fate: Fate) -> str:
    """What became of a call, in one word."""
    return "cut" if fate.was_cut else fate.kind.value


def as_cell(text: str) -> str:
    """The text, such that no spreadsheet takes it for a formula: callers choose their own names and numbers."""
    text = text.replace("\0", "")
    if text.startswith(_BEGINS_A_FORMULA) and _IS_NUMBER.fullmatch(text) is None:
        return f"'{text}"
    return text

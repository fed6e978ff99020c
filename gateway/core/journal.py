"""One entry of a tenant's journal, and the line of JSON that it is in the archive.

Names are those of the ledger's stream, so that an entry reads the same in Redis, in the archive and here. All money
is ``int`` micro-units: ``source`` to ``adjustment`` are what the entry moves on the seven accounts of the double
entry, ``balance`` and ``held_after`` what the tenant's account shows after it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final

_INTEGER: Final = re.compile(r"-?[0-9]{1,16}")
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. What an older version did not write has its default; what a later one adds is kept in ``more``."""

    n: int  # 1, 2, 3, ... of a tenant, without gaps
    type: str  # open, topup, reserve, settle, ...
    entry_id: str = ""  # the stream's
    call: str = ""  # switch/uniqueid/nonce; of a topup or its reverse: the top-up's id
    step: int | None = None  # of the call
    lot: int | None = None  # whose money moved; 0: the credit limit's; None: no money moved
    source: int = 0
    credit: int = 0
    held: int = 0
    debt: int = 0
    revenue: int = 0
    expired: int = 0
    adjustment: int = 0
    pool: str = ""  # NAME|PERIOD of included time
    included: int = 0  # seconds taken from the pool; below 0: given back
    balance: int = 0
    held_after: int = 0
    total: int | None = None  # the call's charge in all, where a settle, an estimate or a correction says it
    at_ms: int = 0  # ledger clock
    note: str = ""
    more: tuple[tuple[str, str | int | None], ...] = ()

    @property
    def deltas(self) -> tuple[int, int, int, int, int, int, int]:
        """What is moved, in the order of ACCOUNTS; it adds up to 0."""
        return self.source, self.credit, self.held, self.debt, self.revenue, self.expired, self.adjustment


ACCOUNTS: Final = ("source", "credit", "held", "debt", "revenue", "expired", "adjustment")

_FIELDS: Final = tuple(field.name for field in fields(Entry) if field.name != "more")
_TEXTS: Final = frozenset({"type", "entry_id", "call", "pool", "note"})
_MAY_LACK: Final = frozenset({"step", "lot", "total"})  # as '' in the stream and null in a line
_INTEGERS: Final = frozenset(_FIELDS) - _TEXTS
_LINE: Final = ",".join(f'"{name}":%s' for name in _FIELDS)


def read_entry(fields: Mapping[str, str], entry_id: str) -> Entry:
    """Read an entry of the stream. Raises ValueError with one sentence for what is none."""
    known: dict[str, Any] = {"entry_id": entry_id}
    more = []
    for name, text in fields.items():
        if name in _INTEGERS:
            known[name] = _number(name, text, entry_id)
        elif name not in _TEXTS:
            more.append((name, text))
        elif name != "entry_id":
            known[name] = text
    return _made(known, more, entry_id)


def read_line(line: str | bytes) -> Entry:
    """Read one line of the archive. Raises ValueError with one sentence for what is none."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{_shown(line)} is no line of JSON") from None
    if type(values) is not dict:
        raise ValueError(f"{_shown(line)} is no object of JSON")
    known, more = {}, []
    for name, value in values.items():
        kind = type(value)
        if name in _INTEGERS:
            if kind is str:  # written by a version that did not know it yet, so as the stream had it
                known[name] = _number(name, value, _shown(line))
            elif kind is int or (value is None and name in _MAY_LACK):
                known[name] = value
            else:
                raise ValueError(f"{name} of {_shown(line)} is no whole number: {value!r:.40}")
        elif name in _TEXTS:
            if kind is not str:
                raise ValueError(f"{name} of {_shown(line)} is no text: {value!r:.40}")
            known[name] = value
        elif kind in {str, int, type(None)}:
            more.append((name, value))
        else:
            raise ValueError(f"{name} of {_shown(line)} is neither text nor whole number: {value!r:.40}")
    return _made(known, more, _shown(line))


def to_line(entry: Entry) -> str:
    """Write an entry as one line of JSON, without its line break. The same entry gives the same line."""
    # Half of what the archive costs was json.dumps. ASCII: a line break in a note is no line's end.
    known = _LINE % (
        entry.n, _quoted(entry.type), _quoted(entry.entry_id), _quoted(entry.call),
        "null" if entry.step is None else entry.step, "null" if entry.lot is None else entry.lot,
        *entry.deltas, _quoted(entry.pool), entry.included, entry.balance, entry.held_after,
        "null" if entry.total is None else entry.total, entry.at_ms, _quoted(entry.note),
    )  # fmt: skip
    return "{" + known + "".join(f",{_quoted(name)}:{json.dumps(value)}" for name, value in entry.more) + "}"


def _made(known: dict[str, Any], more: list[tuple[str, Any]], where: str) -> Entry:
    if known.get("n", 0) < 1 or not known.get("type"):
        raise ValueError(f"{where} is no entry of the journal: it has no number n from 1 on, or no type")
    return Entry(**known, more=tuple(more))


def _number(name: str, text: str, where: str) -> int | None:
    if not text and name in _MAY_LACK:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"{name} of {where} is no whole number: {text!r:.40}")
    return int(text)


def _shown(line: str | bytes) -> str:
    text = line if isinstance(line, str) else line.decode(errors="replace")
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")

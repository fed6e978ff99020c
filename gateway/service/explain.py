"""Why a call was refused, or what it was charged and how that came about: all that the ledger and the archive know."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gateway.core.journal import Entry
from gateway.ports import CallKey, JournalReader, Ledger, LedgerRejected, Refusal, Restraints, StoredCall
from gateway.service.journal import whole_journal

MOST_REFUSALS = 20_000

ReadArchives = Callable[[str, int], Iterable[Entry]]
"""A tenant's archived entries after that n."""


class Source(Ledger, JournalReader, Restraints, Protocol):
    """A ledger that can be asked for everything."""


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one ask."""

    tenant: str
    call_id: str
    refusal: Refusal | None  # as it was refused
    stored: StoredCall | None  # while it is live, or estimated
    entries: tuple[Entry, ...]  # its movements of money, in order


async def stories_of(ledger: Source, read_archives: ReadArchives, tenants: Sequence[str], word: str) -> list[Story]:
    """All asks of a call: ``word`` is its id, or the Uniqueid of the channel that asked. Raises LedgerUnavailable."""
    found = []
    for tenant in tenants:
        try:
            _, last = await ledger.books(tenant)
        except LedgerRejected:  # it has no account yet
            continue
        refusals = {one.call_id: one for one in await ledger.refusals(tenant, MOST_REFUSALS) if _is(one.call_id, word)}
        entries: dict[str, list[Entry]] = {}
        async for entry in whole_journal(ledger, tenant, partial(read_archives, tenant), last):
            if _is(entry.call, word):
                entries.setdefault(entry.call, []).append(entry)
        for call_id in sorted({*refusals, *entries}):
            stored = await ledger.stored_call(CallKey(tenant, call_id))
            found.append(Story(tenant, call_id, refusals.get(call_id), stored, tuple(entries.get(call_id, ()))))
    return found


def _is(call_id: str, word: str) -> bool:
    switch, slash, rest = call_id.partition("/")
    return call_id == word or bool(switch and slash and rest.partition("/")[0] == word)

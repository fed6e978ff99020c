"""The journal in pages: from the stream, and with the archive, while one becomes the other."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.adapters.archive import FileArchive
from gateway.adapters.archive_page import FileArchivePage
from gateway.core.journal import Entry
from gateway.service.journal import PageOf, journal_page

from .office import MICROS, Caller, Office

COUNT = 12  # entries: one that opens the account, and top-ups


async def filled(office: Office) -> Sequence[Entry]:
    """A journal; all of its entries."""
    for number in range(COUNT - 1):
        await office.ledger.top_up(office.mine, f"pay-{number}", MICROS, "USD", "test")
    return await office.ledger.journal(office.mine, "", 100)


async def archived(office: Office, entries: Sequence[Entry]) -> None:
    """These are in the archive, and the ledger forgets them."""
    FileArchive(office.folder / "journal", 1_000).keep(office.mine, entries)
    await office.ledger.archived(office.mine, entries[-1].n, entries[-1].entry_id)


async def walked(api: Caller, query: str) -> list[int]:
    """The numbers of all pages."""
    found, cursor = [], ""
    while cursor is not None:
        status, told = await api(
            "GET", f"/v1/tenants/{api.office.mine}/journal?{query}{cursor and '&cursor=' + cursor}"
        )
        assert status == 200, told
        found += [entry["n"] for entry in told["items"]]
        cursor = told["next_cursor"]
    return found


@pytest.mark.parametrize("limit", [1, 5, COUNT, COUNT + 1])
async def test_all_entries_once_and_in_order(api: Caller, office: Office, limit: int) -> None:
    """Whatever the size of a page."""
    await filled(office)
    assert await walked(api, f"limit={limit}") == [*range(1, COUNT + 1)]


async def test_what_an_entry_tells(api: Caller, office: Office) -> None:
    """The seven amounts twice, its time, and what the account shows after it."""
    await filled(office)
    _, told = await api("GET", f"/v1/tenants/{office.mine}/journal?limit=2")
    entry = told["items"][1]
    assert (entry["type"], entry["call"], entry["source"], entry["credit"]) == ("topup", "pay-0", "-1.00", "1.00")
    assert (entry["balance"], entry["balance_micros"], entry["total"], entry["total_micros"]) == (
        "1.00",
        MICROS,
        None,
        None,
    )


async def test_without_the_archive_it_begins_where_the_ledger_does(api: Caller, office: Office) -> None:
    """With it, at the first entry there is; cursors hold across the border."""
    entries = await filled(office)
    await archived(office, entries[:7])
    assert await walked(api, "limit=3") == [*range(8, COUNT + 1)]
    for limit in (1, 3, 7, 8, 100):
        assert await walked(api, f"limit={limit}&archive=true") == [*range(1, COUNT + 1)]


async def test_by_time(api: Caller, office: Office) -> None:
    """From an instant on and before another, in the archive and in the stream alike."""
    entries = [Entry(n=n, type="open", entry_id=f"{1000 * n}-0", at_ms=1000 * n) for n in range(1, 9)]
    FileArchive(office.folder / "journal", 100).keep(office.mine, entries)
    page = await journal_page(
        NoStream(), office.mine, PageOf(5, from_ms=3000, before_ms=6000), FileArchivePage(office.folder / "journal")
    )
    assert ([entry.n for entry in page.entries], page.is_last) == ([3, 4, 5], True)
    live = await filled(office)
    later = "2035-01-01T00:00:00Z"
    assert await walked(api, f"from={later}") == []
    assert await walked(api, f"before={later}") == [entry.n for entry in live]
    assert await walked(api, "before=2020-01-01T00:00:00Z") == []


class NoStream:
    """A ledger whose stream is empty."""

    async def journal(self, tenant: str, after_id: str, most: int) -> list[Entry]:
        """Nothing."""
        return []


async def test_entries_that_are_archived_between_the_two_looks_are_not_lost(office: Office) -> None:
    """The archive is looked at again when the stream goes on later than the archive had ended."""
    entries = await filled(office)
    await archived(office, entries[:4])
    real = FileArchivePage(office.folder / "journal")
    looks: list[int] = []

    def page(tenant: str, after_n: int, from_ms: int, most: int) -> Sequence[Entry]:
        found = real(tenant, after_n, from_ms, most)
        if not looks:  # after this look, and before that at the stream
            FileArchive(office.folder / "journal", 1_000).keep(tenant, entries[4:8])
        looks.append(after_n)
        return found

    class Trimmed:
        async def journal(self, tenant: str, after_id: str, most: int) -> Sequence[Entry]:
            await office.ledger.archived(tenant, entries[7].n, entries[7].entry_id)
            return await office.ledger.journal(tenant, after_id, most)

    found = await journal_page(Trimmed(), office.mine, PageOf(100, with_archive=True), page)  # type: ignore[arg-type]
    assert [entry.n for entry in found.entries] == [*range(1, COUNT + 1)]
    assert looks == [0, 4]


async def test_a_broken_archive_is_a_503_without_its_path(api: Caller, office: Office) -> None:
    """The log says more."""
    folder: Path = office.folder / "journal" / office.mine
    folder.mkdir(parents=True)
    (folder / "000000000001.jsonl").write_text("nonsense\n")
    status, told = await api("GET", f"/v1/tenants/{office.mine}/journal?archive=true")
    assert (status, told["code"]) == (503, "archive_unavailable")
    assert str(office.folder) not in told["detail"]


class Stream:
    """A ledger with a long stream, and the sizes in which it was read."""

    def __init__(self, count: int) -> None:
        self.entries = [Entry(n=n, type="open", entry_id=f"{n}-0", at_ms=n) for n in range(1, count + 1)]
        self.sizes: list[int] = []

    async def journal(self, tenant: str, after_id: str, most: int) -> list[Entry]:
        """Those after it."""
        self.sizes.append(most)
        return [entry for entry in self.entries if entry.n > int(after_id.partition("-")[0] or 0)][:most]


@pytest.mark.parametrize(("most", "last"), [(200, 200), (63, 63), (64, 64), (65, 65), (500, 300)])
async def test_a_long_page_is_read_in_slices(most: int, last: int) -> None:
    """So that verdicts are written in between."""
    stream = Stream(300)
    page = await journal_page(stream, "acme", PageOf(most), None)  # type: ignore[arg-type]
    assert [entry.n for entry in page.entries] == [*range(1, last + 1)]
    assert page.is_last == (most > 300)
    assert max(stream.sizes) <= 64

"""The journal on its way to disk, and the audit of a tenant that lives: on a real server, whatever dies in between."""

import asyncio
import errno
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from gateway.adapters.archive import FileArchive, read_archive
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.audit import MAY_MOVE
from gateway.core.findings import Verdict
from gateway.core.journal import Entry
from gateway.ports import AccountTerms, Archive, Grant, LedgerUnavailable, Pool
from gateway.service import archive as service
from gateway.service import journal
from gateway.service.archive import Archiver
from gateway.service.audit import audit_tenant
from gateway.service.directory import Directory
from tests.unit.core import build
from tests.unit.service.house import Tally

from .bank import HOUR_MS, Bank, flat


class KilledError(BaseException):
    """The process ends here."""


class Ledger:
    """The real ledger; ``archived`` may fail before it reaches the server, or after."""

    def __init__(self, bank: Bank) -> None:
        self._real = bank.ledger
        self.before: BaseException | None = None
        self.after: BaseException | None = None
        self.journal = bank.ledger.journal
        self.clock_ms: int | None = None

    async def now_ms(self, tenant: str) -> int:
        """The ledger's clock, or what the test says."""
        return await self._real.now_ms(tenant) if self.clock_ms is None else self.clock_ms

    async def archived(self, tenant: str, n: int, entry_id: str) -> None:
        """Forget, unless the test says otherwise."""
        if self.before is not None:
            raise self.before
        await self._real.archived(tenant, n, entry_id)
        if self.after is not None:
            raise self.after


class Worker:
    """An archiver with a folder, as one process has it."""

    def __init__(self, bank: Bank, folder: Path, archive: Archive | None = None, file_bytes: int = 2000) -> None:
        self.ledger = Ledger(bank)
        self.tally = Tally()
        directory = Directory([build.tenant(tenant_id="nobody"), build.tenant(tenant_id=bank.tenant)])
        self.archiver = Archiver(self.ledger, directory, archive or FileArchive(folder, file_bytes), self.tally)

    async def walk(self) -> None:
        """One walk."""
        await self.archiver.walk()


async def talk(bank: Bank, call: str) -> None:
    """A whole call."""
    await bank.reserve(flat((60, 100)), call)
    await bank.answer(call)
    await bank.extend(1, 50, flat((120, 200)), call)
    await bank.settle(2, 150, 90, call)


async def in_stream(bank: Bank) -> list[int]:
    """The numbers that Redis still has."""
    return [entry.n for entry in await bank.ledger.journal(bank.tenant, "", 10_000)]


def on_disk(bank: Bank, folder: Path) -> list[int]:
    """The numbers that are on disk."""
    return [entry.n for entry in read_archive(folder / bank.tenant)]


async def proven(bank: Bank, folder: Path) -> Verdict:
    """The audit's verdict."""
    return await audit_tenant(bank.ledger, bank.tenant, partial(read_archive, folder / bank.tenant))


@pytest.fixture
async def bank(ledger: RedisLedger, request: pytest.FixtureRequest) -> Bank:
    """A tenant of its own; its journal leaves Redis, so that the test audits it by itself."""
    return Bank(ledger, f"archive-{abs(hash(request.node.name))}")


@pytest.fixture(autouse=True)
def _small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several reads for one sync, and several syncs for one walk."""
    monkeypatch.setattr(service, "SLICE", 3)
    monkeypatch.setattr(service, "BATCH", 9)
    monkeypatch.setattr(service, "LEAST_AGE_MS", 0)
    monkeypatch.setattr(journal, "SLICE", 4)


async def test_the_journal_moves_to_disk_and_leaves_redis(bank: Bank, tmp_path: Path) -> None:
    """After a walk all entries are on disk, none is in Redis, and the books are proven by the files."""
    await bank.open(credit=10_000)
    for number in range(10):
        await talk(bank, f"c{number}")
    await Worker(bank, tmp_path).walk()
    assert on_disk(bank, tmp_path) == list(range(1, 43))
    assert await in_stream(bank) == []
    assert len(list((tmp_path / bank.tenant).iterdir())) > 1
    await talk(bank, "later")
    verdict = await proven(bank, tmp_path)
    assert verdict.findings == ()
    assert (verdict.first, verdict.last, verdict.balance, verdict.held) == (1, 46, 10_000 - 11 * 150, 0)


async def test_young_entries_wait(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that fails may take the ledger's last seconds with it: the disk must not be ahead of it then."""
    monkeypatch.setattr(service, "LEAST_AGE_MS", 60_000)
    await bank.open(credit=10_000)
    await talk(bank, "one")
    (*_, last) = await bank.ledger.journal(bank.tenant, "", 100)
    await asyncio.sleep(0.005)
    await talk(bank, "two")
    worker = Worker(bank, tmp_path)
    for clock_ms, archived in ((last.at_ms, 0), (last.at_ms + 60_000, 6), (last.at_ms + 120_000, 10)):
        worker.ledger.clock_ms = clock_ms
        await worker.walk()
        assert on_disk(bank, tmp_path) == list(range(1, archived + 1))
        assert await in_stream(bank) == list(range(archived + 1, 11))


@pytest.mark.parametrize("is_trimmed", [False, True])
@pytest.mark.parametrize("has_more", [False, True])
async def test_a_worker_killed_around_the_trim_loses_and_doubles_nothing(
    bank: Bank, tmp_path: Path, is_trimmed: bool, has_more: bool
) -> None:
    """Between the sync and the trim, and right after the trim, the next process goes on as if nothing was."""
    await bank.open(credit=10_000)
    await talk(bank, "one")
    await talk(bank, "two")
    worker = Worker(bank, tmp_path)
    worker.ledger.after, worker.ledger.before = (KilledError(), None) if is_trimmed else (None, KilledError())
    with pytest.raises(KilledError):
        await worker.walk()
    assert on_disk(bank, tmp_path) == list(range(1, 10))
    assert await in_stream(bank) == ([10] if is_trimmed else list(range(1, 11)))
    assert (await proven(bank, tmp_path)).findings == ()
    if has_more:
        await talk(bank, "three")
    await Worker(bank, tmp_path).walk()
    assert on_disk(bank, tmp_path) == list(range(1, 15 if has_more else 11))
    assert await in_stream(bank) == []
    assert (await proven(bank, tmp_path)).findings == ()


async def test_a_line_torn_by_the_kill_is_written_again(bank: Bank, tmp_path: Path) -> None:
    """Redis still has what was not whole on disk."""
    await bank.open(credit=10_000)
    await talk(bank, "one")
    worker = Worker(bank, tmp_path)
    worker.ledger.before = KilledError()
    with pytest.raises(KilledError):
        await worker.walk()
    file = tmp_path / bank.tenant / "000000000001.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    await Worker(bank, tmp_path).walk()
    assert on_disk(bank, tmp_path) == list(range(1, 7))
    assert (await proven(bank, tmp_path)).findings == ()


async def test_a_trim_that_could_not_be_asked_is_made_up_for(bank: Bank, tmp_path: Path) -> None:
    """The same worker finds its entries on disk at its next walk, and trims then."""
    await bank.open(credit=10_000)
    worker = Worker(bank, tmp_path)
    worker.ledger.before = LedgerUnavailable("gone")
    with pytest.raises(LedgerUnavailable):
        await worker.walk()
    worker.ledger.before = None
    await worker.walk()
    assert on_disk(bank, tmp_path) == [1, 2]
    assert await in_stream(bank) == []


async def test_two_workers_on_one_folder_write_each_entry_once(bank: Bank, tmp_path: Path) -> None:
    """Whoever is first archives; the other waits, or compares what is there."""
    await bank.open(credit=10_000)
    workers = [Worker(bank, tmp_path), Worker(bank, tmp_path)]
    for number in range(8):
        await asyncio.gather(talk(bank, f"c{number}"), *(worker.walk() for worker in workers))
    await workers[0].walk()
    assert on_disk(bank, tmp_path) == list(range(1, 35))
    assert [worker.tally.faults for worker in workers] == [[], []]
    assert (await proven(bank, tmp_path)).findings == ()


async def test_a_gap_stops_the_tenant_and_trims_nothing(bank: Bank, tmp_path: Path) -> None:
    """Where another gateway archived to a folder of its own, this one says so, once, and leaves Redis as it is."""
    await bank.open(credit=10_000)
    one, other = Worker(bank, tmp_path / "one"), Worker(bank, tmp_path / "other")
    await one.walk()
    await talk(bank, "away")
    await other.walk()
    await talk(bank, "left")
    with capture_logs() as logs:
        await one.walk()
        await one.walk()
    assert [(line["event"], line["tenant"]) for line in logs] == [("archive.broken", bank.tenant)]
    assert "ends with entry 2 and the ledger goes on with 7" in logs[0]["problem"]
    assert one.tally.faults == ["archive_broken"]
    assert await in_stream(bank) == [7, 8, 9, 10]
    verdict = await proven(bank, tmp_path / "one")
    assert str(verdict.findings[0]).endswith("n should be 3, found 7")
    for file in (tmp_path / "other" / bank.tenant).iterdir():
        file.rename(tmp_path / "one" / bank.tenant / file.name)
    assert (await proven(bank, tmp_path / "one")).findings == ()


class FullDisk:
    """Implements ports.Archive: full until it was asked so often."""

    def __init__(self, folder: Path, failures: int) -> None:
        self._real = FileArchive(folder, 2000)
        self.failures = failures

    def keep(self, tenant: str, entries: Sequence[Entry]) -> None:
        """Keep, or say that the disk is full."""
        self.failures -= 1
        if self.failures >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._real.keep(tenant, entries)


async def test_a_full_disk_is_told_once_and_tried_again_with_growing_pauses(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trimmed meanwhile; when there is room, all of it is written."""
    await bank.open(credit=10_000)
    worker = Worker(bank, tmp_path, FullDisk(tmp_path, failures=9))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            assert await in_stream(bank) == [1, 2]
        if len(pauses) == 13:
            raise asyncio.CancelledError

    monkeypatch.setattr(service, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await worker.archiver.run()
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 10, 10, 10]
    assert [line["event"] for line in logs] == ["archive.not_written", "archive.written_again"]
    assert worker.tally.faults == ["archive"]
    assert on_disk(bank, tmp_path) == [1, 2]
    assert await in_stream(bank) == []


@pytest.mark.parametrize(
    ("fault", "event", "faults"),
    [(LedgerUnavailable("gone"), "archive.postponed", []), (KeyError("bug"), "archive.failed", ["archive"])],
)
async def test_a_walk_that_fails_is_told_and_followed_by_the_next(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, event: str, faults: list[str]
) -> None:
    """A ledger out of reach is a warning, a fault of the gateway's own an error; neither ends the worker."""
    await bank.open(credit=10_000)
    worker = Worker(bank, tmp_path)
    worker.ledger.before = fault
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            worker.ledger.before = None
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(service, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await worker.archiver.run()
    assert [line["event"] for line in logs] == [event]
    assert worker.tally.faults == faults
    assert pauses == [10, 10, 10]
    assert await in_stream(bank) == []


async def test_every_type_of_entry_is_proven(bank: Bank, tmp_path: Path) -> None:
    """The ledger's own entries of all types are clean, with lots, included time, debt, expiry and a reversal."""
    ledger, pool = bank.ledger, Pool("national", "2027-01", 600)
    await bank.open(credit=1000, credit_limit_micros=500)
    await ledger.top_up(bank.tenant, "soon", 300, "EUR", "test", await ledger.now_ms(bank.tenant) + 400)
    await ledger.reserve(bank.key("free"), flat((60, 100), (120, 200)), HOUR_MS, "{}", pool=pool)
    await bank.reserve(flat((60, 700)), "mixed")  # all of the lot that expires soon, and some of the other
    await bank.reserve(flat((60, 900)), "limit")  # and the credit limit
    for call in ("free", "mixed", "limit"):
        await bank.answer(call)
    await ledger.extend(bank.key("free"), 1, 0, flat((180, 300), (240, 400)), HOUR_MS, pool=pool)
    await ledger.shrink(bank.key("mixed"), 1, 100, 30, 350, 0, HOUR_MS)
    await bank.settle(2, 900, 60, "limit", estimate=True)
    await bank.top_up(2000)
    await bank.reserve(flat((60, 10)), "rings", validity_ms=1)
    await asyncio.sleep(0.4)
    await ledger.doubt(bank.key("rings"))
    await bank.release("rings")
    await bank.settle(3, 300, 20, "mixed")
    await bank.settle(3, 700, 40, "limit")
    await ledger.top_up(bank.tenant, "late", 50, "EUR", "test", await ledger.now_ms(bank.tenant) + 100)
    await asyncio.sleep(0.11)
    await ledger.tend(bank.tenant)
    await ledger.settle(bank.key("free"), 2, 0, 70, is_estimate=False, included_seconds=70)
    await ledger.register(bank.key("again"), 4, 60, 1900, "1.9", 1, HOUR_MS, "{}")
    await ledger.reverse(bank.tenant, "auto1", "fraud")
    await bank.settle(5, 1800, 60, "again")
    await ledger.open_account(AccountTerms(bank.tenant, "EUR", 100))
    await ledger.close_account(bank.tenant)
    await ledger.reopen_account(bank.tenant)
    await bank.top_up(900)
    entries = await ledger.journal(bank.tenant, "", 1000)
    assert {entry.type for entry in entries} == set(MAY_MOVE)
    assert any(entry.debt and entry.lot == 0 for entry in entries)
    verdict = await proven(bank, tmp_path)
    assert [str(finding) for finding in verdict.findings] == []
    await Worker(bank, tmp_path).walk()
    assert list(read_archive(tmp_path / bank.tenant)) == list(entries)
    assert (await proven(bank, tmp_path)).findings == ()


async def test_a_tenant_that_lives_is_audited_and_archived_under_load(bank: Bank, tmp_path: Path) -> None:
    """Calls run, a worker archives, audits follow each other: each is clean, at whatever entry it looked."""
    await bank.open(credit=10**9)
    worker = Worker(bank, tmp_path, file_bytes=20_000)
    is_over = False

    async def caller(number: int) -> None:
        for turn in range(25):
            await talk(bank, f"c{number}.{turn}")

    async def archive() -> None:
        while not is_over:
            await worker.walk()

    async def audits() -> list[Verdict]:
        verdicts = []
        while not is_over:
            verdicts.append(await proven(bank, tmp_path))
        return verdicts

    beside = [asyncio.create_task(archive()), asyncio.create_task(audits())]
    held = await bank.reserve(flat((60, 77)), "stays")
    assert isinstance(held, Grant)
    await asyncio.gather(*(caller(number) for number in range(20)))
    is_over = True
    _, verdicts = await asyncio.gather(*beside)
    assert [str(finding) for verdict in verdicts or [] for finding in verdict.findings] == []
    last = await proven(bank, tmp_path)
    assert last.findings == ()
    assert (last.last, last.held, last.balance) == (2 + 1 + 20 * 25 * 4, 77, 10**9 - 20 * 25 * 150)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("HINCRBY", "account", "balance", 1), "the account: balance should be 9750, found 9751"),
        (("HINCRBY", "account", "held", 1), "the account: held should be 100, found 101"),
        (("HINCRBY", "account", "charges", 1), "the account: charges should be 250, found 251"),
        (
            ("HSET", "account", "lot:1", "9650 99 0 0 0"),
            "free and held of lot 1 should be (9650, 100), found (9650, 99)",
        ),
        (("HSET", "account", "pool:x|2027-01", 5), "seconds taken of x|2027-01 should be None, found 5"),
        (("HINCRBY", "call:live", "held", 1), "held of live call live should be 100, found 101"),
        (("ZADD", "live", 1, "done"), "held of live call done should be None, found 0"),
        (("ZREM", "live", "live"), "held of live call live should be 100, found None"),
        (("HINCRBY", "account", "entries", 1), "the number of its last entry should be 10, found 11"),
    ],
)
async def test_books_that_were_tampered_with_are_found(
    bank: Bank, tmp_path: Path, command: tuple[str | int, ...], told: str
) -> None:
    """A figure that somebody changed beside the journal is named."""
    await bank.open(credit=10_000)
    await talk(bank, "done")
    await bank.reserve(flat((60, 100)), "live")
    await bank.answer("live")
    await bank.extend(1, 100, flat((120, 200)), "live")
    await bank.ledger.pipe.call("HSET", f"cg:{{{bank.tenant}}}:call:done", "held", 0)
    await bank.release("never")
    assert (await proven(bank, tmp_path)).findings == ()
    name, key, *words = command
    await bank.ledger.pipe.call(str(name), f"cg:{{{bank.tenant}}}:{key}", *words)
    assert told in [part for finding in (await proven(bank, tmp_path)).findings for part in _parts(str(finding))]


def _parts(sentence: str) -> tuple[str, str]:
    return sentence, sentence.removeprefix("the account: ")


async def test_a_tenant_without_an_account_is_clean_and_one_whose_account_is_gone_is_not(
    bank: Bank, tmp_path: Path
) -> None:
    """Nothing was opened yet: nothing is wrong. An archive without an account is a loss."""
    assert (await proven(bank, tmp_path)).findings == ()
    await bank.open(credit=5)
    await Worker(bank, tmp_path).walk()
    await bank.ledger.pipe.call("DEL", f"cg:{{{bank.tenant}}}:account")
    assert "The tenant has no account" in str((await proven(bank, tmp_path)).findings[0])


async def test_without_its_archive_the_journal_is_proven_from_where_redis_has_it(bank: Bank, tmp_path: Path) -> None:
    """The older files are elsewhere: the audit says where it begins, and goes on from there."""
    await bank.open(credit=10_000)
    await bank.reserve(flat((60, 100)), "old")
    await Worker(bank, tmp_path).walk()
    await bank.answer("old")
    await talk(bank, "new")
    await bank.settle(1, 60, call="old")
    verdict = await proven(bank, tmp_path / "elsewhere")
    assert verdict.findings == ()
    assert (verdict.first, verdict.last, verdict.balance) == (4, 9, 10_000 - 150 - 60)


async def test_a_note_that_is_no_text_stops_nothing(bank: Bank, tmp_path: Path) -> None:
    """Bytes that a person wrote beside the gateway are archived as an escape."""
    await bank.open(credit=10_000)
    words = ("n", 3, "type", "terms", "balance", 10_000, "note", b"0 \xff")
    await bank.ledger.pipe.call("XADD", f"cg:{{{bank.tenant}}}:journal", "*", *words)  # type: ignore[arg-type]
    await Worker(bank, tmp_path).walk()
    assert [entry.note for entry in read_archive(tmp_path / bank.tenant)] == ["0 ", "test", "0 \\xff"]


async def test_an_entry_that_cannot_be_read_stops_its_tenant_alone(bank: Bank, tmp_path: Path) -> None:
    """It stays in Redis with all that follows, and the audit names it."""
    await bank.open(credit=10_000)
    await bank.ledger.pipe.call("XADD", f"cg:{{{bank.tenant}}}:journal", "9999999999999-0", "n", "three")
    worker = Worker(bank, tmp_path)
    await worker.walk()
    assert worker.tally.faults == ["archive_broken"]
    await bank.ledger.pipe.call("HSET", f"cg:{{{bank.tenant}}}:account", "entries", 3)
    (finding,) = (await proven(bank, tmp_path)).findings
    assert "n of 9999999999999-0 is no whole number: 'three'" in str(finding)


async def test_an_archive_that_cannot_be_read_is_a_finding(bank: Bank, tmp_path: Path) -> None:
    """A damaged line is named with its file, and where the proof ended."""
    await bank.open(credit=10_000)
    await Worker(bank, tmp_path).walk()
    file = tmp_path / bank.tenant / "000000000001.jsonl"
    lines = file.read_text().splitlines()
    file.write_text(f"{lines[0]}\ngarbage\n")
    (finding,) = (await proven(bank, tmp_path)).findings
    assert str(finding).startswith("the account: what follows entry 1 should be readable, found")
    assert f"{file}, line 2" in str(finding)

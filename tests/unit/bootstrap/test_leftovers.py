"""What processes of another number left behind is booked by those that are there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import leftovers
from gateway.adapters.exposure_file import FILE_NAME, FileExposureStore
from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.settle_queue import FileSettleQueue
from gateway.bootstrap import Gateway
from gateway.borrow import borrowed_ledger
from gateway.core.effects import Register
from gateway.leftovers import Leftovers, lock, try_lock
from gateway.ports import CallKey, Ledger, LedgerUnavailable, Lent, Unsettled
from gateway.service.accounts import open_account
from gateway.settings import Settings, Share, load, part_of
from rating import Ladder
from tests.unit.service.house import Tally, until
from tests.unit.settings.folder import Folder

ENDED, LENT = CallKey("acme", "pbx1/100.1/777"), CallKey("acme", "pbx1/200.1/888")


@asynccontextmanager
async def books(tmp_path: Path) -> AsyncIterator[tuple[Settings, RedisLedger]]:
    """A config, the embedded server as a supervisor has it, and an account with a call that has ended since."""
    folder = Folder(tmp_path / "config", "acme")
    folder.change("gateway.toml", "[[switch]]", "[http]\nport = 0\n[[switch]]\nport = 1")
    settings = load(folder.root, folder.environ)
    async with EmbeddedServer(settings.redis.data_dir), borrowed_ledger(settings) as ledger:
        await open_account(ledger, settings.tenants["acme"])
        await ledger.top_up("acme", "one", 1_000_000, "USD", "test")
        await ledger.reserve(ENDED, Ladder(0, ((60, 60_000),)), 90_000, "{}")
        await ledger.answer(ENDED, "100.2", 1_700_000_000_000, 90_000)
        yield settings, ledger


async def leave(folder: Path) -> None:
    """As a process that was killed leaves it: a call to settle, and one to which something was lent."""
    folder.mkdir(parents=True, exist_ok=True)
    queue, store = FileSettleQueue(folder, Tally()), FileExposureStore(folder, Tally())
    queue.put(Unsettled(ENDED, 1, 9_000, 9, 0, is_estimate=False, answer=None))
    await store.keep(Lent(LENT, Register(0, 60, 60_000, "200.2", 1_700_000_000_000, 90_000, None, 0), "{}"))
    await queue.close()
    await store.close()


def is_empty(folder: Path) -> bool:
    return not list(folder.glob("*.json")) and (folder / FILE_NAME).read_bytes() == b""


@pytest.mark.parametrize("left", ["3", ""], ids=["of four", "of one that was alone"])
async def test_what_is_left_is_booked_before_calls_are_taken_back(tmp_path: Path, left: str) -> None:
    """Settled to the second, and registered, by any of the two that are there now."""
    async with books(tmp_path) as (settings, ledger):
        folder = settings.ledger.queue_dir / left
        await leave(folder)
        async with Gateway(part_of(settings, Share(1, 2, ("pbx1",)))):
            assert is_empty(folder)
            await assert_booked(ledger)


async def test_one_that_is_alone_again_books_what_several_left(tmp_path: Path) -> None:
    """All of their folders are nobody's."""
    async with books(tmp_path) as (settings, ledger):
        folder = settings.ledger.queue_dir / "0"
        await leave(folder)
        await Leftovers(settings.ledger.queue_dir, None, ledger, Tally(), lambda _: None).send()
        assert is_empty(folder)
        await assert_booked(ledger)


async def assert_booked(ledger: RedisLedger) -> None:
    account = await ledger.balance("acme")
    assert (account.charges_micros, account.held_micros) == (9_000, 60_000)


async def test_a_folder_that_somebody_serves_is_left_until_that_one_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of a killed supervisor end in order, and book what they have themselves."""
    monkeypatch.setattr(leftovers, "AGAIN_SECONDS", 0.05)
    async with books(tmp_path) as (settings, ledger):
        root = settings.ledger.queue_dir
        await leave(root / "2")
        held = try_lock(root / "2")
        assert held is not None
        found = Leftovers(root / "0", Share(0, 2, ("pbx1",)), ledger, Tally(), lambda _: None)
        await found.send(patience_seconds=0.1)
        assert not is_empty(root / "2")
        errand = asyncio.create_task(found.run())
        held.close()
        await until(lambda: is_empty(root / "2"), 10)
        errand.cancel()
        await assert_booked(ledger)


async def test_nothing_is_lost_of_what_the_ledger_does_not_take(tmp_path: Path) -> None:
    """It stays where it is, for the next look; a folder of a process of this number is left to that one."""
    async with books(tmp_path) as (settings, ledger):
        root = settings.ledger.queue_dir
        await leave(root / "5")
        await leave(root / "1")
        found = Leftovers(root / "0", Share(0, 2, ("pbx1",)), Silent(), Tally(), lambda _: None)
        with pytest.raises(LedgerUnavailable):
            await found.send()
        assert len(list((root / "5").glob("*.json"))) == 1
        again = try_lock(root / "5")
        assert again is not None
        again.close()
        await Leftovers(root / "0", Share(0, 2, ("pbx1",)), ledger, Tally(), lambda _: None).send()
        assert is_empty(root / "5")
        assert not is_empty(root / "1")


async def test_one_of_several_waits_until_who_served_its_folder_has_ended(tmp_path: Path) -> None:
    """Two processes that write one folder would lose each other's files."""
    first = await lock(tmp_path / "1")
    waiting = asyncio.create_task(lock(tmp_path / "1"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    first.close()
    (await asyncio.wait_for(waiting, 5)).close()


class Silent(Ledger):
    """It is not there."""

    async def settle(self, *_: object, **__: object) -> None:
        """As the real one says it."""
        raise LedgerUnavailable("no answer")

"""The queue on disk: an entry is there as a whole or not at all, and nothing in it is lost."""

import asyncio
import json
import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gateway.adapters.settle_queue import FileSettleQueue
from gateway.core.books import Pool
from gateway.core.effects import RecordAnswer, Register
from gateway.ports import CallKey, Unsettled

from .house import Tally

pytestmark = pytest.mark.asyncio
ENTRY = Unsettled(CallKey("acme", "pbx1/100.1/777"), 3, 70_000, 7, 0, is_estimate=False)
REGISTER = Register(2, 60, 70_000, "100.2", 1_700_000_000_000, 90_000, Pool("plan", "2026-11", 600), 2)
FULL = replace(
    ENTRY,
    is_estimate=True,
    included_seconds=2,
    answer=RecordAnswer("100.2", 1_700_000_000_000, 90_000),
    registration=REGISTER,
    meta='{"some": "meta, \u00fc"}',
)
UNPOOLED = replace(FULL, registration=replace(REGISTER, pool=None))
REGISTRATION = asdict(REGISTER)
POOL = REGISTRATION["pool"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Not made yet."""
    return tmp_path / "some" / "unsettled"


async def restarted(folder: Path, tally: Tally | None = None) -> list[Unsettled]:
    """What another process finds."""
    return list(await FileSettleQueue(folder, tally or Tally()).pending())


async def test_what_was_put_is_there_after_a_restart_until_it_is_done(folder: Path) -> None:
    """All of it, to the last figure; only its owner may read it."""
    assert await restarted(folder) == []
    queue = FileSettleQueue(folder, Tally())
    for entry in (ENTRY, UNPOOLED, FULL):
        queue.put(entry)
        await queue.close()
        assert await restarted(folder) == [entry]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    queue.done(FULL)
    await queue.close()
    assert await restarted(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("call_id", ["../../etc/passwd", "a/b/c", "..", "x" * 200, "%00~;|", "pbx/1/" + "\u00fc" * 99])
async def test_no_call_id_is_a_path(folder: Path, call_id: str) -> None:
    """Whatever it holds, its file is in the folder, and it comes back as it was."""
    queue = FileSettleQueue(folder, Tally())
    entry = replace(ENTRY, key=CallKey("acme", call_id))
    queue.put(entry)
    await queue.close()
    assert await restarted(folder) == [entry]
    (file,) = folder.iterdir()
    assert file.name.removesuffix(".json").isalnum()


async def test_what_is_done_before_its_turn_touches_no_disk(folder: Path) -> None:
    """A short fault of the ledger writes nothing."""
    queue = FileSettleQueue(folder, Tally())
    for number in range(100):
        entry = replace(ENTRY, step=number)
        queue.put(entry)
        queue.done(entry)
    await queue.close()
    assert not folder.exists()


async def test_file_and_folder_are_synced_in_that_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before it has its name, the folder after; first of all, a new folder's own name."""
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().suffix, len(list(folder.glob("*.json")))))

    monkeypatch.setattr(os, "fsync", fsync)
    queue = FileSettleQueue(folder, Tally())
    queue.put(ENTRY)
    await queue.close()
    assert synced == [("", 0), (".new", 0), ("", 1)]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"version": 2}',
        b"[" * 100_000,
        pytest.param(("charge_micros", "70000"), id="an amount in quotes"),
        pytest.param(("charge_micros", 70000.0), id="an amount that is a float"),
        pytest.param(("seconds", True), id="a bool for seconds"),
        pytest.param(("is_estimate", None), id="no bool"),
        pytest.param(("key", {"tenant": "acme"}), id="half a key"),
        pytest.param(("answer", {"leg": 7, "answered_at_ms": 1, "validity_ms": 1}), id="no leg"),
        pytest.param(("registration", {"step": 1}), id="half a registration"),
        pytest.param(("registration", REGISTRATION | {"granted_micros": 1.5}), id="a grant that is no whole number"),
        pytest.param(("registration", REGISTRATION | {"leg": None}), id="a registration without a leg"),
        pytest.param(("registration", REGISTRATION | {"pool": "plan"}), id="a pool that is none"),
        pytest.param(("registration", REGISTRATION | {"pool": POOL | {"size_seconds": "600"}}), id="a pool's size"),
        pytest.param(("meta", {}), id="a meta that is no text"),
    ],
)
async def test_a_damaged_file_is_set_aside_and_told_once(folder: Path, damage: bytes | tuple[str, object]) -> None:
    """It keeps what is in it; the others are read."""
    queue, tally = FileSettleQueue(folder, Tally()), Tally()
    other = replace(ENTRY, key=CallKey("acme", "pbx1/200.1/888"))
    queue.put(ENTRY)
    queue.put(other)
    await queue.close()
    victim = next(file for file in folder.iterdir() if b"100.1" in file.read_bytes())
    if isinstance(damage, tuple):
        damage = json.dumps(json.loads(victim.read_bytes()) | {damage[0]: damage[1]}).encode()
    victim.write_bytes(damage)
    assert await restarted(folder, tally) == [other]
    assert await restarted(folder, tally) == [other]
    assert tally.faults == ["unsettled"]
    assert victim.with_suffix(".damaged").read_bytes() == damage


async def test_a_file_of_before_calls_were_registered_from_it_is_read(folder: Path) -> None:
    """It knows of no registration, and is sent as it is."""
    queue = FileSettleQueue(folder, Tally())
    queue.put(ENTRY)
    await queue.close()
    (file,) = folder.iterdir()
    words = json.loads(file.read_bytes())
    del words["registration"], words["meta"]
    file.write_text(json.dumps(words))
    assert await restarted(folder) == [ENTRY]


async def test_what_the_ledger_will_not_take_is_kept_and_given_out_no_more(folder: Path) -> None:
    """Whether it was on disk before or not."""
    for was_put in (True, False):
        queue = FileSettleQueue(folder, Tally())
        if was_put:
            queue.put(ENTRY)
            await queue.close()
        queue.set_aside(ENTRY)
        await queue.close()
        assert await restarted(folder) == []
        (file,) = folder.iterdir()
        assert json.loads(file.read_bytes())["charge_micros"] == 70_000
        assert file.suffix == ".rejected"


async def test_a_file_that_was_not_finished_is_not_taken(folder: Path) -> None:
    """A machine lost while it wrote leaves a file under another name."""
    folder.mkdir(parents=True)
    (folder / "abc.json.new").write_bytes(b'{"version": 1, "ke')
    tally = Tally()
    assert await restarted(folder, tally) == []
    assert tally.faults == []


async def test_a_disk_that_takes_nothing_is_told(folder: Path) -> None:
    """And what comes after is tried again."""
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in its place")
    tally = Tally()
    queue = FileSettleQueue(folder, tally)
    queue.put(ENTRY)
    await queue.close()
    assert set(tally.faults) == {"unsettled"}
    folder.unlink()
    queue.put(ENTRY)
    await queue.close()
    assert await restarted(folder) == [ENTRY]


async def test_the_loop_turns_while_the_disk_is_slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing is done in a thread."""
    loop = asyncio.get_running_loop()
    turned = asyncio.Event()

    def fsync(_: int) -> None:
        asyncio.run_coroutine_threadsafe(turned.wait(), loop).result(10)

    monkeypatch.setattr(os, "fsync", fsync)
    queue = FileSettleQueue(folder, Tally())
    queue.put(ENTRY)
    await asyncio.sleep(0.02)
    turned.set()
    await queue.close()
    assert await restarted(folder) == [ENTRY]

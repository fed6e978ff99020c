"""What was lent is on disk before it is told: the file of the exposure store."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.adapters import exposure_file
from gateway.adapters.exposure_file import FILE_NAME, FileExposureStore
from gateway.core.books import Pool
from gateway.core.effects import Register
from gateway.ports import CallKey, Lent

from .house import Tally, until


def lent(number: int = 1, *, leg: str = "", seconds: int = 60) -> Lent:
    pool = Pool("minutes", "2026-11", 600, None, 7)
    known = Register(0, seconds, 600_000, leg, 5 if leg else 0, 90_000, pool, 30)
    return Lent(CallKey("acme", f"pbx1/100.{number}/7"), known, '{"number":"1"}')


def store(folder: Path, tally: Tally | None = None) -> FileExposureStore:
    return FileExposureStore(folder / "unsettled", tally or Tally())


async def read(folder: Path, tally: Tally | None = None) -> list[Lent]:
    """What a next process finds."""
    return list(await store(folder, tally).kept())


async def test_the_next_process_reads_all_of_it(tmp_path: Path) -> None:
    """The last line of a call counts; what is over is not there."""
    one = store(tmp_path)
    await asyncio.gather(*(one.keep(lent(number)) for number in range(3)))
    one.note(lent(1, leg="100.9"))
    one.forget(lent(2).key)
    await one.close()
    assert sorted(await read(tmp_path), key=lambda found: found.key.call_id) == [lent(0), lent(1, leg="100.9")]


async def test_nothing_is_read_where_nothing_was_ever_lent(tmp_path: Path) -> None:
    """No file, no folder, no fault."""
    assert await read(tmp_path) == []
    assert not any(tmp_path.iterdir())


async def test_the_file_is_empty_when_nothing_is_lent_any_more(tmp_path: Path) -> None:
    """It does not grow from outage to outage."""
    one = store(tmp_path)
    await one.keep(lent())
    one.forget(lent().key)
    await one.close()
    assert (tmp_path / "unsettled" / FILE_NAME).read_bytes() == b""


async def test_the_file_is_written_anew_when_most_of_its_lines_are_over(tmp_path: Path) -> None:
    """A long outage with many calls that nobody answered fills no disk."""
    one = store(tmp_path)
    await one.keep(lent(0))
    for number in range(1, 1_500):
        await one.keep(lent(number))
        one.forget(lent(number).key)
    await one.close()
    assert len((tmp_path / "unsettled" / FILE_NAME).read_bytes().splitlines()) < 1_100
    assert await read(tmp_path) == [lent(0)]


async def test_what_comes_up_together_shares_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of asks waits for few of them."""
    syncs: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (syncs.append(descriptor), real(descriptor))[1])
    one = store(tmp_path)
    await asyncio.gather(*(one.keep(lent(number)) for number in range(500)))
    assert len(syncs) < 20
    assert len(await read(tmp_path)) == 500


async def test_a_line_that_is_not_whole_was_never_told(tmp_path: Path) -> None:
    """The process died while it wrote it: it is left out, and what comes after is readable."""
    one = store(tmp_path)
    await one.keep(lent(1))
    await one.keep(lent(2))
    file = tmp_path / "unsettled" / FILE_NAME
    file.write_bytes(file.read_bytes()[:-9])
    tally = Tally()
    two = store(tmp_path, tally)
    assert await two.kept() == [lent(1)]
    await two.keep(lent(3))
    assert await read(tmp_path) == [lent(1), lent(3)]
    assert tally.faults == []


@pytest.mark.parametrize("line", [b"{}", b"[]", b"1", b"\xff", b'{"version":2}', b'{"over":[1,2]}'])
async def test_a_damaged_line_is_told_and_kept_aside_and_the_others_are_read(tmp_path: Path, line: bytes) -> None:
    """One sector costs one call, and a person hears of it."""
    one = store(tmp_path)
    await one.keep(lent(1))
    file = tmp_path / "unsettled" / FILE_NAME
    file.write_bytes(line + b"\n" + file.read_bytes())
    tally = Tally()
    assert await read(tmp_path, tally) == [lent(1)]
    assert tally.faults == ["exposure"]
    assert line in file.with_suffix(".damaged").read_bytes()


async def test_a_disk_that_takes_nothing_is_told_to_who_keeps(tmp_path: Path) -> None:
    """And when it takes again, all is written."""
    tally = Tally()
    one = store(tmp_path, tally)
    (tmp_path / "unsettled").write_text("in the way")
    with pytest.raises(OSError, match="unsettled"):
        await one.keep(lent(1))
    assert tally.faults == ["exposure"]
    (tmp_path / "unsettled").unlink()
    await one.keep(lent(2))
    assert await read(tmp_path) == [lent(1), lent(2)]


async def test_what_a_full_disk_did_not_take_is_written_though_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 8711: a call that is over does not stay for a later process to register."""
    monkeypatch.setattr(exposure_file, "RETRY_SECONDS", 0.01)
    one = await over_on_a_full_disk(tmp_path)
    (tmp_path / "unsettled").unlink()
    (tmp_path / "aside").rename(tmp_path / "unsettled")
    assert await read(tmp_path) == [lent(1)]
    await until(lambda: not (tmp_path / "unsettled" / FILE_NAME).read_bytes())
    await one.close()


async def test_what_a_full_disk_did_not_take_is_tried_once_more_at_the_end(tmp_path: Path) -> None:
    """A stop does not wait for the next try."""
    one = await over_on_a_full_disk(tmp_path)
    (tmp_path / "unsettled").unlink()
    (tmp_path / "aside").rename(tmp_path / "unsettled")
    await one.close()
    assert await read(tmp_path) == []


async def over_on_a_full_disk(tmp_path: Path) -> FileExposureStore:
    """A call was lent to, and is over; the second could not be written."""
    tally = Tally()
    one = store(tmp_path, tally)
    await one.keep(lent(1))
    (tmp_path / "unsettled").rename(tmp_path / "aside")
    (tmp_path / "unsettled").write_text("in the way")
    one.forget(lent(1).key)
    await until(lambda: bool(tally.faults))
    return one


LENDER = """
import asyncio, sys
from pathlib import Path
from tests.unit.service.test_exposure_file import lent, store

async def lend():
    one = store(Path(sys.argv[1]))
    async def one_by_one(first):
        for number in range(first, 1_000_000, 20):
            await one.keep(lent(number))
            print(number, flush=True)
            if number % 3 == 0:
                one.forget(lent(number).key)
    await asyncio.gather(*(one_by_one(first) for first in range(20)))

asyncio.run(lend())
"""


async def test_what_was_told_is_there_after_a_kill(tmp_path: Path) -> None:
    """Killed in the midst of it: each call that was told of is found, but for those that were over."""
    child = subprocess.Popen(
        [sys.executable, "-c", LENDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(200)]
    child.kill()
    told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    child.wait()
    found = {one.key for one in await read(tmp_path)}
    assert {lent(number).key for number in told if number % 3} <= found

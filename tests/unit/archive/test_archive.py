"""The archive's files: whatever stops the process or the disk, nothing is lost, nothing is there twice."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.adapters import archive
from gateway.adapters.archive import FileArchive, read_archive
from gateway.core.journal import Entry, to_line
from gateway.ports import ArchiveBrokenError, ArchiveBusyError

TENANT = "acme"
BIG = 10**9


def entries(first: int, last: int, note: str = "") -> list[Entry]:
    """Entries of these numbers."""
    return [Entry(n, "answer", f"{1000 + n}-0", "pbx/1.1/n", note=note) for n in range(first, last + 1)]


def kept(folder: Path) -> list[int]:
    """The numbers that are there."""
    return [entry.n for entry in read_archive(folder / TENANT)]


def files(folder: Path) -> list[str]:
    """Their names, in order."""
    return sorted(path.name for path in (folder / TENANT).iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "deep" / "journal"


def test_entries_come_back_as_they_were(folder: Path) -> None:
    """One line of JSON an entry, in a file named by the first n."""
    FileArchive(folder, BIG).keep(TENANT, entries(1, 5))
    assert list(read_archive(folder / TENANT)) == entries(1, 5)
    assert files(folder) == ["000000000001.jsonl"]
    assert (folder / TENANT / "000000000001.jsonl").read_text().splitlines() == list(map(to_line, entries(1, 5)))


def test_a_full_file_is_followed_by_a_new_one(folder: Path) -> None:
    """A file is left when it has its size; each is named by its first n."""
    one = FileArchive(folder, 1)
    for n in (1, 3, 5):
        one.keep(TENANT, entries(n, n + 1))
    assert files(folder) == ["000000000001.jsonl", "000000000003.jsonl", "000000000005.jsonl"]
    assert kept(folder) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("after", range(8))
def test_it_is_read_from_any_entry_on(folder: Path, after: int) -> None:
    """Files before the one that goes on are not opened."""
    one = FileArchive(folder, 1)
    for n in (1, 3, 5):
        one.keep(TENANT, entries(n, n + 1))
    if after >= 2:
        (folder / TENANT / "000000000001.jsonl").write_text("not opened\n")
    assert [entry.n for entry in read_archive(folder / TENANT, after)] == list(range(after + 1, 7))


@pytest.mark.parametrize("is_new_process", [False, True])
def test_what_is_there_already_is_not_written_again(folder: Path, is_new_process: bool) -> None:
    """The ledger tells again what was archived and not yet forgotten; by its n it is known."""
    one = FileArchive(folder, BIG)
    one.keep(TENANT, entries(1, 5))
    (FileArchive(folder, BIG) if is_new_process else one).keep(TENANT, entries(3, 8))
    (FileArchive(folder, BIG) if is_new_process else one).keep(TENANT, entries(3, 8))
    assert kept(folder) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("torn_bytes", [1, 20, 200])
@pytest.mark.parametrize("rotate_bytes", [1, BIG])
def test_a_torn_last_line_is_cut_off_and_written_again(folder: Path, torn_bytes: int, rotate_bytes: int) -> None:
    """A process that died in the midst of a line leaves a part of it; that is said, and the entry is not lost."""
    FileArchive(folder, rotate_bytes).keep(TENANT, entries(1, 3))
    FileArchive(folder, rotate_bytes).keep(TENANT, entries(4, 4))
    last = folder / TENANT / files(folder)[-1]
    os.truncate(last, last.stat().st_size - torn_bytes)
    assert kept(folder) == [1, 2, 3]
    with capture_logs() as logs:
        FileArchive(folder, rotate_bytes).keep(TENANT, entries(1, 6))
    assert [line["event"] for line in logs] == ["archive.torn_line_cut"]
    assert kept(folder) == [1, 2, 3, 4, 5, 6]
    assert all(name == f"{int(name[:12]):012}.jsonl" for name in files(folder))


def test_a_file_that_was_made_and_never_filled_is_made_again(folder: Path) -> None:
    """A process that died right after it had made a file leaves it empty."""
    FileArchive(folder, 1).keep(TENANT, entries(1, 3))
    (folder / TENANT / "000000000004.jsonl").touch()
    FileArchive(folder, 1).keep(TENANT, entries(4, 5))
    assert kept(folder) == [1, 2, 3, 4, 5]


def overwrite(text: bytes, line: int) -> Callable[[Path], None]:
    """Damage that line of the file."""

    def damage(file: Path) -> None:
        lines = file.read_bytes().splitlines(keepends=True)
        lines[line] = text
        file.write_bytes(b"".join(lines))

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (overwrite(b"\0" * 50 + b"\n", 1), "line 2: "),
        (overwrite(b"\n", 4), "line 5: "),
        (overwrite(b"", 2), "entry 3 should be next, and 4 is"),
    ],
)
def test_more_than_a_torn_line_wants_a_person(folder: Path, damage: Callable[[Path], None], sentence: str) -> None:
    """Whole lines are never cut off: a damaged one stops the archiving, with its file and what to do."""
    FileArchive(folder, BIG).keep(TENANT, entries(1, 5))
    damage(folder / TENANT / "000000000001.jsonl")
    before = (folder / TENANT / "000000000001.jsonl").read_bytes()
    with pytest.raises(ArchiveBrokenError, match=sentence) as caught:
        FileArchive(folder, BIG).keep(TENANT, entries(5, 6))
    assert "000000000001.jsonl" in str(caught.value)
    assert (folder / TENANT / "000000000001.jsonl").read_bytes() == before


@pytest.mark.parametrize("is_new_process", [False, True])
def test_a_gap_is_an_error_and_writes_nothing(folder: Path, is_new_process: bool) -> None:
    """Entries that went elsewhere are missed at once."""
    one = FileArchive(folder, BIG)
    one.keep(TENANT, entries(1, 5))
    with pytest.raises(ArchiveBrokenError, match=r"ends with entry 5 and the ledger goes on with 7: another gateway"):
        (FileArchive(folder, BIG) if is_new_process else one).keep(TENANT, entries(7, 8))
    with pytest.raises(ArchiveBrokenError, match=r"ends with entry 6 and the ledger goes on with 8"):
        one.keep(TENANT, [*entries(6, 6), *entries(8, 8)])
    assert kept(folder) == [1, 2, 3, 4, 5]


def test_an_entry_that_is_another_than_the_ledgers_is_an_error(folder: Path) -> None:
    """A ledger that was set back gives out its numbers again: what it then writes is not taken for archived."""
    one = FileArchive(folder, BIG)
    one.keep(TENANT, entries(1, 5))
    with pytest.raises(ArchiveBrokenError, match=r"Entry 4 is another .* set back"):
        one.keep(TENANT, entries(4, 6, note="another life"))
    assert list(read_archive(folder / TENANT)) == entries(1, 5)


def test_an_archive_may_begin_anywhere_and_says_so(folder: Path) -> None:
    """Where the older files are elsewhere, a new folder goes on from what the ledger has."""
    with capture_logs() as logs:
        FileArchive(folder, BIG).keep(TENANT, entries(50, 52))
    assert [(line["event"], line["first"]) for line in logs] == [("archive.begins_late", 50)]
    assert kept(folder) == [50, 51, 52]


def test_two_processes_never_write_one_folder_at_once(folder: Path) -> None:
    """The second is refused while the first writes, and goes on where that ended."""
    one, other = FileArchive(folder, BIG), FileArchive(folder, BIG)
    other.keep(TENANT, entries(1, 1))
    with one._locked(TENANT), pytest.raises(ArchiveBusyError, match="let one gateway archive"):
        other.keep(TENANT, entries(1, 2))
    one.keep(TENANT, entries(1, 3))
    other.keep(TENANT, entries(2, 4))
    assert kept(folder) == [1, 2, 3, 4]


class Disk:
    """A disk whose call of that number fails; a failing write may have written a part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: int, number: int, part: int = 0) -> None:
        self.calls = 0
        self.failing = failing
        self.number = number
        self.part = part
        self.synced: list[int] = []
        self.written: list[bytes] = []
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(archive, "_write", self.write)

    def _step(self) -> bool:
        self.calls += 1
        return self.calls == self.failing

    def fsync(self, handle: int) -> None:
        """Sync, or fail."""
        if self._step():
            raise OSError(self.number, os.strerror(self.number))
        self._fsync(handle)
        self.synced.append(os.fstat(handle).st_ino)

    def write(self, stream: object, data: bytes) -> None:
        """Write, or fail with a part written."""
        is_failing = self._step()
        stream.write(data[: self.part] if is_failing else data)  # type: ignore[attr-defined]
        self.written.append(bytes(data))
        if is_failing:
            raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("failing", range(1, 15))
@pytest.mark.parametrize("part", [0, 10, 250])
@pytest.mark.parametrize("rotate_bytes", [1, BIG])
def test_a_disk_that_fails_at_any_step_loses_and_doubles_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, failing: int, part: int, rotate_bytes: int
) -> None:
    """Each write and each sync fails in turn: it is told, and the next attempt has all entries once."""
    disk = Disk(monkeypatch, failing, number, part)
    one = FileArchive(folder, rotate_bytes)
    told = []
    for first in (1, 3, 5):
        while True:
            try:
                one.keep(TENANT, entries(1, first + 1))
            except OSError as error:
                told.append(error.errno)
            else:
                break
        assert kept(folder) == list(range(1, first + 2))
    assert told == [number] * (disk.calls >= failing)


def test_what_a_failed_sync_left_behind_is_written_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a sync that failed, a second one proves nothing of the same bytes: the kernel has let them go."""
    one = FileArchive(folder, BIG)
    one.keep(TENANT, entries(1, 2))
    disk = Disk(monkeypatch, 2, errno.EIO)
    with pytest.raises(OSError, match="error"):
        one.keep(TENANT, entries(3, 4))
    one.keep(TENANT, entries(3, 4))
    assert disk.written == ["".join(f"{to_line(entry)}\n" for entry in entries(3, 4)).encode()] * 2
    assert kept(folder) == [1, 2, 3, 4]


def test_a_first_attempt_that_fails_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake disk is one that fails: the test before tests something."""
    Disk(monkeypatch, 1, errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        FileArchive(folder, BIG).keep(TENANT, entries(1, 2))


def test_file_and_folders_are_synced_before_it_returns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file is on disk with its folder, a grown one by itself; an old one is synced when it is found."""
    disk = Disk(monkeypatch, 0, 0)
    FileArchive(folder, BIG).keep(TENANT, entries(1, 2))
    file, own, parent = (path.stat().st_ino for path in (folder / TENANT / files(folder)[0], folder / TENANT, folder))
    assert disk.synced[-3:] == [parent, file, own]
    assert len(disk.synced) == 5  # two folders above were made, too
    disk.synced.clear()
    later = FileArchive(folder, BIG)
    later.keep(TENANT, entries(1, 2))
    assert disk.synced == [file, own, parent]
    later.keep(TENANT, entries(3, 3))
    assert disk.synced == [file, own, parent, file]


def test_a_folder_that_is_not_there_has_no_entries(folder: Path) -> None:
    """Nothing was archived yet."""
    assert list(read_archive(folder / TENANT)) == []
    FileArchive(folder, BIG).keep(TENANT, [])
    assert list(read_archive(folder / TENANT)) == []


def test_other_files_are_left_alone(folder: Path) -> None:
    """What an admin puts there, a packed file say, is neither read nor written."""
    FileArchive(folder, BIG).keep(TENANT, entries(1, 2))
    (folder / TENANT / "000000000001.jsonl.gz").write_text("packed")
    (folder / TENANT / "notes.txt").write_text("mine")
    FileArchive(folder, BIG).keep(TENANT, entries(3, 3))
    assert kept(folder) == [1, 2, 3]

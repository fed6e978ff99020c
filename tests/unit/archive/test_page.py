"""A page of the archive is what a walk through all of it would give, and is found without that walk."""

import random
from itertools import islice
from pathlib import Path

import pytest

from gateway.adapters import archive_page
from gateway.adapters.archive import FileArchive, read_archive
from gateway.adapters.archive_page import FileArchivePage
from gateway.core.journal import Entry
from gateway.ports import ArchiveBrokenError


def entry(n: int) -> Entry:
    """One of those whose times are ten milliseconds apart, two by two."""
    return Entry(n=n, type="topup", entry_id=f"{n // 2 * 10}-{n}", at_ms=n // 2 * 10, note="x" * (n % 50))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries 5 to 3004 of a tenant in files of about 30,000 bytes."""
    folder = tmp_path_factory.mktemp("journal")
    archive = FileArchive(folder, 30_000)
    for start in range(5, 3005, 100):
        archive.keep("acme", [entry(n) for n in range(start, start + 100)])
    assert len(list((folder / "acme").iterdir())) > 10
    return folder


def test_it_is_what_a_walk_gives(folder: Path) -> None:
    """From any number, from any time, at the ends and beyond them."""
    everything = list(read_archive(folder / "acme"))
    page = FileArchivePage(folder)
    chance = random.Random(7)
    places = [(0, 0), (4, 0), (3004, 0), (3003, 0), (9999, 0), (0, 15_020), (0, 15_021), (0, 20)]
    places += [(chance.randrange(3010), 0) for _ in range(100)] + [(0, chance.randrange(15_100)) for _ in range(100)]
    places += [(chance.randrange(3010), chance.randrange(15_100)) for _ in range(100)]
    for after_n, from_ms in places:
        walked = (one for one in everything if one.n > after_n and one.at_ms >= from_ms)
        assert list(page("acme", after_n, from_ms, 7)) == list(islice(walked, 7)), (after_n, from_ms)


def test_it_reads_little(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tens of lines of three thousand, wherever the page is."""
    read: list[bytes] = []
    real = archive_page.read_line

    def counted(line: bytes) -> Entry:
        read.append(line)
        return real(line)

    monkeypatch.setattr(archive_page, "read_line", counted)
    for after_n in (0, 1500, 2990):
        read.clear()
        assert len(FileArchivePage(folder)("acme", after_n, 0, 10)) == 10
        assert len(read) < 80


def test_a_tenant_without_an_archive_has_an_empty_page(tmp_path: Path) -> None:
    """And so has one whose file was made and never filled."""
    assert list(FileArchivePage(tmp_path)("acme", 0, 0, 10)) == []
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "000000000001.jsonl").touch()
    assert list(FileArchivePage(tmp_path)("acme", 0, 0, 10)) == []


def test_a_last_line_without_its_end_is_not_there_yet(tmp_path: Path) -> None:
    """It is being written."""
    FileArchive(tmp_path, 60_000).keep("acme", [entry(1), entry(2)])
    with (tmp_path / "acme" / "000000000001.jsonl").open("ab") as file:
        file.write(b'{"n":3')
    assert [one.n for one in FileArchivePage(tmp_path)("acme", 0, 0, 10)] == [1, 2]


def test_a_broken_line_is_told(tmp_path: Path) -> None:
    """With the file it is in."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "000000000001.jsonl").write_text("nonsense\n")
    with pytest.raises(ArchiveBrokenError, match=r"000000000001\.jsonl"):
        FileArchivePage(tmp_path)("acme", 0, 0, 10)

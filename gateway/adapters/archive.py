"""The journal's archive: JSON lines in ``DIR/TENANT/NNNNNNNNNNNN.jsonl``, each file named by its first entry's n.

A file is only ever appended to; what is there once is there for good. A crash leaves at most a part of a last line,
which is cut off. What is kept is on disk, file and folder, before ``keep`` returns, since the ledger then forgets it.
All of this blocks: it is for a thread.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from gateway.core.journal import Entry, read_line, to_line
from gateway.ports import ArchiveBrokenError, ArchiveBusyError

log = structlog.get_logger(__name__)

_NAME: Final = re.compile(r"([0-9]{12,16})\.jsonl")
_FOLDER_MODE: Final = 0o750
_ANEW: Final = "move all of the folder's files to a safe place, restart, and the archive begins anew"


@dataclass(frozen=True, slots=True)
class _End:
    """Where a tenant's archive ends. ``n`` 0: it is empty."""

    n: int
    file: Path | None
    size_bytes: int


class FileArchive:
    """Implements ``gateway.ports.Archive``. A file that has ``file_bytes`` is followed by a new one."""

    def __init__(self, folder: Path, file_bytes: int) -> None:
        """Nothing is made before the first entry."""
        self._folder = folder
        self._file_bytes = file_bytes
        self._ends: dict[str, _End] = {}

    def keep(self, tenant: str, entries: Sequence[Entry]) -> None:
        """Have these entries on disk; those that are there already are compared and left as they are.

        Raises ArchiveBrokenError for what needs a person, ArchiveBusyError when another process writes, and OSError.
        """
        with self._locked(tenant) as folder:
            end = self._ends.pop(tenant, None)  # known again only when all went well
            if end is None or not _is_as_it_was(folder, end):
                end = _found_end(folder)
            old = [entry for entry in entries if entry.n <= end.n]
            _compare(folder, old)
            new = entries[len(old) :]
            _check_order(folder, end, new)
            self._ends[tenant] = self._append(folder, end, new) if new else end

    def _append(self, folder: Path, end: _End, entries: Sequence[Entry]) -> _End:
        is_full = end.size_bytes >= self._file_bytes
        file = folder / f"{entries[0].n:012}.jsonl" if end.file is None or is_full else end.file
        is_new = file != end.file
        lines = "".join(to_line(entry) + "\n" for entry in entries).encode()
        size_bytes = 0 if is_new else end.size_bytes
        try:
            with file.open("xb" if is_new else "ab", buffering=0) as stream:
                _write(stream, lines)
                os.fsync(stream.fileno())
            if is_new:
                _sync_folder(folder)
        except OSError:
            # After a sync that failed the kernel may take what was written for clean: it must be written anew.
            with contextlib.suppress(OSError):
                os.truncate(file, size_bytes)
            raise
        return _End(entries[-1].n, file, size_bytes + len(lines))

    @contextlib.contextmanager
    def _locked(self, tenant: str) -> Iterator[Path]:
        folder = self._folder / tenant
        _make(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveBusyError(f"Another process writes to {folder}; let one gateway archive.") from None
            yield folder
        finally:
            os.close(handle)  # which ends the lock


def read_archive(folder: Path, after_n: int = 0) -> Iterator[Entry]:
    """All entries of a tenant's folder that are whole, in the order of the files, those up to ``after_n`` left out.

    It may be read while it is written: a last line without its end is not there yet.
    Raises ArchiveBrokenError, OSError.
    """
    files = archive_files(folder)
    later = [file for file in files[1:] if _first_n(file) <= after_n + 1]
    for file in files[len(later) :]:
        for entry, _ in _entries(file):
            if entry.n > after_n:
                yield entry


# ------------------------------------------------------------------------------------------------------ the files


def archive_files(folder: Path) -> list[Path]:
    """Return the files of a tenant's folder in their order; none where there is no folder. Raises OSError."""
    try:
        files = list(folder.iterdir())
    except FileNotFoundError:
        return []
    return sorted((file for file in files if _NAME.fullmatch(file.name)), key=_first_n)


def _first_n(file: Path) -> int:
    return int(file.stem)


def _entries(file: Path) -> Iterator[tuple[Entry, int]]:
    """Each whole line's entry, and where the line ends. Raises ArchiveBrokenError for a line that is none."""
    end_bytes = 0
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            end_bytes += len(line)
            try:
                entry = read_line(line)
            except ValueError as error:
                raise ArchiveBrokenError(f"{file}, line {number}: {error}; {_ANEW}.") from error
            yield entry, end_bytes


def _found_end(folder: Path) -> _End:
    """Where the archive ends, by its last file; that file is read whole, cut after its last whole line, and synced.

    What a process wrote that was killed before its sync may be on no disk yet; and a machine that failed may have
    left anything behind the last sync.
    """
    for file in reversed(archive_files(folder)):
        end = _checked(file)
        if end.size_bytes:
            _sync_folder(folder)
            _sync_folder(folder.parent)
            return end
        file.unlink()  # it was made and never filled
    return _End(0, None, 0)


def _checked(file: Path) -> _End:
    n, size_bytes = _first_n(file) - 1, 0
    for entry, end_bytes in _entries(file):
        if entry.n != n + 1:
            raise ArchiveBrokenError(f"{file}: entry {n + 1} should be next, and {entry.n} is; {_ANEW}.")
        n, size_bytes = entry.n, end_bytes
    with file.open("r+b") as stream:
        torn_bytes = os.fstat(stream.fileno()).st_size - size_bytes
        if torn_bytes:
            log.warning("archive.torn_line_cut", file=str(file), bytes=torn_bytes, last=n)
            stream.truncate(size_bytes)
        os.fsync(stream.fileno())
    return _End(n, file, size_bytes)


def _is_as_it_was(folder: Path, end: _End) -> bool:
    """Tell whether nobody else wrote since."""
    files = archive_files(folder)
    if end.file is None or not files:
        return end.file is None and not files
    return files[-1] == end.file and end.file.stat().st_size == end.size_bytes


def _compare(folder: Path, entries: Sequence[Entry]) -> None:
    """What the ledger has and the archive too must be the same. Raises ArchiveBrokenError."""
    if not entries:
        return
    kept = read_archive(folder, entries[0].n - 1)
    for entry in entries:
        there = next(kept, None)
        if there != entry:
            raise ArchiveBrokenError(
                f"Entry {entry.n} is another in {folder} than in the ledger, which was set back or is not the one that "
                f"was archived here; {_ANEW}."
            )


def _check_order(folder: Path, end: _End, entries: Sequence[Entry]) -> None:
    """Raises ArchiveBrokenError for a gap."""
    last = end.n
    for entry in entries:
        if last and entry.n != last + 1:
            raise ArchiveBrokenError(
                f"{folder} ends with entry {last} and the ledger goes on with {entry.n}: another gateway archives to a "
                f"folder of its own, or files are missing; bring them here, or {_ANEW}."
            )
        last = entry.n
    if not end.n and entries and entries[0].n > 1:
        log.warning("archive.begins_late", folder=str(folder), first=entries[0].n)


def _write(stream: BinaryIO, data: bytes) -> None:
    """All of it: an unbuffered file writes as much as it likes at a time."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(_FOLDER_MODE, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

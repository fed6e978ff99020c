"""One page of the journal's archive, found without reading what comes before it.

The lines of a file are in the order of their n, and so, but for a clock that was set, of their time: a place in a file
is found by halving. What the archive's files are is in ``archive``.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from gateway.adapters.archive import archive_files
from gateway.core.journal import Entry, read_line
from gateway.ports import ArchiveBrokenError

_NEAR_BYTES: Final = 4096  # not halved any further: read line by line


class FileArchivePage:
    """Implements ``gateway.ports.ArchivePage`` on an archive's folder. It may be read while it is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, tenant: str, after_n: int, from_ms: int, most: int) -> Sequence[Entry]:
        """The oldest entries after that number that are not older than that. Raises ArchiveBrokenError, OSError."""

        def is_before(entry: Entry) -> bool:
            return entry.n <= after_n or entry.at_ms < from_ms

        found: list[Entry] = []
        for file in _from_file(archive_files(self._folder / tenant), is_before):
            found += _entries(file, is_before, most - len(found))
            if len(found) >= most:
                break
        return found


def _from_file(files: list[Path], is_before: Callable[[Entry], bool]) -> list[Path]:
    """The files without those that end before the place: the next one begins before it, too."""
    low, high = 0, len(files)
    while high - low > 1:
        middle = (low + high) // 2
        first = next(iter(_entries(files[middle], lambda _: False, 1)), None)
        low, high = (middle, high) if first is not None and is_before(first) else (low, middle)
    return files[low:]


def _entries(file: Path, is_before: Callable[[Entry], bool], most: int) -> list[Entry]:
    with file.open("rb") as stream:
        _seek(stream, is_before)
        whole = (read_whole(line, file) for line in stream if line.endswith(b"\n"))
        return list(islice((entry for entry in whole if not is_before(entry)), most))


def _seek(stream: BinaryIO, is_before: Callable[[Entry], bool]) -> None:
    """Go to a line's begin that is at, or not far before, the first entry that is not before the place."""
    low, high = 0, stream.seek(0, 2)
    while high - low > _NEAR_BYTES:
        middle = (low + high) // 2
        stream.seek(middle)
        stream.readline()  # the rest of a line
        begin, line = stream.tell(), stream.readline()
        if begin < high and line.endswith(b"\n") and is_before(read_whole(line, Path(stream.name))):
            low = begin
        else:
            high = middle
    stream.seek(low)


def read_whole(line: bytes, file: Path) -> Entry:
    """Read a line of a file. Raises ArchiveBrokenError."""
    try:
        return read_line(line)
    except ValueError as error:
        raise ArchiveBrokenError(f"{file}: {error}; `callgate audit` says what of the journal is whole.") from error

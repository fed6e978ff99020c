"""A wall clock that is wrong for one process, and that can jump while it runs: libfaketime, preloaded.

As on a machine whose clock is set, the monotonic clock goes on. Who waits for a time by the wall clock is woken when it
would have been without the jump: libfaketime reckons it when the wait begins.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.ledger.preload import faketime_library


class WrongClock:
    """The clock of one process: its `prefix` goes before the process's command."""

    def __init__(self, folder: Path, *, root: Path = Path("/")) -> None:
        """Keep library and time in a folder; for a process whose root is another one, in a folder below that.

        :raises LabUnavailable: where there is no libfaketime.
        """
        folder.mkdir(parents=True, exist_ok=True)
        assert not set(" :") & set(str(folder)), f"a list of libraries is split there: {folder}"
        library, self._file = folder / "libfaketime.so", folder / "offset"
        if not library.exists():  # a process may have it
            shutil.copyfile(faketime_library(), library)
            self.set(0)
        seen = {path: Path("/") / path.relative_to(root) for path in (library, self._file)}
        self.prefix = (
            "env",
            f"LD_PRELOAD={seen[library]}",
            f"FAKETIME_TIMESTAMP_FILE={seen[self._file]}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )

    def set(self, seconds_off: int) -> None:
        """Be so many seconds off from now on. Renamed: nobody reads half of it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds_off:+d}\n")
        new.rename(self._file)

    def is_of(self, pid: int) -> bool:
        """Whether a process has it."""
        return "libfaketime" in Path(f"/proc/{pid}/maps").read_text()

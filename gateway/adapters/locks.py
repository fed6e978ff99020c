"""Files that are locked for as long as a process lives: the kernel drops the lock with its holder."""

import fcntl
from pathlib import Path
from typing import IO


def locked(path: Path, *, shared: bool = False) -> IO[bytes] | None:
    """Open and lock a file for as long as it is open, here or in a child; None when it is locked. Raises OSError.

    ``shared``: with all others who share it.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file

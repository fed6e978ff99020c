"""A small disk of a test's own, that can be filled up and have room made on it: a tmpfs, mounted by root."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Self

MEGABYTES = 8
_PIECE_BYTES = 65_536


class SmallDisk:
    """In a block, a folder is a file system of so many megabytes."""

    def __init__(self, folder: Path, megabytes: int = MEGABYTES) -> None:
        self.folder = folder
        self._megabytes = megabytes
        self._ballast = folder / "ballast"

    def mount(self) -> Self:
        """Mount it.

        :raises RuntimeError: where this process may not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        size = f"size={self._megabytes}m"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "callgate-lab", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"a disk of the test's own cannot be mounted here: {done.stderr.strip()}")
        return self

    def unmount(self) -> None:
        """Take it away, at the latest when nobody uses it any more."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False)

    def fill(self) -> None:
        """Leave not one byte free. A file's last page takes what fits into it all the same, as on any disk."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for piece in (_PIECE_BYTES, 1):
                _write_until_full(ballast.fileno(), b"\0" * piece)

    def make_room(self) -> None:
        """Free what was filled."""
        self._ballast.unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        """What is left."""
        told = os.statvfs(self.folder)
        return told.f_bavail * told.f_bsize

    def __enter__(self) -> Self:
        return self.mount()

    def __exit__(self, *_: object) -> None:
        self.unmount()


def _write_until_full(descriptor: int, piece: bytes) -> None:
    try:
        while os.write(descriptor, piece) == len(piece):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise

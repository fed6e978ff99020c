"""A server whose process can be killed, and a machine that can be lost under it.

A killed process leaves what it wrote in the page cache. A lost machine leaves what was on disk, and that is modelled
from the notes of a shim in the server (shim/fsync_log.c), and of the gateway's own syncs, for the folder of the
append-only file:

- a file has the bytes that were there when its last finished fsync or fdatasync began. Of the file that is appended to,
  a part of what came later may be there too, cut anywhere;
- the folder has the names of its last finished fsync, or those that were seen last: a file system may have written
  its names by itself. A file that was replaced or deleted since comes back.

Not modelled: a disk that loses what it said was synced, and a file system that leaves zeros or old blocks behind a
file's synced end.
"""

import asyncio
import errno
import fcntl
import os
import shlex
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

from gateway.adapters.redis import embedded
from gateway.adapters.redis.embedded import EmbeddedServer


@dataclass
class Notes:
    """What the shim has noted, read from its log."""

    synced: dict[int, int] = field(default_factory=dict)  # by inode
    names: dict[str, int] = field(default_factory=dict)  # of the folder, by its last sync

    @classmethod
    def read(cls, log: Path, folder: Path) -> "Notes":
        """Read the notes of one folder."""
        notes = cls()
        is_ours = False
        for line in log.read_text().splitlines():
            what, *words = line.split(" ", 2)
            if what == "file":
                notes.synced[int(words[0])] = max(notes.synced.get(int(words[0]), 0), int(words[1]))
            elif what == "cut":
                notes.synced[int(words[0])] = min(notes.synced.get(int(words[0]), 0), int(words[1]))
            elif what == "folder":
                is_ours = line.split(" ", 1)[1] == str(folder)
                notes.names = {} if is_ours else notes.names
            elif what == "name" and is_ours:
                notes.names[words[1]] = int(words[0])
        return notes

    def write(self, log: Path, folder: Path) -> None:
        """Begin the log anew."""
        files = [f"file {inode} {length}" for inode, length in self.synced.items()]
        names = [f"name {inode} {name}" for name, inode in self.names.items()]
        log.write_text("\n".join([*files, f"folder {folder}", *names, "end", ""]))


class Disk:
    """The folder of the append-only file, and what of it is on disk."""

    def __init__(self, home: Path) -> None:
        self.folder = home.resolve() / "data" / "appendonlydir"
        self._log, self._kept = home.resolve() / "synced.log", home.resolve() / "kept"
        self._kept.mkdir()
        self._turn, self._is_going = threading.Lock(), False
        self.settings = {"FSYNC_LOG": str(self._log), "FSYNC_KEEP": str(self._kept)}

    @contextmanager
    def note_own_syncs(self) -> Iterator[None]:
        """The gateway syncs the files too: note what this process syncs, as the shim does in the server."""
        sync = os.fdatasync

        def fdatasync(descriptor: int) -> None:
            before = os.fstat(descriptor)
            sync(descriptor)
            with self._turn:
                if self._is_going:
                    raise OSError(errno.EIO, "the machine is lost")
                with self._log.open("a") as log:
                    log.write(f"file {before.st_ino} {before.st_size}\n")

        with mock.patch.object(os, "fdatasync", fdatasync):
            yield

    def go(self) -> None:
        """From now on nothing is synced any more."""
        with self._turn:
            self._is_going = True

    def lose(self, rng: Random) -> int:
        """Leave what a lost machine leaves; return how many bytes are gone. Its server must be dead."""
        notes = Notes.read(self._log, self.folder)
        assert notes.names, "the shim has noted nothing: was it loaded?"
        seen = {path.name: path.stat().st_ino for path in self.folder.iterdir()}
        paths = {path.stat().st_ino: path for place in (self._kept, self.folder) for path in place.iterdir()}
        names = rng.choice([notes.names, seen])
        appended = max((name for name in names if name.endswith(".incr.aof")), key=_sequence)
        restored = self.folder.with_name("restored")
        restored.mkdir(mode=0o755)
        lost, left = 0, Notes()
        for name, inode in names.items():
            size, length = paths[inode].stat().st_size, notes.synced.get(inode, 0)
            length = min(size, length)
            if name == appended and rng.random() < 0.5:
                length = rng.randint(length, size)
            shutil.copyfile(paths[inode], restored / name)
            os.truncate(restored / name, length)
            lost += size - length
            left.names[name] = (restored / name).stat().st_ino
            left.synced[left.names[name]] = length
        self._begin_anew(restored, left)
        self._is_going = False
        return lost

    def _begin_anew(self, restored: Path, left: Notes) -> None:
        shutil.rmtree(self.folder)
        restored.rename(self.folder)
        for path in self._kept.iterdir():
            path.unlink()
        left.write(self._log, self.folder)


def _sequence(name: str) -> int:
    """appendonly.aof.SEQUENCE.incr.aof."""
    return int(name.split(".")[-3])


class CrashServer:
    """An embedded server with libraries preloaded, which can be killed and lost."""

    def __init__(
        self, home: Path, *, appendfsync: str, preload: list[Path], settings: dict[str, str] | None = None
    ) -> None:
        self.disk = Disk(home)
        self._server = EmbeddedServer(home / "data", appendfsync=appendfsync)
        self._lock = home / "data" / "server.lock"
        self.url = self._server.url
        words = {"LD_PRELOAD": ":".join(map(str, preload)), **self.disk.settings, **(settings or {})}
        assignments = [f"{name}={value}" for name, value in words.items()]
        self._wrapper = home / "server"
        self._wrapper.write_text(f'#!/bin/sh\nexec env {shlex.join([*assignments, embedded.server_program()])} "$@"\n')
        self._wrapper.chmod(0o700)

    async def start(self) -> None:
        """Start it on what is there."""
        with mock.patch.object(embedded, "server_program", return_value=str(self._wrapper)):
            await self._server.start()

    async def stop(self) -> None:
        """End it in peace."""
        await self._server.stop()

    def kill(self) -> None:
        """Kill its process; a child that rewrites the file lives on."""
        os.kill(self._server.pid, signal.SIGKILL)

    def stop_machine(self) -> None:
        """Kill it and its children, and let nobody sync any more; then ``lose``."""
        self.disk.go()
        os.killpg(self._server.pid, signal.SIGKILL)  # it has a session of its own

    async def lose(self, rng: Random) -> int:
        """Forget what the stopped machine had not synced; return how many bytes are gone."""
        await self.has_ended()
        return self.disk.lose(rng)

    async def has_ended(self) -> None:
        """Wait until neither it nor a child of it can write any more: its lock is free."""
        while True:
            with self._lock.open("ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(0.005)
                else:
                    return

"""Threads of a running Asterisk that stand still while all its others run: those of the gateway's manager sessions.

Asterisk has a thread for each manager session; it reads the actions and writes the events. It is stopped by ptrace,
alone, while it waits in poll() for the session's socket: there it holds no lock, so what stands still is that session
only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import threading
import time
from pathlib import Path
from typing import Final

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_DETACH: Final = 17
_WALL: Final = 0x40000000
# poll and ppoll, by what the kernel calls the machine.
_POLLS: Final = {"x86_64": ("7", "271"), "aarch64": ("73",)}
_TRIES: Final = 200

_libc = ctypes.CDLL(None, use_errno=True)


class CannotTrace(Exception):  # noqa: N818 (a lack of this machine)
    """This machine lets nobody stop a single thread."""


class StalledThreads:
    """Stops the threads that serve the manager sessions of one client, until told otherwise.

    A thread belongs to its tracer, which is a thread too: one of our own does all of it.
    """

    def __init__(self, pid: int, manager_port: int, client_pid: int) -> None:
        """Of the Asterisk of that process id, the sessions at its manager port that the client process has open."""
        self._pid = pid
        self._manager_port = manager_port
        self._client_pid = client_pid
        self._is_stopped = threading.Event()
        self._may_end = threading.Event()
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None
        self.threads: list[int] = []

    def stop(self) -> None:
        """Stop them.

        :raises CannotTrace: where that is not allowed here.
        """
        self._is_stopped.clear()
        self._may_end.clear()
        self._thread = threading.Thread(target=self._hold, name="stalls-a-thread", daemon=True)
        self._thread.start()
        self._is_stopped.wait(10)
        if self._fault is not None:
            raise self._fault
        assert self.threads, "no thread of Asterisk waits for a session of that client"

    def go_on(self) -> None:
        """Let them run again."""
        self._may_end.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    def states(self) -> list[str]:
        """How the kernel sees them: `t` is stopped by a tracer."""
        return [_field(self._pid, thread, "State")[:1] for thread in self.threads]

    def _hold(self) -> None:
        try:
            sockets = sessions(self._pid, self._manager_port, self._client_pid)
            self.threads = [_stop(self._pid, descriptor) for descriptor in sockets]
        except BaseException as fault:  # noqa: BLE001 - it is the caller's to see
            self._fault = fault
        self._is_stopped.set()
        self._may_end.wait()
        for thread in self.threads:
            with contextlib.suppress(OSError):  # Asterisk has ended
                _ptrace(_DETACH, thread)


def sessions(pid: int, manager_port: int, client_pid: int) -> list[int]:
    """The descriptors, in a server, of the connections that a client process has to one of its ports."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {(_port(row[1]), _port(row[2])): row[9] for row in rows}
    of_client, of_server = _sockets(client_pid), _sockets(pid)
    found = []
    for (here, there), inode in inodes.items():
        if there == manager_port and inode in of_client:
            found.append(of_server[inodes[(there, here)]])
    return found


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _sockets(pid: int) -> dict[str, int]:
    """Descriptors of a process by the inode of their socket."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(link.readlink())
            if target.startswith("socket:["):
                found[target[8:-1]] = int(link.name)
    return found


def _stop(pid: int, descriptor: int) -> int:
    """Stop the thread that waits for this descriptor; return its id."""
    for _ in range(_TRIES):
        for task in Path(f"/proc/{pid}/task").iterdir():
            thread = int(task.name)
            if not _polls(pid, thread, descriptor):
                continue
            _ptrace(_SEIZE, thread)
            _ptrace(_INTERRUPT, thread)
            os.waitpid(thread, _WALL)
            if _polls(pid, thread, descriptor):
                return thread
            _ptrace(_DETACH, thread)  # it was woken just then, and may hold a lock
        time.sleep(0.001)
    raise AssertionError(f"no thread of {pid} waits for descriptor {descriptor}")


def _polls(pid: int, thread: int, descriptor: int) -> bool:
    """Whether a thread waits in poll() for this descriptor alone."""
    try:
        words = Path(f"/proc/{pid}/task/{thread}/syscall").read_text().split()
        if words[0] not in _POLLS.get(os.uname().machine, ()) or int(words[2], 16) != 1:
            return False
        with Path(f"/proc/{pid}/mem").open("rb") as memory:
            memory.seek(int(words[1], 16))
            return bool(struct.unpack("i", memory.read(4))[0] == descriptor)
    except OSError:
        return False


def _field(pid: int, thread: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""


def _ptrace(request: int, thread: int) -> None:
    """Raises CannotTrace where it is not allowed, OSError else."""
    _libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    if _libc.ptrace(request, thread, None, None) == -1:
        number = ctypes.get_errno()
        if number in {1, 13}:
            raise CannotTrace(f"ptrace: {os.strerror(number)}: a single thread cannot be stopped on this machine")
        raise OSError(number, os.strerror(number))

"""The process that starts the others: tiny programs in place of gateways, that say what those would."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import supervisor
from gateway.adapters.systemd import Supervisor
from gateway.child import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STEADY_SECONDS, Patience
from gateway.settings import Machine, Seat, shares
from gateway.settings.loader import RedisSettings
from gateway.supervisor import Processes, ProcessesError
from tests.unit.processes.machine import is_alive, until

WIRE = "import os, socket, sys; wire = socket.socket(fileno=0); "
LIVES = "wire.send(b'READY=1'); wire.recv(1)"
TOLD_TO_RELOAD = (
    "import signal; "
    "signal.signal(signal.SIGHUP, lambda *_: (wire.send(b'RELOADING=1'), wire.send(b'READY=1'))); "
    "wire.send(b'READY=1')\nwhile wire.recv(1): pass"
)
DIES_AT_ONCE = "sys.exit(3)"


class Systemd(Supervisor):
    """Keeps what it is told; ``watchdog_us``: as systemd would say."""

    def __init__(self, watchdog_us: int = 0) -> None:
        super().__init__({})
        self.told: list[str] = []
        self._watchdog_us = watchdog_us

    def _send(self, words: bytes) -> None:
        self.told.append(words.decode())


def program(*lives: str) -> Callable[[Machine, Seat], Sequence[str]]:
    """What each process does, in the order of their numbers."""
    return lambda _machine, seat: (sys.executable, "-S", "-c", WIRE + lives[seat.share.number])


def machine(tmp_path: Path) -> Machine:
    seats = tuple(
        Seat(share, tmp_path / str(share.number) / "control.sock", 0, 0) for share in shares(["pbx1", "pbx2"], 2)
    )
    redis = RedisSettings("redis://127.0.0.1:1", tmp_path / "redis")
    return Machine(tmp_path, "east", tmp_path / "queue", redis, tmp_path / "control.sock", seats, "gates all")


@asynccontextmanager
async def running(tmp_path: Path, systemd: Supervisor, *lives: str) -> AsyncIterator[tuple[Processes, asyncio.Event]]:
    """Processes, and whether they have failed."""
    failed = asyncio.Event()
    async with Processes(machine(tmp_path), systemd, failed.set, program(*lives)) as processes:
        yield processes, failed


async def test_systemd_hears_ready_once_all_are_and_a_reload_until_all_have_done_it(tmp_path: Path) -> None:
    """So ``systemctl start`` returns when each process gates."""
    systemd = Systemd()
    async with running(tmp_path, systemd, TOLD_TO_RELOAD, TOLD_TO_RELOAD) as (processes, _):
        await until(lambda: systemd.told, 10)
        ready = ["READY=1\nSTATUS=gates all, by 2 processes"]
        assert systemd.told == ready
        processes.reload()
        await until(lambda: len(systemd.told) == 3, 10)
        assert systemd.told == [*ready, "RELOADING=1\nSTATUS=reads the config again", *ready]
        pids = [child.pid for child in processes.children]
    assert not any(map(is_alive, pids))


async def test_one_that_dies_is_begun_anew_and_the_other_is_left_alone(tmp_path: Path) -> None:
    """It has what it had before: the same share, and so the same name and folder."""
    async with running(tmp_path, Systemd(), LIVES, LIVES) as (processes, failed):
        first, second = processes.children
        await until(lambda: first.is_ready and second.is_ready, 10)
        pid, other = first.pid, second.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: first.starts == 2 and first.is_ready, 10)
        assert first.pid != pid
        assert (second.pid, second.starts, failed.is_set()) == (other, 1, False)


async def test_one_that_cannot_start_at_all_ends_the_others(tmp_path: Path) -> None:
    """A port that is taken, say: as with a gateway that is alone, the command fails and says why."""
    async with running(tmp_path, Systemd(), LIVES, DIES_AT_ONCE) as (processes, failed):
        await asyncio.wait_for(failed.wait(), 10)
    assert processes.problem == "Process 1 could not start (exit code 3): what it said itself is above."
    assert [child.pid for child in processes.children] == [0, 0]


async def test_one_whose_loop_hangs_is_killed_where_systemd_would_kill_it(tmp_path: Path) -> None:
    """It says nothing for as long as the unit's WatchdogSec; one that says that it is alive is left."""
    speaks = "import time\nwire.send(b'READY=1')\nwhile True: wire.send(b'WATCHDOG=1'); time.sleep(0.1)"
    async with running(tmp_path, Systemd(watchdog_us=3_000_000), speaks, LIVES) as (processes, _):
        first, second = processes.children
        await until(lambda: second.starts == 2, 20)
        assert first.starts == 1


async def test_one_that_never_gets_ready_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody asked for a watchdog."""
    monkeypatch.setattr(supervisor, "START_SECONDS", 1.0)
    monkeypatch.setattr(supervisor, "START_LOOK_SECONDS", 0.1)
    async with running(tmp_path, Systemd(), LIVES, "wire.recv(1)") as (processes, failed):
        await asyncio.wait_for(failed.wait(), 30)
    assert "Process 1 could not start (signal 9)" in processes.problem


async def test_a_config_is_served_once(tmp_path: Path) -> None:
    """Two supervisors would start each process twice."""
    async with running(tmp_path, Systemd(), LIVES, LIVES):
        with pytest.raises(ProcessesError, match="already: stop that one"):
            async with running(tmp_path, Systemd(), LIVES, LIVES):
                pass


def test_who_dies_again_and_again_is_waited_for_longer() -> None:
    """Up to a bound; once one has lived for a while, the next death is a first one."""
    patience = Patience()
    pauses = [patience.after(0.1) for _ in range(10)]
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert patience.after(STEADY_SECONDS) == FIRST_PAUSE_SECONDS

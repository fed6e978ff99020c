"""What a supervisor hears of callgate: a real datagram socket, a real process."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.systemd import Supervisor

REPOSITORY = Path(__file__).parents[3]
UNIT = REPOSITORY / "config" / "systemd" / "callgate.service"
CALLGATE = Path(sys.executable).parent / "callgate"
GATEWAY = """state_dir = "../state"
[http]
port = 0
[journal]
archive = false
"""


class Systemd:
    """The other end."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.settimeout(20)

    def hear(self, word: str) -> str:
        """Wait for a message that begins so; the whole of it."""
        while True:
            told = self.socket.recv(4096).decode()
            if told.startswith(word):
                return told


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """Listens."""
    end = Systemd(tmp_path)
    yield end
    end.socket.close()


def test_a_process_tells_its_whole_life(systemd: Systemd, tmp_path: Path) -> None:
    """Ready when it is, alive until it stops, reloading for as long as that lasts, stopping before it has stopped."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "tenants").mkdir()
    (folder / "gateway.toml").write_text(GATEWAY)
    told = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "300000"}
    log = (tmp_path / "log").open("wb")
    command = [CALLGATE, "serve", "--config", folder]
    process = subprocess.Popen(command, env={**os.environ, **told}, stdout=log, stderr=log)
    try:
        assert systemd.hear("READY=1") == "READY=1\nSTATUS=gates 0 switches for 0 tenants"
        for _ in range(3):
            systemd.hear("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        systemd.hear("RELOADING=1")
        systemd.hear("READY=1")
        process.terminate()
        systemd.hear("STOPPING=1")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "9000000"}, 3.0),
        ({"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_it_is_watched_when_systemd_says_so(environ: dict[str, str], seconds: float | None) -> None:
    """Three times in the watchdog's time; not when another process is meant, or the time is none."""
    assert Supervisor({"NOTIFY_SOCKET": "/nowhere", **environ}).alive_seconds == seconds


def test_without_a_supervisor_nothing_is_told() -> None:
    """Nor does it matter that one is gone, or that its watchdog's time was inherited."""
    alone = Supervisor({"WATCHDOG_USEC": "9000000"})
    alone.ready("")
    assert alone.alive_seconds is None
    Supervisor({"NOTIFY_SOCKET": "/nowhere/at/all"}).stopping()
    Supervisor({"NOTIFY_SOCKET": "@callgate-no-such-supervisor"}).stopping()


def test_the_unit_waits_for_what_is_told() -> None:
    """Its type, its watchdog and its commands are those that the program knows."""
    settings = dict(re.findall(r"^([A-Z]\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert settings["Type"] == "notify"
    assert settings["WatchdogSec"] == "10s"
    assert settings["ExecStart"].endswith("/callgate serve")
    assert settings["ExecReload"].endswith("/callgate reload")

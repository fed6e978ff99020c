"""The shipped unit, run by a real systemd, with all that it forbids."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .boot import Booted, booted, why_not

REPOSITORY = Path(__file__).parents[3]
UNIT = REPOSITORY / "config" / "systemd" / "callgate.service"
GATEWAY = """state_dir = "/var/lib/callgate"
[http]
port = 0
"""
ALL_COMMANDS = "cat /proc/[0-9]*/cmdline"

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can be done")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Booted]:
    """Runs callgate with an embedded ledger and no switch."""
    config = tmp_path / "config"
    (config / "tenants").mkdir(parents=True)
    (config / "gateway.toml").write_text(GATEWAY)
    work = tmp_path / "work"
    work.mkdir()
    with booted(work, UNIT, config, REPOSITORY) as running:
        running.wait_for("ActiveState", "active")
        yield running


def test_it_runs_is_reloaded_and_stops(systemd: Booted) -> None:
    """Confined as the unit says, and it ends its ledger before it ends itself."""
    assert systemd.fact("StatusText") == "gates 0 switches for 0 tenants"
    assert "valkey-server" in systemd.run("sh", "-c", ALL_COMMANDS)
    status = systemd.run("cat", f"/proc/{systemd.fact('MainPID')}/status")
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    assert "CapBnd:\t0000000000000000" in status
    assert systemd.run("systemctl", "reload", "callgate") == ""
    assert "config.reloaded" in systemd.out.read_text()
    systemd.run("systemctl", "stop", "callgate")
    assert (systemd.fact("ActiveState"), systemd.fact("Result")) == ("inactive", "success")
    assert "gateway.stopped" in systemd.out.read_text()
    assert "valkey-server" not in systemd.run("sh", "-c", ALL_COMMANDS)


@pytest.mark.parametrize("number", ["KILL", "STOP"])
def test_it_is_begun_anew(systemd: Booted, number: str) -> None:
    """When it was killed, and when its event loop does not turn."""
    before = systemd.fact("MainPID")
    systemd.run("kill", f"-{number}", before)
    systemd.wait_for("NRestarts", "1")
    systemd.wait_for("ActiveState", "active")
    assert systemd.fact("MainPID") != before
    assert systemd.fact("StatusText") == "gates 0 switches for 0 tenants"


def test_systemd_finds_nothing_wrong_with_it() -> None:
    """But that the program is not installed where an admin has it."""
    told = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False).stderr
    assert [line for line in told.splitlines() if "is not executable" not in line] == []

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


def test_the_nightly_audit_may_give_way_to_all_else(systemd: Booted) -> None:
    """A process of the unit may lower its own priority: else the audit would have verdicts wait."""
    assert {"setpriority", "sched_setscheduler"} <= set(systemd.fact("SystemCallFilter").split())
    assert systemd.fact("RestrictRealtime") == "yes"


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


TWO = """[gateway]
processes = 2
[journal]
archive = false
[[switch]]
name = "pbx1"
port = 1
secret = "a"
[[switch]]
name = "pbx2"
port = 1
secret = "a"
"""
PARTS = "for each in $(grep -la -e --shar[e] /proc/[0-9]*/cmdline); do echo $each; done"


@pytest.mark.full
def test_one_of_several_processes_is_begun_anew_and_systemd_stays_out_of_it(tmp_path: Path) -> None:
    """When it was killed, and when its event loop does not turn; at the stop none is left."""
    config = tmp_path / "config"
    (config / "tenants").mkdir(parents=True)
    (config / "gateway.toml").write_text(GATEWAY + TWO)
    work = tmp_path / "work"
    work.mkdir()
    with booted(work, UNIT, config, REPOSITORY) as systemd:
        systemd.wait_for("ActiveState", "active")
        assert systemd.fact("StatusText") == "gates 2 switches for 0 tenants, by 2 processes"
        for starts, number in ((3, "KILL"), (4, "STOP")):
            before = parts_of(systemd)
            assert len(before) == 2
            systemd.run("kill", f"-{number}", before[0])
            systemd.wait_for_lines("gateway.started", starts)
            assert before[0] not in parts_of(systemd)
            assert before[1] in parts_of(systemd)
        assert systemd.fact("NRestarts") == "0"
        systemd.run("systemctl", "stop", "callgate")
        assert (systemd.fact("ActiveState"), systemd.fact("Result")) == ("inactive", "success")
        assert parts_of(systemd) == []
        assert "valkey-server" not in systemd.run("sh", "-c", ALL_COMMANDS)


def parts_of(systemd: Booted) -> list[str]:
    """Their pids."""
    return sorted(word.split("/")[2] for word in systemd.run("sh", "-c", PARTS).split())


def test_systemd_finds_nothing_wrong_with_it() -> None:
    """But that the program is not installed where an admin has it."""
    told = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False).stderr
    assert [line for line in told.splitlines() if "is not executable" not in line] == []

"""The harness itself: instances are apart, leave nothing behind, and carry the load that later tests need."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.lab import build
from tests.lab.ami_probe import AmiProbe, AmiRefused, BareHook, allow
from tests.lab.asterisk import SHIPPED, Asterisk, knows_new_filters, with_old_filters
from tests.lab.process import alive, wait_for
from tests.lab.sipp import Carrier, Phone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab

NUMBER = "18005551212"


def test_it_loads_the_shipped_files(lab_root: Path) -> None:
    """Asterisk reads byte for byte what config/asterisk ships, on an older one with the older form of the filters."""
    with Asterisk(lab_root) as asterisk:
        is_old = not knows_new_filters(asterisk.version())
        for shipped in SHIPPED.glob("*.conf"):
            text = shipped.read_text()
            wanted = with_old_filters(text) if is_old and shipped.name == "manager-callgate.conf" else text
            assert (asterisk.dir / "etc" / shipped.name).read_text() == wanted
        assert "authorize" in asterisk.cli("dialplan show callgate")
        assert "ERROR" not in asterisk.cli("dialplan reload")


_GATE = "#include extensions-callgate.conf\n"
_GLOBALS = "[globals]\nOWN = yes\n"


@pytest.mark.parametrize(
    ("extensions", "own"),
    [(_GLOBALS + _GATE, "yes"), (_GATE, ""), (_GATE + _GLOBALS, "yes")],
    ids=["after the site's globals", "without any", "before them"],
)
def test_globals_merge(lab_root: Path, extensions: str, own: str) -> None:
    """The gate's settings and the site's own globals both load, wherever the include stands."""
    with Asterisk(lab_root, files={"extensions.conf": extensions}) as asterisk:
        values = [asterisk.probe.action("Getvar", Variable=name).get("Value") for name in ("OWN", "CALLGATE_WAIT")]
        assert values == [own, "3"]


@pytest.mark.parametrize(
    ("version", "is_new"),
    [
        ("16.28.0", False),
        ("18.25.0", False),
        ("18.26.0", True),
        ("19.8.1", False),
        ("20.10.1", False),
        ("20.11.0", True),
        ("21.5.0", False),
        ("21.6.0", True),
        ("22.0.0", False),
        ("22.1.0", True),
        ("22.10.1~dfsg", True),
        ("23.0.0", True),
    ],
)
def test_the_form_of_the_filters_follows_the_version(version: str, is_new: bool) -> None:
    """Each series has the newer form from one release on; 16, 17 and 19 ended without it."""
    assert knows_new_filters(f"Asterisk {version}") is is_new


def test_filters_of_the_older_form(lab_root: Path, tmp_path: Path) -> None:
    """The regular expressions that stand in manager-callgate.conf for older versions let the same events through."""
    text = with_old_filters((SHIPPED / "manager-callgate.conf").read_text())
    with (
        Asterisk(lab_root, files={"manager-callgate.conf": text}) as asterisk,
        Carrier(asterisk, tmp_path, talk_ms=50),
        BareHook(asterisk.ami_port, asterisk.secret, allow(60_000)) as hook,
        Phone(asterisk, tmp_path, [NUMBER]) as phone,
    ):
        phone.wait()
        wait_for(lambda: len(hook.events.events("Hangup")) == 2, 5, "two hangups")
        seen = {each.event for each in hook.events.messages if each.event}
        assert seen == {"FullyBooted", "UserEvent", "DialBegin", "DialEnd", "Newstate", "Hangup"}


def test_without_a_secret_nobody_logs_in(lab_root: Path) -> None:
    """With no callgate-secret.conf the shipped user cannot log in, and the PBX's other users can."""
    with Asterisk(lab_root, files={"callgate-secret.conf": None}) as asterisk:
        for secret in ("", asterisk.secret):
            with pytest.raises(AmiRefused):
                AmiProbe(asterisk.ami_port, "callgate", secret)
        asterisk.connect().close()


def test_two_instances_are_apart(lab_root: Path, tmp_path: Path) -> None:
    """Two Asterisks run at once, and a call of one does not touch the other."""
    with (
        Asterisk(lab_root) as left,
        Asterisk(lab_root) as right,
        Carrier(left, tmp_path),
        BareHook(left.ami_port, left.secret, allow(60_000)),
        Phone(left, tmp_path, [NUMBER]) as phone,
    ):
        phone.wait_answered()
        assert len(left.channels()) == 2
        assert right.channels() == []
        assert right.cdrs() == []


def test_kill_and_restart(lab_root: Path) -> None:
    """After kill -9 the same instance comes up again on the same ports."""
    with Asterisk(lab_root) as asterisk:
        ports, first = (asterisk.sip_port, asterisk.ami_port), asterisk.pid
        asterisk.kill()
        wait_for(lambda: asterisk.probe.closed, 5, "the session's end")
        asterisk.restart()
        assert (asterisk.sip_port, asterisk.ami_port) == ports
        assert asterisk.pid != first
        assert asterisk.channels() == []


def test_freeze_and_thaw(lab_root: Path) -> None:
    """A frozen Asterisk answers nothing; continued, it answers what was asked meanwhile."""
    with Asterisk(lab_root) as asterisk:
        asterisk.freeze()
        waiting = asterisk.probe.send("Ping")
        with pytest.raises(TimeoutError):
            asterisk.probe.wait(lambda each: each.get("ActionID") == waiting, 0.3)
        asterisk.thaw()
        asterisk.probe.wait(lambda each: each.get("ActionID") == waiting, 5)


def test_nothing_outlives_a_killed_test_run(lab_root: Path) -> None:
    """Asterisk dies with the process that started it, even when that is killed with -9."""
    script = (
        "import sys, time; from pathlib import Path; from tests.lab.asterisk import Asterisk\n"
        "a = Asterisk(Path(sys.argv[1])).start(); print(a.pid, a.dir, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(lab_root)], stdout=subprocess.PIPE, cwd=build.REPOSITORY, text=True
    )
    assert child.stdout is not None
    pid, _, _folder = child.stdout.readline().partition(" ")
    child.send_signal(signal.SIGKILL)
    child.wait()
    wait_for(lambda: not alive(int(pid)), 5, "the end of Asterisk")


def test_stale_folders_are_removed(lab_root: Path) -> None:
    """Folders of instances whose test run is gone are removed at the next start; those of live ones stay."""
    stale = lab_root / "srv" / "999999999-abc"
    stale.mkdir(parents=True)
    with Asterisk(lab_root) as asterisk:
        assert not stale.exists()
        assert asterisk.dir.exists()
    assert not asterisk.dir.exists()


def test_fifty_calls_a_second(lab_root: Path, tmp_path: Path) -> None:
    """SIPp and the bare hook carry 50 calls/s: each is allowed, answered and ended, and each has its times."""
    with (
        Asterisk(lab_root, log_levels="warning,error") as asterisk,
        Carrier(asterisk, tmp_path, ring_ms=20),
        BareHook(asterisk.ami_port, asterisk.secret, allow(60_000)) as hook,
        Phone(asterisk, tmp_path, [NUMBER], calls=100, rate_per_second=50, talk_ms=300) as phone,
    ):
        calls = phone.wait(20)
        assert {call.status for call in calls} == {200}
        assert len(hook.asks) == 100
        late = sorted(call.final_after_ms for call in calls)
        print(
            f"answer p50 {late[50]:.1f} ms, p99 {late[98]:.1f} ms, Asterisk {asterisk.cpu_seconds() * 10:.1f} ms a call"
        )


def test_a_failed_start_says_why(lab_root: Path) -> None:
    """An Asterisk that cannot come up is reported with its own log, and leaves nothing behind."""
    broken = Asterisk(lab_root)
    broken.ami_port = 1
    broken.sip_port = -1
    with pytest.raises(RuntimeError, match="did not come up"):
        broken.start(boot_timeout_seconds=2)
    assert not broken.dir.exists()


def test_the_recipe_names_the_folder(lab_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder built by another recipe is not used."""
    assert build.find_root() == lab_root
    monkeypatch.setattr(build, "RECIPE", build.RECIPE + " changed")
    assert build.find_root() is None
    assert build.missing() is not None


def test_the_mirror_is_the_machines_own() -> None:
    """The mirror comes out of apt's configuration."""
    source = build.apt_source()
    assert source.distribution in {"Debian", "Ubuntu"}
    assert "://" in source.mirror

"""The nightly audit on a real ledger: a process of its own, beside the gateway that runs."""

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from gateway.adapters import audit_program
from gateway.adapters.audit_program import AuditProgram
from gateway.bootstrap import Gateway
from gateway.ports import NotAuditedError
from gateway.service import nightly
from gateway.settings import Settings, load

CONFIG = Path(__file__).parents[3] / "config"


def settings_of(root: Path) -> Settings:
    """The shipped tenants, on books of their own."""
    for name in ("tenants", "tariffs"):
        shutil.copytree(CONFIG / name, root / "config" / name)
    (root / "config" / "gateway.toml").write_text('state_dir = "state"\n[http]\nport = 0\n')
    return load(root / "config")


def program_of(settings: Settings, *words: str, most_seconds: float = 50) -> AuditProgram:
    """One that is this instead of callgate, where words are given."""
    program = AuditProgram(settings.config_dir, settings.journal.audit_file, most_seconds)
    if words:
        program.command = [sys.executable, "-c", *words]
    return program


async def test_cooked_books_are_found_and_shown_where_honest_ones_are_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway's own command finds them, /metrics tells it, and the next process knows it from the file.

    A night was missed meanwhile: that one makes up for it, and finds that they were mended.
    """
    monkeypatch.setattr(audit_program, "_give_way", lambda _: None)  # other tests would not let it run
    settings = settings_of(tmp_path)
    async with Gateway(settings) as gateway:
        await gateway.ledger.top_up("acme", "one", 25_000_000, "USD", "test")
        program = program_of(settings)
        clean = await program.run()
        await gateway.ledger.pipe.call("HINCRBY", "cg:{acme}:account", "balance", 1)
        cooked = await program.run()
        assert (clean.tenants, clean.findings) == (len(settings.tenants), 0)
        assert (cooked.findings, list(cooked.misfits)) == (2, ["acme"])  # it is its lots' sum no more, either
        assert "balance should be 25000000, found 25000001" in cooked.misfits["acme"].problem
        for audited, shown in ((clean, b"callgate_audit_findings 0.0"), (cooked, b"callgate_audit_findings 2.0")):
            gateway.watch.audited(audited.findings, audited.ended_at)
            assert shown in gateway.watch.render()[0]
    last = program.last(0.0)
    assert program.last(cooked.ended_at) is None
    assert last is not None
    assert (last.misfits, last.ended_at) == (cooked.misfits, pytest.approx(cooked.ended_at, abs=2))
    monkeypatch.setattr(nightly, "LOOK_SECONDS", 0.1)
    os.utime(settings.journal.audit_file, (0, time.time() - 2 * 86_400))
    async with Gateway(settings) as gateway, asyncio.timeout(50):
        while b"callgate_audit_findings 2.0" not in gateway.watch.render()[0]:
            await asyncio.sleep(0.01)
        await gateway.ledger.pipe.call("HINCRBY", "cg:{acme}:account", "balance", -1)
        while b"callgate_audit_findings 0.0" not in gateway.watch.render()[0]:
            await asyncio.sleep(0.05)
    assert program.last(cooked.ended_at) is not None


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import time; time.sleep(60)", "ended after"),
        ("import sys; sys.exit('callgate: Redis is away')", "code 1: callgate: Redis is away"),
        ("print('[1, 2]')", "no report"),
        ("print('[' * 100000)", "no report"),
    ],
)
async def test_an_audit_that_hangs_or_fails_is_ended_and_told(tmp_path: Path, program: str, why: str) -> None:
    """And the last report is as it was."""
    tried = program_of(settings_of(tmp_path), program, most_seconds=1 if "sleep" in program else 50)
    with pytest.raises(NotAuditedError, match=why):
        await tried.run()
    assert tried.last(0.0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such class")
async def test_it_runs_when_nobody_else_wants_to(tmp_path: Path) -> None:
    """At the lowest priority, with the environment that may hold the config's secrets."""
    words = "import json, os, time; time.sleep(0.2); s = [os.sched_getscheduler(0), os.nice(0), 'HOME' in os.environ]"
    tried = program_of(settings_of(tmp_path), f"{words}; print(json.dumps(s))")
    report = await tried._report()
    assert report.decode().strip() == f"[{os.SCHED_IDLE}, {audit_program.LOWEST}, true]"
